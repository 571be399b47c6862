"""One sample of a batch: read, decoded, or taken from the cache; and the list of those that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivl.config import VideoLlamaConfig
from minivl.data.cache import FeatureCache
from minivl.data.captions import PICTURE_SUFFIXES
from minivl.data.decode import decode, message
from minivl.data.samples import Sample, SampleSet
from minivl.errors import InputError

AUGMENT = 2  # a stream of random numbers of its own, beside the mixture's 0 and 1


@dataclass(frozen=True)
class Seen:
    """A sample with its frames, or with what is kept of them."""

    sample: Sample
    frames: Tensor | None  # [T, 3, S, S] uint8
    features: Tensor | None  # [T, K, width] or [T, E]; None if there are frames
    message: str  # the frames' number and times in words; empty for a still image

    @property
    def length(self) -> int:
        """T."""
        seen = self.frames if self.features is None else self.features
        return 0 if seen is None else len(seen)


@dataclass(frozen=True)
class Reader:
    """Reads samples for one branch. Threads may share it."""

    config: VideoLlamaConfig
    branch: str
    seed: int
    cache: FeatureCache | None
    augment: bool  # random frames and crops

    def see(self, samples: SampleSet, row: int, step: int) -> Seen:
        """A row of a set, as it is seen in a step. Raises InputError for a broken row, MediaError for its file."""
        sample = samples[row]
        if self.cache is not None and (kept := self.cache.get(sample.media)):
            return Seen(sample, None, kept.features, kept.message)
        generator = None
        if self.augment:
            seed = np.random.SeedSequence((self.seed, AUGMENT, step, row)).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(seed))
        clip = decode(sample, self.config, self.branch, generator)
        return Seen(sample, clip.frames, None, message(clip))


def mostly_images(samples: SampleSet, rows: Sequence[int]) -> bool:
    """Whether most of some rows name a file that should be an image. No file is opened."""
    images = 0
    for row in rows:
        try:
            images += samples[row].media.suffix.lower() in PICTURE_SUFFIXES
        except InputError:
            continue  # it is noted when it is read
    return images > len(rows) / 2


class LeftOut:
    """Samples that could not be used: each is a line of a file when it is met first, and is counted every time."""

    def __init__(self, log: Path | None) -> None:
        self.log = log
        self.times: Counter[str] = Counter()  # by the sentence that says which and why

    def note(self, words: str) -> None:
        """Count one. Raises OSError if the file cannot be written."""
        words = " ".join(words.split())
        self.times[words] += 1
        if self.times[words] > 1:
            return
        tqdm.write(f"left out: {words}")
        if self.log:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as file:  # one write: lines of several processes stay whole
                file.write(f"{words}\n")
