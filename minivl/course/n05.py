"""Checkers of notebook 05, hearing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from minivl.config import AudioTrunkConfig, tiny, video_llama_7b
from minivl.course.checking import Wrong
from minivl.mel import MEAN, MEL_BINS, MEL_FRAMES, STD, hz_to_mel


def mel_to_hz(answer: Callable[[Tensor], Tensor]) -> str:
    """The inverse of hz_to_mel, for a tensor of any shape."""
    hz = torch.tensor([[0.0, 20.0, 440.0], [1000.0, 4000.0, 8000.0]])
    mels = hz_to_mel(hz)
    found = answer(mels)
    if not isinstance(found, Tensor) or found.shape != mels.shape:
        raise Wrong(f"mels of the shape {list(mels.shape)} should give as many frequencies, in the same shape")
    if torch.allclose(found, hz, atol=0.05, rtol=1e-4):
        return "it undoes hz_to_mel, from 0 to 8,000 Hz"
    if _close(found, hz_to_mel(mels)):
        raise Wrong("this applies the scale once more: what would undo it?")
    if _close(found, hz + 700):
        raise Wrong("0 mel should be 0 Hz, and is 700: is the 1 of 1 + f / 700 taken off?")
    if _close(found, 700 * (10 ** (mels / 1127) - 1)) or _close(found, 700 * (2 ** (mels / 1127) - 1)):
        raise Wrong("the logarithm of this scale is the natural one: which power undoes it?")
    if _close(found, torch.exp(mels / 1127) - 1):
        raise Wrong("nearly: f was divided by something before the logarithm")
    raise Wrong("the frequencies are others: take 1127 off first, then the logarithm, then the 1, then 700")


def finish(answer: Callable[[Tensor], Tensor]) -> str:
    """Log-mels [M, 128, F] -> padded with zeros on the right, then normalised [M, 1, 128, 204]."""
    for frames in (198, 120, 204, 230):
        columns = torch.randn(2, MEL_BINS, frames, generator=torch.Generator().manual_seed(frames)) * 4 - 8
        missing = MEL_FRAMES - min(frames, MEL_FRAMES)
        found = answer(columns.clone())
        shape = [2, 1, MEL_BINS, MEL_FRAMES]
        if not isinstance(found, Tensor) or list(found.shape) != shape:
            raise Wrong(f"{frames} columns should become a tensor of the shape {shape}")
        cut = columns[..., :MEL_FRAMES]
        inside = ((cut - MEAN) / STD)[:, None]
        if _close(found, (F.pad(cut, (0, missing)) - MEAN)[:, None] / STD):
            continue
        if _close(found, F.pad(inside, (missing, 0))):
            raise Wrong("both bugs are still there: where is the stripe, and how bright is it?")
        if _close(found, F.pad(inside, (0, missing))):
            raise Wrong("one is found; the padding is 0, but should be 0.467: are the zeros added before the shift?")
        if _close(found, (F.pad(cut, (missing, 0)) - MEAN)[:, None] / STD):
            raise Wrong("one is found; on which side of the sound does the padding stand?")
        if frames > MEL_FRAMES:
            raise Wrong("a longer log-mel is cut off at its end, after 204 columns")
        raise Wrong("the columns with sound have changed: (x + 4.268) / 9.138 was right")
    return "padding on the right, added before the shift: the trunk sees what it knows"


def tokens(answer: Callable[[AudioTrunkConfig], int]) -> str:
    """How many tokens enter the blocks of an audio trunk, the class token counted."""
    odd = replace(tiny().imagebind.audio, mel_frames=75, kernel=12, stride=5)
    real = video_llama_7b().imagebind.audio
    for config in (tiny().imagebind.audio, odd, real):
        found = int(answer(config))
        bins, frames, kernel, stride = config.mel_bins, config.mel_frames, config.kernel, config.stride
        right = ((bins - kernel) // stride + 1) * ((frames - kernel) // stride + 1) + 1
        if found == right:
            continue
        if found == right - 1:
            raise Wrong("the patches are right; which token comes before them (the class token)?")
        if found in ((bins // kernel) * (frames // kernel) + n for n in (0, 1)):
            raise Wrong("patches may overlap: by how much does the window move on?")
        if found in (math.ceil(bins / stride) * math.ceil(frames / stride) + n for n in (0, 1)) or found in (
            (bins // stride) * (frames // stride) + n for n in (0, 1)
        ):
            raise Wrong("the last windows stick out: a window must lie inside the picture as a whole")
        if found == right + 1:
            raise Wrong("one too many: the extra key and value are read, but they are no token")
        raise Wrong(f"for kernel {kernel} and stride {stride} on {bins} x {frames} it should be {right}, not {found}")
    return f"12 x 19 patches and the class token: {right} tokens in the 7B model"


def recall_at(answer: Callable[[Tensor, Tensor, int], float]) -> str:
    """The share of sounds (rows) with at least one right picture (column) among the k nearest."""
    random = torch.Generator().manual_seed(4)
    kinds, sounds = torch.randint(0, 4, (14,), generator=random), torch.randint(0, 4, (9,), generator=random)
    same = sounds[:, None] == kinds[None]  # [9, 14]
    similarity = torch.randn(9, 14, generator=random) + 0.8 * same
    for k in (1, 3, 5):
        nearest = similarity.topk(k, dim=1).indices
        hits = same.gather(1, nearest)
        right = hits.any(dim=1).float().mean().item()
        found = float(answer(similarity.clone(), same.clone(), k))
        if abs(found - right) < 1e-4:
            continue
        farthest = same.gather(1, similarity.topk(k, dim=1, largest=False).indices).any(dim=1).float().mean()
        columns = same.gather(0, similarity.topk(k, dim=0).indices).any(dim=0).float().mean()
        if abs(found - hits.float().mean()) < 1e-4:
            raise Wrong("this is precision, the share of the k that are right: one right picture is enough")
        if abs(found - columns) < 1e-4:
            raise Wrong("this asks each picture for its sounds: the k nearest pictures of each sound are wanted")
        if abs(found - farthest) < 1e-4:
            raise Wrong("these are the k farthest: large similarity is near")
        if abs(found - right * len(sounds)) < 1e-3:
            raise Wrong("this is a number of sounds: divide it by all of them")
        raise Wrong(f"recall@{k} should be {right:.2f} here and is {found:.2f}")
    return "one right picture among the k nearest is enough"


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-3, rtol=1e-4)
