"""The learning rate, step by step.

    warm-up, a straight line from `start` to `peak`; then half a cosine,  floor + (peak - floor) (1 + cos(pi p)) / 2

A frozen language model gives a new branch large gradients at first, hence the slow start.
"""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, peak: float, floor: float, warmup: int, start: float = 0.0) -> float:
    """The usual schedule: p goes from 0 to 1 between the end of the warm-up and the last step."""
    if step < warmup:
        return start + (peak - start) * (step + 1) / warmup
    return floor + (peak - floor) * _half_cosine((step - warmup) / max(1, steps - warmup))


def original_schedule(
    step: int, steps: int, peak: float, floor: float, warmup: int, start: float, epoch: int
) -> float:  # fmt: skip
    """The original's (`LinearWarmupCosineLRScheduler` of `common/optims.py`), for runs that should equal its own.

    Two traits that nobody would choose: the warm-up counts the steps inside an epoch of `epoch` steps, so it starts
    anew in each epoch that it outlasts; and p counts from step 0, so the rate drops the moment that the warm-up ends.
    """
    if step < warmup:
        return min(peak, start + (peak - start) * (step % epoch) / warmup)
    return floor + (peak - floor) * _half_cosine(step / steps)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))
