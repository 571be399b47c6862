"""One mistake at a time on the way from a file to frames and spectrograms. See parity_mistakes.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import test_audio
import test_video
import torch
from PIL import Image
from torch import Tensor

from minivl import audio, mel, video

Mistake = Callable[[pytest.MonkeyPatch], None]


def plain_fractions(duration: float, num_segments: int) -> list[tuple[int, int]]:
    """place_segments_original with float starts, rounded instead of cut."""
    starts = [k * max(duration - 2, 0) / num_segments for k in range(num_segments)]
    return [(round(s * 16_000), round((s + 2) * 16_000)) for s in starts]


def segments_to_the_end(duration: float, num_segments: int) -> list[tuple[int, int]]:
    """The last one ends where the sound ends: divided by num_segments - 1."""
    starts = [int(k * max(duration - 2, 0) / (num_segments - 1) * 16_000) for k in range(num_segments)]
    return [(s, s + 32_000) for s in starts]


def placed(function: Callable[[float, int], list[tuple[int, int]]]) -> Mistake:
    def install_it(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(test_audio, "place_segments_original", function)
        patch.setattr(audio, "place_segments_original", function)

    return install_it


def each_segment_centred_apart(patch: pytest.MonkeyPatch) -> None:
    """Not in place: a segment no longer sees what the ones before it have subtracted."""

    def cut(channels: Tensor, num_segments: int, name: str) -> tuple[Tensor, Tensor]:
        ranges = audio.place_segments_original(channels.shape[-1] / 16_000, num_segments)
        pieces = [channels[:, first:last] for first, last in ranges]
        return torch.stack([(piece - piece.mean())[0] for piece in pieces]), torch.zeros(num_segments)

    patch.setattr(audio, "_cut_original", cut)


def padding_after_normalisation(patch: pytest.MonkeyPatch) -> None:
    def wrong(segments: Tensor) -> Tensor:
        picture = (mel.log_mel(segments) - mel.MEAN) / mel.STD  # [M, 128, 198]
        return torch.nn.functional.pad(picture, (0, mel.MEL_FRAMES - picture.shape[-1]))[:, None]

    patch.setattr(audio, "spectrogram", wrong)


def mel_bank_from_0_hz(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mel, "LOWEST_HZ", 0.0)
    patch.setattr(mel, "_mel_bank", mel._mel_bank.__wrapped__)  # the cached one stays what it is


def periodic_window(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mel, "_window", lambda: torch.hann_window(mel.FRAME, periodic=True))


def centres_of_segments(patch: pytest.MonkeyPatch) -> None:
    def wrong(length: int, num_frames: int) -> list[int]:
        n = min(num_frames, length)
        return [(2 * k + 1) * length // (2 * n) for k in range(n)]

    patch.setattr(test_video, "sample_indices", wrong)


def message_without_its_last_blank(patch: pytest.MonkeyPatch) -> None:
    message = video.Clip.message
    patch.setattr(video.Clip, "message", lambda self: message(self).strip())


def bilinear_images(patch: pytest.MonkeyPatch) -> None:
    resize = Image.Image.resize
    patch.setattr(Image.Image, "resize", lambda self, size, _: resize(self, size, Image.Resampling.BILINEAR))


FILE_MISTAKES: dict[str, Mistake] = {
    "starts rounded": placed(plain_fractions),
    "the end is heard": placed(segments_to_the_end),
    "each segment centred apart": each_segment_centred_apart,
    "padding after normalisation": padding_after_normalisation,
    "mel bank from 0 Hz": mel_bank_from_0_hz,
    "periodic window": periodic_window,
    "other pre-emphasis": lambda patch: patch.setattr(mel, "PRE_EMPHASIS", 0.95),
    "half the deviation": lambda patch: patch.setattr(mel, "STD", 9.138 / 2),
    "centres of segments": centres_of_segments,
    "message without its last blank": message_without_its_last_blank,
    "ImageNet's mean": lambda patch: patch.setattr(video, "CLIP_MEAN", (0.485, 0.456, 0.406)),
    "bilinear images": bilinear_images,
}
