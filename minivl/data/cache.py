"""The frozen encoders' outputs, computed once and kept: a training that reads them is many times faster.

    folder/hashes.sqlite                       which content a file has (content.py)
    folder/FINGERPRINT/shard-*.safetensors     the outputs by content (shards.py); the fingerprint is the encoder's

A clip is found by what is in its file and by which weights looked at it (frozen.py). So a file that was replaced, or a
model that was trained on, never gets what belongs to another.

What is kept are the pixels of evaluation: random crops would need an entry for every epoch.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivl.data.captions import PICTURE_SUFFIXES
from minivl.data.content import ContentHashes
from minivl.data.decode import decode, message, view
from minivl.data.frozen import encode, fingerprint
from minivl.data.samples import Sample
from minivl.data.shards import Shards, ShardWriter
from minivl.errors import InputError, MediaError
from minivl.model import VideoLlama
from minivl.video import Clip

AT_ONCE = 16  # clips that are encoded together


@dataclass(frozen=True)
class CachedClip:
    """What the frozen encoder made of one file."""

    features: Tensor  # [T, K, width] for the vision branch, [T, E] for the audio branch
    message: str  # the frames' number and times in words; empty for a still image


@dataclass
class FillReport:
    """What `FeatureCache.fill` did."""

    added: int = 0
    present: int = 0  # were there before, or have the content of another file
    broken: list[str] = field(default_factory=list)  # a sentence for each file that cannot be decoded
    bytes: int = 0  # written
    seconds: float = 0.0


class FeatureCache:
    """The outputs for the encoder of one branch, kept below `folder`."""

    def __init__(self, folder: Path, model: VideoLlama, branch: str) -> None:
        """branch: "vision" or "audio". Raises InputError if the model has no such encoder."""
        self.model, self.branch = model, branch
        self.folder = Path(folder).expanduser() / fingerprint(model, branch)
        self.hashes = ContentHashes(self.folder.parent / "hashes.sqlite")
        self.shards = Shards(self.folder)

    def __len__(self) -> int:
        return len(self.shards)

    def get(self, media: Path) -> CachedClip | None:
        """What is kept of a file, or None if nothing is. It stays on the disk until it is used.

        Raises MediaError for a file that is missing or empty.
        """
        name = self.hashes.of(media)
        return CachedClip(*self.shards.get(name)) if name in self.shards else None

    def expected_bytes(self, videos: int, images: int = 0) -> int:
        """What so many of them take at the most: a video may be shorter, and two files may be the same."""
        return (videos * view(self.model.config, self.branch)[0] + images) * self._frame_bytes

    @cached_property
    def _frame_bytes(self) -> int:
        size = view(self.model.config, self.branch)[1]
        blank = torch.zeros(1, 1, 3, size, size, dtype=torch.uint8)
        return encode(self.model, self.branch, blank).nbytes

    def fill(
        self, media: Iterable[Path], rank: int = 0, world: int = 1, readers: int = 4, progress: bool = True
    ) -> FillReport:
        """Compute and keep what is not there yet. It may be stopped at any time, and called again.

        Of `world` processes with the same media, this is number `rank`, and does its share. `readers` threads decode.
        Files that cannot be decoded are named and passed over.
        Raises InputError if the disk has less room than `expected_bytes`.
        """
        start, report = time.perf_counter(), FillReport()
        files = list(dict.fromkeys(media))
        self._check_room(files, progress)
        mine, writer = files[rank::world], ShardWriter(self.folder)
        bar = tqdm(total=len(mine), desc=f"frozen features, {self.branch}", disable=not progress, mininterval=1.0)
        with ThreadPoolExecutor(readers) as pool, bar:
            try:
                for some in _together(_in_order(pool, self._look, mine, AT_ONCE + readers), AT_ONCE):
                    self._add(some, writer, report)
                    bar.update(len(some))
                    if writer.is_full():
                        self._write(writer, report)
            finally:
                self._write(writer, report)
        report.seconds = time.perf_counter() - start
        return report

    def _write(self, writer: ShardWriter, report: FillReport) -> None:
        report.bytes += writer.write()
        self.shards.refresh()

    def _look(self, file: Path) -> tuple[str, Clip | None]:
        """The content's name, and the clip if it has to be encoded. Runs in a thread."""
        name = self.hashes.of(file)
        if name in self.shards:
            return name, None
        return name, decode(Sample(file, (), str(file)), self.model.config, self.branch)

    def _add(self, looked: Sequence[Future[tuple[str, Clip | None]]], writer: ShardWriter, report: FillReport) -> None:
        """Encode some clips, those of equal length together."""
        by_length: dict[int, dict[str, Clip]] = {}
        for future in looked:
            try:
                name, clip = future.result()
            except MediaError as error:
                report.broken.append(str(error))
                tqdm.write(f"not kept: {error}")
                continue
            if clip is None or name in writer or name in self.shards or name in by_length.get(len(clip.frames), ()):
                report.present += 1
            else:
                by_length.setdefault(len(clip.frames), {})[name] = clip
        for clips in by_length.values():
            features = encode(self.model, self.branch, torch.stack([clip.frames for clip in clips.values()])).cpu()
            for (name, clip), one in zip(clips.items(), features, strict=True):
                writer.add(name, one, message(clip))
            report.added += len(clips)

    def _check_room(self, files: Sequence[Path], progress: bool) -> None:
        new = [file for file in files if self._needs_room(file)]
        images = sum(file.suffix.lower() in PICTURE_SUFFIXES for file in new)
        needed = self.expected_bytes(len(new) - images, images) if new else 0
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        sizes = f"{_size(needed)} in {self.folder}, where {_size(free)} are free"
        if needed > free:
            raise InputError(
                f"the features of {len(new):,} files take up to {sizes}: give a cache folder on a larger disk, or "
                "train without a cache"
            )
        if progress and new:
            tqdm.write(f"the features of {len(new):,} file{'s' * (len(new) != 1)} take up to {sizes}")

    def _needs_room(self, file: Path) -> bool:
        try:
            return self.hashes.known(file) not in self.shards  # what was never hashed was never kept
        except MediaError:
            return False


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _in_order(
    pool: ThreadPoolExecutor, job: Callable[[Path], Any], items: Iterable[Path], window: int
) -> Iterator[Future[Any]]:
    """The job for each item, begun before it is asked for, but never more than `window` at once."""
    waiting = deque[Future[Any]]()
    for item in items:
        waiting.append(pool.submit(job, item))
        if len(waiting) >= window:
            yield waiting.popleft()
    yield from waiting


def _together(items: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """Lists of `count` items, the last one shorter."""
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == count:
            yield some
            some = []
    if some:
        yield some
