"""A row of tokens as a picture: which are read, which are soft prompt, which have to be predicted.

Boxes from left to right, in lines, as wide as their words. A filled box with bold text is learned (its label is not
IGNORE), a pale one is only read, a hatched one is a vector of a soft prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from minivl.course.figures import BLUE, ORANGE
from minivl.plots import Picture
from minivl.soft_prompt import IGNORE

Row = tuple[str, Sequence[int], Sequence[int]]  # title, ids [L] with slots, labels [L]
LINE, WIDTH, GAP = 88.0, 0.95, 1.2  # characters in a line; of a character; around a word
READ, SLOT = "#EEEEEE", "#FBE3B5"


def show_tokens(tokenizer: Any, rows: Sequence[Row]) -> Figure:
    """The rows below each other, each under its title. tokenizer: of transformers; it knows each token's text."""
    placed = [(title, _lines(tokenizer, ids, labels)) for title, ids, labels in rows]
    height = sum(len(lines) + 0.9 for _, lines in placed) + 0.8
    figure = Picture(figsize=(11, 0.36 * height), layout="constrained")
    axes = figure.add_subplot(xlim=(-0.5, LINE + 1), ylim=(-height, 0.2))
    axes.axis("off")
    y = -0.4
    for title, lines in placed:
        axes.text(0, y, title, fontsize=10, va="center", weight="bold")
        y -= 0.9
        for line in lines:
            for box in line:
                _draw(axes, y, *box)
            y -= 1
    kinds = (
        Patch(facecolor=READ, edgecolor="#999999", label="read"),
        Patch(facecolor=SLOT, edgecolor=ORANGE, hatch="//", label="soft prompt"),
        Patch(facecolor=BLUE, edgecolor=BLUE, label="read and learned (bold)"),
    )
    axes.legend(handles=kinds, ncols=3, fontsize=9, loc="lower left", frameon=False, borderaxespad=0)
    return figure


Box = tuple[float, float, str, str]  # x, width, text, "read" or "slot" or "learned"


def _lines(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> list[list[Box]]:
    lines: list[list[Box]] = [[]]
    x = 0.0
    for token, label in zip(ids, labels, strict=True):
        text = tokenizer.decode([token]) if token >= 0 else "v"
        kind = "slot" if token < 0 else "read" if label == IGNORE else "learned"
        width = WIDTH * len(text) + GAP
        if x + width > LINE:
            lines.append([])
            x = 0.0
        lines[-1].append((x, width, text, kind))
        x += width + 0.25
    return lines


def _draw(axes: Any, y: float, x: float, width: float, text: str, kind: str) -> None:
    looks: dict[str, dict[str, Any]] = {
        "read": {"facecolor": READ, "edgecolor": "#999999"},
        "slot": {"facecolor": SLOT, "edgecolor": ORANGE, "hatch": "////"},
        "learned": {"facecolor": BLUE, "edgecolor": BLUE},
    }
    axes.add_patch(Rectangle((x, y - 0.38), width, 0.76, linewidth=0.8, **looks[kind]))
    colour, weight = ("white", "bold") if kind == "learned" else ("#222222", "normal")
    axes.text(x + width / 2, y - 0.03, text, ha="center", va="center", fontsize=8.5, color=colour, weight=weight)
