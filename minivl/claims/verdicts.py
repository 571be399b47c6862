"""From numbers to a verdict, by one rule for all claims.

A claim has checks, each an accuracy (or a difference of two) with a limit. A check passes if it is met in every seed.
The claim

    holds                 if all of its checks pass
    holds in part         if some do
    does not hold here    if none does
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from minivl.claims.exam import Table

Measured = Mapping[str, Table]  # column → table, of one seed
Cell = tuple[str, str]  # column, row
ROUNDING = 1e-9  # 0.95 - 0.90 is a little more than 0.05
HOLDS, PART, NOT = "holds", "holds in part", "does not hold here"


@dataclass(frozen=True)
class Check:
    """What must be true of one seed's numbers: `value` is at least `least`, and at most `most`."""

    text: str
    value: Callable[[Measured], float]
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper says, how it is tested here, which cells the table shows, and the checks."""

    letter: str
    title: str
    paper: str
    test: str
    columns: tuple[str, ...]
    lines: Mapping[str, tuple[Cell | None, ...]]  # label → a cell for each column
    checks: tuple[Check, ...]
    pictured: tuple[str, ...] = ()  # labels of the lines in the picture; none: no picture
    blind: bool = True  # whether to show what the most frequent answer reaches
    why: Mapping[str, str] = field(default_factory=dict)  # verdict → explanation


@dataclass(frozen=True)
class Checked:
    """A check with its values: the mean over the seeds, the lowest, the highest; in how many seeds it is met."""

    text: str
    mean: float
    low: float
    high: float
    met: int
    seeds: int

    @property
    def passed(self) -> bool:
        """Met in every seed."""
        return self.met == self.seeds


def accuracy(measured: Measured, cell: Cell) -> float:
    """The accuracy in a cell; nan where no such question came up."""
    column, row = cell
    return float(measured.get(column, {}).get(row, {}).get("accuracy", math.nan))


def mean_range(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean, lowest and highest of the values that are numbers; nan where none is."""
    numbers = [v for v in values if not math.isnan(v)]
    return (sum(numbers) / len(numbers), min(numbers), max(numbers)) if numbers else (math.nan,) * 3


def judge(claim: Claim, seeds: Sequence[Measured]) -> tuple[str, list[Checked]]:
    """The verdict and the checks that it rests on. A value that was not measured meets no limit."""
    checked = []
    for check in claim.checks:
        values = [check.value(measured) for measured in seeds]
        met = sum(check.least - ROUNDING <= v <= check.most + ROUNDING for v in values)
        checked.append(Checked(check.text, *mean_range(values), met, len(values)))
    passed = sum(c.passed for c in checked)
    return (HOLDS if passed == len(checked) else PART if passed else NOT), checked


# ---- what checks are made of


def at_least(text: str, cell: Cell, limit: float) -> Check:
    """An accuracy is no lower than the limit."""
    return Check(f"{text}: at least {limit:.2f}", lambda m: accuracy(m, cell), least=limit)


def at_most(text: str, cell: Cell, limit: float) -> Check:
    """An accuracy is no higher than the limit."""
    return Check(f"{text}: at most {limit:.2f}", lambda m: accuracy(m, cell), most=limit)


def better(text: str, cell: Cell, than: Cell, by: float) -> Check:
    """An accuracy is higher than another by at least so much."""
    return Check(f"{text}: better by at least {by:.2f}", lambda m: accuracy(m, cell) - accuracy(m, than), least=by)


def as_good(text: str, cell: Cell, as_cell: Cell, within: float) -> Check:
    """An accuracy is lower than another by at most so much."""
    return Check(
        f"{text}: lower by at most {within:.2f}", lambda m: accuracy(m, as_cell) - accuracy(m, cell), most=within
    )


def above_blind(text: str, cell: Cell, by: float) -> Check:
    """An accuracy is higher than that of the most frequent answer by at least so much."""

    def gain(measured: Measured) -> float:
        blind = measured.get(cell[0], {}).get(cell[1], {}).get("blind", math.nan)
        return accuracy(measured, cell) - float(blind)

    return Check(f"{text}: better than the most frequent answer by at least {by:.2f}", gain, least=by)


def grid(columns: Mapping[str, str], rows: Mapping[str, str]) -> dict[str, tuple[Cell | None, ...]]:
    """The lines of a table that shows the same rows of several columns: {header: column}, {label: row}."""
    return {label: tuple((column, row) for column in columns.values()) for label, row in rows.items()}
