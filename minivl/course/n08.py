"""Checkers of notebook 08, an ear trained by eye."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from minivl.config import video_llama_7b
from minivl.course.checking import Wrong

IMAGE_NORM = 1.0


def match_norms(answer: Callable[[Tensor, float], Tensor]) -> str:
    """Vectors [..., E] brought to one length; zeros stay zeros."""
    random = torch.Generator().manual_seed(8)
    vectors = 3 * torch.randn(2, 5, 16, generator=random)
    for norm in (1.0, 20.0):
        found = answer(vectors.clone(), norm)
        if not isinstance(found, Tensor) or found.shape != vectors.shape:
            raise Wrong(f"the shape should stay {list(vectors.shape)}: only the lengths change")
        right = norm * F.normalize(vectors, dim=-1)
        if _close(found, right):
            continue
        if _close(found, norm * vectors):
            raise Wrong("a vector that came in twice as long goes out twice as long: is it divided by its own norm?")
        if _close(found, F.normalize(vectors, dim=-1)):
            raise Wrong("the vectors have length 1, whatever `norm` says")
        if any(_close(found, norm * F.normalize(vectors, dim=dim)) for dim in (0, 1)):
            raise Wrong("the norm is that of each vector, so it is summed over E: along which dimension was it taken?")
        if _close(found, norm * vectors / vectors.norm()):
            raise Wrong("all vectors were divided by one number: each vector has a norm of its own")
        raise Wrong("direction or length are others: is each vector divided by its norm, then multiplied?")
    nothing = vectors.clone()
    nothing[0, 0] = 0
    found = answer(nothing, 20.0)
    if not found.isfinite().all() or not _close(found[0, 0], torch.zeros(16)):
        raise Wrong("a vector of zeros should stay zeros: what is 0 / 0?")
    return "every vector has the length that was asked for, and keeps its direction"


def name_by_ear(answer: Callable[[Tensor, dict[str, Tensor]], list[str]]) -> str:
    """The name of each sound [S, E] by the mean image vectors of a gallery {name: [n, E]}."""
    random = torch.Generator().manual_seed(2)
    centres = F.normalize(torch.randn(4, 12, generator=random), dim=-1)
    gallery = {}
    # some names have few pictures, all alike; others many that differ: sums and means have other lengths than 1
    for name, centre, count, spread in zip(
        ("bell", "cat", "rain", "train"), centres, (9, 2, 40, 5), (0.1, 0.05, 0.9, 0.4), strict=True
    ):
        gallery[name] = F.normalize(centre + spread * torch.randn(count, 12, generator=random), dim=-1)
    which = torch.arange(60) % 4
    sounds = F.normalize(centres[which] + 0.3 * torch.randn(60, 12, generator=random), dim=-1)
    names = list(gallery)
    means = torch.stack([gallery[name].mean(dim=0) for name in names])
    sums = torch.stack([gallery[name].sum(dim=0) for name in names])

    def nearest(vectors: Tensor, sign: int = 1) -> list[str]:
        return [names[i] for i in (sign * sounds @ vectors.T).argmax(dim=1).tolist()]

    right, found = nearest(F.normalize(means, dim=-1)), answer(sounds.clone(), gallery)
    if not isinstance(found, list) or len(found) != len(sounds):
        raise Wrong(f"{len(sounds)} sounds should give a list of {len(sounds)} names")
    if any(name not in gallery for name in found):
        raise Wrong("the list should hold names of the gallery, not numbers or vectors")
    if found == right:
        share = sum(names[i] == name for i, name in zip(which.tolist(), found, strict=True)) / len(found)
        return f"no training, no language model, and {share:.0%} of these sounds are named"
    if found == nearest(means):
        raise Wrong("the length of the mean counts: a name whose pictures are alike has a longer one")
    if found == nearest(sums):
        raise Wrong("the number of pictures counts: is the mean taken, and brought to length 1?")
    if found == nearest(F.normalize(means, dim=-1), -1):
        raise Wrong("these are the farthest: a large cosine is near")
    raise Wrong("other names come out: compare each sound with one vector of length 1 for each name")


def content_to_position(answer: tuple[float, float]) -> str:
    """How many times as long as a position of the original, at its start, are a picture's and a sound's vector."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (trained, used)")
    trained, used = (float(number) for number in answer)
    config = video_llama_7b().imagebind
    position = math.sqrt(config.embed_dim)
    right = (IMAGE_NORM / position, config.audio.logit_scale / position)
    if _near(trained, right[0]) and _near(used, right[1]):
        return f"1 to {position:.0f} in training, {config.audio.logit_scale:.0f} to {position:.0f} in use"
    if _near(trained, right[1]) and _near(used, right[0]):
        raise Wrong("the two numbers are exchanged: it was trained on pictures")
    if _near(trained, IMAGE_NORM) and _near(used, config.audio.logit_scale):
        raise Wrong("a standard deviation of 1 is that of one number in the row: how long is a row of E of them?")
    if _near(trained, 1 / config.embed_dim) or _near(used, config.audio.logit_scale / config.embed_dim):
        raise Wrong("that is the squared norm of a position: where is the square root?")
    if _near(trained, 1 / right[0]) or _near(used, 1 / right[1]):
        raise Wrong("the other way round: how many times as long is the vector, not the position?")
    if _near(trained, 2.0) or _near(used, 40.0):
        raise Wrong("those are our positions, of norm 0.5: the original's start larger")
    raise Wrong(f"({trained:g}, {used:g}) is not it: divide 1 and 20 by the length of a row of E random numbers")


def frames_for(answer: Callable[[Tensor, int], Tensor]) -> str:
    """`count` of T frames [B, T, E], evenly spaced, in order, from the first."""
    for frames, count in ((8, 8), (8, 2), (8, 4), (12, 3)):
        looks = torch.randn(3, frames, 5, generator=torch.Generator().manual_seed(frames))
        step, found = frames // count, answer(looks.clone(), count)
        if not isinstance(found, Tensor) or found.ndim != 3 or len(found) != 3 or found.shape[-1] != 5:
            raise Wrong(f"{count} of {frames} frames of 3 clips should have the shape {[3, count, 5]}")
        if _close(found, looks[:, :count]) and count < frames:
            raise Wrong("only the beginning of the clip is used: spread them over all of it")
        if found.shape[1] != count:
            raise Wrong(f"{found.shape[1]} of {frames} frames come back, not {count}: how many frames is a step?")
        right = looks[:, ::step]
        if _close(found, right):
            continue
        if _close(found, right.flip(1)):
            raise Wrong("the frames come backwards: the order is what the positions tell")
        if any(_close(found, looks[:, first::step]) for first in range(1, step)):
            raise Wrong("evenly spaced, but it should begin with the first frame")
        raise Wrong("other frames come back: evenly spaced, from the first one on")
    return "evenly spaced and in order: two pictures for four seconds, eight for sixteen"


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-4)


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 0.06 * abs(b)
