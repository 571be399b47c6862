"""Checkers of notebook 01, from a video to features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

import minivl
from minivl.course.checking import Wrong
from minivl.course.profile import tiny_model
from minivl.demo import CLIPS
from minivl.video import sample_indices


def sample_middle(answer: Callable[[int, int], list[int]]) -> str:
    """(length, count) -> the middle frame of each of n = min(length, count) equal segments."""
    for length, count in ((32, 8), (100, 8), (17, 7), (15, 8), (9, 1), (3, 8)):
        found, n = [int(k) for k in answer(length, count)], min(length, count)
        case = f"{count} of {length} frames"
        if found == [(2 * k + 1) * length // (2 * n) for k in range(n)]:
            continue
        if len(found) > n:
            raise Wrong(f"{case}: {len(found)} indices, but the video is shorter: how many segments are there then?")
        if found == sample_indices(length, count):
            raise Wrong(f"{case}: this is the first frame of each segment: where is the half?")
        if any(k >= length or k < 0 for k in found):
            raise Wrong(f"{case}: {found} leaves the video, whose frames are 0 to {length - 1}")
        if length % n:
            raise Wrong(
                f"{case}: is a segment taken for a whole number of frames? It has {length}/{n}; round at the end"
            )
        raise Wrong(f"{case}: {found} are not the middles")
    return "half a segment is left out at either end"


def states_and_parameters(answer: tuple[float, float]) -> str:
    """States that the 7B model's ViT hands on for 8 frames, and parameters of its patch embedding."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (states, parameters)")
    states, parameters = map(float, answer)
    weights, bias = 1408 * 3 * 14 * 14, 1408
    if states == 8 * 256:
        raise Wrong("states: nearly; is the class token of each frame counted?")
    if states in (256, 257):
        raise Wrong("states: these are those of one frame")
    if states != 8 * 257:
        raise Wrong("states: 8 frames, each with (224 / 14) x (224 / 14) patches and a class token")
    if parameters == weights:
        raise Wrong("parameters: the weights are right; is there no bias?")
    if parameters in (1408 * 14 * 14, 1408 * 14 * 14 + bias):
        raise Wrong("parameters: a patch has 14 x 14 pixels, and how many colours?")
    if parameters != weights + bias:
        raise Wrong("parameters: a matrix from the 3 x 14 x 14 numbers of a patch to 1408, and a bias")
    return "2,056 vectors of width 1408, from less than a thousandth of the ViT's parameters"


def cut_into_patches(answer: Callable[[Tensor, int], Tensor]) -> str:
    """(pixels [N, 3, H, W], size) -> [N, patches, 3 * size * size], a row of a patch in the order (c p q)."""
    pixels, size = torch.arange(2.0 * 3 * 12 * 16).view(2, 3, 12, 16), 4
    found = answer(pixels, size)
    right = rearrange(pixels, "n c (h p) (w q) -> n (h w) (c p q)", p=size, q=size)
    if not isinstance(found, Tensor) or found.shape != right.shape:
        raise Wrong(f"the result should be a tensor {list(right.shape)} for a picture of 12 x 16 pixels")
    if found.equal(right):
        return "a patch is a square of neighbours"
    if found.equal(rearrange(pixels, "n c (p h) (q w) -> n (h w) (c p q)", p=size, q=size)):
        raise Wrong("a row holds every 4th pixel or so of the whole picture: which axis is the slow one in (p h)?")
    if found.equal(rearrange(pixels, "n c (h p) (w q) -> n (h w) (p q c)", p=size, q=size)):
        raise Wrong("each row holds the right pixels in another order: does the colour change slowest in (c p q)?")
    if found.equal(rearrange(pixels, "n c (h p) (w q) -> n (w h) (c p q)", p=size, q=size)):
        raise Wrong("the patches are right, but they come column by column: the first row of patches should come first")
    raise Wrong("the first row should hold the pixels of the upper left square, colour by colour, line by line")


def find_cut(answer: Callable[[Tensor], int]) -> str:
    """Frame tokens [T, K, width] -> the first frame after the greatest change."""
    made, cut = _two_events()
    found = int(answer(made))
    if found == cut - 1:
        raise Wrong(f"frame {found} is the last one before the change: the one after it is asked for")
    if found in (1, 2):
        raise Wrong(
            "one frame has long vectors of the same direction, and counts as a change: is their length divided out?"
        )
    if found == len(made) - 1:
        raise Wrong("this is the frame that is least like the first: is each frame compared with its neighbour?")
    if found != cut:
        raise Wrong(
            f"frame {found} of a test with a cut at frame {cut}: where is the cosine of two neighbours smallest?"
        )
    frames = minivl.load_video(CLIPS / "dog_then_train.mp4", num_frames=12).frames
    if int(answer(tiny_model().encode_frames(frames[None])[0])) != 6:
        raise Wrong("right on made-up tokens, but not on 12 frames of the dog clip, where the train begins at frame 6")
    return "in 12 frames of the dog clip the train begins at frame 6"


def _two_events(cut: int = 4) -> tuple[Tensor, int]:
    """Tokens [10, 2, 16] that change at `cut` and drift on from there; frame 1 has vectors ten times as long."""
    first, second, third = torch.eye(3, 32)
    rows = [first] * cut + [second + 0.25 * step * third - 0.1 * step * first for step in range(10 - cut)]
    made = torch.stack(rows).view(10, 2, 16)
    made[1] *= 10
    return made, cut
