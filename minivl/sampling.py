"""How the next word is chosen from what the language model finds likely.

The model gives a number z_i to every token of its vocabulary. A token is drawn with probability

    p_i = exp(z_i / temperature) / sum over j of exp(z_j / temperature)

Temperature 0 is the limit: always the likeliest token (greedy). top_p keeps the smallest set of likeliest tokens whose
probabilities reach it, and draws from that set. Beams keep several unfinished answers side by side and return the one
that is likeliest as a whole. transformers does all three; the original samples at temperature 1 with top_p 0.9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch

from minivl.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """The numbers of one answer. Raises InputError for a value that means nothing."""

    max_new_tokens: int = 64
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # only with a temperature above 0
    num_beams: int = 1
    seed: int | None = None  # None: go on with torch's random numbers

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}: an answer needs at least one token")
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature is {self.temperature}: give 0 (always the likeliest word) or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}: give a share above 0 and at most 1, such as 0.9")
        if self.num_beams < 1:
            raise InputError(f"num_beams is {self.num_beams}: give 1 (no search) or more, such as 4")

    def options(self) -> dict[str, Any]:
        """As transformers' generate names them."""
        drawn = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        return {"num_beams": self.num_beams, **(drawn if self.temperature > 0 else {})}


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Random numbers from this seed inside the block; outside they go on as if it had not been. None: no change."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
