"""The README and the notebooks keep their promises: paths exist, commands are known, snippets run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from minivl.cli import build_parser
from minivl.planning.memory import plan_memory

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NO_URLS = re.sub(r"\S*https?://\S+", "", README)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_relative_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:minivl|notebooks|data_samples|tests|benchmarks|docs)/[\w./-]*\w", NO_URLS)))
)
def test_paths_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`minivl ([^`]+)`", README))))
def test_commands_are_known_with_their_options(command: str) -> None:
    build_parser().parse_args(shlex.split(command))  # an unknown one exits


def test_every_command_is_explained() -> None:
    listed = re.findall(r"^ {4}(\w+)", build_parser().format_help(), flags=re.MULTILINE)
    assert listed, "the parser lists no commands"
    for command in listed:
        assert f"`minivl {command}" in README


def test_the_memory_table_is_what_the_planner_says() -> None:
    table = re.search(r"memory:begin -->\n(.*?)<!-- memory:end", README, re.DOTALL)
    assert table
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in table[1].strip().splitlines()[2:]]
    train = {"preset": "video_llama_7b", "mode": "train", "batch": 4}
    plans: list[dict[str, Any]] = [
        {"preset": "video_llama_7b"}, {"preset": "video_llama_13b"}, train, {**train, "checkpointing": True}
    ]  # fmt: skip
    dtypes = ("bf16", "8bit", "4bit")
    assert rows == [[f"{plan_memory(dtype=d, **p).total / 1e9:.1f}" for d in dtypes] for p in plans]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", "".join(blocks(""))))))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python_snippets_run(snippet: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(snippet, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) > 10


def test_files_are_as_short_as_it_says() -> None:
    limit = int(re.search(r"none has more than (\d+) lines", README)[1])  # type: ignore[index]
    assert all(len(p.read_text(encoding="utf-8").splitlines()) <= limit for p in (ROOT / "minivl").rglob("*.py"))


# ---- notebooks


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_open_everywhere_and_hold_their_outputs(path: Path) -> None:
    notebook = read(path)
    assert path.stat().st_size < 1_000_000
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook["metadata"], "GitHub refuses a notebook with widget states"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code), "nbval compares nothing in a stripped notebook"
    assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
    for link in re.findall(r"blob/main/([^)#\s]+)", json.dumps(notebook)):
        assert (ROOT / link).exists(), link
