"""Files become frames: which frames, which pixels, which times, and what is said about bad files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from minivl.errors import InputError, MediaError
from minivl.video import Clip, load_video, normalise, sample_indices

GOLDENS = Path(__file__).parent / "goldens"
FRAMES = json.loads((GOLDENS / "frames.json").read_text())
Write = Callable[..., Path]


def ramp(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k is grey level 12*k: a frame tells its index."""
    return np.stack([np.full((height, width, 3), 12 * k, np.uint8) for k in range(frames)])


def corner(frames: int = 1, height: int = 48, width: int = 96) -> np.ndarray:
    """White in the top left quarter, black elsewhere."""
    picture = np.zeros((frames, height, width, 3), np.uint8)
    picture[:, : height // 2, : width // 2] = 255
    return picture


def quarters(clip: Clip) -> list[bool]:
    """Which quarters of the first frame are white: top left, top right, bottom left, bottom right."""
    h, w = (side // 4 for side in clip.frames.shape[-2:])
    return [bool(clip.frames[0, 0, y, x] > 128) for y in (h, 3 * h) for x in (w, 3 * w)]


@pytest.mark.parametrize("case", FRAMES["uniform"], ids=lambda c: f"{c['n_frms']}of{c['vlen']}")
def test_indices_and_message_are_those_of_the_original(case: dict) -> None:
    indices = sample_indices(case["vlen"], case["n_frms"])
    assert indices == case["indices"]
    times = torch.tensor([k / case["fps"] for k in indices], dtype=torch.float64)
    clip = Clip(torch.zeros(len(indices), 3, 2, 2, dtype=torch.uint8), times, "", case["fps"], 1.0)
    assert clip.message() == case["msg"]


def test_indices_never_leave_the_video() -> None:
    for length in range(1, 150):
        for n in range(1, 33):
            indices = sample_indices(length, n)
            assert len(indices) == min(n, length) and indices[0] == 0 and indices[-1] < length


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.avi", "libx264"),  # decord's seeking returns wrong frames in the last three
        ("a.mpg", "mpeg2video"),
        ("a.wmv", "wmv2"),
    ],
)
@pytest.mark.parametrize("one_pass", [1000, 0])
def test_the_right_frames_are_decoded(
    write_media: Write, monkeypatch: pytest.MonkeyPatch, name: str, codec: str, one_pass: int
) -> None:
    monkeypatch.setattr("minivl.video.ONE_PASS", one_pass)  # 0: as for a long video
    fps = 25 if codec == "mpeg2video" else 10
    clip = load_video(write_media(name, ramp(20), fps=fps, video_codec=codec), num_frames=8)
    assert clip.frames.shape == (8, 3, 64, 64) and clip.frames.dtype == torch.uint8
    index = (clip.frames.float().mean(dim=(1, 2, 3)) / 12).round().int().tolist()
    assert index == [0, 2, 5, 7, 10, 12, 15, 17]
    assert clip.timestamps.tolist() == pytest.approx([k / clip.fps for k in index])
    assert clip.fps == pytest.approx(fps, rel=0.06) and clip.duration == pytest.approx(20 / fps, rel=0.06)


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_short_video_gives_all_its_frames(write_media: Write, length: int) -> None:
    assert len(load_video(write_media("a.mp4", ramp(length))).frames) == length


@pytest.mark.parametrize("size", [24, 48, 63, 64, 72, 224])
def test_every_size_shows_the_same_picture(write_media: Write, size: int) -> None:
    clip = load_video(write_media("a.mp4", corner()), size=size)
    assert clip.frames.shape == (1, 3, size, size)
    assert quarters(clip) == [True, False, False, False]
    assert torch.equal(clip.frames[0, 0], clip.frames[0, 1])  # grey everywhere: channels are not mixed up


@pytest.mark.parametrize(("height", "width"), [(50, 66), (51, 33), (48, 64)])
def test_own_size_is_kept_and_may_be_odd(write_media: Write, height: int, width: int) -> None:
    clip = load_video(write_media("a.mp4", corner(2, height, width)), size=None)
    assert clip.frames.shape == (2, 3, height, width)
    assert quarters(clip) == [True, False, False, False]


@pytest.mark.parametrize(
    ("matrix", "white"),
    [
        ((0, 1, -1, 0), [False, True, False, False]),  # a quarter turn clockwise
        ((-1, 0, 0, -1), [False, False, False, True]),
        ((0, -1, 1, 0), [False, False, True, False]),
    ],
)
@pytest.mark.parametrize("size", [64, None])
def test_the_rotation_a_phone_stores_is_applied(
    write_media: Write, matrix: tuple[int, ...], white: list[bool], size: int | None
) -> None:
    path = write_media("a.mp4", corner())
    a, b, c, d = (value << 16 for value in matrix)
    contents = bytearray(path.read_bytes())
    start = contents.find(b"tkhd") + 44  # the display matrix of the track header
    contents[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(contents)
    clip = load_video(path, size=size)
    assert quarters(clip) == white
    if size is None:
        assert clip.frames.shape[-2:] == ((96, 48) if matrix[0] == 0 else (48, 96))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "png_inside.mp4"])
