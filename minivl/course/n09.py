"""Checkers of notebook 09, the chat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minivl.course.checking import Wrong

CACHES: tuple[tuple[list[int], list[int], int], ...] = (  # known, new, how many positions can be kept
    ([1, 2, 3], [1, 2, 3, 4, 5], 3),
    ([1, 2, 3, 9, 9], [1, 2, 3, 4, 5], 3),
    ([1, 2, 3, 4], [1, 2, 3, 4], 3),
    ([1, 2, 3, 4, 5, 6], [1, 2, 3], 2),
    ([1, 7, 3, 4], [1, 2, 3, 4, 5], 1),
    ([], [1, 2], 0),
)


def min_p(answer: Callable[[Tensor, float], Tensor]) -> str:
    """Keep what is at least `share` times as likely as the likeliest token, and make it sum to 1."""
    unsure = torch.tensor([0.05, 0.15, 0.14, 0.02, 0.14, 0.12, 0.13, 0.12, 0.13])
    sure = torch.tensor([0.02, 0.90, 0.05, 0.03])
    for chances, share in ((unsure, 0.5), (sure, 0.1), (unsure, 0.9)):
        found = answer(chances.clone(), share)
        kept = chances * (chances >= share * chances.max())
        if not isinstance(found, Tensor) or found.shape != chances.shape:
            raise Wrong("give a tensor with one probability for each token of the vocabulary")
        if torch.allclose(found, kept / kept.sum(), atol=1e-6):
            continue
        absolute = chances * (chances >= share)
        if (torch.equal(found > 0, absolute > 0) and not torch.equal(absolute > 0, kept > 0)) or found.isnan().any():
            raise Wrong("the bound is not `share` itself: it is `share` times the probability of the likeliest token")
        if not torch.isclose(found.sum(), torch.tensor(1.0), atol=1e-4):
            raise Wrong(f"the probabilities add up to {float(found.sum()):.2f}: they have to add up to 1")
        if torch.equal(found > 0, kept > 0):
            raise Wrong("the right tokens are kept, but their ratios have changed: divide all by the same number")
        raise Wrong("other tokens are kept: those with at least `share` times the probability of the likeliest one")
    return "few tokens where it is sure, many where it is not"


def still_true(answer: Callable[[list[int], list[int]], int]) -> str:
    """How many positions of a cache can be kept for a new prompt."""
    for known, new, right in CACHES:
        found = int(answer(list(known), list(new)))
        if found == right:
            continue
        case = f"known {known}, new {new}: {right} can be kept, not {found}"
        if found >= len(new):
            raise Wrong(f"{case}. The model has to read at least one position to predict the next")
        same = sum(a == b for a, b in zip(known, new, strict=False))
        if found == min(same, len(new) - 1):
            raise Wrong(
                f"{case}. A key depends on all that stands before it: what is worth keeping after the first difference?"
            )
        raise Wrong(f"{case}. Do the two differ somewhere before?")
    return "kept is the common beginning, but never the whole prompt"


def cache_gigabytes(answer: float) -> str:
    """The KV cache of LLaMA-2-7B at 2,048 positions in bfloat16."""
    try:
        given = float(answer)
    except (TypeError, ValueError):
        raise Wrong("give one number, of gigabytes") from None
    right = 2 * 32 * 4096 * 2048 * 2 / 1e9
    hints = {
        right / 2: "half of it: are both keys and values counted, at 2 bytes a number?",
        right * 2: "twice too much: bfloat16 takes 2 bytes a number",
        right / 32: "that is one of the layers: how many are there?",
        right * 32: "the width is that of all heads together: do not multiply by the heads",
        right * 1e9: "that is in bytes: divide by 10^9",
    }
    for value, hint in hints.items():
        if abs(given - value) < 0.02 * value:
            raise Wrong(hint)
    if abs(given - right) > 0.02 * right:
        raise Wrong("multiply: keys and values, layers, width, positions, bytes; then divide by 10^9")
    return "1.07 GB, half a megabyte for each position"
