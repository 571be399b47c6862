"""The table of contents in README.md, written from the notebooks themselves (the build does it at its end)."""

from __future__ import annotations

from pathlib import Path

import nbformat

from notebooks import budget

HERE = Path(__file__).parent
BEGIN, END = "<!-- course:begin -->\n", "<!-- course:end -->\n"


def table() -> str:
    """One line for each notebook: title, minutes of reading, exercises, seconds of running."""
    lines = ["| notebook | minutes to read | exercises | runs in |", "| --- | --- | --- | --- |"]
    for notebook in sorted(HERE.glob("*.ipynb")):
        title = nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0].removeprefix("# ")
        number, m = notebook.stem.split("_")[0], budget.measure(notebook)
        link = f"[{number}](notebooks/{notebook.name}) {title}"
        lines.append(f"| {link} | {m.minutes:.0f} | {m.exercises} | {m.seconds} s |")
    return "\n".join(lines) + "\n"


def write(readme: Path = HERE.parent / "README.md") -> None:
    """Put the table between its two marks."""
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")
