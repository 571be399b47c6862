"""A chat window for Jupyter: a line to type into, a button, and what was said so far.

Only core widgets, which ipywidgets 7 (Colab) and 8 share. A notebook that runs without a browser calls `chat.ask`.
"""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from minivl.chat import Chat
from minivl.errors import MinivlError


class ChatWindow:
    """Shows itself when it is the last line of a cell (or by `display(window.box)`).

    Errors, an empty question for example, are shown in the window and lose nothing.
    """

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.said = widgets.HTML()
        self.question = widgets.Text(placeholder="what do you hear?", layout=widgets.Layout(width="70%"))
        self.button = widgets.Button(description="Ask", button_style="primary")
        self.forget = widgets.Button(description="Start again")
        self.button.on_click(lambda _: self.ask())
        self.forget.on_click(lambda _: self.reset())
        line = widgets.HBox([self.question, self.button, self.forget])
        self.box = widgets.VBox([self.said, line])
        self._show()

    def ask(self) -> None:
        """Put the typed question to the model and show its answer."""
        try:
            self.chat.ask(self.question.value)
        except MinivlError as error:
            self._show(str(error))
        else:
            self.question.value = ""
            self._show()

    def reset(self) -> None:
        """Forget the conversation; what was watched stays."""
        self.chat.reset()
        self._show()

    def _show(self, problem: str = "") -> None:
        lines = [f"<p><b>you</b> {escape(q)}<br><b>minivl</b> {escape(a)}</p>" for q, a in self.chat.history]
        lines += [f"<p><i>{escape(problem)}</i></p>"] if problem else []
        self.said.value = "".join(lines) or "<p><i>Ask about the clip.</i></p>"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
