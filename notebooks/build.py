"""From one master to two notebooks: the student's, with empty exercises, and the solutions.

    python notebooks/build.py 03 A1      run these masters and write their notebooks, with outputs
    python notebooks/build.py            run all of them
    python notebooks/build.py --no-run   write all notebooks again; cells that did not change keep their outputs
    python notebooks/build.py 03 --smoke run with few steps, as a quick test, and write nothing
    python notebooks/build.py --repo https://github.com/me/minivl
                                         write this address into pyproject.toml, the badges and the set-up cells

A master is a Python file in the percent format, notebooks/masters/NN_name.py. Tags of its cells:

    set-up      the build writes it          exercise, checker, solution, wrong, why   the parts of one exercise
    imports     what exercises may use       component, same   a class or function, and its comparison with the package
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from notebooks import contents  # noqa: E402

MASTERS, SOLUTIONS = HERE / "masters", HERE / "solutions"
PYPROJECT = HERE.parent / "pyproject.toml"
ADDRESS = re.compile(r'^Repository = "(.*)"$', re.MULTILINE)
VERSION = re.compile(r'^version = "(.*)"$', re.MULTILINE)
BADGE = (
    "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{path}/blob/main/notebooks/{file})"
)
SET_UP = """\
# Use the checkout around this notebook, or an installed minivl, or install it. torch stays as it is.
import importlib.util, pathlib, sys

for folder in (pathlib.Path.cwd().parent, pathlib.Path.cwd().parent.parent):
    if (folder / "minivl" / "course").is_dir() and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
if importlib.util.find_spec("minivl") is None:
    %pip install --quiet "minivl[colab] @ git+{repo}@v{version}"
