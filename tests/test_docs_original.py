"""docs/original.md keeps its promises: what it names exists, and nothing of the components is left out."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from minivl.config import VideoLlamaConfig

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "original.md").read_text(encoding="utf-8")
COMPONENTS = (
    "video", "audio", "mel", "transformer", "vit", "qformer", "positions", "imagebind", "image_encoder", "branches",
    "soft_prompt", "conversation", "generation", "chat", "published/keys", "model",
)  # fmt: skip
OURS = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))
TESTS = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)))


@cache
def names(file: Path) -> frozenset[str]:
    """Functions and classes of a file, and "Class.method" for the methods."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            inside = node.body if isinstance(node, ast.ClassDef) else []
            found |= {f"{node.name}.{method.name}" for method in inside if isinstance(method, ast.FunctionDef)}
    return frozenset(found)


def test_the_page_names_something() -> None:
    assert len(OURS) > 50 and len(TESTS) > 50


@pytest.mark.parametrize(("file", "name"), OURS, ids=lambda part: part)
def test_what_is_named_exists(file: str, name: str) -> None:
    assert name in names(ROOT / "minivl" / file)


@pytest.mark.parametrize(("file", "name"), TESTS, ids=lambda part: part)
def test_tests_that_are_named_exist(file: str, name: str) -> None:
    assert name in names(ROOT / "tests" / file)


@pytest.mark.parametrize("module", COMPONENTS)
def test_every_public_name_of_a_component_is_on_the_page(module: str) -> None:
    public = {n for n in names(ROOT / "minivl" / f"{module}.py") if not n.startswith("_") and "." not in n}
    named = {name.split(".")[0] for file, name in OURS if file == f"{module}.py"}
    assert public <= named


def test_every_parity_test_is_on_the_page() -> None:
    for file in ("test_parity_components.py", "test_parity_model.py", "test_parity_witness.py"):
        compared = {name for name in names(ROOT / "tests" / file) if re.match(r"test_(?!trap|a_)", name)}
        assert compared <= {name for other, name in TESTS if other == file}


def test_switches_are_settings() -> None:
    switches = set(re.findall(r"`config\.(\w+)`", PAGE))
    assert {"original_quirks", "match_norms"} <= switches <= {field.name for field in fields(VideoLlamaConfig)}


def test_goldens_that_are_named_exist() -> None:
    paths = re.findall(r"`((?:tests|minivl)/[\w./]+)`", PAGE)
    assert paths and all((ROOT / path).exists() for path in paths)


def test_tables_have_as_many_cells_in_every_row() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table.splitlines()[0]
