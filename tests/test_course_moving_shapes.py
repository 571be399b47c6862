"""Clips of one moving shape: what they show is what is asked, and slots can be transplanted."""

from __future__ import annotations

import pytest
import torch

from minivl.course import tiny_model
from minivl.course.moving_shapes import DIRECTIONS, MovingShape, accuracies, donors, draw, transplant
from minivl.soft_prompt import VIDEO_SLOT
from minivl.toyworld.scenes import COLOURS, SHAPES


def test_the_same_clips_every_time() -> None:
    scenes, frames = draw(3)
    again, same = draw(3)
    assert scenes == again and torch.equal(frames, same)
    assert frames.shape == (3, 8, 3, 64, 64) and frames.dtype == torch.uint8
    assert all(s.colour in COLOURS and s.shape in SHAPES and s.direction in DIRECTIONS for s in scenes)


def test_the_model_answers_about_them_and_cannot_without_a_prompt() -> None:
    scenes, frames = draw(6)
    with torch.no_grad():
        soft = tiny_model().soft_prompts(frames=frames)[VIDEO_SLOT]
    assert min(accuracies(tiny_model(), scenes, soft)) > 0.8
    assert accuracies(tiny_model(), scenes, torch.zeros_like(soft))[0] < 0.5


def test_a_donor_differs_in_everything() -> None:
    red = MovingShape("red", "circle", "left")
    green = MovingShape("green", "square", "up")
    almost = MovingShape("blue", "circle", "down")
    assert donors([red, almost, green]) == [2, 2, 0]
    with pytest.raises(ValueError, match="draw more"):
        donors([red, almost])


def test_all_slots_carry_everything_and_none_carries_nothing() -> None:
    assert all(own > 0.8 and foreign < 0.2 for own, foreign in transplant(set()))
    assert all(own < 0.2 and foreign > 0.8 for own, foreign in transplant(set(range(1, 9))))
