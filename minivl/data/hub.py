"""Any other set: a Hugging Face data set, by saying which of its columns holds what.

    from_hub("someone/clips", media="video", caption="text")
    from_hub("a/folder", media="image", question="q", answer="a")

The library `datasets` finds, downloads and caches the set. Media that are embedded in its files are written out one by
one, when a sample is asked for: who asks for all needs the space for all. Not in the original, which reads only its
five sets.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minivl.data.instructions import turns_of
from minivl.data.samples import ParsedRows, Sample, SampleSet, field
from minivl.errors import InputError


@dataclass(frozen=True)
class Columns:
    """Which column holds the medium, and which hold the words: a caption, or question and answer, or a conversation."""

    media: str
    caption: str | None = None
    question: str | None = None
    answer: str | None = None
    conversation: str | None = None

    def texts(self) -> list[str]:
        """The columns of words. Raises InputError unless they are one of the three combinations."""
        given = {key: getattr(self, key) for key in ("caption", "question", "answer", "conversation")}
        chosen = {key: column for key, column in given.items() if column is not None}
        if set(chosen) not in ({"caption"}, {"question", "answer"}, {"conversation"}):
            raise InputError(
                f"the columns {', '.join(chosen) or 'of words'} are {'given' if chosen else 'not given'}: "
                "name a caption, or a question and an answer, or a conversation"
            )
        return list(chosen.values())


def from_hub(
    source: str | os.PathLike[str] | Any,
    split: str = "train",
    media: str = "video",
    caption: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    conversation: str | None = None,
    root: Path | None = None,
    cache: Path | None = None,
) -> SampleSet:
    """A set of the Hugging Face hub, a folder that `datasets` reads, or a Dataset that has been loaded.

    split: which part of a set that has several; a Dataset is taken as it is.
    media: the column of paths, or of a Video or Image feature, or of bytes.
    caption, question, answer, conversation: columns of text; a conversation is a list of messages as in LLaVA's files.
    root: where relative paths start; by default the current folder.
    cache: where embedded media are written; by default "minivl" in the cache of `datasets`.

    Raises InputError if `datasets` is missing, the set cannot be loaded, or a column is not in it.
    """
    columns = Columns(media, caption, question, answer, conversation)
    wanted = [media, *columns.texts()]
    library = _library()
    dataset = _load(library, source, split)
    absent = [column for column in wanted if column not in dataset.column_names]
    if absent:
        raise InputError(
            f"the data set has no column {' and no column '.join(absent)}: it has {', '.join(dataset.column_names)}"
        )
    dataset = dataset.select_columns(wanted)
    if hasattr(dataset.features[media], "decode"):  # a Video or Image: we want the file, and decode it ourselves
        undecoded = copy.copy(dataset.features[media])
        undecoded.decode = False
        dataset = dataset.cast_column(media, undecoded)
    name = Path(source).name if isinstance(source, str | os.PathLike) else dataset.info.dataset_name or "dataset"
    cache = cache or Path(library.config.HF_DATASETS_CACHE) / "minivl"
    return ParsedRows(
        name,
        _NumberedRows(name, dataset),
        partial(_sample, columns=columns, root=root or Path(), cache=cache, name=name),
    )


def _library() -> Any:
    try:
        return importlib.import_module("datasets")  # optional: not everybody needs it, and it is large
    except ImportError as error:
        raise InputError("reading a Hugging Face data set needs the package datasets: pip install datasets") from error


def _load(library: Any, source: Any, split: str) -> Any:
    """A Dataset of known length, whatever was given."""
    if isinstance(source, str | os.PathLike):
        saved = any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json"))
        try:
            source = library.load_from_disk(source) if saved else library.load_dataset(os.fspath(source), split=split)
        except (OSError, ValueError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(
                f"the data set {source} cannot be loaded ({reason}): check its name, the split {split!r}, the network"
            ) from error
    if isinstance(source, Mapping):
        if split not in source:
            raise InputError(f"the data set has no split {split!r}: it has {', '.join(source)}")
        source = source[split]
    if not isinstance(source, library.Dataset):
        raise InputError(f"the data set is a {type(source).__name__}: give its name, or load it without streaming")
    return source


@dataclass(frozen=True)
class _NumberedRows:
    """A Dataset's rows with their numbers, counted from 0 as `datasets` does."""

    name: str
    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int, /) -> tuple[int, Mapping[str, Any]]:
        return i, self.dataset[i]

    def where(self, i: int) -> str:
        return f"{self.name}, row {i},"


def _sample(numbered: tuple[int, Mapping[str, Any]], columns: Columns, root: Path, cache: Path, name: str) -> Sample:
    i, row = numbered
    if columns.conversation:
        turns = turns_of(row.get(columns.conversation))
    elif columns.caption:
        turns = (("", field(row, columns.caption)),)
    else:
        turns = ((field(row, columns.question or ""), field(row, columns.answer or "")),)
    return Sample(_medium(row.get(columns.media), columns.media, root, cache), turns, f"{name}/{i}")


def _medium(value: Any, column: str, root: Path, cache: Path) -> Path:
    """A path, {"path", "bytes"} or bytes -> the path of a file."""
    content, path = value, None
    if isinstance(value, Mapping):
        content, path = value.get("bytes"), value.get("path")
    elif isinstance(value, str):
        content, path = None, value
    if isinstance(content, bytes) and content:
        return _write_once(content, Path(path or "").suffix, cache)
    if not path:
        raise InputError(f"has neither a path nor bytes in {column!r}")
    if "://" in path:
        raise InputError(f"has an address in {column!r}, not a file ({path[:80]}): download it first")
    return root / Path(path).expanduser()


def _write_once(content: bytes, suffix: str, cache: Path) -> Path:
    """A file named by its contents, so that it is written once, whole or not at all."""
    file = cache / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"{file.name}.{os.getpid()}.tmp"
        unfinished.write_bytes(content)
        unfinished.replace(file)
    return file
