"""Every exercise of the course, tried: python notebooks/exercises.py prints what its checker says to

the empty exercise, the solution, and each wrong answer that the master holds (with the hint that it should get).
An exercise may use the names of its notebook's imports cell and nothing else, so it can be tried without running
the notebook.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from notebooks import build  # noqa: E402


@dataclass
class Exercise:
    """One exercise of a master: code, as text."""

    master: Path
    number: str
    title: str
    imports: str
    empty: str = ""
    checker: str = ""
    solution: str = ""
    wrong: list[tuple[str, str]] = field(default_factory=list)  # (hint, code)


def exercises(master: Path) -> Iterator[Exercise]:
    """The exercises of a master, in order."""
    cells = build.read(master)
    imports = "\n".join(c.source for c in cells if "imports" in c.metadata.get("tags", []))
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    for first in (cell for cell in cells if build.kind(cell) == "exercise"):
        number = first.metadata["exercise"]
        title = re.search(rf"^### Exercise {re.escape(number)}[:.·]? *(.*)$", prose, re.MULTILINE)
        one = Exercise(master, number, title[1] if title else "", imports, empty=first.source)
        for cell in (c for c in cells if c.metadata.get("exercise") == number):
            if build.kind(cell) == "wrong":
                one.wrong.append((cell.metadata["hint"], cell.source))
            elif build.kind(cell) in ("checker", "solution"):
                setattr(one, build.kind(cell), cell.source)
        yield one


def said(exercise: Exercise, answer: str) -> str:
    """The line that the checker prints for this answer."""
    names: dict[str, Any] = {"__name__": "exercise"}
    output = io.StringIO()
    with torch.enable_grad(), contextlib.redirect_stdout(output):  # a notebook may switch gradients off for itself
        for code in (exercise.imports, answer, exercise.checker):
            exec(code, names)
    return output.getvalue().strip()


def problems(exercise: Exercise) -> list[str]:
    """What is not as it should be; [] for a good exercise."""
    found = []
    if not re.search(r"★.*\d+ min", exercise.title):
        found.append(f"the title {exercise.title!r} has no difficulty (★) or minutes")
    if not (verdict := said(exercise, exercise.empty)).startswith("○"):
        found.append(f"the empty exercise gets: {verdict}")
    if not (verdict := said(exercise, exercise.solution)).startswith("✓"):
        found.append(f"the solution gets: {verdict}")
    if len(exercise.wrong) < 2:
        found.append(f"{len(exercise.wrong)} wrong answers, below 2")
    for hint, code in exercise.wrong:
        verdict = said(exercise, code)
        if not verdict.startswith("✗ not yet") or hint not in verdict:
            found.append(f"a wrong answer should get a hint with {hint!r} and gets: {verdict}")
    return found


def main() -> None:
    """Print what is said to each answer; exit with an error if one is not as it should be."""
    wrong = []
    for master in build.masters(sys.argv[1:]):
        for exercise in exercises(master):
            print(f"{exercise.number:6}{exercise.title}")
            print(f"      solution   {said(exercise, exercise.solution)}")
            for _, code in exercise.wrong:
                print(f"      wrong      {said(exercise, code)}")
            wrong += [f"{exercise.number}: {text}" for text in problems(exercise)]
    print("\n".join(wrong) or "every solution passes, every wrong answer gets its hint")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
