"""Annotation files: what one has to be before it is read, and how its bytes are got at later, a few at a time."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from minivl.errors import InputError

BOM = b"\xef\xbb\xbf"  # that some programs write in front of UTF-8


def existing_annotations(file: Path) -> Path:
    """The path of a file of annotations that is there and has contents. Raises InputError otherwise."""
    file = Path(file).expanduser()
    if file.is_dir():
        raise InputError(f"{file} is a folder: give the annotation file in it")
    if not file.is_file():
        raise InputError(f"{file} does not exist: check the path, which is looked up from {Path.cwd()}")
    try:
        with file.open("rb") as opened:
            if not opened.read(1):
                raise InputError(f"{file} is empty (0 bytes): download it again")
    except PermissionError:
        raise InputError(f"{file} may not be read by this user: change its permissions") from None
    return file


class MappedText:
    """The text of a file, a part at a time: mapped into memory, not read.

    The file is opened when it is first asked for, and again in each process that this object is sent to.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._bytes: mmap.mmap | None = None

    def part(self, begin: int, end: int) -> str:
        """The text from byte `begin` up to byte `end`. Raises InputError, without the place, if it is not UTF-8."""
        if self._bytes is None:
            with self.file.open("rb") as opened:
                self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            return self._bytes[begin:end].decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text") from None

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "_bytes": None}
