"""The picture of a training: its loss, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STEPS_PER_POINT = 25  # training_loop.fit reports a mean of so many steps


def loss_curve(loss: Sequence[float], title: str) -> Figure:
    """The loss over the steps, on a logarithmic axis. `loss`: one mean for every 25 steps."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([STEPS_PER_POINT * (i + 1) for i in range(len(loss))], loss, color="tab:blue")
    axes.set(title=title, xlabel="step", ylabel="loss (cross-entropy of the answers)", yscale="log")
    axes.grid(True, which="both", alpha=0.3)
    return figure


def save_loss_curve(loss: Sequence[float], title: str, file: Path) -> None:
    """Write the curve as a PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure = loss_curve(loss, title)
    FigureCanvasAgg(figure)
    figure.savefig(file, dpi=120)
