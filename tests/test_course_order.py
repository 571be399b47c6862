"""Notebook 02's clips, lessons and exam: about order, exact, and the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from minivl import course
from minivl.course import order
from minivl.soft_prompt import IGNORE
from minivl.toyworld.features import Features
from minivl.toyworld.probes import played_backwards
from minivl.toyworld.scenes import Scene, Thing

DOG_THEN_CAT = Scene(1, (Thing("dog", "large", end=2.0), Thing("cat", "small", start=2.0)))
RED = Thing("circle", "large", "red")


@pytest.fixture(scope="module")
def features() -> Features:
    return order.watch(course.tiny_model(), order.find_scenes(12, 500_000))


def test_every_scene_has_a_question_that_needs_the_order() -> None:
    rng = np.random.default_rng(0)
    for scene in order.find_scenes(30, 500_000):
        kinds = {q.kind for q in order.questions(scene, rng)}
        assert kinds in ({"first", "last"}, {"colour", "motion"})


def test_a_clip_of_more_frames_is_the_same_clip(features: Features) -> None:
    sixteen = order.watch(course.tiny_model(), features.scenes[:2], 16)
    assert features.frame_tokens.shape == (12, 8, 8, 128) and sixteen.frame_tokens.shape == (2, 16, 8, 128)
    assert torch.allclose(sixteen.frame_tokens[:, ::2], features.frame_tokens[:2], atol=1e-4)


def test_lessons_depend_on_the_step_alone_and_come_in_parts(features: Features) -> None:
    draw = order.lessons(course.tiny_model(), features, batch=6)
    again, other = draw(3, 0, 1), draw(4, 0, 1)
    assert torch.equal(draw(3, 0, 1).ids, again.ids) and not torch.equal(again.ids[:, :40], other.ids[:, :40])
    assert torch.equal(draw(3, 1, 2).ids, again.ids[1::2])
    learned = course.tiny_model().read(again.labels[0][again.labels[0] != IGNORE].tolist())
    assert learned in {q.answer for s in features.scenes for q in order.questions(s, np.random.default_rng(0))}


def test_the_shipped_model_is_right_and_with_other_scenes_wrong(features: Features) -> None:
    model = course.tiny_model()
    assert min(order.accuracy(model, features).values()) > 0.9
    backwards = replace(features, scenes=[played_backwards(s) for s in features.scenes])
    found = order.accuracy(model, backwards)
    assert found["colour"] > 0.9 and found["first"] < 0.1 and found["last"] < 0.1


def test_who_sees_a_heap_tosses_a_coin_except_for_what_stands_still() -> None:
    moving, still = Scene(2, (RED,), "left"), Scene(3, (RED,), "still")
    assert order.in_a_heap([DOG_THEN_CAT]) == {"first": 0.5, "last": 0.5}
    assert order.in_a_heap([moving, still]) == {"colour": 1.0, "motion": 0.75}
