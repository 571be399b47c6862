"""All of a file or nothing: written next to its place, then moved there.

An interrupted save, or a full disk, leaves the old file whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def replace(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder next to `target`, then move it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".saving-") as work:
        new = Path(work) / target.name
        write(new)
        for file in (new, *new.rglob("*")):  # safetensors makes files that only their owner may read
            file.chmod(0o755 if file.is_dir() else 0o644)
        if target.is_dir():
            shutil.move(target, Path(work) / "old")
        os.replace(new, target)


def write_text(file: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    replace(file, lambda path: path.write_text(text))
