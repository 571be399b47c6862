"""Which samples are in which batch: a mixture of data sets.

A whole batch comes from ONE set, drawn anew in each step by ratio (100 parts of WebVid, 24 of LLaVA-CC3M in the first
stage; equal parts of three sets in the second). So a batch is all videos or all images, all captions or all
conversations. Section 2.3 of the paper; the original's MultiIterLoader draws with `random.choices`.

Here a batch is a pure function of (seed, step, rank). So a run that is resumed at step 1,000 goes on with the batches
that it would have seen, and no process has to tell another what it takes:

    step -> set k, drawn by the seed; how often k was drawn before -> a place in the k-th set's shuffled order
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minivl.data.samples import SampleSet
from minivl.errors import InputError


class Mixture:
    """Batches of several sets for `world` processes, of which this is number `rank`.

    Each set is walked in an order that is shuffled anew for each pass. All processes draw the same set in a step, and
    share the pass without overlap. What is left at the end of a pass and does not fill a batch for every process is
    passed over, as in the original; in the next pass it is something else.

    ratios: positive numbers of any sum. batch: samples of one process and step.
    Raises InputError for arguments that do not fit, and for a set with less than one batch for each process.
    """

    def __init__(
        self, sets: Sequence[SampleSet], ratios: Sequence[float], batch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if not sets or len(sets) != len(ratios) or not all(0 < ratio < np.inf for ratio in ratios):
            raise InputError(
                f"the ratios of {len(sets)} sets are {list(ratios)}: give one positive number for each set"
            )
        if min(batch, world) < 1 or not 0 <= rank < world or seed < 0:
            raise InputError(
                f"batch is {batch}, seed {seed}, rank {rank}, world {world}: give a positive batch, a seed from 0 on, "
                "and a rank from 0 to world - 1"
            )
        for one in sets:
            if len(one) < batch * world:
                raise InputError(
                    f"{one.name} has {len(one)} samples, and a step takes {batch} in each of {world} processes: "
                    "make the batch smaller"
                )
        self.sets, self.batch_size, self.seed, self.rank, self.world = tuple(sets), batch, seed, rank, world
        # [sets - 1]: set k is drawn by the numbers from border k - 1 to border k
        self._borders = np.cumsum(ratios)[:-1] / np.sum(ratios)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # of each set the pass last asked for: saves shuffling

    def batch(self, step: int) -> tuple[SampleSet, list[int]]:
        """The set of a step, counted from 0, and the indices of this process's samples in it."""
        # the first n numbers of a generator do not depend on how many are drawn after them
        draws = np.random.default_rng((self.seed, 0)).random(step + 1)
        chosen = np.searchsorted(self._borders, draws, side="right")  # [step + 1]
        k = int(chosen[step])
        turn = int((chosen[:step] == k).sum())
        taken = self.batch_size * self.world  # by all processes together
        passes, place = divmod(turn, len(self.sets[k]) // taken)
        first = place * taken + self.rank * self.batch_size
        return self.sets[k], self._order(k, passes)[first : first + self.batch_size].tolist()

    def _order(self, k: int, number: int) -> np.ndarray:
        """The order of set k in its pass `number`, [samples]."""
        known, order = self._orders.get(k, (-1, np.empty(0)))
        if known != number:
            order = np.random.default_rng((self.seed, 1, k, number)).permutation(len(self.sets[k]))
            self._orders[k] = number, order
        return order
