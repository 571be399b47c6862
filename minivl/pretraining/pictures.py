"""Still pictures of the toy world with words that say what is where: the data of the image trunk and image encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivl.toyworld.captions import in_order
from minivl.toyworld.render import placed, render_still
from minivl.toyworld.scenes import COLOURS, SHAPES, SIZES, THINGS, Scene, Thing, sample_scene

CELLS, RADII = 8, (0.12, 0.15, 0.19, 0.24, 0.29)  # how finely a caption tells place and size
WORDS = (
    "<pad>", "<start>", "<end>", *COLOURS, *SHAPES, *THINGS, *SIZES,
    *(f"column{i}" for i in range(CELLS)), *(f"row{i}" for i in range(CELLS)),
    *(f"radius{i}" for i in range(len(RADII) + 1)),
)  # fmt: skip
WORD_ID = {word: i for i, word in enumerate(WORDS)}


@dataclass(frozen=True)
class Pictures:
    """N stills: pixels [N, 3, 64, 64] uint8, what is shown and where in words, and the class that would sound."""

    pixels: Tensor
    shown: list[frozenset[str]]  # names, colours and sizes: what the contrastive training matches
    captions: list[list[str]]  # the same with places: what the image encoder learns to say
    classes: list[str]  # "large bell" where a sounding thing is visible, "silence" for an empty picture, else ""


def caption_words(scene: Scene, time: float) -> list[str]:
    """ "red circle column3 row4 radius2 ..." for everything visible at `time`, sounding things first."""
    words: list[str] = []
    for thing in in_order(Scene(scene.seed, _visible(scene, time))):
        x, y, radius = placed(scene, thing, time)
        cell = [min(CELLS - 1, max(0, int(c * CELLS))) for c in (x, y)]
        words += [thing.colour] if thing.colour else []
        size = f"radius{int(np.searchsorted(RADII, radius))}"
        words += [thing.name, size, f"column{cell[0]}", f"row{cell[1]}"]
    return words


def shown_words(scene: Scene, time: float) -> frozenset[str]:
    """Names, colours and sizes of everything visible at `time`; no size while a thing grows or shrinks."""
    sized = scene.motion not in ("grow", "shrink")
    return frozenset(w for t in _visible(scene, time) for w in (t.name, t.colour, t.size if sized else "") if w)


def sounding_class(scene: Scene, time: float) -> str:
    """The class of sound that this picture stands for; "" for silent shapes, "silence" for an empty picture."""
    visible = _visible(scene, time)
    if not visible:
        return "silence"
    return next((f"{t.size} {t.name}" for t in visible if t.sounds), "")


def _visible(scene: Scene, time: float) -> tuple[Thing, ...]:
    return tuple(t for t in scene.things if t.start <= time < t.end)


def paint(count: int, first_seed: int, size: int = 64, empty: float = 0.03, shapes: float = 0.0) -> Pictures:
    """Render `count` stills of scenes first_seed, first_seed + 1, ... at random moments.

    A share `empty` shows nothing. A scene without shapes is drawn once more with probability `shapes`.
    """
    rng = np.random.default_rng((first_seed, 3))
    pixels = np.empty((count, size, size, 3), np.uint8)
    shown, captions, classes = [], [], []
    for index in tqdm(range(count), desc="pictures", mininterval=1.0):
        scene, time = sample_scene(first_seed + index), 0.5 * int(rng.integers(8))
        if not scene.shapes and rng.random() < shapes:
            scene = sample_scene(first_seed + count + index)
        if rng.random() < empty:
            scene = Scene(scene.seed, ())
        pixels[index] = render_still(scene, time, size)
        shown.append(shown_words(scene, time))
        captions.append(caption_words(scene, time))
        classes.append(sounding_class(scene, time))
    return Pictures(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), shown, captions, classes)
