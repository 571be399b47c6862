"""The numbers of an answer as sliders: temperature, top-p, beams, length (see minivl/sampling.py)."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from minivl.widgets.look import explained

LONGEST = 512  # tokens
LABELS = {"description_width": "90px"}


class AnswerControls:
    """Sliders in a box. `values()` is what `Chat.ask` takes."""

    def __init__(self) -> None:
        self.temperature = explained(
            widgets.FloatSlider(
                value=0, min=0, max=2, step=0.1, description="temperature", style=LABELS, readout_format=".1f"
            ),
            "0: always the likeliest word; 1: words are drawn as the model finds them likely; above: bolder",
        )
        self.top_p = explained(
            widgets.FloatSlider(
                value=1, min=0.05, max=1, step=0.05, description="top-p", style=LABELS, readout_format=".2f"
            ),
            "words are drawn only from the likeliest ones that together have this probability; needs a temperature",
        )
        self.beams = explained(
            widgets.IntSlider(value=1, min=1, max=8, description="beams", style=LABELS),
            "how many unfinished answers are kept side by side; with more than one the answer comes in one piece",
        )
        self.length = explained(
            widgets.IntSlider(value=64, min=1, max=LONGEST, description="length", style=LABELS),
            "the most tokens that an answer may have",
        )
        self.box = widgets.Box([self.temperature, self.top_p, self.beams, self.length])
        self.box.add_class("minivl-sliders")

    def values(self) -> dict[str, Any]:
        """max_new_tokens, temperature, top_p and num_beams."""
        return {
            "max_new_tokens": self.length.value,
            "temperature": self.temperature.value,
            "top_p": self.top_p.value,
            "num_beams": self.beams.value,
        }
