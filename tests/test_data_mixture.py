"""Batches: one set each, drawn by ratio, no sample twice in a pass, and the same after a resumed run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from minivl.data.mixture import Mixture
from minivl.data.samples import Sample
from minivl.errors import InputError


@dataclass(frozen=True)
class Numbers:
    """A set of `count` samples."""

    name: str
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int, /) -> Sample:
        return Sample(Path(f"{i}.mp4"), (("", str(i)),), f"{self.name}/{i}")


VIDEOS, IMAGES = Numbers("videos", 40), Numbers("images", 25)


def mixture(**changes: object) -> Mixture:
    settings = {"sets": (VIDEOS, IMAGES), "ratios": (100, 24), "batch": 4, "seed": 0, **changes}
    return Mixture(**settings)  # type: ignore[arg-type]


def test_sets_are_drawn_by_ratio() -> None:
    drawn = Counter(mixture().batch(step)[0].name for step in range(2000))
    assert drawn["videos"] / 2000 == pytest.approx(100 / 124, abs=0.03)
    assert set(drawn) == {"videos", "images"}


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    first = mixture()
    seen = [first.batch(step) for step in range(60)]
    resumed = mixture()
    assert [resumed.batch(step) for step in range(59, -1, -1)] == seen[::-1]  # in any order, from any step on
    assert [mixture(seed=1).batch(step) for step in range(60)] != seen


def test_a_pass_takes_no_sample_twice_and_the_next_is_shuffled_anew() -> None:
    mixed = mixture(sets=(VIDEOS,), ratios=(1,))
    passes = [[i for step in range(10 * p, 10 * p + 10) for i in mixed.batch(step)[1]] for p in (0, 1, 2)]
    assert all(sorted(order) == list(range(40)) for order in passes)
    assert passes[0] != passes[1] != passes[2]
    assert passes[0] != sorted(passes[0])


def test_a_pass_of_one_set_goes_on_where_it_was_left_while_another_was_drawn() -> None:
    mixed = mixture()
    taken = [i for step in range(80) for one, batch in [mixed.batch(step)] if one is IMAGES for i in batch]
    assert len(set(taken[:24])) == 24  # six batches of 4; the 25th image has to wait for the next pass


def test_processes_draw_the_same_set_and_share_it_without_overlap() -> None:
    world = [mixture(rank=rank, world=3) for rank in range(3)]
    for step in range(100):
        batches = [one.batch(step) for one in world]
        assert len({one.name for one, _ in batches}) == 1
        indices = [i for _, batch in batches for i in batch]
        assert len(indices) == 12 and len(set(indices)) == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ratios": (1,)}, "give one positive number for each set"),
        ({"ratios": (1, 0)}, "give one positive number for each set"),
        ({"sets": (), "ratios": ()}, "give one positive number for each set"),
        ({"batch": 0}, "batch is 0"),
        ({"rank": 2, "world": 2}, "rank 2, world 2"),
        ({"seed": -1}, "seed -1"),
        ({"batch": 7, "world": 4}, "images has 25 samples, and a step takes 7 in each of 4 processes"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mixture(**changes)
