"""What happens in a clip of the toy world, as plain data: no pixels and no sound yet.

A scene is drawn from a seed. Seeds below 500,000 are for training, from 500,000 on for choosing between
designs, from 1,000,000 on for reporting: they are looked at last.

Three of the thirty colour x shape pairs are never shown in training (`UNSEEN_PAIRS`), so that a test can ask
whether colour and shape were learned apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle", "star", "cross")
THINGS = ("bell", "drum", "bird", "car", "dog", "rain", "clock", "train", "cat", "phone")
SIZES = ("small", "large")
MOTIONS = ("left", "right", "up", "down", "grow", "shrink", "still")
UNSEEN_PAIRS = (("red", "star"), ("blue", "triangle"), ("yellow", "cross"))

CHOOSING_SEED, REPORTING_SEED = 500_000, 1_000_000
DURATION = 4.0  # seconds
HALF = DURATION / 2  # where the first event of a two-event clip ends


@dataclass(frozen=True)
class Thing:
    """One visible object. `name` is a shape (then `colour` is set) or one of the ten sounding things."""

    name: str
    size: str  # "small" or "large"
    colour: str = ""  # empty for the sounding things, which have their own colours
    start: float = 0.0  # seconds: visible in [start, end)
    end: float = DURATION
    x: float = 0.5  # centre of its trajectory, 0..1 from the left
    y: float = 0.5  # 0..1 from the top

    @property
    def sounds(self) -> bool:
        return self.name in THINGS


@dataclass(frozen=True)
class Sound:
    """One heard event. A large thing sounds lower than a small one."""

    name: str
    size: str
    start: float = 0.0
    end: float = DURATION


@dataclass(frozen=True)
class Scene:
    """Everything that is true of a clip: captions, questions and answers are read off this."""

    seed: int
    things: tuple[Thing, ...]  # in order of appearance; empty: an empty picture
    motion: str = "still"  # one of MOTIONS; all things move together
    sounds: tuple[Sound, ...] = field(default=())  # in order; empty: silence

    @property
    def events(self) -> tuple[Thing, ...]:
        """The things of a two-event clip in order, empty for any other clip."""
        return self.things if len(self.things) == 2 and self.things[1].start > 0 else ()

    @property
    def shapes(self) -> tuple[Thing, ...]:
        return tuple(t for t in self.things if t.colour)

    @property
    def sounding(self) -> tuple[Thing, ...]:
        """The visible things that could make a sound."""
        return tuple(t for t in self.things if t.sounds)

    def at(self, time: float) -> Scene:
        """What a still picture taken at `time` seconds shows: a scene without motion and sound."""
        visible = tuple(replace(t, start=0.0, end=DURATION) for t in self.things if t.start <= time < t.end)
        return Scene(self.seed, visible)


def sample_scene(seed: int, unseen_pairs: bool = False) -> Scene:
    """Draw a scene; the same seed always gives the same scene.

    `unseen_pairs=True` draws a clip with one coloured shape of a pair that no training ever saw.
    """
    rng = np.random.default_rng((seed, 7))
    if unseen_pairs:
        colour, shape = UNSEEN_PAIRS[rng.integers(len(UNSEEN_PAIRS))]
        alone = (Thing(shape, _pick(rng, SIZES), colour, x=_near(rng), y=_near(rng)),)
        return Scene(seed, alone, _pick(rng, MOTIONS), _sample_sounds(rng, alone))
    kind = rng.choice(["one", "several", "thing", "two", "empty"], p=[0.30, 0.22, 0.18, 0.27, 0.03])
    motion = "still"
    things: tuple[Thing, ...] = ()
    if kind == "one":
        things, motion = (_shape(rng, _near(rng), _near(rng)),), _pick(rng, MOTIONS)
    elif kind == "several":
        things = tuple(_shape(rng, x, y) for x, y in _places(rng, int(rng.integers(2, 4))))
        if rng.random() < 0.4:
            motion = _pick(rng, MOTIONS[:4])
    elif kind == "thing":
        places = _places(rng, 2) if rng.random() < 0.35 else [(_near(rng), _near(rng))]
        things = (Thing(_pick(rng, THINGS), _pick(rng, SIZES), x=places[0][0], y=places[0][1]),)
        things += tuple(_shape(rng, x, y) for x, y in places[1:])
    elif kind == "two":
        names = rng.choice(THINGS, size=2, replace=False)
        spans = ((0.0, HALF), (HALF, DURATION))
        things = tuple(
            Thing(str(n), _pick(rng, SIZES), start=s, end=e, x=_near(rng), y=_near(rng))
            for n, (s, e) in zip(names, spans, strict=True)
        )
    return Scene(seed, things, motion, _sample_sounds(rng, things))


def _sample_sounds(rng: np.random.Generator, things: tuple[Thing, ...]) -> tuple[Sound, ...]:
    """Sound that matches the picture (half of the time where it can), that does not, or silence."""
    seen = [t for t in things if t.sounds]
    draw = rng.random()
    if draw < 0.12:
        return ()
    if seen and draw < 0.56:
        return tuple(Sound(t.name, t.size, t.start, t.end) for t in seen)
    unseen = [name for name in THINGS if name not in {t.name for t in seen}]
    count = len(seen) or (1 if rng.random() < 0.5 else 2)
    names = rng.choice(unseen, size=count, replace=False)
    spans = [(0.0, DURATION)] if count == 1 else [(0.0, HALF), (HALF, DURATION)]
    return tuple(Sound(str(n), _pick(rng, SIZES), s, e) for n, (s, e) in zip(names, spans, strict=True))


def _shape(rng: np.random.Generator, x: float, y: float) -> Thing:
    while True:
        colour, shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
        if (colour, shape) not in UNSEEN_PAIRS:
            return Thing(shape, _pick(rng, SIZES), colour, x=x, y=y)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _near(rng: np.random.Generator) -> float:
    """A coordinate close to the middle, so that a trajectory through it stays inside the picture."""
    return float(rng.uniform(0.38, 0.62))


def _places(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """`count` places that do not overlap: the corners of a triangle (or two opposite places), turned at random."""
    turn, radius = rng.uniform(0, 2 * np.pi), 0.25
    angles = [turn + 2 * np.pi * k / count for k in range(count)]
    return [(float(0.5 + radius * np.cos(a)), float(0.5 + radius * np.sin(a))) for a in angles]
