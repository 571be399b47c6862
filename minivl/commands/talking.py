"""A conversation in the terminal: questions, and commands that begin with a slash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minivl.answer_plot import describe_answer_trace
from minivl.answer_trace import AnswerTrace, trace_answer
from minivl.chat import Chat
from minivl.errors import InputError, MinivlError
from minivl.transcript import as_dict, save

HELP = """\
/new          forget all questions and answers
/again        another answer to the last question
/mute         take the sound away, /unmute gives it back; a new conversation begins
/blindfold    take the picture away, /look gives it back; a new conversation begins
/trace        what stands behind the last answer
/export FILE  save the conversation as JSON, or as text if the name ends in .txt
/quit         end the chat, as an empty line does"""


class Terminal:
    """A chat that has watched something, asked line by line. settings: keyword arguments of Chat.ask."""

    def __init__(self, chat: Chat, name: str, settings: dict[str, Any]) -> None:
        if chat.perceived is None:
            raise InputError("there is nothing to talk about yet: call chat.watch(a file) first")
        self.chat, self.name, self.settings, self.whole = chat, name, settings, chat.perceived
        self.muted = self.blindfolded = False
        self.commands: dict[str, Callable[[str], None]] = {
            "/new": self._new,
            "/again": lambda _: self._say(lambda stream: chat.ask_again(stream, **settings)),
            "/mute": lambda _: self._switch(True, self.blindfolded),
            "/unmute": lambda _: self._switch(False, self.blindfolded),
            "/blindfold": lambda _: self._switch(self.muted, True),
            "/look": lambda _: self._switch(self.muted, False),
            "/trace": lambda _: print(trace_text(trace_answer(chat))),
            "/export": self._export,
            "/help": lambda _: print(HELP),
        }

    def line(self, text: str) -> bool:
        """Answer a question or do a command; a mistake is printed as one sentence. False when it was /quit."""
        if text == "/quit":
            return False
        name, _, rest = text.partition(" ")
        try:
            if not text.startswith("/"):
                self._say(lambda stream: self.chat.ask(text, stream, **self.settings))
            elif name in self.commands:
                self.commands[name](rest.strip())
            else:
                raise InputError(f"there is no command {name}: type /help for a list")
        except MinivlError as error:
            print(error)
        except OSError as error:
            print(f"{error.filename or 'a file'}: {error.strerror}: choose another path")
        return True

    def _say(self, answer: Callable[[Callable[[str], None]], str]) -> None:
        print("minivl> ", end="", flush=True)
        told = len(self.chat.notes)
        try:
            answer(lambda piece: print(piece, end="", flush=True))
            print()
        except KeyboardInterrupt:
            print("\n(stopped: the question counts as never asked)")
        for note in self.chat.notes[told:]:
            print(f"({note})")

    def _new(self, _: str) -> None:
        self.chat.reset()
        print("(a new conversation)")

    def _switch(self, muted: bool, blindfolded: bool) -> None:
        perceived = self.whole.muted() if muted else self.whole
        self.chat.start(perceived.blindfolded() if blindfolded else perceived)
        self.muted, self.blindfolded = muted, blindfolded
        senses = [
            name for name, there in (("sight", self.chat.clip), ("hearing", self.chat.sound)) if there is not None
        ]
        print(f"(a new conversation, with {' and '.join(senses)})")

    def _export(self, file: str) -> None:
        if not file:
            raise InputError("/export needs the name of a file: /export conversation.txt")
        save(as_dict(self.chat, self.name), Path(file).expanduser())
        print(f"(saved as {file})")


def trace_text(trace: AnswerTrace) -> str:
    """What stands behind an answer, in lines."""
    layout = " ".join(
        piece.text if piece.kind == "text" else f"[{piece.kind}: {piece.tokens} vectors]" for piece in trace.layout
    )
    words = ", ".join(f"{word.text} {100 * word.probability:.1f} %" for word in trace.written)
    without = [f"{name}: {answer}" for name, answer in trace.without.items()]
    return "\n".join([f"read: {layout}", f"wrote: {words}", describe_answer_trace(trace), *without])
