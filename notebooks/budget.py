"""What a notebook may cost its reader: python notebooks/budget.py prints a table, and what is over the limit.

Counted on the student's version. A notebook that is too long is not read, a cell that is too long is not understood,
and code without checks lets a mistake travel.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

HERE = Path(__file__).parent
WORDS_PER_MINUTE, LINES_PER_MINUTE = 200, 15
HEADINGS_WITHIN, CHECKS_WITHIN = 4, 4  # cells; code cells
SECTIONS = ("## Recap", "## Exercises", "## What to read next")


@dataclass(frozen=True)
class Measured:
    """The numbers of one notebook."""

    name: str
    cells: int
    median_lines: float
    longest: int
    prose_to_code: float
    heading_gap: int  # longest run of cells from one with a heading to the next
    check_gap: int  # longest run of code cells up to a check
    minutes: float  # of reading
    predictions: int
    exercises: int
    seconds: int  # of running, as measured by the build
    kilobytes: int

    def over(self) -> list[str]:
        """What breaks a limit, in words."""
        limits = {
            f"{self.cells} cells, not 40 to 70": 40 <= self.cells <= 70,
            f"median of {self.median_lines} code lines, over 12": self.median_lines <= 12,
            f"a cell of {self.longest} lines, over 30": self.longest <= 30,
            f"{self.prose_to_code:.2f} prose cells to a code cell, not 1.3 to 1.9": 1.3 <= self.prose_to_code <= 1.9,
            f"{self.heading_gap} cells without a heading": self.heading_gap <= HEADINGS_WITHIN,
            f"{self.check_gap} code cells without a check": self.check_gap <= CHECKS_WITHIN,
            f"{self.minutes:.0f} minutes to read, not 20 to 40": 20 <= self.minutes <= 40,
            f"{self.predictions} predictions, below 3": self.predictions >= 3,
            f"{self.exercises} exercises, not 3 to 5": 3 <= self.exercises <= 5,
            f"{self.kilobytes} kB, over 1000": self.kilobytes < 1000,
        }
        return [text for text, kept in limits.items() if not kept]


def measure(notebook: Path) -> Measured:
    """Count one student's notebook."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [c for c in cells if c.cell_type == "code"]
    prose = [c for c in cells if c.cell_type == "markdown"]
    counted = [c for c in code if not {"set-up", "imports"} & tags(c)]
    lines = [len(code_lines(c)) for c in code if "set-up" not in tags(c)]
    words = sum(len(re.sub(r"\(http\S*\)|[$|`*#_\\{}]", " ", c.source).split()) for c in prose)
    metadata = nbformat.read(notebook, as_version=4).metadata.get("minivl", {})
    return Measured(
        name=notebook.stem,
        cells=len(cells),
        median_lines=statistics.median(lines),
        longest=max(lines),
        prose_to_code=len(prose) / len(code),
        heading_gap=_gap([c.cell_type == "markdown" and bool(re.search(r"^#+ ", c.source, re.M)) for c in cells]),
        check_gap=_gap([is_check(c) for c in counted]),
        minutes=words / WORDS_PER_MINUTE + sum(lines) / LINES_PER_MINUTE,
        predictions=sum("**Predict" in c.source for c in prose),
        exercises=sum("exercise" in tags(c) for c in code),
        seconds=metadata.get("seconds", 0),
        kilobytes=notebook.stat().st_size // 1000,
    )


def tags(cell: Any) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def code_lines(cell: Any) -> list[str]:
    """Lines of code and comments, blank ones left out."""
    return [line for line in cell.source.splitlines() if line.strip()]


def is_check(cell: Any) -> bool:
    """Whether a code cell asserts something, or is the checker of an exercise."""
    return "checker" in tags(cell) or any(isinstance(node, ast.Assert) for node in ast.walk(tree(cell)))


def tree(cell: Any) -> ast.Module:
    """The syntax tree of a code cell; lines with a magic command are left out."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M))


def complaints(notebook: Path) -> list[str]:
    """What is wrong with one student's notebook beyond numbers: sections, messages of asserts, alt texts, outputs."""
    content = nbformat.read(notebook, as_version=4)
    text = "\n".join(c.source for c in content.cells if c.cell_type == "markdown")
    found = [f"no section {section!r}" for section in SECTIONS if section not in text]
    found += [f"the header lacks {word!r}" for word in ("will be able to", "need to know", "Time.") if word not in text]
    found += ["a figure from elsewhere"] if re.search(r"!\[[^\]]*\]\((?!https://colab)", text) else []
    found += ["metadata.widgets"] if "widgets" in content.metadata else []
    for index, cell in enumerate(content.cells):
        if cell.cell_type != "code":
            continue
        where = f"cell {index}"
        if any(isinstance(node, ast.Assert) and node.msg is None for node in ast.walk(tree(cell))):
            found.append(f"{where}: an assert without a message")
        if any(len(line) > 110 for line in code_lines(cell)) and "set-up" not in tags(cell):
            found.append(f"{where}: a line of more than 110 characters")
        if any(line.rstrip().endswith(";") for line in code_lines(cell)):
            found.append(f"{where}: a trailing semicolon, which nbval ignores")
        if cell.execution_count is None:
            found.append(f"{where}: was not run")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{where}: an error")
            if "image/png" in output.get("data", {}) and not output.metadata.get("image/png", {}).get("alt"):
                found.append(f"{where}: a figure without alt text")
    return found


def table(notebooks: list[Path]) -> str:
    """One line for each notebook."""
    head = ("notebook", "cells", "median", "longest", "prose:code", "heading", "check", "read min", "predict",
            "exercises", "run s", "kB")  # fmt: skip
    rows = [head]
    for m in map(measure, notebooks):
        row = (m.name, m.cells, f"{m.median_lines:g}", m.longest, f"{m.prose_to_code:.2f}", m.heading_gap, m.check_gap,
               f"{m.minutes:.0f}", m.predictions, m.exercises, m.seconds, m.kilobytes)  # fmt: skip
        rows.append(tuple(map(str, row)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        row[0].ljust(widths[0]) + "".join(f"  {v.rjust(w)}" for v, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return "\n".join([*lines, f"together {sum(measure(n).seconds for n in notebooks)} s of running"])


def _gap(marks: list[bool]) -> int:
    """The longest way from one mark to the next, the mark itself counted: [x . . x] is 3."""
    gap = longest = 0
    for marked in marks:
        gap += 1
        longest, gap = max(longest, gap), 0 if marked else gap
    return max(longest, gap)


def main() -> None:
    """Print the table and every complaint; exit with an error if there is one."""
    wanted = sys.argv[1:]
    notebooks = [path for path in sorted(HERE.glob("*.ipynb")) if not wanted or path.name.split("_")[0] in wanted]
    print(table(notebooks))
    wrong = [f"{n.stem}: {text}" for n in notebooks for text in [*measure(n).over(), *complaints(n)]]
    print("\n".join(wrong) or "every notebook is within its limits")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
