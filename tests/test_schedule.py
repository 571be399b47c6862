"""The paper's four runs: the original's learning rate at every step that was recorded, and what it decays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from golden import GOLDENS
from torch import nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import PRESETS
from minivl.published.keys import convert_official
from minivl.recipes import PAPER
from minivl.schedule import original_schedule
from minivl.training import adamw

CASES = json.loads((GOLDENS / "lr_schedule.json").read_text())["cases"]
BRANCHES = json.loads((GOLDENS / "official_keys.json").read_text())["branch_checkpoints"]
RUNS = [("vision", 1), ("vision", 2), ("audio", 1), ("audio", 2)]


def recorded(branch: str, stage: int) -> dict[str, Any]:
    return CASES[f"{branch}_stage{stage}"]  # type: ignore[no-any-return]


# The learning rate


@pytest.mark.parametrize(("branch", "stage"), RUNS)
def test_every_recorded_learning_rate_of_the_original(branch: str, stage: int) -> None:
    case, recipe = recorded(branch, stage), PAPER[branch, stage]
    for epoch, step, rate in case["epoch_step_lr"]:
        assert recipe.rate(epoch * case["iters_per_epoch"] + step) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("branch", "stage"), RUNS)
def test_the_numbers_of_the_settings_files(branch: str, stage: int) -> None:
    case, recipe = recorded(branch, stage), PAPER[branch, stage]
    assert recipe.steps == case["max_epoch"] * case["iters_per_epoch"]
    assert (recipe.learning_rate, recipe.floor, recipe.start) == (case["init_lr"], case["min_lr"], case["warmup_lr"])
    assert (recipe.warmup, recipe.epoch) == (case["warmup_steps"], case["iters_per_epoch"])
    assert recipe.batch == 8 * (32 if stage == 1 else 4)  # 8 GPUs
    assert (recipe.betas, recipe.weight_decay, recipe.clip, recipe.seed) == ((0.9, 0.999), 0.05, 0.0, 42)


def test_the_rate_drops_when_the_warm_up_ends() -> None:
    """The cosine is measured from step 0, where a plain one would begin at the peak."""
    rate = PAPER["vision", 2].rate
    assert rate(999) > 2.99e-5
    assert rate(1000) == pytest.approx(2.5e-5)


def test_a_warm_up_that_outlasts_an_epoch_starts_anew() -> None:
    """No run of the paper has one; the original's scheduler counts the steps inside the epoch."""
    rates = [original_schedule(step, 400, 1.0, 0.1, 150, 0.0, 100) for step in (99, 100, 149, 150)]
    assert rates[0] == pytest.approx(0.66)
    assert rates[1] == 0.0
    assert rates[2] < rates[0] < rates[3]


# Weight decay


@pytest.fixture(scope="module", params=["vision_branch_7b", "audio_branch_7b", "vision_branch_13b", "audio_branch_13b"])
def groups(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, nn.Parameter], list[dict[str, Any]]]:
    """(what was recorded of the original's run, our branch's parameters by name, our optimizer's groups)."""
    branch, _, size = request.param.split("_")
    config = PRESETS[f"video_llama_{size}"]()
    made = (
        VisionLanguageBranch(config.vision_branch, config.llm_width)
        if branch == "vision"
        else AudioLanguageBranch(config.audio_branch, config.llm_width)
    )
    parameters = {f"{branch}_branch.{name}": weight for name, weight in made.named_parameters()}
    return BRANCHES[request.param], parameters, adamw(made, PAPER[branch, 1]).param_groups


def ours(patterns: list[str]) -> set[str]:
    """Our names of the original's; {i} stands for layers 0 and 1."""
    names = [pattern.replace("{i}", str(layer)) for pattern in patterns for layer in (0, 1)]
    return set(convert_official({name: torch.empty(1) for name in names}))


def names(parameters: dict[str, nn.Parameter], group: dict[str, Any]) -> set[str]:
    held = {id(weight) for weight in group["params"]}
    return {name for name, weight in parameters.items() if id(weight) in held}


def test_the_same_weights_are_decayed_as_in_the_original(groups: Any) -> None:
    recorded, parameters, (decayed, free) = groups
    assert decayed["weight_decay"] == 0.05 and free["weight_decay"] == 0.0
    assert names(parameters, decayed) == ours(recorded["weight_decay_keys"])
    assert names(parameters, free) == ours(recorded["no_weight_decay_keys"])


def test_as_many_numbers_are_trained_and_decayed(groups: Any) -> None:
    recorded, parameters, (decayed, _) = groups
    assert sum(weight.numel() for weight in parameters.values()) == recorded["trainable_params"]
    assert sum(weight.numel() for weight in decayed["params"]) == recorded["weight_decay_params"]


def test_queries_and_positions_are_decayed(groups: Any) -> None:
    """Many recipes spare them. The original goes by the number of dimensions, and they have two."""
    _, parameters, (decayed, _) = groups
    ends = {re.sub(r".*_branch\.", "", name) for name in names(parameters, decayed)}
    assert {"qformer.queries", "positions.weight"} <= ends
    assert not [end for end in ends if "norm" in end or end.endswith("bias")]
