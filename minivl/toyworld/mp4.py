"""Writes clips as files: H.264 + AAC in an mp4 that browsers play, and 16-bit wav.

Video is stored as luma and two half-size colour planes (yuv420p). Which matrix made them from RGB is written
beside them (BT.601, 16..235), so that players and decord turn them back into the same colours.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from minivl.errors import InputError
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import DURATION, Scene
from minivl.toyworld.sounds import render_sound

CRF = 18  # x264's quality: 0 is lossless, 18 looks it
SMPTE170M, LIMITED = 6, 1  # FFmpeg's numbers for BT.601's matrix, primaries and transfer, and for 16..235
AAC_BITS = 96_000  # a second


def write_mp4(
    path: str | Path,
    frames: np.ndarray,
    fps: float,
    waveform: np.ndarray | None = None,
    rate: int = 16_000,
) -> None:
    """Write frames [T, H, W, 3] uint8 and, unless None, a mono waveform [n] float32 in [-1, 1].

    The file appears whole or not at all. Raises InputError for other shapes or types, for odd H or W,
    and where PyAV is missing.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("writing mp4 needs PyAV: pip install av") from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InputError(f"frames must be [T, H, W, 3] uint8 with T > 0, not {list(frames.shape)} {frames.dtype}")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise InputError(f"H.264 needs an even height and width, not {frames.shape[1]} x {frames.shape[2]}")
    if waveform is not None and waveform.ndim != 1:
        raise InputError(f"waveform must be mono, [n], not {list(waveform.shape)}")
    options = {"movflags": "+faststart"}  # the index first: a browser plays before it has the whole file
    with (
        _whole_or_not_at_all(Path(path)) as unfinished,
        av.open(str(unfinished), "w", format="mp4", options=options) as container,
    ):
        video = _video_stream(container, frames, fps)
        sound = None if waveform is None else container.add_stream("aac", rate=rate, layout="mono")
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None and waveform is not None:
            sound.bit_rate = AAC_BITS
            samples = np.ascontiguousarray(waveform[None], np.float32)  # [1 channel, n]
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            container.mux(sound.encode(block))
            container.mux(sound.encode(None))


def write_wav(path: str | Path, waveform: np.ndarray, rate: int = 16_000) -> None:
    """Write a mono waveform [n] in [-1, 1] as 16-bit wav. Raises InputError if it is not [n]."""
    if waveform.ndim != 1:
        raise InputError(f"waveform must be mono, [n], not {list(waveform.shape)}")
    levels = np.rint(np.clip(waveform, -1, 1) * 32767).astype("<i2")
    with _whole_or_not_at_all(Path(path)) as unfinished, wave.open(str(unfinished), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.tobytes())


def render_mp4(path: str | Path, scene: Scene, size: int = 128, num_frames: int = 32) -> None:
    """A scene as an mp4 of 4 seconds with its sound; a silent scene has a track of faint noise."""
    write_mp4(path, render_frames(scene, num_frames, size), num_frames / DURATION, render_sound(scene))


def _video_stream(container: Any, frames: np.ndarray, fps: float) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": str(CRF)})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.colorspace = codec.color_primaries = codec.color_trc = SMPTE170M
    codec.color_range = LIMITED
    return stream


@contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, that takes its place when all went well."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
