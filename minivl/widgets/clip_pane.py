"""The upper half of the window: where a clip comes from, how it looks, and which senses get it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minivl.demo import CLIPS
from minivl.errors import MinivlError
from minivl.model import VideoLlama
from minivl.perception import Perception, Source
from minivl.widgets.clip_view import ClipView
from minivl.widgets.layout import Parts
from minivl.widgets.notices import Notices
from minivl.widgets.upload import clear, uploaded
from minivl.widgets.watcher import Watcher


class ClipPane:
    """Watches what is picked, uploaded or named, and takes senses away.

    before: called before anything is watched or switched. then: called with what the model now perceives and with a
    sentence, which is "" if it is another clip.
    """

    def __init__(
        self, model: VideoLlama, parts: Parts, view: ClipView, before: Callable[[], None],
        then: Callable[[Perception, str], None],
    ) -> None:  # fmt: skip
        self.parts, self.view, self.before, self.then = parts, view, before, then
        self.watcher = Watcher(model, parts.sight, parts.hearing)
        self.notices = Notices(parts.clip_status, self.watcher.without_folder)
        quietly = self.notices.quietly
        parts.on_enter(parts.path, lambda: quietly(lambda: self._load(parts.path.value)))
        parts.sample.observe(lambda change: quietly(lambda: self._load_sample(change["new"])), "value")
        parts.file.observe(lambda change: quietly(lambda: self._load_upload(change["new"])), "value")
        for switch in (parts.sight, parts.hearing):
            switch.observe(lambda change: quietly(lambda: self._switch(change)), "value")

    def load(self, source: Source) -> None:
        """Watch a file or frames; a mistake is shown and raised."""
        self.notices.aloud(lambda: self._load(source))

    def upload(self, name: str, content: bytes) -> None:
        """Watch a file given as its name and its bytes; a mistake is shown and raised."""
        self.notices.aloud(lambda: self._load(self.watcher.store(name, content)))

    def _load(self, source: Source) -> None:
        self.before()
        self.notices.say("watching …")
        perceived, watcher = self.watcher.watch(source), self.watcher
        if source != CLIPS / self.parts.sample.value:
            self.parts.sample.value = ""
        self.view.show(watcher.source, watcher.name, watcher.whole)
        self.then(perceived, "")
        self.notices.say(*watcher.notes)

    def _load_sample(self, name: str) -> None:
        if name:
            self._load(CLIPS / name)

    def _load_upload(self, value: Any) -> None:
        if (file := uploaded(value)) is not None:
            clear(self.parts.file)
            self._load(self.watcher.store(*file))

    def _switch(self, change: Any) -> None:
        switch = change["owner"]
        self.before()
        try:
            left = self.watcher.left()
        except MinivlError:
            switch.value = change["old"]  # comes back here, and finds that the model perceives what it did
            raise
        self.view.switch(self.parts.sight.value, self.parts.hearing.value)
        sense = "sight" if switch is self.parts.sight else "hearing"
        if left is not None:
            self.then(left, f"{sense} is switched {'on' if switch.value else 'off'}: a new conversation begins")
