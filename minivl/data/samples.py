"""One sample, whatever data set it comes from: a media file, and what is said about it.

The paper's five sets are of two kinds. A caption says what is seen (WebVid, LLaVA-CC3M, MiniGPT-4's cc_sbu_align:
section 2.3 of the paper, first stage); a conversation is made of questions and answers (LLaVA-Instruct, VideoChat:
second stage). A set is lazy: asking for sample i parses row i, and no medium is opened.

The original replaces a sample that cannot be read by a random other one, and says so only in a log line
(video_llama/datasets/datasets/*.py). Here it is an InputError that names the row, and whoever asked for it counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minivl.errors import InputError


@dataclass(frozen=True)
class Sample:
    """A video or an image, and a conversation about it.

    In LLaVA's questions "<image>" stands where the picture is meant to be; a question without it is about the medium
    before it.
    """

    media: Path  # a video or an image file; it may be missing or broken: it has not been opened
    turns: tuple[tuple[str, str], ...]  # (question, answer); a caption is one turn with an empty question
    origin: str  # the set and the sample's name in it, for messages: "webvid/1023456"

    @property
    def is_caption(self) -> bool:
        """True for a single answer that nobody asked for."""
        return len(self.turns) == 1 and not self.turns[0][0]


class SampleSet(Protocol):
    """What a data set can do. Asking for a row that cannot be read raises InputError, naming file and line."""

    @property
    def name(self) -> str:
        """What messages call the set."""

    def __len__(self) -> int:
        """The number of rows, broken ones included."""

    def __getitem__(self, i: int, /) -> Sample:
        """Row i as a sample; raises InputError for a row that cannot be read, IndexError past the end."""


class Rows(Protocol):
    """Annotations, one row at a time."""

    def __len__(self) -> int:
        """The number of rows."""

    def __getitem__(self, i: int, /) -> Any:
        """Row i as it is in the file."""

    def where(self, i: int) -> str:
        """Where row i is to be found: a file, and a line or an entry in it."""


@dataclass(frozen=True)
class ParsedRows:
    """A SampleSet made of annotation rows and a function that makes a sample of one.

    `parse` raises InputError with what is wrong with the row ("has an empty 'caption'"); where it stands is added here.
    """

    name: str
    rows: Rows
    parse: Callable[[Any], Sample]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int, /) -> Sample:
        i = range(len(self.rows))[i]  # an IndexError past the end, which also ends a `for` loop over the set
        try:
            return self.parse(self.rows[i])
        except InputError as error:
            raise InputError(f"{self.rows.where(i)} {error}: mend the row or delete it") from None


def field(row: Any, key: str) -> str:
    """The text or number under `key` of a row, without the white space around it.

    Raises InputError if the row has no such field, or nothing in it.
    """
    if not isinstance(row, Mapping) or row.get(key) is None:
        raise InputError(f"has no {key!r}")
    value = row[key]
    if not isinstance(value, str | int):
        raise InputError(f"has a {type(value).__name__} where {key!r} should be text")
    text = str(value).strip()
    if not text:
        raise InputError(f"has an empty {key!r}")
    return text


def first_existing(*paths: Path) -> Path:
    """The first path that exists, or the first of all, so that a message names what was expected."""
    return next((path for path in paths if path.exists()), paths[0])
