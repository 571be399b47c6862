"""The parity tests would notice: one detail at a time is made wrong, and they fail.

goldens/sensitivity.json holds how far the original's soft prompts moved when one detail of *its* code was wrong.
First: the same detail wrong in ours moves ours as far. Then: every parity test is called with something wrong, and
raises. All changes are made in memory and undone.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import test_parity_components as components
import test_parity_model as whole
import test_parity_witness as witness
import torch
from einops import rearrange
from golden import GOLDENS, golden
from parity_changes import RECORDED, SMALL_SCALE_NAMES, install
from parity_mistakes import MISTAKES
from parity_seen_by import SEEN_BY, TESTS, Test
from torch import Tensor

EFFECTS: dict[str, dict[str, float]] = json.loads((GOLDENS / "sensitivity.json").read_text())["changes"]
SMALL_SCALE = json.loads((GOLDENS / "small_scale.json").read_text())
SMALL_EFFECTS: dict[str, dict[str, float]] = SMALL_SCALE["sensitivity_if_one_eps_is_wrong"]
TOLERANCE: float = inspect.signature(components.assert_close).parameters["tolerance"].default


# ---- as far as in the original


def noise(seed: int, *shape: int) -> Tensor:
    """An input that sensitivity.json was recorded with: seeds and shapes are those that give its numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@torch.no_grad()
def soft_prompts() -> dict[str, Tensor]:
    """The full model's three soft prompts, in double precision: rounding would hide an effect of 1e-6."""
    _, weights = golden("full_model")
    encoder, vision_branch = (part.double() for part in components.vision_parts(weights))
    imagebind, audio_branch = (part.double() for part in components.audio_parts(weights))
    frames = rearrange(noise(1, 2, 3, 3, 28, 28), "b c t h w -> b t c h w")
    inputs = {"audio": noise(2, 2, 3, 1, 36, 46), "vision": noise(3, 2, 3, 3, 28, 28)}
    vectors = {sense: components.vectors(imagebind, sense, x) for sense, x in inputs.items()}
    return {
        "video": vision_branch(encoder(frames)),
        "audio_modality": audio_branch(vectors["audio"]),
        "vision_modality": audio_branch(vectors["vision"]),
    }


def test_every_recorded_change_can_be_made() -> None:
    assert RECORDED.keys() == EFFECTS.keys()
    assert SMALL_SCALE_NAMES.keys() == SMALL_EFFECTS.keys()


@pytest.fixture(scope="module")
def right() -> dict[str, Tensor]:
    return soft_prompts()


@pytest.mark.parametrize("name", EFFECTS)
def test_a_wrong_detail_moves_soft_prompts_as_far_as_in_the_original(
    name: str, right: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(*RECORDED[name], monkeypatch)
    wrong = soft_prompts()
    for prompt, recorded in EFFECTS[name].items():
        moved = (wrong[prompt] - right[prompt]).abs().max().item()
        if recorded == 0:
            assert moved == 0, f"{prompt} should not depend on this"
            continue
        # the original ran in float32: what it recorded is off by some steps of numbers of that size
        steps = 8 * torch.finfo(torch.float32).eps * right[prompt].abs().max().item()
        assert moved > 0 and moved == pytest.approx(recorded, rel=0.02, abs=steps)
        assert moved > TOLERANCE or recorded <= TOLERANCE


@torch.no_grad()
def small_outputs() -> dict[str, Tensor]:
    """Everything that goldens/small_scale records, under the names of its list of effects."""
    data, weights = golden("small_scale")
    encoder, vision_branch = components.vision_parts(weights)
    imagebind, audio_branch = components.audio_parts(weights)
    frames = rearrange(data["in/video"], "b c t h w -> b t c h w")
    heard = components.vectors(imagebind, "audio", data["in/audio"])
    seen = components.vectors(imagebind, "vision", data["in/vision"])
    return {
        "vit": encoder.vit(frames.flatten(0, 1)),
        "vit_ln": encoder.features(frames.flatten(0, 1)),
        "qformer": encoder(frames),
        "video": vision_branch(encoder(frames)),
        "ib_audio": heard,
        "ib_vision": seen,
        "audio": audio_branch(heard),
        "vision": audio_branch(seen),
    }


@pytest.mark.parametrize("name", SMALL_EFFECTS)
def test_where_activations_are_small_every_eps_matters(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them move the full model by less than the tolerance of 1e-5. Here each moves an output by over 1e-3."""
    before = small_outputs()
    install(*RECORDED[SMALL_SCALE_NAMES[name]], monkeypatch)
    after = small_outputs()
    moved = {output: (after[output] - before[output]).abs().max().item() for output in before}
    assert {output for output, by in moved.items() if by > 0} == SMALL_EFFECTS[name].keys()
    for output, recorded in SMALL_EFFECTS[name].items():
        assert moved[output] == pytest.approx(recorded, rel=0.02, abs=TOLERANCE / 10)
    assert max(moved.values()) > 1e-3


# ---- every parity test fails when something is wrong


def cases(test: Test) -> list[dict[str, Any]]:
    """The arguments of each case of a parametrised test."""
    arguments: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", []):
        names, values = mark.args
        if isinstance(names, str):
            names, values = [names], [[value] for value in values]
        arguments = [case | dict(zip(names, value, strict=True)) for case in arguments for value in values]
    return arguments


def failures(test: Test, folder: Path) -> Iterator[str]:
    """Call a test for all its cases, with fixtures made anew so that a mistake reaches them: which of them fail?"""
    needs, given = inspect.signature(test).parameters, {"tmp_path": folder}
    if "model" in needs:
        given["tokenizer"] = whole.tokenizer.__wrapped__()
        given["model"] = whole.model.__wrapped__(given["tokenizer"])
    for case in cases(test):
        try:
            test(**{name: (given | case)[name] for name in needs})
        except AssertionError:
            yield str(case)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
def test_nothing_wrong_is_no_failure(test: Test, tmp_path: Path) -> None:
    assert list(failures(test, tmp_path)) == []


@pytest.mark.parametrize("mistake", SEEN_BY)
def test_a_mistake_is_seen(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MISTAKES[mistake](monkeypatch)
    for test in SEEN_BY[mistake]:
        assert next(failures(test, tmp_path), None), f"{test.__name__} did not notice: {mistake}"


def test_every_mistake_and_every_parity_test_has_its_turn() -> None:
    assert SEEN_BY.keys() == MISTAKES.keys() >= EFFECTS.keys()

    def tests_of(module: ModuleType) -> set[Test]:
        return {value for name, value in vars(module).items() if name.startswith("test_")}

    assert tests_of(components) | tests_of(whole) | {witness.test_vit, witness.test_qformer} <= set(TESTS)
