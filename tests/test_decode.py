"""From a sample's file to frames: which ones, and which pixels, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from toy_model import TOY_CONFIG

from minivl.data.decode import decode, message, view
from minivl.data.samples import Sample
from minivl.errors import MediaError
from minivl.random_crop import random_resized_crop
from minivl.video import load_video

CAPTION = (("", "a dog barks"),)
CHAT = (("what do you see?", "a dog"),)
LENGTH = 40  # frames of a video whose frame k has the brightness 5 k


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(length: int = LENGTH) -> np.ndarray:
    return np.broadcast_to((5 * np.arange(length, dtype=np.uint8))[:, None, None, None], (length, 48, 80, 3)).copy()


def numbers(frames: Tensor) -> list[int]:
    """Which frames of the numbered video they are."""
    return (frames.float().mean(dim=(1, 2, 3)) / 5).round().int().tolist()


@pytest.fixture
def video(write_media: Callable[..., Path]) -> Path:
    return write_media("numbered.mp4", frames=numbered())


def test_evaluation_sees_frames_at_equal_distances_uncropped(video: Path) -> None:
    for turns in (CAPTION, CHAT):
        clip = decode(Sample(video, turns, "v"), TOY_CONFIG, "vision")
        assert numbers(clip.frames) == [0, 5, 10, 15, 20, 25, 30, 35]
        assert torch.equal(clip.frames, load_video(video, 8, 64).frames)
        assert message(clip).startswith("The video contains 8 frames sampled at 0.0, 0.5, ")


def test_a_captioned_video_shows_four_frames_of_each_half_and_others_every_time(video: Path) -> None:
    shown = [decode(Sample(video, CAPTION, "v"), TOY_CONFIG, "vision", seeded(seed)) for seed in range(3)]
    for clip in shown:
        assert clip.frames.shape == (8, 3, 64, 64) and clip.frames.dtype == torch.uint8
        assert all(k < LENGTH // 2 for k in numbers(clip.frames)[:4])
        assert all(k >= LENGTH // 2 for k in numbers(clip.frames)[4:])
        assert numbers(clip.frames) == sorted(set(numbers(clip.frames)))
        assert clip.timestamps.tolist() == pytest.approx([k / 10 for k in numbers(clip.frames)])
    assert len({tuple(numbers(clip.frames)) for clip in shown}) == 3


def test_a_conversation_shows_frames_at_equal_distances_cropped(write_media: Callable[..., Path]) -> None:
    bright = np.linspace(0, 255, 80).astype(np.uint8)[None, None, :, None]  # from left to right
    path = write_media("ramp.mp4", frames=np.broadcast_to(bright, (16, 48, 80, 3)).copy())
    clip = decode(Sample(path, CHAT, "v"), TOY_CONFIG, "vision", seeded())
    squashed = load_video(path, 8, 64).frames
    assert torch.equal(clip.timestamps, load_video(path, 8, 64).timestamps)
    assert torch.equal(clip.frames, random_resized_crop(squashed, 64, seeded()))
    assert not torch.equal(clip.frames, squashed)
    assert len({tuple(frame.flatten().tolist()) for frame in clip.frames}) == 1  # one crop for all frames


def test_a_still_image_is_cropped_before_it_is_squashed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    clip = decode(Sample(tmp_path / "wide.png", CAPTION, "i"), TOY_CONFIG, "vision", seeded(3))
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # [1, 3, 90, 200]
    assert torch.equal(clip.frames, random_resized_crop(whole, 64, seeded(3)))
    assert message(clip) == ""


def test_the_original_lets_overshoot_wrap_around(write_media: Callable[..., Path]) -> None:
    stripes = np.where(np.arange(64) // 8 % 2, 255, 0).astype(np.uint8)[None, None, :, None]
    path = write_media("stripes.mp4", frames=np.broadcast_to(stripes, (16, 64, 64, 3)).copy())
    sample = Sample(path, CHAT, "v")
    clamped = decode(sample, TOY_CONFIG, "vision", seeded()).frames
    wrapped = decode(sample, replace(TOY_CONFIG, original_quirks=True), "vision", seeded()).frames
    differing = clamped[clamped != wrapped]
    assert len(differing) and set(differing.tolist()) <= {0, 255}


def test_the_audio_branch_sees_as_many_frames_as_it_has_segments(video: Path) -> None:
    config = replace(TOY_CONFIG, num_frames=16)
    assert view(config, "vision") == (16, 64) and view(config, "audio") == (8, 64)
    for generator in (None, seeded()):
        assert len(decode(Sample(video, CAPTION, "v"), config, "audio", generator).frames) == 8


@pytest.mark.parametrize("generator", [None, seeded()], ids=["evaluation", "training"])
def test_a_short_video_gives_fewer_frames(write_media: Callable[..., Path], generator: torch.Generator | None) -> None:
    for length, frames in ((1, 1), (4, 4)):
        path = write_media(f"{length}.mp4", frames=numbered(length))
        clip = decode(Sample(path, CAPTION, "v"), TOY_CONFIG, "vision", generator)
        assert len(clip.frames) == frames and message(clip)


def test_an_odd_number_of_frames_is_not_halved(video: Path) -> None:
    clip = decode(Sample(video, CAPTION, "v"), replace(TOY_CONFIG, num_frames=5), "vision", seeded())
    assert numbers(clip.frames) == [0, 8, 16, 24, 32]


@pytest.mark.parametrize("turns", [CAPTION, CHAT], ids=["caption", "conversation"])
@pytest.mark.parametrize("generator", [None, seeded()], ids=["evaluation", "training"])
def test_a_file_that_cannot_be_decoded_is_named(
    tmp_path: Path, write_media: Callable[..., Path], video: Path, generator: torch.Generator | None, turns: tuple
) -> None:
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 50)
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:500])
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    write_media("sound.mp4", sound=np.zeros((1, 16_000), dtype=np.float32))
    for name in ("missing.mp4", "noise.mp4", "cut.mp4", "cut.png", "sound.mp4"):
        with pytest.raises(MediaError, match=name):
            decode(Sample(tmp_path / name, turns, "v"), TOY_CONFIG, "vision", generator)


def test_a_disk_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, video: Path) -> None:
    def failing(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("minivl.data.decode.load_video", failing)
    with pytest.raises(MediaError, match=r"numbered\.mp4 cannot be read \(Input/output error\)"):
        decode(Sample(video, CHAT, "v"), TOY_CONFIG, "vision")
