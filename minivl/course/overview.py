"""Where a notebook is: the whole of Video-LLaMA as boxes, those that it builds highlighted. Paper, figure 1."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from minivl.course.figures import BLUE, GREY
from minivl.plots import Picture

# name -> (x, y, "frozen" or "trained" or "data"); x and y in boxes, y counts from below
BOXES = {
    "frames": (0, 2, "data"),
    "ViT": (1, 2, "frozen"),
    "image Q-Former": (2, 2, "frozen"),
    "frame positions": (3, 2, "trained"),
    "Video Q-Former": (4, 2, "trained"),
    "video linear": (5, 2, "trained"),
    "sound": (0, 0, "data"),
    "mel": (1, 0, "data"),
    "ImageBind": (2, 0, "frozen"),
    "segment positions": (3, 0, "trained"),
    "Audio Q-Former": (4, 0, "trained"),
    "audio linear": (5, 0, "trained"),
    "words": (5, 1, "data"),
    "splice": (6, 1, "data"),
    "LLM": (7, 1, "frozen"),
    "answer": (8, 1, "data"),
}
ROWS = (
    ("frames", "ViT", "image Q-Former", "frame positions", "Video Q-Former", "video linear", "splice"),
    ("sound", "mel", "ImageBind", "segment positions", "Audio Q-Former", "audio linear", "splice"),
    ("words", "splice", "LLM", "answer"),
)
INK = {"frozen": BLUE, "trained": "#B35900", "data": "#444444"}
FILL = {"frozen": "#D6E9F5", "trained": "#FDE7BF", "data": "#F0F0F0"}
WIDTH, HEIGHT, STEP, RISE = 0.86, 0.56, 1.08, 0.72


def overview(*built: str) -> Figure:
    """The model as a row of boxes; the boxes named in `built` have a thick frame, the others are pale.

    Without names nothing is pale. Raises ValueError for a name that is no box.
    """
    if unknown := set(built) - set(BOXES):
        raise ValueError(f"no box is called {', '.join(sorted(unknown))}: choose from {', '.join(BOXES)}")
    figure = Picture(figsize=(11, 2.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.55, 8 * STEP + 0.55), ylim=(-0.75, 2 * RISE + 0.45), aspect="equal")
    axes.axis("off")
    for row in ROWS:
        for start, end in pairwise(row):
            _arrow(axes, start, end)
    for name, (x, y, kind) in BOXES.items():
        _box(axes, name, x * STEP, y * RISE, kind, lit=name in built, pale=bool(built) and name not in built)
    for place, kind, text in ((0, "frozen", "* frozen: learned before"), (3, "trained", "+ trained: the branches")):
        axes.text(place * STEP - 0.4, -0.62, text, color=INK[kind], fontsize=11, va="center")
    if built:
        axes.text(6 * STEP - 0.4, -0.62, "thick frame: this notebook", color="#222222", fontsize=11, va="center")
    return figure


def _box(axes: Any, name: str, x: float, y: float, kind: str, lit: bool, pale: bool) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="white" if pale else FILL[kind],
            edgecolor="#BBBBBB" if pale else INK[kind],
            linewidth=3 if lit else 1.2,
        )
    )
    mark = {"frozen": "* ", "trained": "+ ", "data": ""}[kind]
    words = mark + name.replace(" ", "\n", 1)
    axes.text(x, y, words, ha="center", va="center", fontsize=9, color=GREY if pale else "#111111",
              fontweight="bold" if lit else "normal")  # fmt: skip


def _arrow(axes: Any, start: str, end: str) -> None:
    (x0, y0, _), (x1, y1, _) = BOXES[start], BOXES[end]
    slant = 0.0 if y0 == y1 else (HEIGHT / 2 - 0.1)
    tail = (x0 * STEP + WIDTH / 2, y0 * RISE)
    head = (
        x1 * STEP - WIDTH / 2 + (0.0 if y0 == y1 else 0.15),
        y1 * RISE + (slant + 0.1 if y0 > y1 else -slant - 0.1 if y0 < y1 else 0),
    )
    arrow = FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=10, color="#777777", linewidth=1)
    axes.add_patch(arrow)
