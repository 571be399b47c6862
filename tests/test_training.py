"""Training a branch: it alone moves, it learns, and the same seed gives the same weights."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_model import numbered_features, toy_model

from minivl import evaluation
from minivl.batch import Batch
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.new_branch import new_branch
from minivl.recipes import toy_recipe
from minivl.stages import run_stage
from minivl.toyworld.lessons import Teacher
from minivl.training import BranchLearner, train
from minivl.training_loop import cosine, fit

FEATURES = numbered_features(40)


def teacher(model: VideoLlama, branch: str, stage: int = 2) -> Teacher:
    return Teacher(model, FEATURES, branch, stage, batch_size=4)


def loss_of(model: VideoLlama, batch: Batch, branch: str) -> Tensor:
    return BranchLearner(model, branch)(batch)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def part(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_only_the_branch_moves(branch: str) -> None:
    model = toy_model()
    before = weights(model)
    report = train(model, branch, toy_recipe(3, 1e-3), teacher(model, branch))
    assert len(report["loss"]) == 1 and report["seconds"] >= 0
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {part(name) for name in changed} == {f"{branch}_branch"}
    still = {name for name in before if part(name) == f"{branch}_branch"} - changed
    assert all(name.endswith("key.bias") for name in still)  # softmax ignores it, so it has no gradient


@pytest.mark.parametrize(("branch", "other"), [("vision", "audio"), ("audio", "vision")])
def test_gradients_pass_through_the_frozen_model_into_the_branch_alone(branch: str, other: str) -> None:
    """Also from a chat that holds both soft prompts."""
    model = toy_model()
    batches = map(teacher(model, "audio"), itertools.count())
    both = next(b for b in batches if b.frame_tokens is not None and b.segments is not None)
    loss_of(model, both, branch).backward()
    with_gradient = {part(name) for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {f"{branch}_branch"}
    queries = getattr(model, f"{branch}_branch").qformer.queries
    assert queries.grad.abs().sum() > 0


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_one_batch_is_learned_by_heart(branch: str) -> None:
    model = toy_model()
    new_branch(model, branch, seed=0)
    batch = teacher(model, branch, stage=1)(0)
    before = float(loss_of(model, batch, branch).detach())
    train(model, branch, toy_recipe(40, 1e-2), lambda step, part, parts: batch)
    assert float(loss_of(model, batch, branch).detach()) < 0.9 * before


def test_the_same_seed_gives_the_same_weights() -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        model = toy_model()
        branch = new_branch(model, "vision", seed)
        train(model, "vision", toy_recipe(2, 1e-3, seed=seed), teacher(model, "vision"))
        return weights(branch)

    first, second, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["to_llm.weight"], other["to_llm.weight"])


def test_a_new_branch_starts_at_the_size_of_words() -> None:
    model = toy_model()
    words = model.llm.get_input_embeddings().weight.std()
    for branch, features in (("vision", torch.randn(4, 8, 2, 16)), ("audio", torch.randn(4, 2, 12) / 12**0.5)):
        made = new_branch(model, branch, seed=3)
        assert made is getattr(model, f"{branch}_branch")
        with torch.no_grad():
            assert 0.5 < float(made(features).std() / words) < 2
        assert all(p.requires_grad for p in made.parameters())


def test_a_branch_that_is_not_there() -> None:
    model = toy_model()
    with pytest.raises(InputError, match="choose one of vision, audio"):
        new_branch(model, "smell", 0)
    model.audio_branch = None
    with pytest.raises(InputError, match="no 'audio' branch to train"):
        train(model, "audio", toy_recipe(1), teacher(model, "vision"))
    with pytest.raises(InputError, match="stages are 1 and 2"):
        run_stage(model, "vision", 3, Path("nowhere"), Path("nowhere"))


def test_a_stage_leaves_a_model_a_report_and_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 2 goes on from stage 1's branch, and reads the features that stage 1 kept."""
    model = toy_model()
    frozen = weights(model.llm)
    monkeypatch.setattr(evaluation, "frequent_answers", partial(evaluation.frequent_answers, scenes=50))
    for stage in (1, 2):
        report = run_stage(
            model, "audio", stage, tmp_path / "out", tmp_path / "cache", seed=1, steps=2, clips=33, test_clips=1
        )
        assert json.loads((tmp_path / "out" / "reports" / f"audio_stage{stage}.json").read_text()) == report
        assert (tmp_path / "out" / "reports" / f"audio_stage{stage}.png").read_bytes().startswith(b"\x89PNG")
        assert report["trained on"] == "pictures" and report["steps"] == 2 and report["seed"] == 1
        assert {"accuracy", "count", "blind"} <= report["held out"]["hearing/hear"].keys()
    assert len(list((tmp_path / "cache").iterdir())) == 1
    loaded = VideoLlama.from_pretrained(tmp_path / "out")
    assert model.audio_branch is not None and loaded.audio_branch is not None
    assert torch.equal(loaded.audio_branch.to_llm.weight, model.audio_branch.to_llm.weight.half().float())
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in model.llm.state_dict().items())


# ---- the loop


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [cosine(step, 1000) for step in range(1000)]
    assert rates[0] == 0.01 and rates[99] == rates[100] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(0.02, abs=1e-4)
    assert rates[550] == pytest.approx(0.51)  # half-way down
    assert max(cosine(step, 5) for step in range(5)) == 1.0  # a short training has a short warm-up


def test_fit_minimises_and_leaves_frozen_parameters_alone() -> None:
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    bias = module.bias.clone()
    inputs = torch.randn(64, 2)
    target = inputs @ torch.tensor([[2.0], [-1.0]]) + bias
    report = fit(module, lambda step: ((module(inputs) - target) ** 2).mean(), 120, 0.1, "line", weight_decay=0.0)
    assert torch.allclose(module.weight, torch.tensor([[2.0, -1.0]]), atol=0.05)  # bfloat16 where there is any
    assert torch.equal(module.bias, bias)
    assert len(report["loss"]) == 5 and report["loss"][-1] < 0.01 * report["loss"][0]
    assert not module.training
