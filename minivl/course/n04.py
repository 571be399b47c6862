"""Checkers of notebook 04, soft prompts."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor
from torch.nn import functional as F

from minivl.course.checking import Wrong
from minivl.course.moving_shapes import transplant
from minivl.soft_prompt import IGNORE, VIDEO_SLOT


def labels_of(answer: Callable[[list[int], int, int], list[int]]) -> str:
    """Labels of a dialogue in the tiny format, from its ids."""
    assistant, stop = 5, 3
    slots = [VIDEO_SLOT] * 2
    first = [stop, 4, 6, *slots, 7, 20, 21, stop, assistant, 30, 31, stop]
    ids = [*first, 4, 22, stop, assistant, 32, stop]
    right = [IGNORE] * 10 + [30, 31, stop] + [IGNORE] * 4 + [32, stop]
    found = answer(list(ids), assistant, stop)
    if not isinstance(found, list) or len(found) != len(ids):
        raise Wrong(f"give a list with one label for each of the {len(ids)} ids")
    if found == right:
        if answer(list(first[:-1]), assistant, stop) != right[:12]:
            raise Wrong("a row may be cut off before its last ###: is the answer labelled all the same?")
        return "the answers and what ends them, nothing else"
    if found == [*right[1:], IGNORE]:
        raise Wrong("the labels stand one place too early: the shift is made in the loss, not here")
    if found == [IGNORE, *right[:-1]]:
        raise Wrong("the labels stand one place too late")
    if any(i < 0 <= label for i, label in zip(ids, found, strict=True)) or any(-300 < y < IGNORE for y in found):
        raise Wrong("a slot has a label: a soft prompt is never predicted")
    if assistant in found:
        raise Wrong("'Assistant:' has a label, but it is given, not said: the answer begins behind it")
    if found == [IGNORE if i == stop else y for i, y in zip(ids, right, strict=True)]:
        raise Wrong("the ### after an answer has no label: a model that never learns it goes on talking")
    if found[0] == stop:
        raise Wrong("a ### before a question has a label: only the one that ends an answer should have")
    if found[:13] == right[:13]:
        raise Wrong("the first turn is right, the second is not: is the switch off behind ###, and on again later?")
    raise Wrong("which tokens stand between 'Assistant:' and the next ###? These, and that ###")


def mended_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """Mean cross-entropy of the next token over the labelled tokens of a batch."""
    generator = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(2, 8, 11, generator=generator)
    labels = torch.full((2, 8), IGNORE)
    labels[0, 6], labels[1, 2:8] = 3, torch.tensor([1, 4, 9, 2, 6, 5])
    found = float(answer(logits.clone(), labels.clone()))

    def mean(values: Tensor, wanted: Tensor) -> float:
        return float(F.cross_entropy(values.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE))

    def of_rows(values: Tensor, wanted: Tensor) -> float:
        return sum(mean(v[None], w[None]) for v, w in zip(values, wanted, strict=True)) / len(values)

    right = mean(logits[:, :-1], labels[:, 1:])
    hints = {
        of_rows(logits, labels): "both bugs are still there",
        mean(logits, labels): "one is found; in the other the model predicts the token that it has just read: which "
        "place predicts place l?",
        of_rows(logits[:, :-1], labels[:, 1:]): "one is found; in the other a token of a short answer weighs more than "
        "one of a long answer: what is the mean taken over?",
        mean(logits[:, 1:], labels[:, :-1]): "shifted, but the other way: place l - 1 predicts place l",
        of_rows(logits[:, 1:], labels[:, :-1]): "shifted, but the other way, and the mean is of rows",
        right * 7: "this is the sum over the tokens: divide it by how many have a label",
        right * 7 / 14: "the mean is over all places: only those with a label count",
    }
    if abs(found - right) < 1e-4:
        return "the place before predicts, and every labelled token of the batch weighs the same"
    for value, hint in hints.items():
        if abs(found - value) < 1e-4:
            raise Wrong(hint)
    raise Wrong(f"for the checker's batch it should be {right:.4f} and is {found:.4f}")


def cache_megabytes(answer: tuple[float, float]) -> str:
    """MB of LLaMA-2-7B's KV cache for the soft prompts of a clip with sound, and for the patches of eight frames."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (megabytes of the soft prompts, megabytes of the patches)")
    position = 2 * 32 * 4096 * 2 / 1e6
    for found, positions in zip(map(float, answer), (40, 8 * 257), strict=True):
        ratio = found / (positions * position)
        likely = {
            0.5: "each layer keeps a key and a value, and one of them seems to be missing",
            1 / 32: "every layer keeps its own: how many are there?",
            2.0: "bfloat16 takes 2 bytes a number",
            0.25: "a key and a value, of 2 bytes a number: that is 4 bytes for each number of the width",
            1e6: "these are bytes: divide by a million",
            1e3: "these are kilobytes",
            32 / 40: "sound has a soft prompt of its own: 32 + 8 vectors",
            256 / 257: "each frame has a class token too: 257",
            1 / 8: "these are the patches of one frame",
        }
        for factor, hint in likely.items():
            if abs(ratio / factor - 1) < 1e-3:
                raise Wrong(hint)
        if abs(ratio - 1) > 0.06:  # 2^20 bytes are a megabyte to some
            raise Wrong(f"{found:,.1f} MB for {positions:,} positions: one position takes {position:.2f} MB")
    return "21 MB against 1.08 GB"


def carries_the_shape(answer: AbstractSet[int]) -> str:
    """The smallest set of slots that carries the shape of one clip into another, and nothing else."""
    if not isinstance(answer, AbstractSet | list | tuple) or not set(answer) <= set(range(1, 9)) or not answer:
        raise Wrong("give a set of slots, numbered from 1 to 8")
    slots = set(answer)
    colour, shape, direction = transplant(slots)
    if colour[0] < 0.9:
        raise Wrong(f"these slots change the colour too: {colour[0]:.0%} of the answers are still the clip's own")
    if direction[0] < 0.9:
        raise Wrong(f"these slots change the direction too: {direction[0]:.0%} of the answers are the clip's own")
    if shape[1] < 0.9:
        raise Wrong(f"the shape comes along in {shape[1]:.0%} of the clips, but not for every clip: who else says it?")
    smaller = next((slots - {slot} for slot in sorted(slots) if transplant(slots - {slot})[1][1] >= 0.9), None)
    if smaller is not None:
        raise Wrong("right, but there is a smaller set: does each of these slots have to be there?")
    return f"slots {sorted(slots)} carry the shape, colour and direction stay"
