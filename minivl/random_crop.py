"""The random crop of training: the same video is never the same pixels twice (the original's `transforms_video.py`).

A box of 50-100 % of the picture's area and an aspect ratio of 3:4 to 4:3 is cut out, one for all frames of a video, and
stretched to a square. It is not mirrored, which would make "moves left" a lie.

Bicubic interpolation overshoots at edges, so its result leaves 0..255. The original casts it to uint8 without clamping,
and the overshoot wraps around: -20.3 becomes 236, 270.7 becomes 14, bright specks on dark edges. It is a bug, but its
weights were trained with it: `original=True` gives these pixels, otherwise they are clamped. Both cut off fractions.

A still image goes another way, as in the original: PIL's bicubic, which averages where it shrinks, and clamps.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from minivl.errors import InputError

LOWEST_ASPECT, HIGHEST_ASPECT = 3 / 4, 4 / 3  # width / height
TRIES = 10

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


def random_resized_crop(
    frames: Tensor,
    size: int,
    generator: torch.Generator,
    original: bool = False,
    area: tuple[float, float] = (0.5, 1.0),
) -> Tensor:
    """One random box of all frames, stretched to a square: [T, 3, H, W] uint8 -> [T, 3, size, size] uint8.

    area: the least and the largest share of the picture that is kept.
    original: wrap what leaves 0..255, as the original does, instead of clamping it. No difference for T = 1, which
        is a still image.
    Raises InputError for frames of another shape or type, no size, or shares that are not between 0 and 1.
    """
    _check(frames, size)
    height, width = frames.shape[-2:]
    return resize_crop(frames, crop_box(height, width, generator, area), size, original)


def crop_box(height: int, width: int, generator: torch.Generator, area: tuple[float, float] = (0.5, 1.0)) -> Box:
    """A random box (top, left, height, width), by the rule of torchvision's RandomResizedCrop.

    Area is drawn evenly, aspect ratio evenly in its logarithm, so that 3:4 is as likely as 4:3. A wide or tall box may
    not fit; after ten that do not, it is the largest in the middle whose aspect ratio is allowed.
    Raises InputError if the shares are not between 0 and 1, in order.
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise InputError(f"area is {area}: give the least and the largest share of a picture, such as (0.5, 1.0)")
    for _ in range(TRIES):
        pixels = height * width * _uniform(*area, generator)
        aspect = math.exp(_uniform(math.log(LOWEST_ASPECT), math.log(HIGHEST_ASPECT), generator))
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            return _below(height - h + 1, generator), _below(width - w + 1, generator), h, w
    h = min(height, round(width / LOWEST_ASPECT))
    w = min(width, round(height * HIGHEST_ASPECT))
    return (height - h) // 2, (width - w) // 2, h, w


def resize_crop(frames: Tensor, box: Box, size: int, original: bool = False) -> Tensor:
    """The same box of every frame, stretched to a square: [T, 3, H, W] uint8 -> [T, 3, size, size] uint8.

    box: top, left, height and width in pixels. `original` and what is raised: see random_resized_crop.
    """
    _check(frames, size)
    top, left, h, w = box
    cropped = frames[:, :, top : top + h, left : left + w]  # [T, 3, h, w]
    if len(frames) == 1:
        return _resize_still(cropped[0], size)
    pixels = F.interpolate(cropped.float(), (size, size), mode="bicubic", align_corners=False)
    # a float beyond uint8 may become anything in C, and does on other machines; a whole number modulo 256 does not
    pixels = pixels.to(torch.int32).remainder(256) if original else pixels.clamp(0, 255)
    return pixels.to(torch.uint8)


def _resize_still(image: Tensor, size: int) -> Tensor:
    """[3, h, w] uint8 -> [1, 3, size, size] uint8. PIL sees the cut-out alone: with its box= it looks over the edge."""
    picture = Image.fromarray(rearrange(image.cpu(), "c h w -> h w c").contiguous().numpy())
    square = np.array(picture.resize((size, size), Image.Resampling.BICUBIC))
    return rearrange(torch.from_numpy(square), "h w c -> 1 c h w").to(image.device)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return torch.empty(1).uniform_(low, high, generator=generator).item()


def _below(end: int, generator: torch.Generator) -> int:
    return int(torch.randint(end, (1,), generator=generator).item())


def _check(frames: Tensor, size: int) -> None:
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3 or frames.numel() == 0:
        raise InputError(f"frames are {frames.dtype} {list(frames.shape)}: give uint8 [T, 3, H, W], with T at least 1")
    if size < 1:
        raise InputError(f"size is {size}: give the side of a square in pixels")
