"""Checkers of notebook 02, time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minivl.course.checking import Wrong
from minivl.course.profile import tiny_model


def share_right(answer: float) -> str:
    """The expected share of right answers about motion for who sees the frames in a heap: 4/7."""
    value = float(answer)
    if abs(value - 1 / 7) < 0.01:
        raise Wrong("a seventh is what is left to who sees nothing at all: is the line of the motion known here?")
    if abs(value - 1 / 2) < 0.01:
        raise Wrong("nearly: is the coin needed for what stands still as well?")
    if abs(value - 3 / 7) < 0.01:
        raise Wrong("six motions give 3/7: what does the seventh add?")
    if not 0 <= value <= 1:
        raise Wrong("give a share between 0 and 1")
    if abs(value - 4 / 7) > 0.002:
        raise Wrong("one motion in seven is always right, the other six are right half of the time")
    return "4/7: one motion of the seven for certain, six by the toss of a coin"


def add_time(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """(x [B, T, K, width], table [rows, width]) -> x with row t added to all tokens of frame t."""
    for tokens in (8, 5):  # T = K first, as in the tiny model: there a wrong axis raises nothing
        x, table = torch.zeros(2, 8, tokens, 4), torch.arange(32.0)[:, None].expand(32, 4) + 1
        try:
            found = answer(x.clone(), table)
        except NotImplementedError:  # it is a RuntimeError too
            raise
        except RuntimeError as error:
            raise Wrong(f"with {tokens} tokens in a frame torch says {str(error)[:80]!r}: which axis is T?") from error
        if not isinstance(found, Tensor) or found.shape != x.shape:
            raise Wrong(f"the shape should stay {list(x.shape)}")
        if found.equal(x):
            raise Wrong("nothing was added: is the result returned?")
        if found[:, :, 0].equal(table[:8].expand(2, 8, 4)) and not found[:, :, 1:].any():
            raise Wrong("only the first token of each frame gets its row: all K of them should")
        if found[:, 0].equal(found[:, 1]):
            raise Wrong("all frames get the same rows, one for each token: which axis does the table line up with?")
        if not found.equal(table[:8, None].expand(2, 8, tokens, 4)):
            raise Wrong("frame t should get row t, in each of its tokens, and frame 0 row 0")
    return "also where T and K differ"


def backwards_table(answer: Callable[[Tensor, int], Tensor]) -> str:
    """(table [rows, width], frames) -> a table with which a clip of so many frames is seen backwards."""
    branch = tiny_model().vision_branch
    assert branch is not None  # the shipped model has both
    given = branch.positions.weight.detach()
    for frames in (8, 6):
        table = given.clone()
        found = answer(table, frames)
        if not table.equal(given):
            raise Wrong("the given table was changed: the model would be broken afterwards; return a new one")
        if not isinstance(found, Tensor) or found.shape != given.shape:
            raise Wrong(f"the new table should have as many rows as the old one, {list(given.shape)}")
        if found.equal(given.flip(0)):
            raise Wrong("the whole table was turned round: frame 0 now gets row 31, which was never trained")
        if found[:frames].equal(given[:frames].flip(1)):
            raise Wrong("each row was turned round along its width: the rows should change places, not their numbers")
        if frames == 6 and found[:8].equal(given[:8].flip(0)):
            raise Wrong("right for 8 frames, but not for 6: is the number of frames used?")
        if not found[:frames].equal(given[:frames].flip(0)):
            raise Wrong("frame t should get the row of frame T - 1 - t")
        if not found[frames:].equal(given[frames:]):
            raise Wrong("rows that the clip does not use should stay as they are")
    return "frame t with row T - 1 - t is frame T - 1 - t of a film that runs backwards"


def clock(answer: Callable[[int, int], Tensor]) -> str:
    """(steps, width) -> the table [steps, width] of sines and cosines, interleaved."""
    steps, width = 20, 12
    found, right = answer(steps, width), _waves(steps, width)
    if not isinstance(found, Tensor) or found.shape != right.shape:
        raise Wrong(f"the table for 20 steps of width 12 should be a tensor {list(right.shape)}")
    if torch.allclose(found.float(), right, atol=1e-4):
        near, far = (torch.cosine_similarity(found[0], found[t], dim=0) for t in (1, 8))
        return f"row 0 and row 1 have a cosine of {near:.2f}, row 0 and row 8 of {far:.2f}"
    if torch.allclose(found.float(), torch.cat([right[:, ::2], right[:, 1::2]], dim=1), atol=1e-4):
        raise Wrong("all sines come first, then all cosines: they should be interleaved")
    if not torch.allclose(found[0].float(), right[0], atol=1e-4):
        raise Wrong("row 0 should be 0, 1, 0, 1, ...: does frame 0 have t = 0, and do sines come first?")
    if torch.allclose(found[:, :2].float(), right[:, :2], atol=1e-4):
        raise Wrong("the first two columns are right, later ones are not: is the exponent 2i / width?")
    raise Wrong("columns 0 and 1 should be sin(t) and cos(t), in radians")


def _waves(steps: int, width: int) -> Tensor:
    angles = torch.arange(steps)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)  # [steps, width / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