def test_an_image_is_a_video_of_one_frame(tmp_path: Path, name: str) -> None:
    format_ = "PNG" if name.endswith("mp4") else None
    Image.fromarray(corner()[0]).save(tmp_path / name, format=format_)
    clip = load_video(tmp_path / name)
    assert clip.frames.shape == (1, 3, 64, 64) and clip.is_image and clip.duration == 0
    assert quarters(clip) == [True, False, False, False]


def test_a_photo_is_turned_the_way_its_camera_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    Image.fromarray(corner()[0]).save(tmp_path / "a.jpg", exif=exif)
    assert quarters(load_video(tmp_path / "a.jpg")) == [False, True, False, False]


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_an_animation_is_a_video(tmp_path: Path, name: str) -> None:
    first, *others = [Image.fromarray(frame) for frame in ramp(10)]
    first.save(tmp_path / name, save_all=True, append_images=others, duration=200, lossless=True)
    clip = load_video(tmp_path / name, num_frames=5)
    assert (clip.frames[:, 0, 0, 0].int() / 12).round().tolist() == [0, 2, 4, 6, 8]
    assert clip.timestamps.tolist() == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6])
    assert clip.fps == pytest.approx(5.0) and clip.duration == pytest.approx(2.0)


@pytest.mark.parametrize("layout", ["t h w c", "t c h w"])
def test_an_array_in_either_layout(layout: str) -> None:
    array = corner(16, 32, 32)
    frames = array if layout == "t h w c" else torch.from_numpy(array.transpose(0, 3, 1, 2))
    clip = load_video(frames, num_frames=8, fps=4.0)
    assert clip.frames.shape == (8, 3, 64, 64) and quarters(clip) == [True, False, False, False]
    assert clip.timestamps.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5] and clip.duration == 4.0


def test_pixels_are_those_of_the_original(tmp_path: Path) -> None:
    pixels = load_file(GOLDENS / "pixels.safetensors")
    video = normalise(pixels["eval.in"].transpose(0, 1)).transpose(0, 1)  # theirs is [3, T, H, W]
    assert (video - pixels["eval.out"]).abs().max() < 1e-6
    for name in ("image_eval", "image_eval_up"):
        Image.fromarray(pixels[f"{name}.in"].numpy()).save(tmp_path / "a.png")
        image = normalise(load_video(tmp_path / "a.png", size=14).frames)
        assert (image[0] - pixels[f"{name}.out"]).abs().max() < 1e-6


def test_normalise_wants_bytes() -> None:
    with pytest.raises(InputError, match="uint8"):
        normalise(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_frames": 0}, "num_frames is 0"),
        ({"size": 0}, "size is 0"),
        ({"source": torch.zeros(2, 3, 4, 4)}, r"float32 \[2, 3, 4, 4\]"),
        ({"source": np.zeros((0, 3, 4, 4), np.uint8)}, "T at least 1"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"source": 7}, "source is a int"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_video(**{"source": ramp(2), **arguments})


def test_bad_files_are_named_with_the_way_out(
    tmp_path: Path, write_media: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_media("whole.mp4", ramp(20), options={"movflags": "faststart"}).read_bytes()
    Image.fromarray(corner()[0]).save(tmp_path / "whole.png")
    bad = {
        "missing.mp4": (None, "does not exist"),
        "empty.mp4": (b"", "empty"),
        "text.mp4": (b"this is no video" * 50, "not a video"),
        "header_cut.mp4": (whole[:200], "no picture that can be decoded"),
        "half.mp4": (whole[: len(whole) // 2], "cut short"),
        "half.png": ((tmp_path / "whole.png").read_bytes()[:100], "damaged image"),
        "sound.wav": (
            write_media("s.wav", sound=np.zeros((1, 800)), codec="pcm_s16le").read_bytes(),
            "no picture that can be decoded",
        ),
    }
    for name, (contents, words) in bad.items():
        if contents is not None:
            (tmp_path / name).write_bytes(contents)
        with pytest.raises(MediaError, match=words) as caught:
            load_video(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="folder"):
        load_video(tmp_path)
    assert capfd.readouterr().err == ""  # FFmpeg says nothing on the side


def test_many_threads_may_decode_at_once_and_the_terminal_comes_back(
    write_media: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_media("a.mp4", frames=np.zeros((12, 32, 32, 3), np.uint8))
    with ThreadPoolExecutor(max_workers=4) as pool:
        clips = list(pool.map(lambda _: load_video(path), range(24)))
    assert all(torch.equal(clip.frames, clips[0].frames) for clip in clips)
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"
