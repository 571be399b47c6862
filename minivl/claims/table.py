"""The tables of docs/claims.md: mean and range over the seeds, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minivl.claims.verdicts import Cell, Checked, Claim, Measured, accuracy, mean_range

MISSING = "–"


def number(value: float) -> str:
    """Two or three digits: ".973", "1.000", "−.021"."""
    if math.isnan(value):
        return MISSING
    text = f"{abs(value):.3f}"
    return ("−" if value < 0 and float(text) else "") + text.removeprefix("0")


def with_range(mean: float, low: float, high: float) -> str:
    """ ".973 (.960 to .981)", or the number alone where all seeds have the same."""
    return number(mean) if number(low) == number(high) else f"{number(mean)} ({number(low)} to {number(high)})"


def cell_range(seeds: Sequence[Measured], cell: Cell | None) -> tuple[float, float, float]:
    """Mean, lowest and highest accuracy of a cell over the seeds; nan where nothing was measured."""
    return mean_range(accuracy(measured, cell) for measured in seeds) if cell else (math.nan,) * 3


def claim_table(claim: Claim, seeds: Sequence[Measured]) -> str:
    """The claim's table: a line for each of its lines, with the number of questions that one seed was asked."""
    lines = []
    for label, cells in claim.lines.items():
        shown = [with_range(*cell_range(seeds, cell)) for cell in cells]
        blind = [_of(seeds, cell, "blind") for cell in cells if cell]
        count = [_of(seeds, cell, "count") for cell in cells if cell]
        extra = [next((number(b) for b in blind if not math.isnan(b)), MISSING)] if claim.blind else []
        lines.append([label, *shown, *extra, "/".join(dict.fromkeys(f"{c:.0f}" for c in count if not math.isnan(c)))])
    return markdown(["question", *claim.columns, *["blind"] * claim.blind, "questions"], lines)


def check_table(checks: Sequence[Checked]) -> str:
    """The checks of a claim with their values."""
    return markdown(
        ["check", "value", "met in", "passes"],
        [
            [c.text, with_range(c.mean, c.low, c.high), f"{c.met} of {c.seeds} seeds", "yes" if c.passed else "no"]
            for c in checks
        ],
    )


def reference_table(seeds: Sequence[Measured], shipped: Measured) -> str:
    """The short recipe of this page beside the model that is shipped, on the same clips."""
    rows = (
        "sight/all visual", "hearing/all auditory", "both/all visual", "both/all auditory", "both/match",
        "held out/all visual", "held out/all auditory", "unseen pairs/colour", "unseen pairs/shape",
    )  # fmt: skip
    return markdown(
        ["row", "short recipe, this page", "shipped model", "blind", "questions"],
        [
            [
                row, with_range(*cell_range(seeds, ("recipe", row))), number(accuracy(shipped, ("shipped", row))),
                number(_of(seeds, ("recipe", row), "blind")), f"{_of(seeds, ('recipe', row), 'count'):.0f}",
            ]
            for row in rows
        ],
    )  # fmt: skip


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines))


def _of(seeds: Sequence[Measured], cell: Cell, key: str) -> float:
    """A number of a cell that is the same for all seeds; nan where nothing was measured."""
    column, row = cell
    return float(seeds[0].get(column, {}).get(row, {}).get(key, math.nan))
