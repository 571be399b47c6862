"""What the window has watched: everything that is in the file, and what is left of it when a sense is switched off."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.perception import Perception, Source, perceive
from minivl.widgets.upload import check_file, store


class Watcher:
    """Watches a file once with both senses, so that switching one off and on again costs nothing.

    sight, hearing: two check boxes. whole: what is in the file, None before the first.
    """

    def __init__(self, model: VideoLlama, sight: Any, hearing: Any) -> None:
        self.model, self.sight, self.hearing = model, sight, hearing
        self.name = ""
        self.source: Source = ""
        self.whole: Perception | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="minivl-")  # of uploads; removes itself with the window

    def watch(self, source: Source) -> Perception:
        """Watch another file; returns what is left of it for the senses that are switched on.

        Raises MediaError for a file that cannot be read or is out of bounds, InputError if nothing is left; then what
        was watched before stays.
        """
        name = "an array of frames"
        if isinstance(source, str | Path):
            source = Path(source).expanduser()
            check_file(source)
            name = source.name
        whole = perceive(self.model, source)
        left = self._left_of(whole, name)
        self.source, self.name, self.whole = source, name, whole
        return left

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the file."""
        return () if self.whole is None else self.whole.notes

    def store(self, name: str, content: bytes) -> Path:
        """Write an upload into a temporary folder. Raises MediaError if it is too large."""
        return store(name, content, Path(self._folder.name))

    def left(self) -> Perception | None:
        """What is left for the senses that are switched on. Raises InputError if that is nothing."""
        return None if self.whole is None else self._left_of(self.whole, self.name)

    def without_folder(self, sentence: str) -> str:
        """A sentence about an upload names the file, not where it was put."""
        return sentence.replace(f"{self._folder.name}/", "")

    def close(self) -> None:
        """Remove what was uploaded."""
        self._folder.cleanup()

    def _left_of(self, whole: Perception, name: str) -> Perception:
        if not (self.sight.value or self.hearing.value):
            raise InputError("sight and hearing are both switched off: switch one of them on")
        if whole.clip is not None and not self.sight.value:
            if whole.sound is None:
                raise InputError(f"{name} has nothing to hear, and sight is switched off: switch it on")
            whole = whole.blindfolded()
        if whole.sound is not None and not self.hearing.value:
            if whole.clip is None:
                raise InputError(f"{name} has nothing to see, and hearing is switched off: switch it on")
            whole = whole.muted()
        return whole
