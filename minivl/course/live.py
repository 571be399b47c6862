"""A loss curve that grows while a training runs.

    live = LiveCurve("stage 1")
    with live.watching(BranchLearner):      # torch says what each forward pass of a BranchLearner returned: the loss
        train(model, "vision", recipe, teacher)
    course.show(live.figure(), alt="...")   # the whole curve, once, for the file

One picture is put below the cell and then replaced, at most once a second: drawing takes as long as half a training
step. Without a notebook (a script, a test) nothing is displayed and the curves are kept all the same.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor, nn

from minivl.course.figures import BLUE, DPI, GREEN, GREY, ORANGE, PINK, RED, SKY
from minivl.plots import Picture

TRAINING = "training"
SMOOTH = 25  # steps of the mean that is drawn over the single steps
STYLES = ((ORANGE, "o"), (GREEN, "s"), (PINK, "^"), (SKY, "D"), (RED, "v"), (GREY, "x"))
ALT = "The loss over the steps of a training that runs in this cell."


class LiveCurve:
    """Curves over steps: the loss of each training step, and whatever is measured now and then.

    curves: name -> list of (step, value), steps counted from 1; for reading. seconds: at least so many pass between
    two pictures.
    """

    def __init__(self, title: str, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.seconds, self.clock = title, seconds, clock
        self.curves: dict[str, list[tuple[int, float]]] = {TRAINING: []}
        self.pictures = 0  # displayed so far
        self._drawn = -float("inf")
        self._handle: Any = None

    def add(self, value: float, name: str = TRAINING) -> None:
        """A new training loss, or a value measured after as many steps as there are training losses."""
        curve = self.curves.setdefault(name, [])
        curve.append((len(curve) + 1 if name == TRAINING else len(self.curves[TRAINING]), float(value)))
        if name == TRAINING and self.clock() - self._drawn >= self.seconds:
            self.draw()

    @contextmanager
    def watching(
        self, kind: type[nn.Module], every: int = 0, measure: Callable[[], Mapping[str, float]] = dict
    ) -> Iterator[LiveCurve]:
        """While the block runs, `add` what every forward pass of a module of this class returns: a loss, a scalar.

        every, measure: before step 1, and again before each `every`-th later step, the values that `measure` returns
        are added under their names, and once more at the end; 0: never.
        """

        def before(module: nn.Module, inputs: Any) -> None:
            if isinstance(module, kind) and every and len(self.curves[TRAINING]) % every == 0:
                self._measure(measure)

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(module, kind) and isinstance(output, Tensor):
                self.add(float(output.detach()))

        # train() calls nobody back after a step; torch does, after the forward pass of any module at all.
        hooks = (
            nn.modules.module.register_module_forward_pre_hook(before),
            nn.modules.module.register_module_forward_hook(after),
        )
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()
        if every:
            self._measure(measure)
        self.draw()

    def figure(self) -> Figure:
        """All curves: single steps pale, their running mean bold, measured values as marks with lines."""
        figure = Picture(figsize=(9, 3.4), layout="constrained")
        axes = figure.add_subplot(
            title=self.title, xlabel="step", ylabel="loss (cross-entropy per token)", yscale="log"
        )
        steps, losses = [list(column) for column in zip(*self.curves[TRAINING], strict=True)] or [[], []]
        axes.plot(steps, losses, color=BLUE, alpha=0.25, linewidth=0.8)
        axes.plot(steps, running_mean(losses), color=BLUE, label=f"{TRAINING} (mean of {SMOOTH} steps)")
        others = [(name, curve) for name, curve in self.curves.items() if name != TRAINING]
        for number, (name, curve) in enumerate(others):
            colour, marker = STYLES[number % len(STYLES)]
            axes.plot(*zip(*curve, strict=True), color=colour, marker=marker, markersize=4, linewidth=1, label=name)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))  # beside the axes: curves are everywhere
        return figure

    def draw(self) -> None:
        """Display the picture, or replace the one that is there; nothing without a notebook or a step."""
        if get_ipython() is None or not self.curves[TRAINING]:
            return
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=DPI)
        data = {"image/png": file.getvalue(), "text/plain": ALT}
        options: dict[str, Any] = {"raw": True, "metadata": {"image/png": {"alt": ALT}}}
        if self._handle is None:
            self._handle = display(data, display_id=True, **options)
        else:
            self._handle.update(data, **options)
        self.pictures += 1
        self._drawn = self.clock()

    def _measure(self, measure: Callable[[], Mapping[str, float]]) -> None:
        with torch.no_grad():
            for name, value in measure().items():
                self.add(value, name)


def running_mean(values: list[float], over: int = SMOOTH) -> list[float]:
    """The mean of each value and as many before it as there are, at most `over` together; as long as `values`."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [(sums[i] - sums[max(0, i - over)]) / min(i, over) for i in range(1, len(sums))]
