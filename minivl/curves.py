"""The picture of a training: its loss, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from minivl import atomic

STEPS_PER_POINT = 25  # a curve reports a mean of so many steps


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


def save_loss(loss: Tensor, rate: Callable[[int], float], folder: Path) -> None:
    """Write loss.csv (every step, with its learning rate) and loss.png. loss: [steps]."""
    rows = [f"{step + 1},{value:.6f},{rate(step):.4e}" for step, value in enumerate(loss.tolist())]
    atomic.write_text(folder / "loss.csv", "\n".join(["step,loss,learning rate", *rows]) + "\n")
    means = [float(part.mean()) for part in loss.split(STEPS_PER_POINT)]
    atomic.replace(folder / "loss.png", lambda path: save_loss_curve(means, "loss", path))
