"""All parts of the window that a person can press or type into, and where each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from minivl.widgets.clip_view import ClipView
from minivl.widgets.controls import AnswerControls
from minivl.widgets.look import STYLE, explained, html
from minivl.widgets.upload import KINDS, MAX_MEGABYTES, MAX_MINUTES, SERVER_MEGABYTES

BOUNDS = (
    f"At most {MAX_MEGABYTES} MB and {MAX_MINUTES} minutes. If nothing comes of an upload over {SERVER_MEGABYTES} MB, "
    "the notebook server has dropped it: give its path."
)
PLACEHOLDER = "Ask about the clip: what do you hear?"


class Parts:
    """The widgets, without their places. samples: names of the clips to choose from."""

    def __init__(self, samples: list[str]) -> None:
        self.sample = explained(
            widgets.Dropdown(options=[("pick a sample …", ""), *((name, name) for name in samples)], value=""),
            "a clip that comes with minivl",
        )
        self.file = widgets.FileUpload(accept=KINDS, multiple=False, description="Upload a file")
        explained(self.file, f"a video, an image or a sound. {BOUNDS}")
        self.path = explained(
            widgets.Text(placeholder="or a path on this machine, then Enter"),
            "a file where the kernel runs",
        )
        self.sight = explained(widgets.Checkbox(value=True, description="sight", indent=False), "let the model see")
        self.hearing = explained(widgets.Checkbox(value=True, description="hearing", indent=False), "let it hear")
        self.said = widgets.VBox([])
        self.clip_status, self.status = html("", "minivl-status"), html("", "minivl-status")
        self.question = explained(widgets.Text(placeholder=PLACEHOLDER), "your question; Enter asks it")
        self.ask = _button("Ask", "paper-plane", "ask the question (Enter does it, too)", "primary")
        self.stop = _button("Stop", "stop", "stop the answer; its question counts as never asked")
        self.again = _button("Regenerate", "refresh", "another answer to the last question")
        self.new = _button("New chat", "trash", "forget all questions and answers; the clip stays")
        self.sliders = AnswerControls()
        self.saving = html("", "minivl-hint")
        self.stop.disabled = True

    def on_enter(self, line: widgets.Text, action: Callable[[], None]) -> None:
        """Call `action` when Enter is pressed in a line. (`on_submit` does that, too, and warns since ipywidgets 8.)"""

        def heard(_: Any, message: dict[str, Any], buffers: Any) -> None:
            if message.get("event") == "submit":
                action()

        line.on_msg(heard)

    def set_busy(self, busy: bool) -> None:
        """While the model is at work there is something to stop, and nothing to begin."""
        self.stop.disabled = not busy
        self.ask.disabled = self.again.disabled = busy


def arrange(parts: Parts, clip_view: ClipView) -> widgets.VBox:
    """The clip with its views on top, the conversation below, the settings at the foot."""
    senses = _classed(widgets.HBox([parts.sight, parts.hearing]), "minivl-buttons")
    bounds = html(BOUNDS, "minivl-hint")
    source = _classed(
        widgets.VBox([parts.sample, parts.file, parts.path, bounds, parts.clip_status, clip_view.player, senses]),
        "minivl-source",
    )
    top = _classed(widgets.Box([source, clip_view.tabs]), "minivl-card", "minivl-top")
    log = _classed(widgets.Box([_classed(parts.said, "minivl-said")]), "minivl-log")
    parts.question.add_class("minivl-ask")
    line = _classed(widgets.HBox([parts.question, parts.ask, parts.stop]), "minivl-line")
    buttons = _classed(widgets.HBox([parts.again, parts.new, parts.saving]), "minivl-buttons")
    talk = _classed(widgets.VBox([log, parts.status, line, buttons]), "minivl-card")
    settings = widgets.Accordion([parts.sliders.box])
    settings.set_title(0, "How answers are chosen: temperature, top-p, beams, length")
    settings.selected_index = None
    return _classed(widgets.VBox([html(STYLE), top, talk, settings]), "minivl-app")


def _classed(box: widgets.Box, *classes: str) -> widgets.Box:
    for name in classes:
        box.add_class(name)
    return box


def _button(text: str, icon: str, tooltip: str, style: str = "") -> widgets.Button:
    made = widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=widgets.Layout(width="auto")
    )
    made.add_class(f"minivl-button-{text.split()[0].lower()}")
    return made
