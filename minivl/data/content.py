"""Which file is it? By what is in it, not by what it is called.

A cache that goes by names gives yesterday's clip for today's file of the same name. So a file is known by the SHA-256
of its bytes. Each is read once: its hash is kept in a small SQLite table together with its size and times, and a file
whose size and times are as before is not read again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from minivl.errors import InputError, MediaError
from minivl.media import existing_file

BLOCK = 1 << 20  # bytes read at a time
DIGITS = 32  # hexadecimal ones that are kept: 128 bits
PATIENCE = 60.0  # seconds to wait while another process writes


class ContentHashes:
    """Hashes of files, remembered in `table`. Several threads and processes may use one table."""

    def __init__(self, table: Path) -> None:
        """Opens the table or makes it. Raises InputError if it is damaged or cannot be written."""
        self.table = table
        self._one_at_a_time = threading.Lock()
        try:
            table.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(table, PATIENCE, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        self._ask("PRAGMA synchronous = OFF")  # what a power cut takes away is read again
        self._ask("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, hash TEXT) WITHOUT ROWID")

    def known(self, media: Path) -> str | None:
        """The hash of a file that was hashed and has not changed since; otherwise None. The file is not read.

        Raises MediaError for a file that is missing or empty.
        """
        path, state = _identity(media)
        found = self._ask("SELECT hash FROM files WHERE path = ? AND state = ?", path, state)
        return str(found[0][0]) if found else None

    def of(self, media: Path) -> str:
        """The hash of a file, which is read if need be. Raises MediaError for one that cannot be."""
        if known := self.known(media):
            return known
        path, state = _identity(media)  # before it is read: if it changes meanwhile, the row is stale, not wrong
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise MediaError(f"{path} cannot be read ({error.strerror}): copy it again, or mount its disk") from error
        found = digest.hexdigest()[:DIGITS]
        self._ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", path, state, found)
        return found

    def _ask(self, words: str, *values: str) -> list[Any]:
        try:
            with self._one_at_a_time:
                return self._rows.execute(words, values).fetchall()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> InputError:
        return InputError(f"{self.table} cannot be used ({error}): delete it, and it is made anew from the media")


def _identity(media: Path) -> tuple[str, str]:
    """The path, and what changes when the file does. The last of the times is set by the system alone."""
    path = os.path.abspath(existing_file(media))
    found = os.stat(path)
    return path, f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
