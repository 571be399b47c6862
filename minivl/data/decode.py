"""A sample's file becomes the frames of one training example, or those of evaluation.

                       which frames                    which pixels
    training
      captioned video  headtail (headtail.py)          squashed to a square, then one random crop for all frames
      other video      at equal distances              the same
      still image      the only one                    random crop of the whole picture, by PIL
    evaluation         at equal distances              squashed to a square

As in the original (webvid_datasets.py, video_instruct_dataset.py, llava_instruct_dataset.py), down to its order: a
video is squashed before the crop, a still image is not. Of a video no more is kept than the frames that are wanted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from minivl.config import VideoLlamaConfig
from minivl.data.samples import Sample
from minivl.errors import MediaError
from minivl.headtail import sample_headtail
from minivl.media import existing_file
from minivl.random_crop import random_resized_crop
from minivl.video import IMAGE_FORMATS, Clip, load_video


def view(config: VideoLlamaConfig, branch: str) -> tuple[int, int]:
    """What the branch's frozen encoder is shown of a video: the number of frames, and their side in pixels.

    The audio branch is trained on frames too, and has a position for each of its segments only.
    """
    if branch == "audio":
        return min(config.num_frames, config.audio_branch.max_positions), config.imagebind.image.image_size
    return config.num_frames, config.vit.image_size


def decode(sample: Sample, config: VideoLlamaConfig, branch: str, generator: torch.Generator | None = None) -> Clip:
    """The frames [T, 3, S, S] uint8 that `branch` ("vision", "audio") sees of a sample, and when they are seen.

    T is 1 for a still image, and less than `view` says for a shorter video. generator: draws the frames and the crop
    of training; None gives the pixels of evaluation. `config.original_quirks` decides whether overshoot of the crop
    wraps around (random_crop.py).
    Raises MediaError that names the file.
    """
    number, size = view(config, branch)
    try:
        if generator is None:
            return load_video(sample.media, number, size)
        clip = _uncropped(sample, number, size, generator)
    except OSError as error:
        reason = error.strerror or error
        raise MediaError(f"{sample.media} cannot be read ({reason}): copy it again, or mount its disk") from error
    return replace(clip, frames=random_resized_crop(clip.frames, size, generator, config.original_quirks))


def message(clip: Clip) -> str:
    """What a conversation is told about the frames: their number and times; of a still image nothing."""
    return "" if clip.is_image else clip.message()


def _uncropped(sample: Sample, number: int, size: int, generator: torch.Generator) -> Clip:
    path = existing_file(sample.media)
    if _is_picture(path):
        return load_video(path, number, None)
    # an odd number of frames cannot be taken in halves
    if sample.is_caption and number % 2 == 0:
        return load_video(
            path, number, size, choose=lambda length, n: sample_headtail(length, n, generator) if length > 1 else [0]
        )
    return load_video(path, number, size)


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path, formats=IMAGE_FORMATS):
            return True
    except UnidentifiedImageError:
        return False
    except (SyntaxError, ValueError, Image.DecompressionBombError):
        return True  # a damaged one: load_video says so
