"""A file becomes frames: the input of the Vision-Language Branch (section 2.1.1 of the paper).

A video is seen as T frames at equal distances, each the FIRST frame of one of T equal segments. The language
model is also told their times ("The video contains 8 frames sampled at 0.0, 0.5, ... seconds. ").
An image is a video of one frame. Frames are squashed to a square without cropping, as in the original.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from decord import VideoReader
from einops import rearrange
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from torch import Tensor

from .errors import InputError, MediaError, NoPictureError
from .media import DECODER_ERRORS, existing_file, quiet, unreadable

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
ONE_PASS = 1000  # a video of at most so many frames is decoded from its start
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True)
class Clip:
    """The frames taken from one video or image."""

    frames: Tensor  # [T, 3, H, W] uint8
    timestamps: Tensor  # [T] float64 seconds
    source: str  # the file, or "array"
    fps: float  # frames a second of the whole video; 0 for a still image
    duration: float  # seconds of the whole video; 0 for a still image

    @property
    def is_image(self) -> bool:
        """True for a still image."""
        return self.fps == 0

    def message(self) -> str:
        """The sentence that goes into the prompt beside the frames, with the original's trailing space."""
        times = ", ".join(str(round(t, 1)) for t in self.timestamps.tolist())
        return f"The video contains {len(self.frames)} frames sampled at {times} seconds. "


def load_video(
    source: str | os.PathLike[str] | Tensor | np.ndarray,
    num_frames: int = 8,
    size: int | None = 64,
    fps: float = 2.0,
    choose: Callable[[int, int], list[int]] | None = None,
) -> Clip:
    """Take `num_frames` frames (or all, of a shorter video) from a video, image, animation or uint8 array.

    source: a file that FFmpeg reads, an image (png, jpg, webp, bmp, gif, tiff: known by its content), or an
        array [T, 3, H, W] or [T, H, W, 3] uint8, which is taken to show `fps` frames a second.
    size: side of the square that every frame is resized to, in pixels; None keeps the frame's own size.
    choose: (length, num_frames) -> increasing indices of a video's frames; by default sample_indices.

    Only the frames asked for are kept, at the size asked for, so an hour takes no more memory than a second.
    In mp4, mov, mkv and webm it takes hardly more time either; other formats are decoded from their start.
    A rotation stored by a phone (mp4 display matrix, EXIF) is applied. Time is index / average frame rate, as
    in the original, so the time stamps of a video of variable frame rate are approximate.
    Raises MediaError for a file that cannot be read (NoPictureError for sound alone), InputError for an argument
    outside its range.
    """
    if num_frames < 1:
        raise InputError(f"num_frames is {num_frames}: ask for at least one frame")
    if size is not None and size < 1:
        raise InputError(f"size is {size}: give a positive number of pixels, or None for the file's own size")
    if isinstance(source, Tensor | np.ndarray):
        return _from_array(torch.as_tensor(source), num_frames, size, fps)
    path = existing_file(source)
    return _from_image(path, num_frames, size) or _from_video(path, num_frames, size, choose or sample_indices)


