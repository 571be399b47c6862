"""Figures with words: every picture of the course has a text for those who cannot see it.

The colours are those of Okabe and Ito (2008), told apart by colour-blind eyes too.
Never let colour alone carry meaning.
"""

from __future__ import annotations

import io
import struct

from IPython.display import display
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, YELLOW, RED, GREY = "#56B4E9", "#F0E442", "#D55E00", "#666666"
DPI = 80


def show(figure: Figure, alt: str) -> None:
    """Display a figure as PNG with `alt` as its text; a frontend without pictures prints the text.

    Raises ValueError if the text says nothing.
    """
    if len(alt.split()) < 3:
        raise ValueError(f"alt={alt!r} does not say what is to be seen: write a sentence")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    png = file.getvalue()
    width, height = struct.unpack(">II", png[16:24])  # of the PNG's header
    display(
        {"image/png": png, "text/plain": alt},
        raw=True,
        metadata={"image/png": {"alt": alt, "width": width, "height": height}},
    )
