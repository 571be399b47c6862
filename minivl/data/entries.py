"""A JSON list read one entry at a time.

LLaVA's files have 150,000 to 600,000 entries: 230 MB of text, three times as much as Python objects. As for a table
(see table.py), one pass notes where each entry begins, and an entry is parsed when it is asked for. The original keeps
all of them, in every process.
"""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from minivl.data.files import BOM, MappedText, existing_annotations
from minivl.errors import InputError

DECODER = json.JSONDecoder()
BETWEEN = re.compile(r"\s*,?\s*")  # what separates two entries


class Entries:
    """The entries of a file that is a JSON list, or of the list under `key` in it.

    Raises InputError for a file that is missing, is not such a list, or is not JSON down to the list's end.
    """

    def __init__(self, file: Path, key: str | None = None) -> None:
        self.file = existing_annotations(file)
        # one character a byte, so that positions are bytes; what is JSON in UTF-8 is JSON in Latin-1 too
        text = self.file.read_bytes().decode("latin-1")
        try:
            begins = _entry_places(text, _list_place(text, key))
        except json.JSONDecodeError as error:
            raise InputError(
                f"{file} is not JSON from line {error.lineno}, column {error.colno} on ({error.msg}): download it again"
            ) from None
        except LookupError:
            where = f" under {key!r}" if key else ""
            raise InputError(f"{file} does not hold a list{where}: give the annotation file, in UTF-8") from None
        self._begins = np.frombuffer(begins, np.int64)  # [entries + 1]: the last is the end of the list
        self._text = MappedText(self.file)

    def __len__(self) -> int:
        return len(self._begins) - 1

    def __getitem__(self, i: int, /) -> Any:
        """Entry i. Raises InputError, without the place, for one that is not UTF-8."""
        return DECODER.raw_decode(self._text.part(self._begins[i], self._begins[i + 1]))[0]

    def where(self, i: int) -> str:
        """Entries are counted from 1."""
        return f"{self.file}, entry {i + 1},"


def _list_place(text: str, key: str | None) -> int:
    """Where the "[" is, alone in the file or under a key. Raises LookupError if it is not there."""
    start = rf"\s*(?:{BOM.decode('latin-1')})?\s*" if key is None else rf'"{re.escape(key)}"\s*:\s*'
    found = re.compile(start + r"(?=\[)")
    match = found.match(text) if key is None else found.search(text)
    if match is None:
        raise LookupError
    return match.end()


def _entry_places(text: str, place: int) -> array[int]:
    """The first byte of each entry of the list at `place`, and the list's end."""
    begins = array("q")
    place = _after_gap(text, place + 1)
    while not text.startswith("]", place):
        begins.append(place)
        _, place = DECODER.raw_decode(text, place)
        place = _after_gap(text, place)
    begins.append(place)
    return begins


def _after_gap(text: str, place: int) -> int:
    gap = BETWEEN.match(text, place)
    return gap.end() if gap else place
