"""A file that somebody uploads: out of the widget, within bounds, into a folder of its own.

ipywidgets 7 gives {name: {"metadata": {...}, "content": bytes}}, ipywidgets 8 a tuple of dicts with "name" and a
memoryview as "content". The bounds keep a slip of the mouse (a whole film) from filling the memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minivl.audio import load_audio
from minivl.errors import InputError, MediaError, NoPictureError
from minivl.video import load_video

MAX_MEGABYTES = 200  # of a file
MAX_MINUTES = 10  # of a video or a sound
SERVER_MEGABYTES = 10  # what a notebook server with its factory settings lets through in one message
KINDS = "video/*,image/*,audio/*"  # what the browser's file dialogue offers
NO_NAME = "upload"


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """The name and the bytes of the last file in a FileUpload's value, in either layout; None if it is empty."""
    if not value:
        return None
    if isinstance(value, dict):
        name, file = list(value.items())[-1]
        return str(name), bytes(file["content"])
    return str(value[-1]["name"]), bytes(value[-1]["content"])


def clear(widget: Any) -> None:
    """Empty a FileUpload, so that the same file can be uploaded again. ipywidgets 7 does not let us, and need not."""
    if not widget.traits()["value"].read_only:
        widget.value = ()


def store(name: str, content: bytes, folder: Path) -> Path:
    """Write an upload into `folder`, under its own name without any folders in it.

    Raises MediaError for a file over MAX_MEGABYTES.
    """
    check_size(name, len(content))
    own = Path(name.replace("\\", "/")).name
    path = folder / (NO_NAME if own in ("", "..") else own)
    path.write_bytes(content)
    return path


def check_size(name: str, size: int) -> None:
    """Raises MediaError if `size` bytes are over MAX_MEGABYTES."""
    if size > MAX_MEGABYTES * 10**6:
        raise MediaError(f"{name} has {size / 10**6:.0f} MB, and at most {MAX_MEGABYTES} MB are taken: shrink it")


def check_file(path: str | os.PathLike[str]) -> None:
    """Raises MediaError for a file over MAX_MEGABYTES or MAX_MINUTES, or one that cannot be read."""
    path = Path(path).expanduser()
    if path.is_file():  # what is no file is said by whoever reads it
        check_size(path.name, path.stat().st_size)
    if (seconds := _seconds(path)) > MAX_MINUTES * 60:
        raise MediaError(
            f"{path.name} lasts {seconds / 60:.0f} minutes, and at most {MAX_MINUTES} minutes are taken: cut a part out"
        )


def _seconds(path: Path) -> float:
    try:
        return load_video(path, num_frames=1, size=8).duration  # opens the file and decodes one small frame
    except NoPictureError:
        sound = load_audio(path, num_segments=1)
        if sound is None:
            raise InputError(f"{path.name} holds neither a picture nor a sound: give another file") from None
        return sound.duration
