"""Checkers of notebook 06, stage 1: captions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minivl.batch import Batch
from minivl.course.checking import Wrong
from minivl.course.profile import tiny_model
from minivl.model import VideoLlama
from minivl.new_branch import new_branch
from minivl.soft_prompt import VIDEO_SLOT, pad
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.features import encode_scenes
from minivl.toyworld.questions import ask
from minivl.toyworld.scenes import CHOOSING_SEED, sample_scene

BRANCH, LLM = 22_104_064, 6_738_415_616  # parameters at 7B
Sample = tuple[Tensor, Tensor]


def gigabytes(answer: tuple[float, float]) -> str:
    """What weights, gradients and moments take: of the 7B's vision branch, and of it with the language model."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (the branch alone, branch and language model)")
    one, both = map(float, answer)
    numbers = one * 1e9 / BRANCH / 4  # kept for each parameter
    if one > 1e6:
        raise Wrong("these are bytes: divide by 10^9")
    if abs(numbers - 1) < 0.05:
        raise Wrong("these are the weights alone: where are the gradient and the moments?")
    if abs(numbers - 2) < 0.05:
        raise Wrong("weights and gradients: AdamW keeps something for each parameter, too")
    if abs(numbers - 3) < 0.05:
        raise Wrong("three numbers for each parameter: AdamW keeps two moments, and there are weight and gradient")
    if abs(numbers - 4) > 0.05:
        raise Wrong("the branch has 22,104,064 parameters: how many numbers of four bytes are kept for each?")
    if abs(both / one - LLM / BRANCH) < 0.5:
        raise Wrong("this is the language model without the branch, but it is trained along with it")
    if abs(both / one - (LLM + BRANCH) / BRANCH) > 0.5:
        raise Wrong("the same count of numbers for each parameter holds for the language model")
    return "0.35 GB against 108: freezing is what makes this training affordable"


def train_loop(answer: Callable[[nn.Module, list[Sample], list[float]], Any]) -> str:
    """A loop that clears, backpropagates, clips and steps, each in its place."""
    right, start = _after(_loop), _fresh_line()
    found = _after(answer)
    if _close(found, right):
        return "clear, backward, clip, step, each with the rate of its own step"
    if _close(found, start.state_dict()):
        raise Wrong("nothing is learned: is the gradient still there when the optimiser steps?")
    hints = {
        "clear": "the gradients of all batches add up: what is in p.grad when the next backward begins?",
        "clip": "the gradient is clipped after it was used",
        "set_first": "each step is taken with the rate of the step before",
    }
    for mistakes in (mix for count in (1, 2, 3) for mix in combinations(hints, count)):
        options = dict.fromkeys(mistakes, False)
        if _close(found, _after(lambda *given, options=options: _loop(*given, **options))):
            raise Wrong("; and ".join(hints[name] for name in mistakes))
    raise Wrong("the weights are others than those of a right loop: are loss, AdamW and clipping as they were given?")


def order(answer: list[str]) -> str:
    """The three losses by name, the lowest first."""
    names = ["right", "fresh", "swapped"]
    if isinstance(answer, str) or sorted(answer) != sorted(names):
        raise Wrong('give a list of the three names, such as ["fresh", "right", "swapped"]')
    if answer[0] != "right":
        raise Wrong("the model that sees the right clip should have the lowest loss: are the captions in their order?")
    if list(answer) != names:
        raise Wrong("who is surprised more: somebody who knows nothing, or somebody who is told something definite?")
    return "a false report is worse than none"


@lru_cache(maxsize=1)
def clips() -> tuple[Batch, VideoLlama, VideoLlama]:
    """32 held-out clips with captions, the shipped model, a copy with a fresh vision branch; not to be changed."""
    model, fresh = tiny_model(), VideoLlama.from_pretrained("tiny", parts=("vision",))
    new_branch(fresh, "vision", seed=0)
    scenes, rng = [sample_scene(CHOOSING_SEED + 200 + n) for n in range(32)], np.random.default_rng(0)
    writer, slots = DialogueWriter(model.tokenizer), [VIDEO_SLOT] * model.config.vision_branch.qformer.num_queries
    asked = [question for scene in scenes if (question := ask(scene, "describe", rng))]
    chats = [writer.write(slots, None, [question]) for question in asked]
    rows = pad([chat.ids for chat in chats], [chat.labels for chat in chats], model.pad_id)
    return Batch(*rows, encode_scenes(model, scenes).frame_tokens.float()), model, fresh


# ---- a straight line that is learned, with and without mistakes


def _fresh_line() -> nn.Linear:
    line = nn.Linear(3, 2)
    with torch.no_grad():
        for p in line.parameters():
            p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p))
    return line


def _after(loop: Callable[[nn.Module, list[Sample], list[float]], Any]) -> dict[str, Tensor]:
    """The weights after a loop over five batches; the first is large enough to be clipped."""
    generator, line = torch.Generator().manual_seed(0), _fresh_line()
    batches = [
        (scale * torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator))
        for scale in (9.0, 1.0, 0.2, 3.0, 0.1)
    ]
    loop(line, batches, [0.01, 0.1, 0.05, 0.2, 0.02])
    return line.state_dict()


def _loop(
    model: nn.Module, batches: list[Sample], rates: list[float], clear: bool = True, clip: bool = True,
    set_first: bool = True,
) -> None:  # fmt: skip
    """The right loop, or without one of its three virtues."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates, strict=True):
        if set_first:
            optimizer.param_groups[0]["lr"] = rate
        if clear:
            optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not clip:  # too late
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = rate


def _close(found: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(found[name], other[name], atol=1e-5) for name in other)
