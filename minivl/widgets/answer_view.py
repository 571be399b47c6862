"""One question with its answer, and behind a button what stands behind the answer (minivl/answer_trace.py)."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from minivl.answer_plot import describe_answer_trace, show_answer_trace
from minivl.answer_trace import AnswerTrace, Piece
from minivl.widgets.look import BLUE, ORANGE, explained, html, picture

WRITING, STOPPED = "…", "stopped: the model does not remember this question"
COLOURS = {"video": BLUE, "audio": ORANGE}
MOST_WORDS = 40  # of an answer that are listed with their probabilities


class AnswerView:
    """A question, its answer while it is written, and a button that opens its trace.

    state: "writing", "done" or "stopped". settings: what the answer was asked with.
    """

    def __init__(self, question: str, settings: dict[str, Any], on_trace: Callable[[AnswerView], None]) -> None:
        self.question, self.answer, self.state, self.settings = question, "", "writing", settings
        self.trace: AnswerTrace | None = None
        self.asked = html(escape(question), "minivl-question")
        self.answered = html(WRITING, "minivl-answer")
        self.button = widgets.Button(description="Trace", icon="search", layout=widgets.Layout(width="auto"))
        explained(self.button, "show or hide the trace: what the model read, found likely, and looked at")
        self.button.add_class("minivl-trace-button")
        self.button.on_click(lambda _: on_trace(self))
        self.traced = html("", "minivl-trace")
        self.box = widgets.VBox([self.asked, self.answered])
        self.box.add_class("minivl-exchange")

    def begin_again(self, settings: dict[str, Any]) -> None:
        """Empty the answer for another one."""
        self.answer, self.state, self.settings, self.trace = "", "writing", settings, None
        self.answered.value = WRITING
        self.box.children = [self.asked, self.answered]

    def add(self, piece: str) -> None:
        """Show one more piece of the answer."""
        self.answer += piece
        self.answered.value = escape(self.answer)

    def done(self, answer: str) -> None:
        """The answer is complete, and can be traced."""
        self.answer, self.state = answer, "done"
        self.answered.value = escape(answer) or '<span class="minivl-hint">(an empty answer)</span>'
        self.box.children = [self.asked, self.answered, self.button]

    def stop(self) -> None:
        """The answer was stopped."""
        self.state = "stopped"
        self.answered.value = f'{escape(self.answer)} {WRITING} <span class="minivl-hint">{STOPPED}</span>'

    def close_book(self) -> None:
        """The model has forgotten this exchange: a trace that was made stays, a new one cannot be."""
        if self.trace is None:
            self.button.disabled = True
            explained(self.button, "the model has forgotten this answer, so there is nothing left to trace")

    def show(self, trace: AnswerTrace) -> None:
        """Open this trace."""
        self.trace = trace
        self.traced.value = trace_html(trace)
        self.box.children = [self.asked, self.answered, self.button, self.traced]

    def hide(self) -> None:
        """Close the trace."""
        self.box.children = [self.asked, self.answered, self.button]

    @property
    def is_open(self) -> bool:
        """Whether the trace is shown."""
        return self.traced in self.box.children


def trace_html(trace: AnswerTrace) -> str:
    """The trace as HTML: prompt with slots, words with probabilities, answers with a sense less, the figure."""
    parts = [
        '<p class="minivl-heading">What the model read</p>',
        f'<div class="minivl-prompt">{" ".join(_piece(piece) for piece in trace.layout)}</div>',
        '<p class="minivl-heading">What it wrote, and how likely it found each word</p>',
        f"<div>{''.join(_word(word.text, word.probability) for word in trace.written[:MOST_WORDS])}</div>",
    ]
    if trace.without:
        parts += ['<p class="minivl-heading">The same question, asked alone with one sense less</p>', _without(trace)]
    parts += [f'<div class="minivl-fit">{picture(show_answer_trace(trace), describe_answer_trace(trace))}</div>']
    return "".join(parts)


def _piece(piece: Piece) -> str:
    if piece.kind == "text":
        return f'<span class="minivl-piece">{escape(piece.text)}</span>'
    bars = "<i></i>" * min(piece.tokens, 32)
    what = f"{piece.kind} soft prompt, {piece.tokens} vectors"
    return f'<span class="minivl-slots" style="background:{COLOURS[piece.kind]}" title="{what}">{what}{bars}</span>'


def _word(text: str, probability: float) -> str:
    return f'<span class="minivl-word"><b>{escape(text)}</b> {_percent(probability)}</span>'


def _percent(share: float) -> str:
    return "&lt; 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _without(trace: AnswerTrace) -> str:
    rows = [("with both, as above", trace.answer), *trace.without.items()]
    cells = "".join(f"<tr><td>{escape(name)}</td><td><b>{escape(answer)}</b></td></tr>" for name, answer in rows)
    return f"<table>{cells}</table>"
