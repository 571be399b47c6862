"""The course is kept in order: both versions come from their master, exercises check themselves, limits hold.

That the cells run, and print what is written in the notebooks, is tested by nbval (make test).
"""

from __future__ import annotations

import re
import shutil
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import torch

from notebooks import budget, build, contents, exercises

ROOT = Path(__file__).parent.parent
MASTERS = build.masters([])
STUDENTS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXERCISES = [one for master in MASTERS for one in exercises.exercises(master)]
COURSE = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "A1", "A2")


def number(path: Path) -> str:
    return path.stem.split("_")[0]


def test_the_course_is_complete() -> None:
    assert [number(path) for path in MASTERS] == [number(path) for path in STUDENTS] == list(COURSE)


def test_the_readme_lists_the_course_as_it_is() -> None:
    assert contents.table() in (ROOT / "README.md").read_text(encoding="utf-8"), "run make student"


@pytest.mark.parametrize("master", MASTERS, ids=number)
def test_both_versions_are_what_their_master_gives(master: Path) -> None:
    cells = build.read(master)
    for notebook, choose in build.targets(master).items():
        written = nbformat.read(notebook, as_version=4)
        run = written.metadata["minivl"]
        fresh = build.stamped(choose(cells), notebook.name, run["seconds"], run["megabytes"])
        assert [c.source for c in written.cells] == [c.source for c in fresh], (
            f"run notebooks/build.py {number(master)}"
        )
        assert [c.metadata for c in written.cells] == [c.metadata for c in fresh]


@pytest.mark.parametrize("notebook", STUDENTS, ids=number)
def test_a_notebook_keeps_to_its_budget(notebook: Path) -> None:
    assert budget.measure(notebook).over() == []
    assert budget.complaints(notebook) == []


def test_the_budget_sees_what_is_over_it(tmp_path: Path) -> None:
    v4 = nbformat.v4
    long = v4.new_code_cell("\n".join(f"x{n} = {n}" for n in range(31)) + "\nassert x1", execution_count=None)
    figure = v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "a"})
    pictured = v4.new_code_cell("y = 1;", execution_count=1, outputs=[figure])
    file = tmp_path / "13_bad.ipynb"
    cells = [v4.new_markdown_cell("![a](b.png)"), long, *(deepcopy(pictured) for _ in range(3))]
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
    nbformat.write(v4.new_notebook(cells=cells), file)
    over = " ".join(budget.measure(file).over())
    for limit in ("5 cells", "a cell of 32 lines", "prose cells", "without a heading", "predictions", "exercises"):
        assert limit in over
    found = " ".join(budget.complaints(file))
    for complaint in ("Recap", "from elsewhere", "without a message", "trailing semicolon", "not run", "alt text"):
        assert complaint in found
    assert budget._gap([False, False, True, False, False, False]) == 3


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.number)
def test_an_exercise_knows_right_from_wrong(exercise: exercises.Exercise) -> None:
    assert exercises.problems(exercise) == []


def test_exercises_notice_a_checker_that_accepts_everything() -> None:
    generous = exercises.Exercise(
        Path(), "1", "x · ★ · 5 minutes", "from minivl import course", "answer = None",
        "course.check(lambda answer: 'fine', answer)", "answer = 1", [("one", "answer = 2"), ("one", "answer = 3")],
    )  # fmt: skip
    assert len(exercises.problems(generous)) == 2


@pytest.mark.parametrize("master", MASTERS, ids=number)
def test_a_class_of_a_notebook_equals_the_packages(master: Path) -> None:
    """One home of code: the cells that define a component, then those that compare it with the package."""
    cells = [c for c in build.read(master) if {"imports", "component", "same"} & set(c.metadata.get("tags", []))]
    names: dict[str, object] = {"__name__": "notebook"}
    with torch.enable_grad():  # a notebook may switch gradients off for itself
        for cell in cells:
            exec(cell.source, names)
    same = [cell for cell in cells if "same" in cell.metadata["tags"]]
    assert all(budget.is_check(cell) for cell in same)
    if number(master) in ("01", "02", "03", "04", "05"):  # the notebooks that build the parts of the model
        assert same, "no cell is tagged `same`"


@pytest.mark.parametrize("master", MASTERS, ids=number)
def test_solutions_were_run_and_pass(master: Path) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "solutions" / f"{master.stem}.ipynb", as_version=4)
    checkers = [c for c in notebook.cells if "checker" in c.metadata.get("tags", [])]
    assert checkers
    for cell in checkers:
        assert "".join(output.text for output in cell.outputs).startswith("✓ right")


@pytest.mark.parametrize("notebook", STUDENTS, ids=number)
def test_a_notebook_has_outputs_to_compare(notebook: Path) -> None:
    """nbval compares nothing in a notebook whose outputs were stripped."""
    cells = [c for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "code"]
    compared = [c for c in cells if "nbval-ignore-output" not in c.metadata.get("tags", []) and c.outputs]
    if number(notebook) in LAX:
        compared = [c for c in compared if "nbval-check-output" in c.metadata.get("tags", [])]
    assert len(compared) >= 3
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))


def lax() -> tuple[str, ...]:
    line = re.search(r"^LAX := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert line
    return tuple(line[1].split())


LAX = lax()  # training notebooks: only tagged cells are compared


def test_the_set_up_cell_is_short_pinned_and_leaves_torch_alone() -> None:
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
    assert len(build.SET_UP.splitlines()) <= 8
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    pins = {re.split("==|;", line)[0]: line.split(";")[0].strip() for line in extras["colab"]}
    assert not {"torch", "torchvision", "torchaudio", "numpy"} & set(pins)
    constraints = {line.split(";")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert set(pins.values()) <= constraints


def test_the_set_up_cell_finds_a_checkout_and_can_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minivl" / "course").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = re.sub(r"%pip.*", "raise SystemExit('pip was called')", build.SET_UP)
    exec(code, {})
    exec(code, {})
    assert sys.path.count(str(tmp_path)) == 1
    monkeypatch.chdir(tmp_path.parent)  # outside a checkout an installed minivl is used
    exec(code, {})


def test_another_address_is_stamped_everywhere_and_outputs_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", here, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    old = build.repository()
    monkeypatch.setattr(contents, "write", lambda: None)
    for name, value in {
        "HERE": here, "MASTERS": here / "masters", "SOLUTIONS": here / "solutions",
        "PYPROJECT": tmp_path / "pyproject.toml",
    }.items():  # fmt: skip
        monkeypatch.setattr(build, name, value)
    monkeypatch.setattr("sys.argv", ["build.py", "--repo", "https://github.com/a-class/of-2027"])
    build.main()
    assert build.repository() == "https://github.com/a-class/of-2027"
    for notebook in (*here.glob("*.ipynb"), *here.glob("solutions/*.ipynb")):
        text = notebook.read_text(encoding="utf-8")
        assert old not in text and "github/minivl/minivl" not in text
        assert "colab.research.google.com/github/a-class/of-2027/blob/main/notebooks/" in text
        before = nbformat.read(ROOT / notebook.relative_to(tmp_path), as_version=4)
        after = nbformat.read(notebook, as_version=4)
        assert [c.get("outputs") for c in after.cells] == [c.get("outputs") for c in before.cells]
    monkeypatch.setattr("sys.argv", ["build.py", "--repo", "not an address"])
    with pytest.raises(SystemExit, match="address of a repository"):
        build.main()
