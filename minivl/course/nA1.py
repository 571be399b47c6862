"""Checkers of notebook A1, where the frozen parts come from."""

# ruff: noqa: N999  (the notebook is called A1)

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minivl.course.checking import Wrong

PEAK = 312e12  # operations a second of an A100 in bfloat16


def soft_targets(answer: Callable[[Sequence[str]], Tensor]) -> str:
    """Which words are right for which picture, each row adding up to 1: [N, N]."""
    for names in (["bell", "dog", "bell", "bell"], ["cat", "car"], ["rain"] * 3):
        same = torch.tensor([[x == y for y in names] for x in names], dtype=torch.float)
        found = answer(names)
        if not isinstance(found, Tensor) or found.shape != same.shape:
            raise Wrong(f"for {len(names)} names a tensor [{len(names)}, {len(names)}] is wanted")
        found = found.float()
        if torch.allclose(found, same / same.sum(dim=1, keepdim=True)):
            continue
        if torch.equal(found, torch.eye(len(names))):
            raise Wrong("two bells in one batch are no negatives of each other: the diagonal alone says they are")
        if torch.equal(found, same):
            raise Wrong("the rows do not sum to 1: cross-entropy wants a distribution in each row")
        if torch.allclose(found, same / same.sum()):
            raise Wrong("the whole table sums to 1, but each row is a question of its own")
        raise Wrong(f"for {names} the rows are not shared evenly among equal names")
    return "equal names share the target, and no bell is pushed away from a bell"


def word_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """Mean cross-entropy of the next word; logits [N, L, V], ids [N, L], padding 0."""
    generator = torch.Generator().manual_seed(4)
    ids = torch.tensor([[1, 5, 6, 2, 0, 0], [1, 4, 7, 8, 9, 2]])
    logits = torch.randn(2, 6, 10, generator=generator)
    logits[0, 3:, 0] += 4  # padding is easy to foresee
    found = answer(logits, ids)
    if not isinstance(found, Tensor) or found.ndim:
        raise Wrong("the loss should be one number, as a tensor without dimensions")
    flat, target = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    likely = {
        "the word itself is compared, and it stands in the input: are the logits shifted against the ids?": (
            F.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=0)
        ),
        "padding counts: it is easy to foresee and makes the loss look small": F.cross_entropy(flat, target),
        "that is the sum: divide by the number of words that count": (
            F.cross_entropy(flat, target, ignore_index=0, reduction="sum")
        ),
        "shifted the wrong way: logits of a place are about the word after it": (
            F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten(), ignore_index=0)
        ),
        "padding is set to 0 in the sum, but still counts in the mean": (
            F.cross_entropy(flat, target, ignore_index=0, reduction="sum") / target.numel()
        ),
    }
    if torch.isclose(found, F.cross_entropy(flat, target, ignore_index=0), atol=1e-5):
        return "each place foresees the next word, and padding is nobody's business"
    for hint, value in likely.items():
        if torch.isclose(found, value, atol=1e-5):
            raise Wrong(hint)
    raise Wrong(f"it is not {float(found):.3f}: logits[:, l] foresee ids[:, l + 1], places with padding do not count")


def utilisation(answer: Callable[[float, float, float], float]) -> str:
    """Which share of what its GPUs could have computed a training used, of 6 N D operations."""
    for parameters, tokens, hours in ((6.74e9, 2e12, 184_320), (13e9, 2e12, 368_640)):
        right = 6 * parameters * tokens / (hours * 3600 * PEAK)
        found = float(answer(parameters, tokens, hours))
        if abs(found / right - 1) < 0.01:
            continue
        if abs(found / right - 1 / 3) < 0.01:
            raise Wrong("2 N D is the forward pass alone: the backward pass costs twice as much again")
        if abs(found / right / 3600 - 1) < 0.01:
            raise Wrong("the GPUs' hours have to become seconds")
        if abs(found / right / 100 - 1) < 0.01:
            raise Wrong("give a share between 0 and 1, not per cent")
        if abs(found * right - 1) < 0.01:
            raise Wrong("upside down: what was needed, divided by what could have been computed")
        raise Wrong(f"it is not {found:.3g}: 6 N D operations, divided by hours x 3,600 x 312e12")
    return "two fifths: about as good as large trainings get"
