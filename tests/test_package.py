"""The house's rules, kept by machine: short files, one direction of imports, everything in the wheel."""

from __future__ import annotations

import ast
import glob
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minivl"
FILES = sorted(PACKAGE.rglob("*.py"))

# Data flows down this list: a file imports only from above it. Folders stand for all files in them.
ORDER = (
    "torchaudio_shim", "errors", "config", "atomic", "hardware", "media", "mel", "video", "headtail",
    "random_crop", "audio", "data", "transformer", "vit", "qformer", "positions", "imagebind", "image_encoder",
    "branches", "soft_prompt", "batch", "conversation", "supervision", "sampling", "generation", "checkpoints",
    "language_model", "published.resumable_download", "published.download", "published.files", "published.keys",
    "new_branch", "published.weights", "model", "published.convert", "planning.workload", "planning.peak_memory",
    "planning.memory", "planning.measured", "perception", "chat", "transcript", "video_qa", "predictions", "confidence",
    "video_qa_score", "trace", "curves", "toyworld", "training_loop", "schedule", "recipes", "planning.flops",
    "planning.training_plan", "run_state", "stop_signal", "training", "data.decode", "data.frozen", "data.content",
    "data.shards", "data.cache", "data.reading", "data.wording", "data.batches", "file_training", "plots",
    "answer_trace", "answer_plot", "evaluation", "stages", "claims", "pretraining", "demo", "course", "widgets",
    "commands", "cli", "__main__",
)  # fmt: skip
KNOW_THE_TOY_WORLD = (
    "toyworld", "stages", "claims", "pretraining", "evaluation", "course", "demo", "widgets", "commands", "cli",
    "__main__",
)  # fmt: skip


def name(path: Path) -> str:
    """minivl/toyworld/pen.py -> "toyworld.pen"."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def floor(module: str) -> str:
    """The entry of ORDER that a module belongs to, "" if there is none (official weights are a house of their own)."""
    return next((entry for entry in sorted(ORDER, reverse=True) if f"{module}.".startswith(f"{entry}.")), "")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module of minivl that is imported, whether at the top of the file)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 1:
                module = ".".join(filter(None, ["minivl", *path.relative_to(PACKAGE).parts[:-1], module]))
            if module == "minivl":
                yield from ((alias.name, id(node) in top) for alias in node.names)
            elif module.startswith("minivl."):
                yield module.removeprefix("minivl."), id(node) in top
        elif isinstance(node, ast.Import):
            yield from (
                (alias.name.removeprefix("minivl."), id(node) in top)
                for alias in node.names
                if alias.name.startswith("minivl.")
            )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno + 1 <= 60, node.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_one_way(path: Path) -> None:
    here = floor(name(path))
    for module, _ in imports(path) if here else ():
        there = floor(module)
        assert there == "" or ORDER.index(there) <= ORDER.index(here), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_top_floor_knows_the_toy_world(path: Path) -> None:
    if floor(name(path)) not in KNOW_THE_TOY_WORLD:
        assert not [module for module, _ in imports(path) if floor(module) in KNOW_THE_TOY_WORLD]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_says_what_it_is_about(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None or node.name == "command", f"{node.name} has no return type"
            if isinstance(node, ast.ClassDef):
                assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_no_file_hides_an_error() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for wrong in ("strict=False)", "weights_only=False", 'filterwarnings("ignore")', "except:", "/work/", "/tmp/"):
            assert not [line for line in text.splitlines() if wrong in line and "zip(" not in line], (path, wrong)


def test_the_wheel_has_every_file() -> None:
    """Files that are no Python must match a pattern of package-data; folders with Python must be packages."""
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packed = {
        Path(match)
        for pattern in settings["package-data"]["minivl"]
        for match in glob.glob(str(PACKAGE / pattern), recursive=True)
    }
    data = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts}
    assert data, "there are no weights in minivl/"
    assert not data - packed
    assert all((folder / "__init__.py").is_file() for folder in {path.parent for path in FILES})


def test_the_command_of_the_package() -> None:
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"minivl": "minivl.cli:main"}
    import minivl

    assert project["version"] == minivl.__version__
    assert all(hasattr(minivl, public) for public in minivl.__all__)
