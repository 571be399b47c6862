"""The clip as a person sees it, beside what the model gets of it: a few small frames, a few log-mels."""

from __future__ import annotations

import io
from html import escape
from pathlib import Path

import ipywidgets as widgets
from einops import rearrange
from PIL import Image
from torch import Tensor

from minivl.perception import Perception, Source
from minivl.plots import show_mel
from minivl.widgets.look import data_uri, html, picture

SEGMENT_PIXELS = 130  # the least width of a log-mel whose labels can be read
MAX_PLAYED = 30 * 10**6  # bytes; a player holds the whole file inside the page
KINDS = {  # what browsers play, by the file's ending
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg",
    ".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg",
    ".oga": "audio/ogg", ".opus": "audio/ogg", ".flac": "audio/flac",
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".bmp": "image/bmp",
}  # fmt: skip


class ClipView:
    """A player, and two tabs: what the model sees, what it hears."""

    def __init__(self) -> None:
        self.player = html('<p class="minivl-hint">No clip yet.</p>', "minivl-player")
        self.seen, self.heard = html("", "minivl-seen"), html("", "minivl-heard")
        self.tabs = widgets.Tab([self.seen, self.heard])
        self.tabs.set_title(0, "What it sees")
        self.tabs.set_title(1, "What it hears")
        self.tabs.add_class("minivl-views")

    def show(self, source: Source, name: str, perceived: Perception | None) -> None:
        """Fill in a clip: `perceived` has all that is in it, whatever is switched off; None: there is nothing yet."""
        if perceived is None:
            return
        self.player.value = _player(source, name)
        self.seen.value, self.heard.value = _seen(perceived), _heard(perceived)
        self.tabs.selected_index = 0 if perceived.clip is not None else 1

    def switch(self, sight: bool, hearing: bool) -> None:
        """Fade what the model does not get."""
        for view, on in ((self.seen, sight), (self.heard, hearing)):
            (view.remove_class if on else view.add_class)("minivl-off")


def _player(source: Source, name: str) -> str:
    """The file itself in a <video>, <audio> or <img>; a sentence if a browser would not play it."""
    caption = f'<p class="minivl-hint">{escape(name)}</p>'
    if not isinstance(source, str | Path):
        return f'<p class="minivl-hint">{escape(name)}: there is no file to play.</p>'
    path, kind = Path(source).expanduser(), KINDS.get(Path(source).suffix.lower(), "")
    if not kind or path.stat().st_size > MAX_PLAYED:
        why = f"is over {MAX_PLAYED // 10**6} MB" if kind else "is of a kind that browsers do not play"
        return f'<p class="minivl-hint">{escape(name)} {why}, so it is not played here. The model has watched it.</p>'
    uri, tag = data_uri(path.read_bytes(), kind), kind.split("/")[0]
    label = f'aria-label="{escape(name)}"'
    if tag == "image":
        return f'<img src="{uri}" alt="{escape(name)}">{caption}'
    if tag == "audio":
        return f'<audio src="{uri}" {label} controls></audio>{caption}'
    return f'<video src="{uri}" {label} controls loop playsinline></video>{caption}'


def _seen(perceived: Perception) -> str:
    clip = perceived.clip
    if clip is None:
        return '<p class="minivl-hint">There is no picture in it.</p>'
    figures = []
    for t, frame in enumerate(clip.frames):
        when = "a still image" if clip.is_image else f"{float(clip.timestamps[t]):.1f} s"
        source = data_uri(_png(frame), "image/png")
        figures.append(f'<figure><img src="{source}" alt="frame at {when}"><figcaption>{when}</figcaption></figure>')
    size = " × ".join(str(n) for n in clip.frames.shape[-2:])
    count = "1 frame" if len(clip.frames) == 1 else f"{len(clip.frames)} frames"
    return f'<p class="minivl-hint">{count} of {size} pixels</p><div class="minivl-frames">{"".join(figures)}</div>'


def _heard(perceived: Perception) -> str:
    sound = perceived.sound
    if sound is None:
        return '<p class="minivl-hint">There is no sound in it.</p>'
    starts = ", ".join(f"{start:.1f}" for start in sound.starts.tolist())
    alt = f"waveform of {sound.duration:.1f} seconds, and log-mel spectrograms of 2-second segments from {starts} s"
    width = SEGMENT_PIXELS * len(sound.mel)
    return f'<div class="minivl-wide"><div style="min-width:{width}px">{picture(show_mel(sound), alt)}</div></div>'


def _png(frame: Tensor) -> bytes:
    """[3, H, W] uint8 -> a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rearrange(frame, "c h w -> h w c").contiguous().numpy()).save(file, format="png")
    return file.getvalue()
