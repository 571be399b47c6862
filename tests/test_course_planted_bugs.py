"""The planted bugs are what they say: each changes one thing, and it shows where it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from minivl.claims.ablations import MeanPooling
from minivl.course.planted_bugs import (
    CAUSES,
    KINDS,
    PLANTED,
    Clips,
    Trained,
    accuracy,
    answers,
    new_vision_branch,
    simple_clips,
    spread,
    train,
)
from minivl.course.profile import tiny_model
from minivl.errors import InputError

Runs = Callable[[str], Trained]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return simple_clips(tiny_model(), 30, 0)


@pytest.fixture(scope="module")
def run(clips: Clips) -> Runs:
    """Two steps with a cause, each trained once."""
    done: dict[str, Trained] = {}

    def trained(cause: str) -> Trained:
        if cause not in done:
            done[cause] = train(tiny_model(), clips, cause, steps=2)
        return done[cause]

    return trained


def test_clips_have_two_questions_each(clips: Clips) -> None:
    assert clips.frame_tokens.shape == (30, 4, 8, 128)
    asked = answers(tiny_model(), new_vision_branch(tiny_model(), 0), clips)
    assert len(asked) == 60 and {one.question.kind for one in asked} == set(KINDS)
    for one in asked:
        assert bool(clips.scenes[one.clip].events) == (one.question.kind in ("first", "last"))


def test_five_of_the_causes_are_planted() -> None:
    assert list(PLANTED) == list("ABCDE") and len(set(PLANTED.values())) == 5
    assert set(PLANTED.values()) < set(CAUSES)


def test_the_first_loss_tells_which_bugs_are_in_the_loss(run: Runs) -> None:
    """Before the first step the weights are the same for all: who computes another loss is seen at once."""
    healthy = run("").loss[0]
    same = ("soft prompt detached", "branch not in the optimiser", "learning rate 100 times too high")
    for cause in same:
        assert run(cause).loss[0] == pytest.approx(healthy, abs=1e-4), cause
    for cause in ("labels shifted twice", "loss on the prompt too", "padding not masked"):
        assert run(cause).loss[0] > healthy + 2, cause


def test_gradient_and_movement_tell_who_is_cut_off(run: Runs) -> None:
    assert run("soft prompt detached").gradient == [0.0, 0.0] and run("soft prompt detached").moved == 0
    stuck = run("branch not in the optimiser")
    assert min(stuck.gradient) > 1 and stuck.moved == 0
    assert 0 < run("").moved < 0.1 < 10 * run("").moved < run("learning rate 100 times too high").moved


def test_without_positions_the_order_of_frames_is_not_seen(run: Runs, clips: Clips) -> None:
    tokens = clips.frame_tokens
    blind, healthy = run("positions forgotten").branch, run("").branch
    assert torch.allclose(blind(tokens), blind(tokens.flip(1)), atol=1e-4)
    assert not torch.allclose(healthy(tokens), healthy(tokens.flip(1)), atol=1e-2)


def test_the_wrong_clip_is_another_one_of_the_batch(run: Runs) -> None:
    """The chats are the same, the pictures are not: the loss moves a little, and learning has nothing to hold on to."""
    assert run("frames of the wrong clip").loss[0] != run("").loss[0]
    assert run("frames of the wrong clip").loss[0] == pytest.approx(run("").loss[0], rel=0.2)


def test_a_healthy_run_learns_to_look_and_one_with_the_wrong_clips_to_look_away(clips: Clips) -> None:
    model = tiny_model()
    healthy, astray = (train(model, clips, cause, steps=40) for cause in ("", "frames of the wrong clip"))
    assert sum(healthy.loss[-5:]) / 5 < 0.7 * sum(astray.loss[-5:]) / 5
    assert spread(healthy.branch, clips) > 1.5 * spread(astray.branch, clips)
    looked = answers(model, healthy.branch, clips)
    assert accuracy(looked)["colour"] > 0.5
    assert all(one.right == (one.answer == one.question.answer) for one in looked)


def test_another_branch_is_trained_and_the_model_stays_as_it_is(clips: Clips) -> None:
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pooling = MeanPooling(new_vision_branch(model, 0).to_llm)
    trained = train(model, clips, branch=pooling, steps=2)
    assert trained.branch is pooling and trained.moved > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_an_unknown_cause_is_refused(clips: Clips) -> None:
    with pytest.raises(InputError, match="no cause 'gremlins': choose one of labels shifted twice"):
        train(tiny_model(), clips, "gremlins")
