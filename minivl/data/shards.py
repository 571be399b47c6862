"""Named tensors in a folder of safetensors files, for many writers and many readers at once.

    folder/shard-3f0c9d1e5b7a.safetensors     "NAME" -> features,  "NAME.message" -> a text as bytes

A shard appears whole (atomic.py) under a name of its own and never changes, so nobody has to lock anything: what two
processes write twice does no harm, and a writer that is killed loses only what it was collecting. Reading maps the file
into memory, and touches no more of it than the tensor that is asked for.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from minivl import atomic

SHARD_BYTES = 64 << 20  # a shard is written when it has so many,
SHARD_SECONDS = 60.0  # or after this time: what a killed writer loses at most
OPEN_SHARDS = 256
ABANDONED = 3600.0  # seconds after which an unfinished file belongs to a writer that was killed
MESSAGE = ".message"


class Shards:
    """What is in the folder, as far as `refresh` has seen it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shard_of: dict[str, Path] = {}
        self._seen: set[Path] = set()
        self._open: Callable[[Path], Any] = lru_cache(OPEN_SHARDS)(lambda file: safe_open(file, framework="pt"))
        self.refresh()

    def __len__(self) -> int:
        return len(self._shard_of)

    def __contains__(self, name: object) -> bool:
        return name in self._shard_of

    def refresh(self) -> None:
        """Look for shards that have been written since. A damaged one is named and left out."""
        for file in sorted(set(self.folder.glob("shard-*.safetensors")) - self._seen):
            self._seen.add(file)
            try:
                names = self._open(file).keys()
            except (OSError, SafetensorError):
                tqdm.write(f"{file} is damaged: delete it; what it held is computed again")
                continue
            self._shard_of |= {name: file for name in names if not name.endswith(MESSAGE)}

    def get(self, name: str) -> tuple[Tensor, str]:
        """The tensor and the text of a name. Raises KeyError for one that is not there."""
        shard = self._open(self._shard_of[name])
        said = bytes(shard.get_tensor(name + MESSAGE).tolist()).decode()
        return shard.get_tensor(name), said


class ShardWriter:
    """Collects tensors until they are enough for a file."""

    def __init__(self, folder: Path) -> None:
        """Also deletes what writers that were killed have left half-written."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".saving-*"):
            if time.time() - unfinished.stat().st_mtime > ABANDONED:
                shutil.rmtree(unfinished, ignore_errors=True)
        self._empty()

    def _empty(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.bytes, self.since = 0, time.perf_counter()

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def add(self, name: str, tensor: Tensor, said: str) -> None:
        """Take a tensor and its text along into the next file."""
        self.tensors[name] = tensor.clone()  # safetensors refuses tensors that share their memory
        self.tensors[name + MESSAGE] = torch.tensor(list(said.encode()), dtype=torch.uint8)
        self.bytes += tensor.nbytes

    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self.bytes >= SHARD_BYTES or time.perf_counter() - self.since > SHARD_SECONDS

    def write(self) -> int:
        """Write a file, unless there is nothing to write; returns its bytes. Raises OSError (disk full)."""
        written, tensors = self.bytes, self.tensors
        if tensors:
            file = self.folder / f"shard-{uuid.uuid4().hex[:12]}.safetensors"
            atomic.replace(file, lambda path: save_file(tensors, path))
        self._empty()
        return written
