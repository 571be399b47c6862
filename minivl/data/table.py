"""A text table (csv, tsv) too large for memory, read one row at a time.

WebVid's annotations have 2.5 or 10 million rows. One pass over the file notes where each row begins:

    table[i] = the bytes from begin[i] to begin[i + 1] of the file, parsed

So an open table costs 12 bytes a row, and asking for a row costs the reading of that row. The pass has to respect
quotes: a caption may hold commas, quotes ("" inside quotes) and line ends. The original reads all files into one
pandas table (webvid_datasets.py), in every process.
"""

from __future__ import annotations

import csv
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minivl.data.files import BOM, MappedText, existing_annotations
from minivl.errors import InputError

DELIMITERS = (",", "\t", ";", "|")


class Table:
    """Rows of one file with a header line, as dictionaries from column to text.

    The delimiter is the one that splits the header into the `columns` that are needed, whatever the file is called.
    Raises InputError for a file that cannot be read or lacks one of the columns.
    """

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self.file = existing_annotations(file)
        with self.file.open("rb") as opened:
            self.header, self.delimiter = read_header(opened, self.file, columns)
            begins, lines = _row_places(opened, self.delimiter)
        self._begins = np.frombuffer(begins, np.int64)  # [rows + 1]: the last is the end of the file
        self._lines = np.frombuffer(lines, np.int32)  # [rows]
        self._text = MappedText(self.file)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, i: int, /) -> dict[str, str]:
        """Row i. Raises InputError, without the place, for a row that is not as the header says."""
        text = self._text.part(self._begins[i], self._begins[i + 1]).rstrip("\r\n")
        reader = csv.reader([text, ""], delimiter=self.delimiter)
        try:
            values = next(reader)
        except csv.Error as error:
            raise InputError(f"cannot be parsed ({error})") from None
        if reader.line_num > 1:  # the reader went on to look for the end of a quoted text
            raise InputError("has a quote that is never closed")
        if len(values) != len(self.header):
            raise InputError(f"has {len(values)} columns where the header has {len(self.header)}")
        return dict(zip(self.header, values, strict=True))

    def where(self, i: int) -> str:
        """The file, and the line on which row i begins."""
        return f"{self.file}, line {self._lines[i]},"


class Tables:
    """The rows of several tables, one table after the other."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(tables)
        self._ends = list(accumulate(map(len, tables)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _place(self, i: int) -> tuple[Table, int]:
        t = bisect_right(self._ends, i)
        return self.tables[t], i - (self._ends[t - 1] if t else 0)

    def __getitem__(self, i: int, /) -> dict[str, str]:
        table, row = self._place(i)
        return table[row]

    def where(self, i: int) -> str:
        """The file and line of row i."""
        table, row = self._place(i)
        return table.where(row)


def read_header(opened: BinaryIO, file: Path, columns: Sequence[str]) -> tuple[list[str], str]:
    """The column names and the delimiter of a file that has just been opened, which is left at its first row.

    Raises InputError if no delimiter gives all of `columns`.
    """
    first = opened.readline()
    try:
        text = first.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text: save it as UTF-8 (in Excel: CSV UTF-8)") from None
    for delimiter in DELIMITERS:
        try:
            header = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
        except csv.Error:  # old Mac line ends: the whole file is one line
            continue
        if set(columns) <= set(header):
            return header, delimiter
    raise InputError(
        f"{file} has no columns {', '.join(columns)} in its first line, which is {text.strip()[:80]!r}: "
        "name the columns there, separated by commas or tabs"
    )


def _row_places(opened: BinaryIO, delimiter: str) -> tuple[array[int], array[int]]:
    """For each row its first byte, then the end of the file; and for each row its line (the header's is 1).

    Blank lines are no rows.
    """
    begins, lines = array("q"), array("i")
    position, line = opened.tell(), 2
    while first := opened.readline():
        pieces = [first] if _is_whole(first, delimiter.encode()) else _lines_of_row(first, opened, delimiter)
        if first.strip(b"\r\n"):
            begins.append(position)
            lines.append(line)
        position += sum(map(len, pieces))
        line += len(pieces)
    begins.append(position)
    return begins, lines


def _is_whole(line: bytes, delimiter: bytes) -> bool:
    """True for a line that is a row for certain: no quotes, or two, the first at the start of a column.

    It saves nearly all rows the slow way of `_lines_of_row`.
    """
    quotes = line.count(b'"')
    if quotes == 2:
        first = line.index(b'"')
        return first == 0 or line[first - 1 : first] == delimiter
    return quotes == 0


def _lines_of_row(first: bytes, opened: BinaryIO, delimiter: str) -> list[bytes]:
    """The lines of the row that begins with `first`: more than one if a quoted text goes over a line end.

    A quote that somebody forgot to close would swallow the rows after it. A row of several lines therefore has to
    be correct to the letter; if it is not, it ends with its first line, and only that row is lost.
    """
    after, lines = opened.tell(), list[bytes]()

    def following() -> Iterator[str]:
        for line in chain([first], iter(opened.readline, b"")):
            lines.append(line)
            yield line.decode("latin-1")  # one character a byte; quotes and delimiters are the same as in UTF-8

    try:
        next(csv.reader(following(), delimiter=delimiter))
        if len(lines) > 1:
            next(csv.reader([b"".join(lines).decode("latin-1")], delimiter=delimiter, strict=True))
        return lines
    except csv.Error:
        opened.seek(after)
        return [first]
