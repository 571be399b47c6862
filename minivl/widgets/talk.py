"""The conversation in the window: questions and answers below each other, the newest at the foot."""

from __future__ import annotations

from collections.abc import Callable, Set
from html import escape
from typing import Any

from minivl.answer_trace import AnswerTrace, trace_answer
from minivl.chat import Chat
from minivl.errors import InputError
from minivl.generation import AnswerStoppedError
from minivl.perception import Perception
from minivl.widgets.answer_view import AnswerView
from minivl.widgets.background import Background
from minivl.widgets.look import html


class Talk:
    """A chat and its views. Answers and traces are made in the background; each method returns at once.

    views: one for each of `chat.turns`, and perhaps one that is being written. said: the box that shows them, and those
    of conversations that the model has forgotten. on_change: called in the background when a turn is complete.
    on_problem: called there with what kept a question from being answered, and with that question.
    """

    def __init__(
        self, chat: Chat, said: Any, background: Background, on_change: Callable[[], None],
        on_problem: Callable[[Exception, str], None],
    ) -> None:  # fmt: skip
        self.chat, self.said, self.background = chat, said, background
        self.on_change, self.on_problem = on_change, on_problem
        self.views: list[AnswerView] = []

    def start(self, perceived: Perception, note: str = "") -> None:
        """A new conversation. With a note the old one stays in view above it."""
        self.chat.start(perceived)
        if note and self.views:
            for view in self.views:
                view.close_book()
            divider = html(f'<p class="minivl-note">{escape(note)}</p>')
            self.said.children = [*self.said.children, divider]
        elif not note:
            self.said.children = []
        self.views = []

    def reset(self) -> None:
        """A new conversation about the same; nothing of the old one stays in view."""
        self.chat.reset()
        self.said.children, self.views = [], []

    def senses(self) -> Set[int]:
        """The slots of the soft prompts that the model is given."""
        return set() if self.chat.perceived is None else self.chat.perceived.soft.keys()

    def ask(self, question: str, settings: dict[str, Any]) -> None:
        """Begin to answer a question. settings: keyword arguments of Chat.ask."""
        self.background.check_free()
        if self.chat.perceived is None:
            raise InputError("there is nothing to ask about yet: pick a sample or upload a file first")
        view = AnswerView(question.strip(), settings, self.toggle_trace)
        self.views = [*self.views, view]
        self.said.children = [*self.said.children, view.box]

        def forget(keep: bool) -> None:
            self.views = [other for other in self.views if other is not view]
            if not keep:
                self.said.children = [box for box in self.said.children if box is not view.box]

        def write() -> str:
            try:
                answer = self.chat.ask(question, view.add, stopped=self.background.stopped, **settings)
            except AnswerStoppedError as stopped:
                view.stop()
                forget(keep=True)
                self.on_problem(stopped, question)
                return view.answer
            except Exception as error:
                forget(keep=False)
                self.on_problem(error, question)
                raise
            view.done(answer)
            self.on_change()
            return answer

        self.background.start(write)

    def again(self, settings: dict[str, Any]) -> None:
        """Begin to answer the last question again. After a failure, or if it is stopped, the old answer stays.

        Raises InputError if there is no question.
        """
        self.background.check_free()
        view = self._view(-1)
        old_answer, old_settings = view.answer, view.settings
        view.begin_again(settings)

        def write() -> str:
            try:
                answer = self.chat.ask_again(view.add, stopped=self.background.stopped, **settings)
            except Exception as error:
                view.settings = old_settings
                view.done(old_answer)
                if isinstance(error, AnswerStoppedError):
                    return old_answer
                self.on_problem(error, "")
                raise
            view.done(answer)
            self.on_change()
            return answer

        self.background.start(write)

    def trace(self, turn: int) -> None:
        """Begin to open the trace of an answer. Raises InputError if there is none."""
        view = self._view(turn)
        place = self.views.index(view)
        self.background.check_free()

        def look() -> AnswerTrace:
            try:
                trace = trace_answer(self.chat, place)
            except Exception as error:
                self.on_problem(error, "")
                raise
            view.show(trace)
            return trace

        self.background.start(look)

    def toggle_trace(self, view: AnswerView) -> None:
        """What the button below an answer does."""
        if view.is_open:
            view.hide()
        elif view.trace is not None:
            view.show(view.trace)
        elif view in self.views:
            try:
                self.trace(self.views.index(view))
            except InputError as error:
                self.on_problem(error, "")

    def _view(self, turn: int) -> AnswerView:
        done = [view for view in self.views if view.state == "done"]
        if not -len(done) <= turn < len(done):
            raise InputError(f"there is no answer number {turn} among {len(done)}: ask a question first")
        return done[turn]
