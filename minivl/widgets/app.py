"""The chat window: a clip on top, a conversation about it below.

What a button does in the background, a method does and waits for: `app.ask("what do you hear?")` is a click on Ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minivl.answer_trace import AnswerTrace
from minivl.chat import Chat
from minivl.demo import CLIPS
from minivl.errors import MinivlError
from minivl.generation import AnswerStoppedError
from minivl.model import VideoLlama
from minivl.perception import Perception, Source
from minivl.transcript import as_dict
from minivl.widgets.answer_view import AnswerView
from minivl.widgets.background import Background
from minivl.widgets.clip_pane import ClipPane
from minivl.widgets.clip_view import ClipView
from minivl.widgets.export import links
from minivl.widgets.layout import Parts, arrange
from minivl.widgets.notices import Notices
from minivl.widgets.talk import Talk


class ChatApp:
    """A window to talk about a video, an image or a sound. As the last line of a cell it shows itself.

    model: who watches and answers. clip: what to watch first: a path, frames [T, 3, H, W] uint8, or None.

    Without a browser:
        app = ChatApp(model, "clip.mp4")
        app.ask("what do you hear?")        waits, and returns the answer
        app.hearing.value = False           takes the sound away; a new conversation begins
        app.trace(-1)                       opens and returns what stands behind the last answer
        app.export()                        the conversation as a dict
    Widgets: sight, hearing (check boxes); temperature, top_p, beams, length (sliders); sample, file, path (where a clip
    comes from); question, ask_button, stop_button, again_button, new_button. `wait()` waits for what a click began.
    chat: the conversation itself (minivl.Chat); views: its questions and answers as they stand in the window.

    A mistake is one sentence in the window (`problem`), and nothing is lost by it. A method raises it, too, as a
    MinivlError; clicks and switches do not.
    """

    def __init__(self, model: VideoLlama, clip: Source | None = None) -> None:
        self._parts = parts = Parts(sorted(path.name for path in CLIPS.iterdir()))
        self.sight, self.hearing = parts.sight, parts.hearing
        self.sample, self.file, self.path = parts.sample, parts.file, parts.path
        self.question, self.ask_button, self.stop_button = parts.question, parts.ask, parts.stop
        self.again_button, self.new_button = parts.again, parts.new
        self.temperature, self.top_p = parts.sliders.temperature, parts.sliders.top_p
        self.beams, self.length = parts.sliders.beams, parts.sliders.length
        self.chat = Chat(model)
        self._notices = Notices(parts.status)
        self._background = Background(parts.set_busy)
        self._talk = Talk(self.chat, parts.said, self._background, self._answered, self._failed)
        view = ClipView()
        self._clip = ClipPane(model, parts, view, self._background.interrupt, self._watched)
        self.box = arrange(parts, view)
        self._listen()
        if clip is not None:
            self.load(clip)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        view = {"model_id": self.box.model_id, "version_major": 2, "version_minor": 0}
        text = "The chat window: it needs a kernel, so run this cell."  # where there is none, on GitHub for example
        display({"application/vnd.jupyter.widget-view+json": view, "text/plain": text}, raw=True)

    @property
    def problem(self) -> str:
        """The last mistake as it stands in the window; "" after something that went well."""
        return self._clip.notices.problem or self._notices.problem

    @property
    def views(self) -> list[AnswerView]:
        """The questions and answers of this conversation as they stand in the window."""
        return self._talk.views

    # ---- the clip

    def load(self, source: Source) -> None:
        """Watch a file, or frames [T, 3, H, W] uint8; a new conversation begins.

        Raises MediaError for a file that cannot be read or is over the bounds of upload.py, InputError if the senses
        that are switched on find nothing in it; then everything is as before.
        """
        self._clip.load(source)

    def upload(self, name: str, content: bytes) -> None:
        """Watch a file given as its name and its bytes, as the upload button does; otherwise as `load`."""
        self._clip.upload(name, content)

    # ---- the conversation

    def ask(self, question: str, seed: int | None = None) -> str:
        """Ask with the numbers of the sliders, wait, and return the answer (as far as it got if it was stopped).

        seed: of the random numbers, which are used where the temperature is above 0. Raises InputError for a question
        that cannot be asked.
        """
        self._notices.aloud(lambda: self._talk.ask(question, self._settings(seed)))
        return str(self._background.result())

    def again(self, seed: int | None = None) -> str:
        """Another answer to the last question, in place of the one that it got; wait, and return it."""
        self._notices.aloud(lambda: self._talk.again(self._settings(seed)))
        return str(self._background.result())

    def stop(self) -> None:
        """Stop the answer that is being written; its question counts as never asked."""
        self._background.stop()

    def wait(self) -> None:
        """Wait for what a click began, an answer or a trace."""
        self._background.settle()

    def new_chat(self) -> None:
        """Forget all questions and answers; the clip stays."""
        self._background.interrupt()
        self._talk.reset()
        self._say()

    def trace(self, turn: int = -1) -> AnswerTrace:
        """Open the trace of an answer (-1: the last one), wait, and return it. Raises InputError if there is none."""
        self._notices.aloud(lambda: self._talk.trace(turn))
        trace: AnswerTrace = self._background.result()
        return trace

    def export(self) -> dict[str, Any]:
        """The conversation: clip, senses, notes, and each question with its answer and settings; plain data."""
        return as_dict(self.chat, self._clip.watcher.name)

    def close(self) -> None:
        """Take the window away, and remove what was uploaded."""
        self._background.close()
        self._clip.watcher.close()
        self.box.close()

    # ---- what clicks and switches do

    def _listen(self) -> None:
        quietly, talk = self._notices.quietly, self._talk
        clicks: tuple[tuple[Any, Callable[[], None]], ...] = (
            (self.ask_button, self._ask_typed),
            (self.stop_button, self.stop),
            (self.again_button, lambda: talk.again(self._settings(None))),
            (self.new_button, self.new_chat),
        )
        for button, action in clicks:
            button.on_click(lambda _, action=action: quietly(action))
        self._parts.on_enter(self.question, lambda: quietly(self._ask_typed))

    def _watched(self, perceived: Perception, note: str) -> None:
        """Called when there is something else to talk about, or a sense more or less (which is told by a note)."""
        if note and perceived.soft.keys() == self._talk.senses():
            return
        self._talk.start(perceived, note)
        self._say(*([note] if note else []))

    def _ask_typed(self) -> None:
        question, self.question.value = self.question.value, ""
        try:
            self._talk.ask(question, self._settings(None))
        except MinivlError:
            self.question.value = question
            raise

    def _settings(self, seed: int | None) -> dict[str, Any]:
        self._say()
        return {**self._parts.sliders.values(), "seed": seed}

    def _answered(self) -> None:
        """Called in the background when an answer is complete; a note may have come with it."""
        self._say(*self.chat.notes[len(self._clip.watcher.notes) :][-1:])

    def _failed(self, error: Exception, question: str) -> None:
        """Called in the background: the question was not answered, and stands in its line again."""
        if isinstance(error, AnswerStoppedError):
            self._say("stopped: the question counts as never asked")
        else:
            self._notices.complain(error)
        self.question.value = self.question.value or question

    def _say(self, *sentences: str) -> None:
        self._clip.notices.say()
        self._notices.say(*sentences)
        self._parts.saving.value = links(self.export())
