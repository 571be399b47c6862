"""Headtail sampling: as many frames of each half as the original takes, in order, and every one some time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from minivl.errors import InputError
from minivl.headtail import sample_headtail

RECORDED = json.loads((Path(__file__).parent / "goldens" / "frames.json").read_text())["headtail"]
SEEN = [case for case in RECORDED if case["indices"]]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("case", SEEN, ids=lambda case: f"{case['n_frms']}of{case['vlen']}")
def test_each_half_gives_as_many_frames_as_in_the_original(case: dict) -> None:
    length, middle = case["vlen"], case["vlen"] // 2
    in_head = sum(index < middle for index in case["indices"])
    for seed in range(50):
        indices = sample_headtail(length, case["n_frms"], seeded(seed))
        assert len(indices) == len(case["indices"])
        assert sum(index < middle for index in indices) == in_head
        assert indices == sorted(set(indices)) and 0 <= indices[0] and indices[-1] < length


@pytest.mark.parametrize("length", [16, 101])
def test_every_frame_of_a_half_is_equally_likely(length: int) -> None:
    generator, times = seeded(0), 4000
    seen = Counter(k for _ in range(times) for k in sample_headtail(length, 8, generator))
    middle = length // 2
    for index in range(length):
        expected = times * 4 / (middle if index < middle else length - middle)
        assert seen[index] == pytest.approx(expected, abs=6 * expected**0.5)


def test_the_generator_decides() -> None:
    first, again, other = (sample_headtail(1000, 8, seeded(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("length", "num_frames"), [(1, 8), (0, 8), (100, 1), (100, 0)])
def test_what_has_no_halves(length: int, num_frames: int) -> None:
    with pytest.raises(InputError, match=f"{num_frames} of {length} frames cannot be halved"):
        sample_headtail(length, num_frames, seeded(0))
