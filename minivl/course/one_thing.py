"""The smallest world for notebook A1: one thing in a picture, one thing that sounds, and the words that name it.

    a picture   a small bell, a large red circle ...   well in the left or in the right half
    a sound     two seconds of one of the ten sounding things, small or large

Small enough for a CLIP, a BLIP-2, an ImageBind and a language model to be trained in some seconds each. Drawn with the
toy world's own brushes and synthesisers; the same seed always gives the same picture and the same sound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from minivl.mel import spectrogram
from minivl.toyworld.render import render_still
from minivl.toyworld.scenes import COLOURS, SHAPES, SIZES, THINGS, Scene, Sound, Thing
from minivl.toyworld.sounds import render_events

WORDS = (*SIZES, *COLOURS, *SHAPES, *THINGS)
LONGEST = 3  # words of a name: size, colour of a shape, kind
NO_WORD = len(WORDS)
SECONDS = 2.0


def one_thing(seed: int) -> Scene:
    """A scene with one thing: a coloured shape, or one of the ten sounding things, each in half of all cases."""
    rng = np.random.default_rng((seed, 31))
    shape = bool(rng.random() < 0.5)
    name, colour = (_pick(rng, SHAPES), _pick(rng, COLOURS)) if shape else (_pick(rng, THINGS), "")
    x = rng.uniform(0.28, 0.44) + 0.28 * (rng.random() < 0.5)  # left, or as far on the right
    return Scene(seed, (Thing(name, _pick(rng, SIZES), colour, x=float(x), y=float(rng.uniform(0.3, 0.7))),))


def name_of(scene: Scene) -> str:
    """What the one thing is: "small bell", "large red circle"."""
    thing = scene.things[0]
    return " ".join(word for word in (thing.size, thing.colour, thing.name) if word)


def side_of(scene: Scene) -> str:
    """In which half of the picture it is: "left" or "right"."""
    return "left" if scene.things[0].x < 0.5 else "right"


def paint(count: int, first_seed: int) -> tuple[list[Scene], Tensor]:
    """`count` scenes and their pictures [N, 3, 64, 64] uint8, of the seeds first_seed, first_seed + 1, ..."""
    scenes = [one_thing(first_seed + n) for n in range(count)]
    pixels = torch.from_numpy(np.stack([render_still(scene, 0.0) for scene in scenes]))  # [N, 64, 64, 3]
    return scenes, pixels.permute(0, 3, 1, 2).contiguous()


def record(count: int, first_seed: int) -> tuple[list[str], Tensor]:
    """`count` names ("large dog") and their sounds as log-mels [N, 1, 128, 204]."""
    names, mels = [], []
    for n in range(count):
        rng = np.random.default_rng((first_seed + n, 32))
        sound = Sound(_pick(rng, THINGS), _pick(rng, SIZES), 0.0, SECONDS)
        wave = torch.from_numpy(render_events((sound,), first_seed + n, duration=SECONDS))
        names.append(f"{sound.size} {sound.name}")
        mels.append(spectrogram(wave[None]))
    return names, torch.cat(mels)


def word_ids(names: Sequence[str]) -> Tensor:
    """The words of each name as numbers, NO_WORD where there are fewer than three: [N, 3] int64."""
    rows = [[WORDS.index(word) for word in name.split()] for name in names]
    return torch.tensor([row + [NO_WORD] * (LONGEST - len(row)) for row in rows])


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
