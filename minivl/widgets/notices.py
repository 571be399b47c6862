"""The line that tells what goes on, and what went wrong: one sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from minivl.errors import MinivlError

BUTTONS = {"with chat.reset()": "with New chat"}  # what a sentence of the package is called in the window


class Notices:
    """Shows sentences in an HTML widget. problem: the last mistake, "" after something that went well.

    reword: what to change in a sentence before it is shown.
    """

    def __init__(self, line: Any, reword: Callable[[str], str] = str) -> None:
        self.line, self.reword, self.problem = line, reword, ""

    def say(self, *sentences: str) -> None:
        """Tell something; nothing clears the line."""
        self.problem = ""
        self.line.value = f'<span role="status">{escape("; ".join(sentences))}</span>'

    def complain(self, error: Exception) -> None:
        """Tell of a mistake of the user's, or (with its type) of ours."""
        text = str(error) if isinstance(error, MinivlError) else f"{type(error).__name__}: {error}"
        for old, new in BUTTONS.items():
            text = text.replace(old, new)
        self.problem = self.reword(text)
        self.line.value = f'<span role="alert" class="minivl-error">{escape(self.problem)}</span>'

    def aloud(self, action: Callable[[], Any]) -> None:
        """Do something; a mistake is shown, and raised, too."""
        try:
            action()
        except (MinivlError, OSError) as error:
            self.complain(error)
            raise

    def quietly(self, action: Callable[[], Any]) -> None:
        """Do something; a mistake is only shown."""
        try:
            action()
        except (MinivlError, OSError) as error:
            self.complain(error)
