"""What a file must be before it is decoded, and one sentence for each way in which it is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import decord

from .errors import InputError, MediaError

decord.logging.set_level(decord.logging.QUIET)

# decord speaks through all of these; its own error class derives from Exception alone
DECODER_ERRORS = (decord.DECORDError, RuntimeError, AssertionError, IndexError, StopIteration)


def existing_file(source: str | os.PathLike[str]) -> Path:
    """The path of a file that exists and has contents. Raises MediaError, or InputError if it is no path."""
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"the source is a {type(source).__name__}: give the path of a file, or an array")
    path = Path(source).expanduser()
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give the path of one video, image or sound file in it")
    if not path.is_file():
        raise MediaError(f"{path} does not exist: check the path, which is looked up from {Path.cwd()}")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path} may not be read by this user: change its permissions")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes): copy or download it again")
    return path


def unreadable(path: Path) -> MediaError:
    """For a file that no decoder recognises."""
    return MediaError(
        f"{path} is not a video, image or sound file, or it is cut short or has nothing in it: "
        "play it in a media player, and download or convert it again (H.264 + AAC in mp4 always works)"
    )


_counted = threading.Lock()  # threads may decode at the same time, but the terminal is one
_inside, _terminal = 0, -1


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps C++ libraries from writing to the terminal; Python's exceptions say it better."""
    global _inside, _terminal
    with _counted:
        _inside += 1
        if _inside == 1:
            nowhere, _terminal = os.open(os.devnull, os.O_WRONLY), os.dup(2)
            os.dup2(nowhere, 2)
            os.close(nowhere)
    try:
        yield
    finally:
        with _counted:
            _inside -= 1
            if _inside == 0:
                os.dup2(_terminal, 2)
                os.close(_terminal)
