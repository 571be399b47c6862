"""A file becomes 2-second sounds: the input of the Audio-Language Branch (section 2.1.2 of the paper).

The track is resampled to 16 kHz, M segments of two seconds are cut from it, and each becomes a log-mel
spectrogram (see mel.py). The paper says "uniformly sample M segments of 2-second short audio clips".
`place_segments` is our reading: no overlap unless the sound is too short, and the end is heard.
`place_segments_original` is what the original's code does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from decord import AudioReader
from torch import Tensor

from .errors import InputError, MediaError
from .media import DECODER_ERRORS, existing_file, quiet, unreadable
from .mel import FRAME, RATE, SEGMENT_SECONDS, spectrogram

SEGMENT = RATE * SEGMENT_SECONDS  # samples


@dataclass(frozen=True)
class Sound:
    """The segments taken from one sound track."""

    mel: Tensor  # [M, 1, 128, F] float32, normalised
    waveform: Tensor  # [n] float32 in -1..1, one channel at 16 kHz
    starts: Tensor  # [M] float64 seconds from the start of the track
    source: str  # the file, or "array"
    rate: int = RATE  # samples a second of `waveform`

    @property
    def duration(self) -> float:
        """Seconds of the whole track."""
        return len(self.waveform) / self.rate


def load_audio(
    source: str | os.PathLike[str] | Tensor | np.ndarray,
    num_segments: int = 8,
    original: bool = False,
    rate: int = RATE,
) -> Sound | None:
    """Cut at most `num_segments` 2-second segments from a sound file or the sound track of a video.

    source: a file that FFmpeg reads (mp4, wav, mp3, flac, ...), or a waveform [n] or [channels, n] of `rate`
        samples a second. The whole track is decoded: an hour takes 230 MB a channel.
    original: place and centre the segments as the original's code does, with its mistakes, for the weights
        that were trained with them; it also hears only the first channel of an array. (Differences that stay for
        a file: FFmpeg resamples it and mixes its channels, where the original had torchaudio and one channel.)

    Returns None for a video without a sound track. Raises MediaError for a file that cannot be read or has a
    track without samples, InputError for an argument outside its range.
    """
    if num_segments < 1:
        raise InputError(f"num_segments is {num_segments}: ask for at least one segment")
    if isinstance(source, Tensor | np.ndarray):
        name, channels = "array", _from_array(source, rate)
    else:
        path = existing_file(source)
        decoded = _from_file(path)
        if decoded is None:
            return None
        name, channels = str(path), decoded
    if original:
        segments, starts = _cut_original(channels, num_segments, name)
        return Sound(spectrogram(segments), channels[0], starts, name)
    waveform = channels.mean(dim=0)
    starts = place_segments(len(waveform) / RATE, num_segments)
    segments = _cut(waveform, starts)  # [M, 32000]
    return Sound(spectrogram(segments), waveform, starts, name)


def place_segments(duration: float, num_segments: int) -> Tensor:
    """Starts [M] in seconds, evenly spread from the first second to the last.

    M = duration / 2 rounded down, within 1..num_segments. Up to half a second too little still makes another
    segment: a little overlap is better than deafness, and codecs change the length by some milliseconds.
    """
    count = min(max(int(duration / SEGMENT_SECONDS + 0.25), 1), num_segments)
    last = max(duration - SEGMENT_SECONDS, 0.0) if count > 1 else 0.0
    return torch.linspace(0, last, count, dtype=torch.float64)


def place_segments_original(duration: float, num_segments: int) -> list[tuple[int, int]]:
    """The original's sample ranges: starts are k * (duration - 2) / num_segments, so the end is never heard.

    Always `num_segments` of them, all alike up to two seconds. Exact fractions of a float, cut, not rounded.
    """
    free = Fraction(max(duration - SEGMENT_SECONDS, 0))
    starts = [free * k / num_segments for k in range(num_segments)]
    return [(int(s * RATE), int((s + SEGMENT_SECONDS) * RATE)) for s in starts]


def _cut(waveform: Tensor, starts: Tensor) -> Tensor:
    """The segments [M, 32000], each without its mean; silence follows a sound that is too short."""
    waveform = F.pad(waveform, (0, max(SEGMENT - len(waveform), 0)))
    firsts = [min(round(s * RATE), len(waveform) - SEGMENT) for s in starts.tolist()]
    segments = torch.stack([waveform[i : i + SEGMENT] for i in firsts])
    return segments - segments.mean(dim=-1, keepdim=True)


def _cut_original(channels: Tensor, num_segments: int, name: str) -> tuple[Tensor, Tensor]:
    """[channels, n] -> segments of the first channel [M, at most 32000] and their starts [M] in seconds.

    The original subtracts the mean of each segment in place, from a slice of the waveform: where segments
    overlap, the later one starts from what the earlier ones left. A sound shorter than a segment stays short.
    """
    if channels.shape[-1] < FRAME:
        raise MediaError(f"{name} holds less than 25 ms of sound: give a longer one")
    track = channels.clone()
    ranges = place_segments_original(track.shape[-1] / RATE, num_segments)
    segments = []
    for first, last in ranges:
        piece = track[:, first:last]  # a view
        piece -= piece.mean()
        segments.append(piece[0].clone())
    return torch.stack(segments), torch.tensor([first / RATE for first, _ in ranges], dtype=torch.float64)


def _from_file(path: Path) -> Tensor | None:
    """The mix of all channels, [1, n] float32 at 16 kHz; None without a sound track.

    decord's mono=False is never used: it returns the second channel of a stereo file, and parts of the first, from
    memory that it has not written.
    """
    try:
        with quiet():
            reader = AudioReader(str(path), sample_rate=RATE, mono=True)
    except DECODER_ERRORS as problem:
        if "Can't find audio stream" in str(problem):
            return None
        raise unreadable(path) from problem
    # decord's public way to the samples needs a Python integer for each of them
    waveform = torch.from_numpy(reader._array.copy())  # [1, n]
    if waveform.numel() == 0:
        raise MediaError(f"{path} has a sound track without a single sample: record or convert it again")
    if not waveform.isfinite().all():
        raise MediaError(f"{path} has samples that are not numbers (NaN or infinite): convert it again")
    return waveform / waveform.abs().max().clamp_min(1)  # mixing can exceed -1..1


def _from_array(source: Tensor | np.ndarray, rate: int) -> Tensor:
    channels = torch.as_tensor(source).detach().cpu()
    if not channels.is_floating_point() or channels.ndim not in (1, 2) or channels.numel() == 0:
        raise InputError(
            f"waveform is {channels.dtype} {list(channels.shape)}: "
            "give floating-point samples in -1..1, as [n] or [channels, n]"
        )
    if not channels.isfinite().all():
        raise InputError("waveform has samples that are not numbers (NaN or infinite): clean it first")
    if rate < 1:
        raise InputError(f"rate is {rate}: give the samples a second of the waveform")
    channels = torch.atleast_2d(channels.float())
    if rate == RATE:
        return channels
    from torchaudio.functional import resample  # slow to import, rarely needed

    return resample(channels, rate, RATE)