"""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
Cell = Any  # a cell of nbformat: a dictionary with attributes
Notebook = Any


def masters(wanted: list[str]) -> list[Path]:
    """The master files whose numbers are wanted, all if none is."""
    found = sorted(MASTERS.glob("*.py"))
    if unknown := [number for number in wanted if not any(path.name.startswith(f"{number}_") for path in found)]:
        sys.exit(f"there is no master {', '.join(unknown)} in {MASTERS}")
    return [path for path in found if not wanted or path.name.split("_")[0] in wanted]


def repository() -> str:
    """The address of the repository; its one place is pyproject.toml."""
    found = ADDRESS.search(PYPROJECT.read_text(encoding="utf-8"))
    assert found, "pyproject.toml has no line Repository = ..."
    return found[1]


def move_repository(address: str) -> None:
    """Write another address into pyproject.toml."""
    if not re.fullmatch(r"https://[\w.-]+/[\w.-]+/[\w.-]+", address):
        sys.exit(f"{address!r} is not the address of a repository: give one like https://github.com/owner/name")
    text = PYPROJECT.read_text(encoding="utf-8")
    PYPROJECT.write_text(ADDRESS.sub(f'Repository = "{address}"', text), encoding="utf-8")


# ---- from a master to cells


def read(master: Path) -> list[Cell]:
    """The cells of a master; the parts of an exercise know its number by their metadata."""
    cells = jupytext.read(master, fmt="py:percent").cells
    for index, cell in enumerate(cells):
        text = f"{cell.cell_type}{cell.source}{sum(c.source == cell.source for c in cells[:index])}"
        cell.id = hashlib.sha1(text.encode()).hexdigest()[:8]
    return cells


def kind(cell: Cell) -> str:
    """Which part of an exercise a cell is, "" for none."""
    parts = {"exercise", "checker", "solution", "wrong", "why"} & set(cell.metadata.get("tags", []))
    return next(iter(parts), "")


def student(cells: list[Cell]) -> list[Cell]:
    """The exercise to be filled in, its checker, and the solution behind a click."""
    shown = []
    for cell in cells:
        if kind(cell) == "solution":
            number = cell.metadata["exercise"]
            why = next((c.source for c in cells if kind(c) == "why" and c.metadata["exercise"] == number), "")
            shown.append(_folded("Solution", cell, f"```python\n{cell.source}\n```\n\n{why}"))
        elif kind(cell) not in ("wrong", "why"):
            shown.append(cell)
    return shown


def solution(cells: list[Cell]) -> list[Cell]:
    """The solution in the place of the exercise, its checker, and the known wrong answers behind a click."""
    shown = []
    for cell in cells:
        if kind(cell) == "exercise":
            number = cell.metadata["exercise"]
            shown.append(next(c for c in cells if kind(c) == "solution" and c.metadata["exercise"] == number))
        elif kind(cell) == "checker":
            number = cell.metadata["exercise"]
            wrong = [c for c in cells if kind(c) == "wrong" and c.metadata["exercise"] == number]
            blocks = [f'The hint says "{c.metadata["hint"]}":\n\n```python\n{c.source}\n```' for c in wrong]
            shown += [cell, _folded("Wrong answers that the checker knows", cell, "\n\n".join(blocks))]
        elif kind(cell) not in ("solution", "wrong"):
            shown.append(cell)
    return shown


def _folded(title: str, cell: Cell, text: str) -> Cell:
    fold = nbformat.v4.new_markdown_cell(f"<details><summary>{title}</summary>\n\n{text.strip()}\n\n</details>")
    fold.id = hashlib.sha1(f"{title}{cell.id}".encode()).hexdigest()[:8]
    return fold


def stamped(cells: list[Cell], file: str, seconds: int, megabytes: int) -> list[Cell]:
    """Copies with the address, the time and the memory written in, and the set-up cell."""
    repo = repository()
    version = VERSION.search(PYPROJECT.read_text(encoding="utf-8"))
    assert version, "pyproject.toml has no version"
    words = {
        "{{badge}}": BADGE.format(path="/".join(repo.split("/")[-2:]), file=file),
        "{{repo}}": repo,
        "{{seconds}}": str(math.ceil(max(seconds, 1) / 5) * 5),
        "{{memory}}": f"{max(megabytes, 100) / 1000:.1f} GB",
    }
    copies = []
    for cell in cells:
        new = copy.deepcopy(cell)
        for word, text in words.items():
            new.source = new.source.replace(word, text)
        new.source = new.source.replace("  # fmt: skip", "")  # a note to the formatter, not to the reader
        if "set-up" in new.metadata.get("tags", []):
            new.source = SET_UP.format(repo=repo, version=version[1]).rstrip()
            new.metadata["tags"] = ["set-up", "nbval-ignore-output"]
        new.metadata = nbformat.from_dict({"tags": new.metadata["tags"]} if new.metadata.get("tags") else {})
        copies.append(new)
    return copies


def targets(master: Path) -> dict[Path, Any]:
    """Where the two versions go, and the function that chooses their cells."""
    return {HERE / f"{master.stem}.ipynb": student, SOLUTIONS / f"{master.stem}.ipynb": solution}


# ---- running


def run(cells: list[Cell], smoke: bool) -> tuple[dict[tuple[str, str], Cell], int, int]:
    """Run all cells once in a fresh kernel: {(cell's id, version): cell with outputs}, seconds, megabytes.

    The checker of an exercise runs twice: on the empty exercise, then on the solution. Both outputs are real.
    """
    row: list[tuple[str, Cell]] = []
    for cell in cells:
        if cell.cell_type != "code" or kind(cell) == "wrong":
            continue
        if kind(cell) == "solution":
            number = cell.metadata["exercise"]
            checker = next(c for c in cells if kind(c) == "checker" and c.metadata["exercise"] == number)
            row += [("solution", cell), ("solution", checker)]
        else:
            row.append(("student", cell))
    code = stamped([cell for _, cell in row], "", 0, 0)
    for index, cell in enumerate(code):
        cell.id = f"cell-{index}"  # a checker is there twice
    code.append(nbformat.v4.new_code_cell(MEMORY, id="memory"))
    notebook = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": KERNEL})
    os.environ["MINIVL_SMOKE"] = "1" if smoke else ""
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", store_widget_state=False, record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
    )  # fmt: skip
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    outputs = {(cell.id, version): done for (version, cell), done in zip(row, notebook.cells, strict=False)}
    return outputs, math.ceil(seconds), int(notebook.cells[-1].outputs[0]["text"])


def keep(notebook: Path, cells: list[Cell]) -> dict[tuple[str, str], Cell]:
    """The outputs that a written notebook has for cells that did not change."""
    version = "solution" if notebook.parent == SOLUTIONS else "student"
    old = {cell.id: cell for cell in nbformat.read(notebook, as_version=4).cells} if notebook.exists() else {}
    return {(cell.id, version): old[cell.id] for cell in cells if cell.id in old}


def write(
    notebook: Path, cells: list[Cell], outputs: dict[tuple[str, str], Cell], seconds: int, megabytes: int
) -> None:
    """A version of a notebook, with the outputs of its run."""
    version = "solution" if notebook.parent == SOLUTIONS else "student"
    written, count = stamped(cells, notebook.name, seconds, megabytes), 0
    for cell in written:
        done = outputs.get((cell.id, version)) or outputs.get((cell.id, "student"))
        if cell.cell_type == "code" and done is not None and "outputs" in done:
            count += 1
            cell.outputs = copy.deepcopy(done.outputs)
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output["execution_count"] = count
    metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python", "pygments_lexer": "ipython3", "file_extension": ".py"},
        "minivl": {"seconds": seconds, "megabytes": megabytes},
    }
    notebook.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=written, metadata=metadata), notebook)


def build(master: Path, execute: bool, smoke: bool) -> None:
    """Write both versions of one master."""
    cells = read(master)
    for notebook, choose in targets(master).items():
        if not execute:
            known = nbformat.read(notebook, as_version=4).metadata["minivl"] if notebook.exists() else {}
            chosen = choose(cells)
            write(notebook, chosen, keep(notebook, chosen), known.get("seconds", 0), known.get("megabytes", 0))
    if execute:
        outputs, seconds, megabytes = run(cells, smoke)
        print(f"{master.stem}: {seconds} s, {megabytes} MB", flush=True)
        for notebook, choose in () if smoke else targets(master).items():
            write(notebook, choose(cells), outputs, seconds, megabytes)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("numbers", nargs="*", help="which masters, such as 03 A1 (default: all)")
    parser.add_argument("--no-run", action="store_true", help="write the cells again, keep the outputs")
    parser.add_argument("--smoke", action="store_true", help="run quickly with few steps and write nothing")
    parser.add_argument("--repo", help="the repository's address, for badges, links and set-up cells")
    arguments = parser.parse_args()
    if arguments.repo:
        move_repository(arguments.repo)
    failed = []
    for master in masters(arguments.numbers):
        try:
            build(master, execute=not (arguments.no_run or arguments.repo), smoke=arguments.smoke)
        except CellExecutionError as error:
            failed.append(master.stem)
            print(f"{master.stem}: a cell failed\n{error}", flush=True)
    if not (arguments.smoke or arguments.numbers):
        contents.write()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
