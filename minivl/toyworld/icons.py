"""The ten sounding things and the five shapes, drawn in the box [-1, 1] x [-1, 1].

Each thing has its own silhouette and its own colours, so that it is recognised when it is 16 pixels wide.
Some move a little as `time` (seconds) goes by: rain falls, a clock's hand turns. That motion repeats and is
never what a question asks about.
"""

from __future__ import annotations

import math

from minivl.toyworld.pen import Colour, Pen

WHITE, CREAM, BLACK, GREY = (250, 250, 248), (250, 236, 205), (32, 30, 36), (150, 156, 168)
GOLD, DARK_GOLD, YELLOW = (242, 186, 44), (150, 98, 14), (252, 214, 70)
RED, DARK_RED, PINK = (204, 44, 44), (122, 20, 26), (242, 132, 140)


def _ring(count: int, *radii: float) -> list[tuple[float, float]]:
    """`count` corners around the middle, the first on top, their distances taken in turn from `radii`."""
    angles = [2 * math.pi * k / count - math.pi / 2 for k in range(count)]
    return [(radii[k % len(radii)] * math.cos(a), radii[k % len(radii)] * math.sin(a)) for k, a in enumerate(angles)]


_ARM = 0.36  # half the width of the cross's arms
OUTLINES: dict[str, list[tuple[float, float]]] = {
    "circle": _ring(40, 0.92),
    "square": [(-0.78, -0.78), (0.78, -0.78), (0.78, 0.78), (-0.78, 0.78)],
    "triangle": [(u, v + 0.18) for u, v in _ring(3, 1.08)],
    "star": [(u, v + 0.06) for u, v in _ring(10, 1.08, 0.46)],
    "cross": [
        (-_ARM, -1.0), (_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM), (1.0, _ARM), (_ARM, _ARM),
        (_ARM, 1.0), (-_ARM, 1.0), (-_ARM, _ARM), (-1.0, _ARM), (-1.0, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip


def draw_shape(pen: Pen, name: str, colour: Colour) -> None:
    """One of the five shapes, with a darker edge of the same hue."""
    red, green, blue = colour
    pen.polygon(OUTLINES[name], colour, (red * 6 // 10, green * 6 // 10, blue * 6 // 10))


def bell(pen: Pen, time: float) -> None:
    pen = pen.turned(0.16 * math.sin(4.4 * time))
    right = [(0.14, -0.74), (0.42, -0.58), (0.54, -0.25), (0.6, 0.2), (0.92, 0.5), (0.92, 0.64)]
    pen.disc(0, 0.74, 0.22, DARK_GOLD)
    pen.disc(0, -0.82, 0.16, DARK_GOLD)
    pen.polygon(right + [(-u, v) for u, v in reversed(right)], GOLD, DARK_GOLD)
    pen.line([(-0.28, -0.4), (-0.34, 0.25)], (255, 232, 150), 0.14)
    pen.line([(-0.6, 0.36), (0.6, 0.36)], DARK_GOLD, 0.08)


def drum(pen: Pen, time: float) -> None:
    lift = 0.12 * math.sin(6.0 * time)
    pen.oval(0, 0.58, 0.88, 0.34, RED, DARK_RED)
    pen.polygon([(-0.88, -0.22), (0.88, -0.22), (0.88, 0.58), (-0.88, 0.58)], RED)
    zigzag = [(-0.88, -0.05), (-0.55, 0.78), (-0.2, 0.1), (0.2, 0.86), (0.55, 0.1), (0.88, 0.6)]
    pen.line(zigzag, WHITE, 0.09)
    pen.line([(-0.88, -0.22), (-0.88, 0.6)], DARK_RED, 0.1)
    pen.line([(0.88, -0.22), (0.88, 0.6)], DARK_RED, 0.1)
    pen.oval(0, -0.22, 0.9, 0.34, CREAM, DARK_RED)
    pen.line([(-0.1, -0.25), (-0.8, -0.9 + lift)], (140, 88, 40), 0.13)
    pen.line([(0.15, -0.25), (0.85, -0.9 - lift)], (140, 88, 40), 0.13)
    pen.disc(-0.1, -0.25, 0.12, (140, 88, 40))
    pen.disc(0.15, -0.25, 0.12, (140, 88, 40))


def bird(pen: Pen, time: float) -> None:
    blue, deep = (74, 168, 236), (24, 92, 160)
    flap = 0.16 * math.sin(7.0 * time)
    for x in (-0.1, 0.18):
        pen.line([(x, 0.5), (x, 0.9), (x + 0.16, 0.92)], (226, 120, 24), 0.1)
    pen.polygon([(-0.4, 0.05), (-1.0, -0.32), (-0.92, 0.02), (-1.0, 0.26), (-0.4, 0.4)], deep)
    pen.polygon([(0.72, -0.62), (1.06, -0.4), (0.72, -0.24)], (250, 150, 30))
    pen.oval(-0.02, 0.18, 0.62, 0.48, blue, deep)
    pen.disc(0.48, -0.42, 0.38, blue, deep)
    pen.oval(0.22, 0.02, 0.34, 0.34, blue)
    pen.oval(0.2, 0.34, 0.34, 0.24, WHITE)
    pen.polygon([(0.18, 0.02), (-0.2, -0.1), (-0.62, 0.12 - flap), (-0.34, 0.36), (0.05, 0.32)], deep)
    pen.disc(0.56, -0.48, 0.1, BLACK)


def car(pen: Pen, time: float) -> None:
    teal, deep, glass = (30, 186, 170), (8, 96, 92), (214, 240, 250)
    pen.polygon([(-0.7, 0.0), (-0.45, -0.58), (0.32, -0.58), (0.66, 0.0)], teal, deep)
    pen.polygon([(-0.98, 0.0), (0.78, -0.04), (1.0, 0.12), (1.0, 0.46), (-0.98, 0.46)], teal, deep)
    pen.polygon([(-0.54, -0.04), (-0.36, -0.46), (-0.08, -0.46), (-0.08, -0.04)], glass)
    pen.polygon([(0.06, -0.04), (0.06, -0.46), (0.26, -0.46), (0.48, -0.04)], glass)
    pen.box(0.8, 0.1, 1.0, 0.26, YELLOW)
    for x in (-0.52, 0.52):
        pen.disc(x, 0.46, 0.3, BLACK)
        pen.disc(x, 0.46, 0.13, GREY)
        u, v = 0.2 * math.cos(5 * time), 0.2 * math.sin(5 * time)
        pen.line([(x - u, 0.46 - v), (x + u, 0.46 + v)], GREY, 0.06)


def dog(pen: Pen, time: float) -> None:
    tan, brown = (196, 132, 72), (104, 60, 28)
    pen.oval(0, -0.05, 0.66, 0.74, tan, brown)
    pen.oval(0.06, 0.84 + 0.04 * math.sin(6 * time), 0.16, 0.2, (240, 100, 120))
    pen.oval(0, 0.42, 0.46, 0.4, CREAM)
    for side in (-1, 1):
        ear = [(0.42, -0.72), (0.74, -0.66), (0.98, -0.1), (0.9, 0.34), (0.68, 0.3), (0.58, -0.2)]
        pen.polygon([(side * u, v) for u, v in ear], brown)
        pen.disc(side * 0.26, -0.18, 0.12, BLACK)
    pen.oval(0, 0.22, 0.2, 0.14, BLACK)
    pen.line([(-0.22, 0.56), (0, 0.62), (0.22, 0.56)], BLACK, 0.07)


def rain(pen: Pen, time: float) -> None:
    cloud, edge, water = (104, 124, 168), (48, 58, 92), (34, 110, 232)
    for k, x in enumerate((-0.58, -0.2, 0.2, 0.58)):
        fall = (0.37 * k + 0.7 * time) % 1.0
        y = 0.16 + 0.62 * fall
        pen.polygon([(x, y - 0.2), (x + 0.12, y + 0.12), (x, y + 0.22), (x - 0.12, y + 0.12)], water)
    puffs = ((-0.55, -0.2, 0.4), (-0.1, -0.5, 0.46), (0.42, -0.36, 0.4), (0.66, -0.1, 0.3))
    for x, y, radius in puffs:
        pen.disc(x, y, radius, edge)
    pen.box(-0.55, -0.2, 0.66, 0.2, edge)
    for x, y, radius in puffs:
        pen.disc(x, y, radius - 0.09, cloud)
    pen.box(-0.55, -0.2, 0.66, 0.11, cloud)
    pen.disc(-0.18, -0.58, 0.2, (158, 176, 210))


def clock(pen: Pen, time: float) -> None:
    navy, face = (48, 40, 96), (255, 253, 244)
    for side in (-1, 1):
        pen.line([(side * 0.5, 0.6), (side * 0.72, 0.96)], navy, 0.18)
        pen.disc(side * 0.58, -0.72, 0.28, (172, 120, 60), navy)
    pen.disc(0, 0.06, 0.84, navy)
    pen.disc(0, 0.06, 0.66, face)
    for u, v in ((0, -1), (1, 0), (0, 1), (-1, 0)):
        pen.line([(0.5 * u, 0.06 + 0.5 * v), (0.64 * u, 0.06 + 0.64 * v)], navy, 0.1)
    angle = 0.6 + math.pi / 2 * time
    pen.line([(0, 0.06), (0.48 * math.sin(angle), 0.06 - 0.48 * math.cos(angle))], (220, 40, 40), 0.12)
    pen.line([(0, 0.06), (-0.24, -0.2)], BLACK, 0.14)
    pen.disc(0, 0.06, 0.1, BLACK)


def train(pen: Pen, time: float) -> None:
    green, deep = (34, 116, 66), (12, 58, 34)
    drift = 0.06 * math.sin(5 * time)
    for x, y, radius in ((0.5, -0.84, 0.15), (0.22, -0.88 + drift, 0.2), (-0.14, -0.8 - drift, 0.24)):
        pen.disc(x, y, radius, WHITE, GREY)
    pen.polygon([(0.78, 0.3), (1.04, 0.78), (0.55, 0.78)], BLACK)
    pen.box(0.4, -0.72, 0.68, -0.2, BLACK)
    pen.box(-0.4, -0.32, 0.82, 0.36, green, deep)
    pen.line([(0.12, -0.32), (0.12, 0.36)], YELLOW, 0.1)
    pen.disc(0.82, 0.02, 0.14, YELLOW)
    pen.box(-0.94, -0.58, -0.3, 0.36, green, deep)
    pen.box(-1.02, -0.7, -0.22, -0.52, BLACK)
    pen.box(-0.78, -0.4, -0.46, -0.06, (250, 232, 150))
    for x in (-0.64, -0.06, 0.5):
        pen.disc(x, 0.56, 0.27, RED, DARK_RED)
    u, v = 0.1 * math.cos(5 * time), 0.1 * math.sin(5 * time)
    pen.line([(-0.64 + u, 0.56 + v), (0.5 + u, 0.56 + v)], BLACK, 0.1)


def cat(pen: Pen, time: float) -> None:
    fur, dark, eye = (92, 92, 108), (42, 42, 54), (188, 240, 60)
    for side in (-1, 1):
        pen.polygon([(side * u, v) for u, v in ((0.78, 0.05), (0.76, -0.92), (0.14, -0.44))], fur, dark)
        pen.polygon([(side * u, v) for u, v in ((0.66, -0.3), (0.66, -0.68), (0.38, -0.44))], PINK)
    pen.oval(0, 0.16, 0.8, 0.64, fur, dark)
    pen.oval(0, 0.12, 0.7, 0.55, fur)
    for side in (-1, 1):
        pen.oval(side * 0.34, 0.02, 0.2, 0.2, eye)
        pen.oval(side * 0.34, 0.02, 0.06, 0.17, BLACK)
        for rise in (-0.06, 0.1):
            pen.line([(side * 0.3, 0.42), (side * 1.02, 0.42 + rise * 2)], WHITE, 0.06)
    pen.oval(0, 0.46, 0.26, 0.18, (196, 196, 206))
    pen.polygon([(-0.12, 0.3), (0.12, 0.3), (0, 0.44 + 0.02 * math.sin(3 * time))], PINK)


def phone(pen: Pen, time: float) -> None:
    magenta, deep = (222, 52, 138), (122, 16, 74)
    pen.box(-0.34, -0.36, 0.34, 0.0, deep)
    pen.polygon(
        [(-0.48, -0.12), (0.48, -0.12), (0.86, 0.62), (0.86, 0.82), (-0.86, 0.82), (-0.86, 0.62)],
        magenta,
        deep,
    )
    pen.disc(0, 0.36, 0.34, WHITE, deep)
    pen.disc(0, 0.36, 0.12, deep)
    pen = pen.turned(0.06 * math.sin(9 * time))
    handset = [
        (-0.98, -0.52),
        (-0.7, -0.78),
        (0.7, -0.78),
        (0.98, -0.52),
        (0.98, -0.2),
        (0.54, -0.2),
        (0.5, -0.46),
    ]
    pen.polygon([*handset, (-0.5, -0.46), (-0.54, -0.2), (-0.98, -0.2)], magenta, deep)


ICONS = {icon.__name__: icon for icon in (bell, drum, bird, car, dog, rain, clock, train, cat, phone)}
