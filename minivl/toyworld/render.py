"""A scene's pictures: background, things on their trajectories, sensor noise.

Frame k of a clip of T frames shows the time t = 4 k / T seconds. With the progress u = (t - 1.75) / 1.75,
which runs from -1 to 1 over the eight frames that the model sees, a thing has the place and the radius

    x(t) = x + u * TRAVEL * direction          r(t) = r * (1 ± u * GROWTH)

so the average over the eight frames is the place and the size that the scene names, and no single frame tells
which way a thing goes. All that is random comes from the scene's seed and the time alone: any size and any
number of frames show the same clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from minivl.toyworld.icons import ICONS, draw_shape
from minivl.toyworld.pen import Colour, Pen
from minivl.toyworld.scenes import DURATION, Scene, Thing

PALETTE: dict[str, Colour] = {
    "red": (214, 36, 40),
    "green": (42, 162, 66),
    "blue": (36, 84, 222),
    "yellow": (246, 214, 40),
    "purple": (142, 54, 188),
    "orange": (246, 132, 18),
}
RADIUS = {"small": 0.134, "large": 0.228}  # of the picture's width: 17 and 29 pixels across at 64
CROWDED = 0.8  # ... and of these where several things share the picture, which keeps them from touching
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
GROWTHS = {"grow": 1, "shrink": -1}
TRAVEL, GROWTH, EDGE = 0.2, 0.42, 0.08  # EDGE: how close a thing's middle may come to the border
MIDDLE = 1.75  # seconds: the eight frames stand at 0, 0.5 ... 3.5
TREMBLE = 0.005  # of the picture's width: what a thing that stands still moves, a third of a pixel at 64
SUPERSAMPLING = 3  # drawn larger, then reduced: soft edges
BACKDROP, THING, SENSOR = 1, 2, 3  # streams of random numbers


def render_frames(scene: Scene, num_frames: int = 8, size: int = 64) -> np.ndarray:
    """Pictures of a clip, evenly spaced over its 4 seconds: [T, size, size, 3] uint8 RGB."""
    return _render(scene, [k * DURATION / num_frames for k in range(num_frames)], size)


def render_still(scene: Scene, time: float, size: int = 64) -> np.ndarray:
    """The picture at `time` seconds: [size, size, 3] uint8 RGB."""
    return _render(scene, [time], size)[0]


def _render(scene: Scene, times: list[float], size: int) -> np.ndarray:
    backdrop, grain = _backdrop(scene.seed, size)
    frames = np.empty((len(times), size, size, 3), np.float32)  # [T, height, width, colour]
    for frame, time in zip(frames, times, strict=True):
        frame[:] = np.asarray(_drawn(scene, time, backdrop).reduce(SUPERSAMPLING))
        sensor = np.random.default_rng((scene.seed, SENSOR, round(time * 1000)))
        frame += grain * sensor.standard_normal(frame.shape, np.float32)
    return np.rint(np.clip(frames, 0, 255, out=frames), out=frames).astype(np.uint8)


def _drawn(scene: Scene, time: float, backdrop: Image.Image) -> Image.Image:
    """The supersampled picture without noise."""
    canvas = backdrop.copy()
    draw, width = ImageDraw.Draw(canvas), canvas.width
    for thing in scene.things:
        if not thing.start <= time < thing.end:
            continue
        x, y, radius = placed(scene, thing, time)
        rng = np.random.default_rng((scene.seed, THING, round(thing.x * 1e6)))  # a still picture keeps them, too
        turn, bigger, *tint = rng.uniform(-1, 1, 5).tolist()
        pen = Pen(draw, x * width, y * width, radius * width * (1 + 0.05 * bigger), math.radians(9 * turn))
        if thing.colour:
            draw_shape(pen, thing.name, _tinted(PALETTE[thing.colour], tint))
        else:
            ICONS[thing.name](pen, time + 2 + 2 * tint[0])
    return canvas


def placed(scene: Scene, thing: Thing, time: float) -> tuple[float, float, float]:
    """Where the thing's middle is at `time`, and its radius, all as parts of the picture's width."""
    together = [t for t in scene.things if t.start < thing.end and thing.start < t.end]
    radius = RADIUS[thing.size] * (CROWDED if len(together) > 1 else 1.0)
    progress = (time - MIDDLE) / MIDDLE  # -1 .. 1 over the eight frames
    if scene.motion in DIRECTIONS:
        right, down = DIRECTIONS[scene.motion]
        nearest = min(min(c, 1 - c) for t in together for c in ((t.x,) if right else (t.y,)))
        way = progress * max(0.0, min(TRAVEL, nearest - EDGE))
        return thing.x + right * way, thing.y + down * way, radius
    if scene.motion in GROWTHS:
        return thing.x, thing.y, radius * (1 + GROWTHS[scene.motion] * GROWTH * progress)
    phase = 3 * time + scene.seed % 7
    return thing.x + TREMBLE * math.sin(phase), thing.y + TREMBLE * math.cos(1.7 * phase), radius


def _tinted(colour: Colour, tint: Iterable[float]) -> Colour:
    red, green, blue = (round(min(255, max(0, c + 12 * t))) for c, t in zip(colour, tint, strict=True))
    return red, green, blue


def _backdrop(seed: int, size: int) -> tuple[Image.Image, float]:
    """A muted background (plain, a gradient or soft texture), supersampled, and the noise's strength."""
    rng = np.random.default_rng((seed, BACKDROP))
    grain = float(rng.uniform(0.5, 5.0))  # levels of 255
    light = rng.uniform(120, 232)
    pastel = light + rng.uniform(-14, 14, 3)  # grey, with a hint of a colour
    kind = rng.integers(3)
    grid = np.tile(pastel, (6, 6, 1))  # [row, column, colour]
    if kind == 1:
        across, down = rng.uniform(-22, 22, 2)
        ramp = np.linspace(-1, 1, 6)
        grid += across * ramp[None, :, None] + down * ramp[:, None, None]
    elif kind == 2:
        grid += rng.uniform(-16, 16, (6, 6, 1)) + rng.uniform(-4, 4, (6, 6, 3))
    coarse = Image.fromarray(np.clip(grid, 0, 255).astype(np.uint8))
    width = size * SUPERSAMPLING
    return coarse.resize((width, width), Image.Resampling.BICUBIC), grain
