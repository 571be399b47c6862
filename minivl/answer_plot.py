"""The trace of an answer as a picture: its words and those that were nearly written, and where the queries looked."""

from __future__ import annotations

from typing import Any

from einops import rearrange
from torch import Tensor

from minivl.answer_trace import AnswerTrace, Written
from minivl.audio import Sound
from minivl.plots import LOUD, QUIET, UNPADDED, Picture
from minivl.video import Clip

BLUE, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#8c8c8c", "#222222"  # Okabe and Ito's blue and vermilion
MOST_WORDS = 4  # of the answer whose likeliest tokens are drawn
MOST_STEPS = 16  # frames or segments that are drawn with their picture


def show_answer_trace(trace: AnswerTrace) -> Picture:
    """The five likeliest tokens in the place of each of the answer's first ones, and below that, for each sense, the
    share of the queries' attention on each frame or segment.
    """
    senses = [shares for shares in (trace.frames, trace.segments) if shares is not None]
    figure = Picture(figsize=(10, 1.8 + 2.1 * len(senses)), layout="constrained")
    rows = figure.add_gridspec(1 + len(senses), 1, height_ratios=[1.6, *[2.1] * len(senses)])
    words = rows[0].subgridspec(1, max(3, min(len(trace.written), MOST_WORDS)))
    for number, word in enumerate(trace.written[:MOST_WORDS]):
        _draw_likeliest(figure.add_subplot(words[0, number]), number, word)
    if trace.frames is not None:
        title = "attention of the video queries on each frame"
        pictures = [] if trace.clip is None else _frames(trace.clip)
        _draw_shares(figure, rows[1], trace.frames, title, (BLUE, ""), pictures, _times(trace.clip))
    if trace.segments is not None:
        title = "attention of the audio queries on each 2-second segment"
        pictures = [] if trace.sound is None else _mels(trace.sound)
        _draw_shares(figure, rows[len(senses)], trace.segments, title, (ORANGE, "//"), pictures, _starts(trace.sound))
    return figure


def describe_answer_trace(trace: AnswerTrace) -> str:
    """The picture in words, for those who cannot see it."""
    words = ", ".join(f"{text} {100 * share:.0f} %" for text, share in trace.likeliest)
    parts = [f"Likeliest first words: {words}."]
    for name, shares in (("frame", trace.frames), ("segment", trace.segments)):
        if shares is not None:
            listed = ", ".join(f"{100 * share:.0f} %" for share in shares.tolist())
            parts.append(f"Attention on each {name}, in order: {listed}.")
    return " ".join(parts)


def _draw_likeliest(axes: Any, number: int, word: Written) -> None:
    texts, shares = zip(*word.likeliest, strict=True)
    axes.barh(range(len(texts)), shares, color=[INK if text == word.text else GREY for text in texts])
    for y, share in enumerate(shares):
        axes.text(share + 0.03, y, f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %", va="center", fontsize=9)
    axes.set_yticks(range(len(texts)), [_short(text) for text in texts], fontsize=10)
    axes.set(xlim=(0, 1.5), xticks=(), ylim=(len(texts) - 0.4, -0.6))
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(f"likeliest as word {number + 1}", fontsize=10.5)


def _draw_shares(
    figure: Picture, place: Any, shares: Tensor, title: str, fill: tuple[str, str], pictures: list[Any],
    names: list[str],
) -> None:  # fmt: skip
    """A bar for each share, and below it the frame or the log-mel that it is a share on. fill: colour and hatching."""
    count = len(shares)
    drawn = bool(pictures) and count <= MOST_STEPS
    grid = place.subgridspec(2 if drawn else 1, count, height_ratios=(1.2, 1) if drawn else None, hspace=0.02)
    axes = figure.add_subplot(grid[0, :])
    axes.axhline(1 / count, color=INK, linewidth=1, linestyle="--", zorder=1)  # what it would be if all were read alike
    axes.bar(range(count), shares.tolist(), width=0.7, color=fill[0], hatch=fill[1], edgecolor="white", zorder=2)
    for x, share in enumerate(shares.tolist() if drawn else ()):
        over = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(x, share, f"{100 * share:.0f} %", ha="center", va="bottom", fontsize=9.5, bbox=over, zorder=1.5)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(0, 1.3 * float(shares.max())), yticks=(), xticks=())
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"{title} (dashed: all alike)", fontsize=10.5)
    for x, image in enumerate(pictures if drawn else ()):
        below = figure.add_subplot(grid[1, x])
        if image.ndim == 2:
            below.imshow(image, aspect="auto", origin="lower", cmap="magma", vmin=QUIET, vmax=LOUD)
        else:
            below.imshow(image)
        below.set(xticks=(), yticks=())
        below.spines[:].set_visible(False)
        below.set_xlabel(names[x], fontsize=9)


def _frames(clip: Clip) -> list[Any]:
    return [rearrange(frame, "c h w -> h w c").numpy() for frame in clip.frames]


def _mels(sound: Sound) -> list[Any]:
    return [mel[0, :, :UNPADDED].numpy() for mel in sound.mel]


def _times(clip: Clip | None) -> list[str]:
    if clip is None:
        return []
    return ["a still image"] if clip.is_image else [f"{time:.1f} s" for time in clip.timestamps.tolist()]


def _starts(sound: Sound | None) -> list[str]:
    return [] if sound is None else [f"from {start:.1f} s" for start in sound.starts.tolist()]


def _short(text: str) -> str:
    return text if len(text) <= 14 else f"{text[:13]}…"
