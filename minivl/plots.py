"""Every picture that a notebook shows. Each function returns a figure of its own and keeps nothing.

show_frames(clip)    the frames that the model sees, with their times
show_mel(sound)      the waveform, and the log-mel segments that the model hears
show_parts(model)    figure 1 of the paper, drawn from a model: sizes, frozen or trained
show_answers(...)    clips, what was asked about them, what was answered
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einops import rearrange
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline
from torch import nn

from minivl.audio import Sound
from minivl.mel import HOP, LOWEST_HZ, MEL_BINS, RATE, SEGMENT_SECONDS
from minivl.model import VideoLlama
from minivl.video import Clip

FROZEN, TRAINED, DATA = "#cfe3f7", "#ffd3a8", "#f1f1f1"  # fill colours
INK = {FROZEN: "#1c4f82", TRAINED: "#a34700", DATA: "#555555"}  # of edges and marks
QUIET, LOUD = -1.3, 1.0  # ends of the mels' colour scale, the same for all sounds
RIGHT, WRONG, GREY = "#1a7f37", "#c22f2f", "#666666"
UNPADDED = 198  # columns of a log-mel that hold sound
TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000)
FLAME = Outline(  # for frozen parts there is matplotlib's own asterisk
    [(0.1, 1.5), (0.2, 0.7), (1.1, 0.3), (0.8, -0.6), (0.6, -1.2),
     (-0.6, -1.2), (-0.8, -0.6), (-1.0, 0.1), (-0.3, 0.2), (0.1, 1.5)],
    [Outline.MOVETO, *[Outline.CURVE4] * 9],
)  # fmt: skip

Asked = tuple[str, str, str]  # question, the model's answer, the true answer ("": not known)


class Picture(Figure):
    """A figure that Jupyter shows where a cell returns it, whatever backend there is; pyplot never sees it."""

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png", dpi=80)
        return png.getvalue()


@dataclass(frozen=True)
class Watched:
    """A clip and what was asked about it, for `show_answers`."""

    name: str
    clip: Clip | None
    sound: Sound | None
    asked: dict[str, list[Asked]]  # by kind of question: "visual", "temporal", ...


# ---- what goes in


def show_frames(clip: Clip) -> Figure:
    """The frames of a clip [T, 3, H, W] in a row, at most eight to a line, each under its time in seconds."""
    columns = min(len(clip.frames), 8)
    rows = math.ceil(len(clip.frames) / columns)
    figure = Picture(figsize=(1.4 * max(columns, 2), 1.7 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    for t in range(len(clip.frames)):
        _draw_frame(figure.add_subplot(grid[t // columns, t % columns]), clip, t, fontsize=10)
    return figure


def show_mel(sound: Sound) -> Figure:
    """The waveform over seconds, the segments cut from it shaded, and below the M log-mels [128, F] of them.

    The bright stripe at the end of a log-mel is padding (six frames, see mel.py).
    """
    count = len(sound.mel)
    figure = Picture(figsize=(max(7.0, 1.7 * count), 4.2), layout="constrained")
    grid = figure.add_gridspec(2, count, height_ratios=(1, 1.5))
    _draw_waveform(figure.add_subplot(grid[0, :]), sound)
    for m in range(count):
        axes = figure.add_subplot(grid[1, m])
        _draw_mel(axes, sound, m)
        axes.set(title=f"segment {m + 1}", xlabel="seconds", ylabel="" if m else "Hz (mel scale)")
    return figure


def _draw_frame(axes: Any, clip: Clip, t: int, fontsize: int) -> None:
    axes.imshow(rearrange(clip.frames[t], "c h w -> h w c").numpy())
    axes.set_title("a still image" if clip.is_image else f"{clip.timestamps[t]:.1f} s", fontsize=fontsize)
    axes.axis("off")


def _draw_waveform(axes: Any, sound: Sound) -> None:
    step = max(1, len(sound.waveform) // 20_000)  # an hour need not be drawn sample by sample
    wave = sound.waveform[::step]
    axes.plot([i * step / sound.rate for i in range(len(wave))], wave.tolist(), color="#333333", linewidth=0.4)
    for m, start in enumerate(sound.starts.tolist()):
        axes.axvspan(start, start + SEGMENT_SECONDS, color=(FROZEN, TRAINED)[m % 2], alpha=0.6, zorder=0)
    axes.set(xlim=(0, max(sound.duration, SEGMENT_SECONDS)), ylabel="amplitude")
    axes.set_title(f"waveform, {sound.duration:.1f} s at {sound.rate // 1000} kHz", fontsize=10)


def _draw_mel(axes: Any, sound: Sound, m: int, columns: int | None = None) -> None:
    mel, start = sound.mel[m, 0, :, :columns].numpy(), float(sound.starts[m])  # [128, F]
    extent = (start, start + mel.shape[1] * HOP / RATE, 0, MEL_BINS)
    axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=extent, vmin=QUIET, vmax=LOUD)
    axes.set_yticks([_mel_bin(hz) for hz in TICKS_HZ], [str(hz) for hz in TICKS_HZ])


def _mel_bin(hz: float) -> float:
    """Which of the 128 rows of a log-mel holds a frequency."""
    low, high, here = (math.log1p(f / 700) for f in (LOWEST_HZ, RATE / 2, hz))
    return MEL_BINS * (here - low) / (high - low)


# ---- what the model is


def show_parts(model: VideoLlama) -> Figure:
    """The model as a block diagram: parameters in each box, shapes on the arrows, frozen or trained by colour.

    A part that the model was loaded without has a dashed edge.
    """
    config, eyes, ears = model.config, model.config.image_qformer, model.config.imagebind
    size, D = config.vit.image_size, config.llm_width
    figure = Picture(figsize=(12.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, 125), ylim=(0, 52))
    axes.axis("off")
    learned = "branch\npositions, Q-Former,\nlinear"

    _box(axes, 1, 38, 11, f"frames\nT = {config.num_frames}", DATA)
    _arrow(axes, (12, 43.5), (27, 43.5), f"[T, 3, {size}, {size}]")
    _box(axes, 27, 38, 20, "image encoder\nViT, Q-Former", FROZEN, model.image_encoder)
    _arrow(axes, (47, 43.5), (59, 43.5), f"[T, {eyes.num_queries}, {eyes.width}]")
    _box(axes, 59, 38, 20, f"vision {learned}", TRAINED, model.vision_branch)
    _arrow(axes, (79, 43.5), (96, 34), f"[Qv, D] = [{config.vision_branch.qformer.num_queries}, {D}]")

    _box(axes, 1, 20, 11, f"sound\nM ≤ {config.num_segments}", DATA)
    _arrow(axes, (12, 25.5), (27, 25.5), f"[M, 1, {ears.audio.mel_bins}, {ears.audio.mel_frames}]")
    _box(axes, 27, 20, 20, "ImageBind\naudio trunk", FROZEN, model.imagebind and model.imagebind.audio)
    _arrow(axes, (47, 25.5), (59, 25.5), f"[M, {ears.embed_dim}]")
    _box(axes, 59, 20, 20, f"audio {learned}", TRAINED, model.audio_branch)
    _arrow(axes, (79, 25.5), (96, 25.5), f"[Qa, D] = [{config.audio_branch.qformer.num_queries}, {D}]")

    _box(axes, 1, 2, 11, "question", DATA)
    _arrow(axes, (12, 7.5), (27, 7.5), "L tokens")
    _box(axes, 27, 2, 20, "word embedding", FROZEN, model.llm.get_input_embeddings())
    _arrow(axes, (47, 7.5), (96, 18), f"[L, D] = [L, {D}]")
    _box(axes, 96, 15, 17, "language model", FROZEN, model.llm, 23)
    _arrow(axes, (113, 26.5), (120, 26.5), "")
    axes.text(120.5, 26.5, "answer", va="center", fontsize=11)
    _legend(axes, model)
    return figure


def _box(axes: Any, x: float, y: float, w: float, text: str, fill: str, part: Any = None, h: float = 11) -> None:
    """A rounded box; frozen and trained ones carry their number of parameters and a mark."""
    learned = fill is not DATA
    box = FancyBboxPatch((x + 0.6, y + 0.6), w - 1.2, h - 1.2, "round,pad=0.6", facecolor=fill, edgecolor=INK[fill])
    box.set(linewidth=1.4, linestyle="--" if learned and part is None else "-")
    axes.add_patch(box)
    axes.text(x + w / 2, y + h * (0.6 if learned else 0.5), text, ha="center", va="center", fontsize=9.5)
    if learned:
        note = _millions(part) if isinstance(part, nn.Module) else "not loaded"
        axes.text(x + w / 2, y + 1.5, note, ha="center", va="center", fontsize=8.5, color=INK[fill])
        _mark(axes, x + 1.9, y + h - 1.9, fill)


def _mark(axes: Any, x: float, y: float, fill: str) -> None:
    """A snowflake of three strokes, or a flame."""
    axes.plot(x, y, marker=(6, 2, 0) if fill is FROZEN else FLAME, markersize=11, color=INK[fill])


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color="#444444", shrinkB=0))
    angle = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.7
    axes.text(x, y, text, fontsize=8.5, ha="center", va="bottom", rotation=angle, rotation_mode="anchor")


def _legend(axes: Any, model: VideoLlama) -> None:
    branches = nn.ModuleList(part for part in (model.vision_branch, model.audio_branch) if part is not None)
    for y, fill, text in (
        (6.5, FROZEN, "frozen: learned before, never changed again"),
        (2.5, TRAINED, f"trained: the two branches, {_millions(branches)}"),
    ):
        _mark(axes, 79, y, fill)
        axes.text(81.5, y, text, va="center", fontsize=9.5, color=INK[fill])


def _millions(part: nn.Module) -> str:
    return f"{sum(p.numel() for p in part.parameters()) / 1e6:.2f} M parameters"


# ---- what comes out


def show_answers(watched: Sequence[Watched], path: Path | None = None) -> Figure:
    """Clips below each other: frames and log-mels on the left, questions and answers on the right.

    Answers are green where they are the true one, red where not (with the true one beside), grey where the
    truth is not known. Saved to `path` (its ending says the format) if that is given.
    """
    figure = Picture(figsize=(14, 0.4 + 2.75 * len(watched)))
    figure.set_layout_engine("constrained", hspace=0.05, wspace=0.04, h_pad=0.1)
    grid = figure.add_gridspec(len(watched), 2, width_ratios=(1.25, 1))
    for row, one in enumerate(watched):
        left = grid[row, 0].subgridspec(2, 8, height_ratios=(1, 1.1))
        if one.clip is not None:
            for t in range(min(len(one.clip.frames), 8)):
                _draw_frame(figure.add_subplot(left[0, t]), one.clip, t, fontsize=8)
        if one.sound is not None:
            _draw_track(figure.add_subplot(left[1, :]), one.sound)
        _write_answers(figure.add_subplot(grid[row, 1]), one)
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure


def _draw_track(axes: Any, sound: Sound) -> None:
    """All log-mels without their padding on one axis of time."""
    for m in range(len(sound.mel)):
        _draw_mel(axes, sound, m, columns=UNPADDED)
        axes.axvline(float(sound.starts[m]), color="white", linewidth=1)
    axes.set(xlim=(0, float(sound.starts[-1]) + SEGMENT_SECONDS), ylabel="Hz")
    axes.tick_params(labelsize=7)


def _write_answers(axes: Any, one: Watched) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    axes.text(0, 1, one.name, fontsize=12, weight="bold", va="top")
    lines = [(kind, *asked) for kind, several in one.asked.items() for asked in several]
    step = min(0.14, 0.84 / max(len(lines), 1))
    for number, (kind, question, answer, truth) in enumerate(lines):
        y = 0.82 - step * number
        colour = GREY if not truth else RIGHT if answer == truth else WRONG
        shown = answer if answer == truth or not truth else f"{answer} (true: {truth})"
        axes.text(0, y, kind, fontsize=9, color=GREY, va="top")
        axes.text(0.19, y, question, fontsize=10, va="top")
        shown = shown if len(shown) <= 44 else f"{shown[:42]} …"  # an answer of a large model may be a paragraph
        axes.text(0.68, y, shown, fontsize=10, color=colour, weight="bold", va="top")
