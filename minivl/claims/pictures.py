"""A picture for a claim: bars of the mean accuracies, a line from the lowest to the highest seed on each.

Colours are those of M. Okabe and K. Ito, which people with any colour vision tell apart; large enough for a projector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minivl import atomic
from minivl.claims.table import cell_range
from minivl.claims.verdicts import Claim, Measured, mean_range

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
WIDE = 0.8  # of the place that a group of bars has
LETTERS = 14  # of a label, before it is broken


def bars(claim: Claim, seeds: Sequence[Measured]) -> Figure:
    """The claim's pictured lines as groups of bars, one bar for each column; a black dash is the blind baseline."""
    figure = Figure(figsize=(max(7.0, 1.7 * len(claim.pictured)), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = WIDE / len(claim.columns)
    for n, (column, colour) in enumerate(zip(claim.columns, COLOURS[: len(claim.columns)], strict=True)):
        cells = [cell_range(seeds, claim.lines[label][n]) for label in claim.pictured]
        # a cell that the table leaves empty has no bar: a bar of height 0 would be an accuracy
        found = [(group, *cell) for group, cell in enumerate(cells) if not math.isnan(cell[0])]
        at = [group + (n + 0.5) * width - WIDE / 2 for group, _, _, _ in found]
        means = [mean for _, mean, _, _ in found]
        down, up = [mean - low for _, mean, low, _ in found], [high - mean for _, mean, _, high in found]
        axes.bar(at, means, 0.92 * width, color=colour, label=column, edgecolor="black", linewidth=0.5)
        axes.errorbar(at, means, [down, up], fmt="none", ecolor="black", elinewidth=1.5, capsize=3)
    if claim.blind:
        _draw_blind(axes, claim, seeds)
    axes.set_xticks(range(len(claim.pictured)), [_broken(label) for label in claim.pictured], fontsize=12)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy", fontsize=13)
    axes.tick_params(axis="y", labelsize=12)
    axes.grid(True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside upper center", ncols=min(3, len(claim.columns) + claim.blind), fontsize=12, frameon=False
    )
    return figure


def _draw_blind(axes: object, claim: Claim, seeds: Sequence[Measured]) -> None:
    for group, label in enumerate(claim.pictured):
        blind = mean_range(
            float(measured.get(cell[0], {}).get(cell[1], {}).get("blind", math.nan))
            for cell in claim.lines[label] if cell for measured in seeds
        )[0]  # fmt: skip
        name = "most frequent answer" if group == 0 else None
        ends = (group - WIDE / 2, group + WIDE / 2)
        axes.plot(ends, (blind, blind), color="black", linestyle="--", linewidth=1.5, label=name)  # type: ignore[attr-defined]


def save_bars(claim: Claim, seeds: Sequence[Measured], file: Path) -> None:
    """Write the picture as a PNG."""
    figure = bars(claim, seeds)
    FigureCanvasAgg(figure)
    atomic.replace(file, lambda path: figure.savefig(path, dpi=110))


def _broken(label: str) -> str:
    """The label on lines of about LETTERS letters."""
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + len(word) >= LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
