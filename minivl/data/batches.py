"""From files to the batches of `training.train`: drawn, decoded, encoded, and worded.

    mixture.batch(step) -> rows -> frames (threads, one step ahead) -> frozen features -> ids and labels

A batch depends on the seed, the step and the files, and on nothing else: a run that goes on, or runs on another number
of processes, sees the same. What cannot be used is left out, so a batch may be smaller than asked for. Each such sample
is a line of `broken.log`; none is replaced without a word, as the original does.

A batch is one tensor, so its clips need equally many frames: as many as the model takes of a video, or one if most of
the batch's files are images. Shorter videos are left out (the original does so in WebVid). If nothing of a batch is
left, the next set gives the batch of this step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from minivl.batch import Batch
from minivl.data.cache import FeatureCache
from minivl.data.decode import view
from minivl.data.frozen import encode, frozen_encoder
from minivl.data.mixture import Mixture
from minivl.data.reading import LeftOut, Reader, Seen, mostly_images
from minivl.data.samples import SampleSet
from minivl.data.wording import Wording
from minivl.errors import InputError, MinivlError
from minivl.model import VideoLlama
from minivl.soft_prompt import IGNORE, pad
from minivl.supervision import Example

TRIES = 3  # batches in a row of which nothing can be used
PROMPT = 3  # a stream of random numbers of its own, beside the mixture's 0 and 1 and the reader's 2


@dataclass(frozen=True)
class _Started:
    """A part of a batch on its way."""

    samples: SampleSet
    mine: tuple[Future[Seen], ...]
    others: tuple[int, ...]  # the rows of the other parts
    images: Future[bool]  # whether most of the whole batch's files are


class FileBatches:
    """The `draw` of `training.train`. As a context manager it ends its threads."""

    def __init__(
        self,
        model: VideoLlama,
        branch: str,
        mixture: Mixture,
        stage: int,
        cache: FeatureCache | None = None,
        augment: bool | None = None,
        max_tokens: int | None = None,
        readers: int = 4,
        log: Path | None = None,
    ) -> None:
        """`mixture` is that of one process, with the batch of a whole step; parts are cut from it.

        cache: is asked first; what it does not have is decoded. augment: random frames and crops, the default without
        a cache. max_tokens: see Wording. readers: threads. log: the file for samples that cannot be used.
        Raises InputError for an encoder that the model lacks, another stage than 1 and 2, or `augment` with a cache.
        """
        if augment and cache is not None:
            raise InputError("a cache holds no random crops: give augment=True or a cache, not both")
        frozen_encoder(model, branch)
        self.model, self.branch, self.mixture = model, branch, mixture
        self.wording = Wording(model, branch, stage, max_tokens)
        self.reader = Reader(model.config, branch, mixture.seed, cache, cache is None if augment is None else augment)
        self.left_out = LeftOut(log)
        self.without_encoder = False  # set where a filled cache stands for it
        self._pool = ThreadPoolExecutor(readers, "read")
        self._ahead: dict[tuple[int, int, int], _Started] = {}

    def __enter__(self) -> FileBatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """The batch of a step, or every `parts`-th of its samples from number `part` on.

        A part of which nothing can be used holds one sample of another part, with no label to learn.
        Raises InputError if three batches in a row cannot be used.
        """
        started = self._ahead.pop((step, part, parts), None) or self._start(step, part, parts)
        self._ahead = {key: ahead for key, ahead in self._ahead.items() if key[0] >= step and key[2] == parts}
        self._ahead[step + 1, part, parts] = self._start(step + 1, part, parts)
        for attempt in range(TRIES):
            if attempt:
                started = self._start(step, part, parts, attempt)
            prompt = self.wording.prompt(np.random.default_rng((self.mixture.seed, PROMPT, step, attempt)))
            length = 1 if started.images.result() else view(self.model.config, self.branch)[0]
            if usable := self._usable(started.samples, started.mine, length, prompt):
                return self._batch(usable)
            # the processes must agree on whether the whole batch is lost, and cannot ask each other here
            for row in started.others:
                other = self._pool.submit(self.reader.see, started.samples, row, step)
                if usable := self._usable(started.samples, [other], length, prompt, mine=False):
                    return self._batch(usable, learn=False)
        raise InputError(
            f"at step {step}, {TRIES} batches in a row had no sample that can be used: run `minivl data check` on the "
            f"data; one was left out because {next(iter(self.left_out.times), 'its part of the batch is empty')}"
        )

    def _start(self, step: int, part: int, parts: int, attempt: int = 0) -> _Started:
        samples, rows = self.mixture.batch(step)
        if attempt:
            sets = self.mixture.sets
            number = next(k for k, one in enumerate(sets) if one is samples)
            samples = sets[(number + attempt) % len(sets)]
            rows = Mixture([samples], [1.0], self.mixture.batch_size, self.mixture.seed + attempt).batch(step)[1]
        mine = tuple(self._pool.submit(self.reader.see, samples, row, step) for row in rows[part::parts])
        others = tuple(row for place, row in enumerate(rows) if place % parts != part)
        return _Started(samples, mine, others, self._pool.submit(mostly_images, samples, rows))

    def _usable(
        self, samples: SampleSet, seen: Iterable[Future[Seen]], length: int, prompt: str, mine: bool = True
    ) -> list[tuple[Seen, Example]]:
        """Those that can be used, in order; the others are noted if they are `mine`."""
        usable = []
        for future in seen:
            where = samples.name
            try:
                one = future.result()
                where = f"{one.sample.origin}, {one.sample.media}"
                if one.length != length:
                    raise InputError(
                        f"number of frames {one.length}, which is {length} in the rest of the batch: keep images and "
                        "videos in two sets, and leave out shorter videos"
                    )
                usable.append((one, self.wording.example(one.sample, one.message, prompt)))
            except MinivlError as error:
                if mine:
                    self.left_out.note(f"{where}: {error}")
        return usable

    def _batch(self, usable: Sequence[tuple[Seen, Example]], learn: bool = True) -> Batch:
        seen, examples = zip(*usable, strict=True)
        ids, mask, labels = pad([e.ids for e in examples], [e.labels for e in examples], self.model.pad_id)
        features = self._features(seen)
        return Batch(
            ids,
            mask,
            labels if learn else torch.full_like(labels, IGNORE),
            features if self.branch == "vision" else None,
            features if self.branch == "audio" else None,
            tuple(one.sample.origin for one in seen),
        )

    def _features(self, seen: Sequence[Seen]) -> Tensor:
        """[B, T, K, width] or [B, T, E]: what is kept, and the rest through the frozen encoder."""
        device = next(getattr(self.model, f"{self.branch}_branch").parameters()).device
        new = [one.frames for one in seen if one.frames is not None]
        if new and self.without_encoder:
            raise InputError(f"{len(new)} files have changed since their features were kept: give the command again")
        encoded = iter(encode(self.model, self.branch, torch.stack(new)) if new else ())
        return torch.stack([next(encoded) if one.features is None else one.features.to(device) for one in seen])
