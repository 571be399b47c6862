"""The tensor passport: what stands between a file and the answer, one card for every tensor of one live pass.

    sight    frames   -> ... -> video soft prompt ->  words and soft prompts -> logits
    hearing  waveform -> ... -> audio soft prompt ->

minivl.trace runs the model once and notes the tensors; this file only draws what it noted. A card holds the stage's
name, the tensor's shape, type, megabytes and mean length of its vectors, and the parameters of the part that made it:
frozen or trained. The bar at its foot is as long as the tensor is large. Figure 1 of the paper, in numbers.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from minivl.course.overview import FILL, INK
from minivl.plots import Picture
from minivl.trace import Stage, Trace

HEARING, WORDS = "waveform", "token ids, slots included"  # the first stages of the later lanes
WIDTH, HEIGHT = 32.0, 8.4  # of a card
COLUMN, ROW = 38.0, 10.4  # from card to card
MARKS = {"frozen": "* frozen", "trained": "+ trained"}
INCHES = 10.2  # units of the drawing in an inch

Lane = tuple[Stage, ...]


def lanes(trace: Trace) -> tuple[Lane, Lane, Lane]:
    """The stages of sight, those of hearing, and those of words, where all meet; each in the order of computation."""
    names = [stage.name for stage in trace.stages]
    words = names.index(WORDS)
    hearing = names.index(HEARING) if HEARING in names else words
    return trace.stages[:hearing], trace.stages[hearing:words], trace.stages[words:]


def show_passport(trace: Trace) -> Figure:
    """One card for each stage of the trace: sight on the left, hearing on the right, words between and below them.

    The arrows say what is computed from what. A sense that was not traced has no lane.
    """
    sight, hearing, words = lanes(trace)
    senses = [(name, lane) for name, lane in (("sight", sight), ("hearing", hearing)) if lane]
    places = [(0.0, *senses[0]), *((2 * COLUMN, *sense) for sense in senses[1:])]
    longest = max(len(lane) for _, lane in senses)
    right, low = places[-1][0] + WIDTH if len(places) > 1 else COLUMN + WIDTH, -(longest + 1) * ROW
    figure = Picture(figsize=((right + 2) / INCHES, (HEIGHT + 6 - low) / INCHES), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-1, right + 1), ylim=(low - 1, HEIGHT + 5))
    axes.axis("off")
    largest = max(stage.megabytes for stage in trace.stages)
    for x, name, lane in places:
        axes.text(x + WIDTH / 2, HEIGHT + 2.5, name, ha="center", va="center", fontsize=13, weight="bold")
        first = longest - len(lane)
        _lane(axes, x, first, lane, largest)
        side = x + WIDTH if x < COLUMN else x  # of the soft prompt's card, towards the words
        end = (COLUMN + WIDTH * (0.12 if x < COLUMN else 0.88), -longest * ROW + HEIGHT)
        _arrow(axes, (side, -(longest - 1) * ROW + 2), end)
    _lane(axes, COLUMN, longest - 1, words, largest)
    _sums(axes, COLUMN + WIDTH / 2, trace, largest)
    return figure


def _lane(axes: Any, x: float, first: int, lane: Lane, largest: float) -> None:
    """Cards below each other from row `first` on, with arrows between them."""
    for row, stage in enumerate(lane, first):
        _card(axes, x, -row * ROW, stage, largest)
        if row > first:
            _arrow(axes, (x + WIDTH / 2, (1 - row) * ROW), (x + WIDTH / 2, -row * ROW + HEIGHT))


def _card(axes: Any, x: float, y: float, stage: Stage, largest: float) -> None:
    kind = stage.state or "data"
    box = FancyBboxPatch((x, y), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.8", linewidth=1.4)
    box.set(facecolor=FILL[kind], edgecolor=INK[kind])
    axes.add_patch(box)
    length = "" if stage.norm is None else f", length {stage.norm:.1f}"
    made = f"{MARKS[kind]}: {stage.parameters:,} parameters" if stage.state else "nothing learned"
    lines: list[tuple[str, dict[str, Any]]] = [
        (stage.name, {"weight": "bold", "fontsize": 10}),
        (stage.shape, {"family": "monospace", "fontsize": 9}),
        (f"{stage.dtype}, {stage.megabytes:.3f} MB{length}", {"fontsize": 9}),
        (made, {"fontsize": 9, "color": INK[kind]}),
    ]
    for line, (text, style) in enumerate(lines):
        axes.text(x + 1, y + HEIGHT - 1.3 - 1.8 * line, text, va="center", **style)
    bar = (WIDTH - 2) * stage.megabytes / largest
    axes.add_patch(Rectangle((x + 1, y + 0.35), bar, 0.5, facecolor=INK[kind], linewidth=0))


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color="#777777", shrinkA=0, shrinkB=0)
    )


def _sums(axes: Any, x: float, trace: Trace, largest: float) -> None:
    """What the cards add up to, in the room above the words."""
    frozen, trained = trace.parameters("frozen"), trace.parameters("trained")
    share = 100 * trained / max(frozen + trained, 1)
    for line, (text, colour, size) in enumerate((
        (f"* {frozen:,} frozen", INK["frozen"], 12),
        (f"+ {trained:,} trained", INK["trained"], 12),
        (f"parameters: {share:.1f} % are trained", "#111111", 10),
        ("", "#111111", 10),
        (f"a bar of full width: {largest:.3f} MB", "#444444", 10),
        ("length: the mean length of its vectors", "#444444", 10),
    )):  # fmt: skip
        axes.text(x, -ROW - 2.6 * line, text, ha="center", va="center", fontsize=size, color=colour)
