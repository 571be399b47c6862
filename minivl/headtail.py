"""Which frames of a captioned video are seen in training: half from its first half, half from its second.

    0 ........ length/2 ........ length
    | x  x x      x |  x x    x     x |       num_frames = 8: four and four, each at random, in order of time

The original does this for WebVid alone (`load_video(sampling="headtail")` in `video_processor.py`); instruction data
and evaluation take frames at equal distances (`video.sample_indices`). Neither paper nor code gives the reason. What
it does: a video shows other frames in every epoch, as the random crop shows other pixels, and still no half is left
out, as can happen when frames are drawn from the whole. The gaps are uneven, but caption training tells no times.
"""

from __future__ import annotations

import torch

from minivl.errors import InputError


def sample_headtail(length: int, num_frames: int, generator: torch.Generator) -> list[int]:
    """Indices in a video of `length` frames, in order, none twice.

    As in the original, they come in pairs, n // 2 of each half for n = min(num_frames, length): an odd number gives one
    less, and a video shorter than `num_frames` gives all of an even length, or one less than an odd one. (The original
    then drops the video, since its batches need 8.) Raises InputError where there would be none.
    """
    half = min(num_frames, length) // 2
    if half < 1:
        raise InputError(
            f"{num_frames} of {length} frames cannot be halved: take at least 2 of at least 2, or take them uniformly"
        )
    middle = length // 2
    head = torch.randperm(middle, generator=generator)[:half]
    tail = torch.randperm(length - middle, generator=generator)[:half] + middle
    return sorted(head.tolist()) + sorted(tail.tolist())
