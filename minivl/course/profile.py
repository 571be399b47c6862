"""How much a notebook computes: everything, or a smoke test of a few steps (MINIVL_SMOKE=1)."""

from __future__ import annotations

import os
from functools import lru_cache

from minivl.model import VideoLlama

SMOKE = os.environ.get("MINIVL_SMOKE", "") not in ("", "0")  # the outputs in the notebooks are from the full profile


def steps(full: int, smoke: int = 4) -> int:
    """How many training steps (or clips, or questions) a cell takes: `full`, or `smoke` in the smoke profile."""
    return min(full, smoke) if SMOKE else full


@lru_cache(maxsize=1)
def tiny_model() -> VideoLlama:
    """The shipped model, loaded once for all cells and checkers. Do not change it: load your own to train."""
    return VideoLlama.from_pretrained("tiny")
