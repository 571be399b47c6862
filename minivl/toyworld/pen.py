"""A pen that draws filled polygons in a thing's own coordinates.

A thing is drawn in the box [-1, 1] x [-1, 1], x to the right and y down. The pen turns, scales and moves that
box to its place on a canvas:

    [X]   [x]              [cos a  -sin a] [u]
    [Y] = [y]  +  radius * [sin a   cos a] [v]

so that the ten drawings in icons.py know nothing of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from PIL import ImageDraw

Colour = tuple[int, int, int]
Points = Iterable[tuple[float, float]]

CORNERS = 20  # of the polygon that stands for an oval
CIRCLE = tuple((math.cos(2 * math.pi * k / CORNERS), math.sin(2 * math.pi * k / CORNERS)) for k in range(CORNERS))


class Pen:
    """Draws around (`x`, `y`) with the unit length `radius`, in canvas pixels, turned by `turn` radians."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, turn: float = 0.0) -> None:
        self.draw, self.x, self.y, self.radius, self.turn = draw, x, y, radius, turn
        self.cos, self.sin = radius * math.cos(turn), radius * math.sin(turn)

    def turned(self, angle: float) -> Pen:
        """The same pen, its paper turned by `angle` radians around the thing's middle."""
        return Pen(self.draw, self.x, self.y, self.radius, self.turn + angle)

    def polygon(self, points: Points, colour: Colour, edge: Colour | None = None, width: float = 0.1) -> None:
        """Fill the polygon, then draw its `edge`, `width` wide in the thing's own coordinates."""
        corners = self._on_canvas(points)
        self.draw.polygon(corners, fill=colour)
        if edge is not None:
            closed = [
                *corners,
                corners[0],
                corners[1],
            ]  # the second corner again, so that the first gets a joint
            self.draw.line(closed, fill=edge, width=self._pixels(width), joint="curve")

    def oval(self, x: float, y: float, across: float, down: float, colour: Colour, edge: Colour | None = None) -> None:
        """An ellipse with the half axes `across` and `down`."""
        self.polygon([(x + across * u, y + down * v) for u, v in CIRCLE], colour, edge)

    def disc(self, x: float, y: float, radius: float, colour: Colour, edge: Colour | None = None) -> None:
        self.oval(x, y, radius, radius, colour, edge)

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: Colour, edge: Colour | None = None
    ) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour, edge)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        self.draw.line(self._on_canvas(points), fill=colour, width=self._pixels(width), joint="curve")

    def _on_canvas(self, points: Points) -> list[tuple[float, float]]:
        x, y, cos, sin = self.x - 0.5, self.y - 0.5, self.cos, self.sin  # Pillow counts from a pixel's middle
        return [(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in points]

    def _pixels(self, width: float) -> int:
        return max(1, round(width * self.radius))
