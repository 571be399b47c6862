"""Clips of one coloured shape that moves, to ask a soft prompt what it says, and to transplant its slots.

Colour, shape and direction are independent of each other, so a soft prompt [Qv, D] that is put together from two clips
has an answer to each question that is true of the one, of the other, or of none. The clips are drawn from the seeds for
choosing: no training has seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import torch
from torch import Tensor

from minivl.course.profile import tiny_model
from minivl.model import VideoLlama
from minivl.soft_prompt import IMAGE_HERE, VIDEO_SLOT, tokenize
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, COLOURS, SHAPES, sample_scene

__all__ = ["COLOURS", "DIRECTIONS", "SHAPES", "MovingShape", "accuracies", "answers", "donors", "draw", "transplant"]

DIRECTIONS = ("left", "right", "up", "down")
QUESTIONS = {  # about a moving shape: the question, and how its true answer is worded
    "colour": ("what colour is it?", "{}"),
    "shape": ("what shape is it?", "a {}"),
    "direction": ("which way does it move?", "it moves {}"),
}
Rates = tuple[float, float]  # true of the clip, true of the donor


@dataclass(frozen=True)
class MovingShape:
    """What is true of a clip."""

    colour: str
    shape: str
    direction: str


def draw(number: int, first_seed: int = CHOOSING_SEED) -> tuple[list[MovingShape], Tensor]:
    """The first `number` clips from a seed on that show one coloured shape on its way, and frames [N, T, 3, H, W]."""
    found: list[MovingShape] = []
    frames: list[Tensor] = []
    for seed in count(first_seed):
        if len(found) == number:
            return found, torch.stack(frames)
        scene = sample_scene(seed)
        if len(scene.things) == 1 and scene.shapes and scene.motion in DIRECTIONS:
            found.append(MovingShape(scene.things[0].colour, scene.things[0].name, scene.motion))
            frames.append(torch.from_numpy(render_frames(scene)).permute(0, 3, 1, 2))  # [T, 3, H, W]
    raise AssertionError("seeds never end")


def donors(scenes: Sequence[MovingShape]) -> list[int]:
    """For each clip the number of another one, which differs in colour, shape and direction.

    Raises ValueError if a clip has no such other one: draw more clips.
    """
    chosen = []
    for place, scene in enumerate(scenes):
        others = [(place + step) % len(scenes) for step in range(1, len(scenes))]
        differing = [i for i in others if _differ(scene, scenes[i])]
        if not differing:
            raise ValueError(f"no clip differs from clip {place} in everything: draw more than {len(scenes)} clips")
        chosen.append(differing[0])
    return chosen


def answers(model: VideoLlama, soft: Tensor, question: str) -> list[str]:
    """Greedy answers to one question about clips with soft prompts [N, Qv, D]."""
    prompt = f"###Human: <Video>{IMAGE_HERE}</Video> {question}###Assistant:"
    ids = tokenize(model.tokenizer, prompt, [(VIDEO_SLOT, soft.shape[1])])
    with torch.no_grad():
        return model.answer_batch([ids] * len(soft), {VIDEO_SLOT: soft}, max_new_tokens=8)


def accuracies(model: VideoLlama, scenes: Sequence[MovingShape], soft: Tensor) -> list[float]:
    """The shares of right answers to the three QUESTIONS, given the clips' soft prompts [N, Qv, D]."""
    shares = []
    for kind, (question, wording) in QUESTIONS.items():
        said = answers(model, soft, question)
        right = [a == wording.format(getattr(s, kind)) for a, s in zip(said, scenes, strict=True)]
        shares.append(sum(right) / len(right))
    return shares


def transplant(slots: AbstractSet[int]) -> tuple[Rates, Rates, Rates]:
    """Eight clips that get these slots (1 to 8) of eight donors.

    Returns for colour, shape and direction the shares of answers that are (true of the clip, true of the donor).
    """
    scenes, soft, pairs = _pairs()
    clips, givers = ([pair[i] for pair in pairs] for i in (0, 1))
    mixed = soft[clips].clone()
    for slot in slots:
        mixed[:, slot - 1] = soft[givers][:, slot - 1]
    rates = []
    for kind, (question, wording) in QUESTIONS.items():
        said = answers(tiny_model(), mixed, question)
        own, foreign = (
            sum(a == wording.format(getattr(scenes[i], kind)) for a, i in zip(said, who, strict=True)) / len(said)
            for who in (clips, givers)
        )
        rates.append((own, foreign))
    return rates[0], rates[1], rates[2]


def _differ(a: MovingShape, b: MovingShape) -> bool:
    return a.colour != b.colour and a.shape != b.shape and a.direction != b.direction


@lru_cache(maxsize=1)
def _pairs() -> tuple[list[MovingShape], Tensor, list[tuple[int, int]]]:
    """Clips, their soft prompts, and eight pairs (clip, donor) that have no clip in common."""
    scenes, frames = draw(18)
    pairs: list[tuple[int, int]] = []
    free = list(range(len(scenes)))
    while free and len(pairs) < 8:
        clip = free.pop(0)
        giver = next((i for i in free if _differ(scenes[clip], scenes[i])), None)
        if giver is not None:
            free.remove(giver)
            pairs.append((clip, giver))
    with torch.no_grad():
        soft = tiny_model().soft_prompts(frames=frames)[VIDEO_SLOT]  # [N, Qv, D]
    return scenes, soft, pairs
