"""What the notebooks of the course share: figures with words, checkers of exercises, a quick profile for tests.

A notebook builds a part of Video-LLaMA itself and compares it with the package; nothing of the model is in here.
`nNN.py` holds the checkers of notebook NN's exercises.
"""

import minivl.torchaudio_shim  # noqa: F401  (before anything that may import transformers)
from minivl.course.checking import Wrong, check
from minivl.course.figures import BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, YELLOW, show
from minivl.course.overview import overview
from minivl.course.profile import SMOKE, steps, tiny_model

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "SMOKE",
    "YELLOW",
    "Wrong",
    "check",
    "overview",
    "show",
    "steps",
    "tiny_model",
]
