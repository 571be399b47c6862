"""What one notebook leaves for the next: the file's name tells which frozen parts it belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_model import toy_model

from minivl.course import kept as module
from minivl.course.kept import frozen_digest, kept


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(module, "SMOKE", False)


def test_the_same_model_finds_its_file_again() -> None:
    kept(toy_model(), "vision_stage1").write_text("a branch")
    assert kept(toy_model(), "vision_stage1").read_text() == "a branch"
    assert not kept(toy_model(), "audio_stage1").exists()


def test_another_language_model_gets_another_file() -> None:
    model = toy_model()
    before = kept(model, "vision_stage1")
    with torch.no_grad():
        next(model.llm.parameters())[0, 0] += 1
    assert kept(model, "vision_stage1") != before


def test_training_a_branch_does_not_change_the_digest() -> None:
    model = toy_model()
    before = frozen_digest(model)
    with torch.no_grad():
        next(model.vision_branch.parameters()).add_(1)
    assert frozen_digest(model) == before


def test_a_smoke_test_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_model()
    trained = kept(model, "vision_stage1")
    monkeypatch.setattr(module, "SMOKE", True)
    assert kept(model, "vision_stage1").parent != trained.parent