def sample_indices(length: int, num_frames: int) -> list[int]:
    """The first frame of each of n = min(num_frames, length) equal segments of a video of `length` frames.

    k*length // n is the original's floor(arange(0, length, length/n)) without its rounding errors, which for
    some n give an index past the end.
    """
    n = min(num_frames, length)
    return [k * length // n for k in range(n)]


def normalise(frames: Tensor) -> Tensor:
    """uint8 frames [..., 3, H, W] -> float32, standardised by the mean and deviation of CLIP's images."""
    if frames.dtype != torch.uint8 or frames.ndim < 3 or frames.shape[-3] != 3:
        raise InputError(f"frames are {frames.dtype} {list(frames.shape)}: give uint8 [..., 3, H, W]")
    mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
    return (frames.float() / 255 - mean) / std


def _times(indices: list[int], fps: float) -> Tensor:
    return torch.tensor([k / fps for k in indices], dtype=torch.float64)


def _from_video(path: Path, num_frames: int, size: int | None, choose: Callable[[int, int], list[int]]) -> Clip:
    try:
        with quiet():
            reader = VideoReader(str(path), width=size or -1, height=size or -1, num_threads=1)
            fps, length = float(reader.get_avg_fps()), len(reader)
            indices = choose(length, num_frames)
            one_pass = length <= ONE_PASS or not _seeks_exactly(path)
            frames = torch.stack(list(_pictures(reader, indices, one_pass)))
    except DECODER_ERRORS as problem:
        if "cannot find video stream" in str(problem):
            raise NoPictureError(
                f"{path} has no picture that can be decoded: give a video, or read its sound with load_audio"
            ) from problem
        raise unreadable(path) from problem
    return Clip(frames, _times(indices, fps), str(path), fps, length / fps)


def _pictures(reader: VideoReader, indices: list[int], one_pass: bool) -> Iterator[Tensor]:
    """The pictures at increasing indices, each [3, H, W] uint8."""
    if not one_pass:
        for k in indices:
            yield _rgb(reader[k].asnumpy())
        return
    for k in range(indices[-1] + 1):
        picture = reader.next()
        if k in indices:
            yield _rgb(picture.asnumpy())


def _seeks_exactly(path: Path) -> bool:
    """True for mp4/mov and mkv/webm. In avi, mpg, wmv and others, decord silently jumps to wrong frames."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3"


def _rgb(picture: np.ndarray) -> Tensor:
    """A decoded picture [H, W, 3] -> [3, H, W].

    decord pads each row in memory, and for some narrow ones (W = 24, 48, 72) counts the padding as channels.
    """
    rows, columns = picture.shape[:2]
    picture = picture.reshape(rows, -1)[:, : columns * 3]
    return rearrange(torch.from_numpy(picture.copy()), "h (w c) -> c h w", c=3)


def _from_image(path: Path, num_frames: int, size: int | None) -> Clip | None:
    """None if the file is not an image. Resized as in the original: bicubic, antialiased."""
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            moving = image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False)
            pictures = ImageSequence.Iterator(image) if moving else [image]
            indices = sample_indices(getattr(image, "n_frames", 1) if moving else 1, num_frames)
            frames, ends = [], [0.0]
            for k, picture in enumerate(pictures):
                picture.load()
                if k in indices:
                    frames.append(_pixels(picture, size))
                # browsers show a frame that gives no time for a tenth of a second
                ends.append(ends[-1] + (picture.info.get("duration") or 100) / 1000)
    except UnidentifiedImageError:
        return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise MediaError(f"{path} is a damaged image: open it in a viewer, and save it again") from problem
    times = torch.tensor([ends[k] for k in indices], dtype=torch.float64)
    duration = ends[-1] if moving else 0.0
    fps = (len(ends) - 1) / duration if moving else 0.0
    return Clip(torch.stack(frames), times, str(path), fps, duration)


def _pixels(image: Image.Image, size: int | None) -> Tensor:
    picture = ImageOps.exif_transpose(image).convert("RGB")
    if size is not None:
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return rearrange(torch.from_numpy(np.array(picture)), "h w c -> c h w")


def _from_array(array: Tensor, num_frames: int, size: int | None, fps: float) -> Clip:
    if array.ndim == 4 and array.shape[1] != 3 and array.shape[-1] == 3:
        array = rearrange(array, "t h w c -> t c h w")
    if array.dtype != torch.uint8 or array.ndim != 4 or array.shape[1] != 3 or array.numel() == 0:
        raise InputError(
            f"frames are {array.dtype} {list(array.shape)}: give uint8 [T, 3, H, W] or [T, H, W, 3], with T at least 1"
        )
    if not fps > 0:
        raise InputError(f"fps is {fps}: give the frames a second of the array, a positive number")
    length = len(array)
    indices = sample_indices(length, num_frames)
    frames = array[indices].cpu()  # [T, 3, H, W]
    if size is not None and frames.shape[-2:] != (size, size):
        resized = F.interpolate(frames.float(), (size, size), mode="bilinear", antialias=True)
        frames = resized.round().clamp(0, 255).to(torch.uint8)
    return Clip(frames, _times(indices, fps), "array", fps, length / fps)
