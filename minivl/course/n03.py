"""Checkers of notebook 03, the Q-Former."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minivl.config import QFormerConfig, tiny, video_llama_7b
from minivl.course.checking import Wrong
from minivl.qformer import QFormer, QFormerLayer


@torch.no_grad()
def masked_attention(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> str:
    """Attention [n, q, c] of q [n, q, c] over k, v [n, s, c], of which only those with mask [n, s] True are read."""
    generator = torch.Generator().manual_seed(3)
    q, k, v = (2 * torch.randn(2, n, 6, generator=generator) for n in (3, 7, 7))
    mask = torch.tensor([[True] * 4 + [False] * 3, [True] * 7])
    found = answer(q, k, v, mask)
    if not isinstance(found, Tensor) or found.shape != q.shape:
        raise Wrong(f"the answers should be one tensor of the shape of q, {list(q.shape)}: is the sum over s?")
    scores = q @ k.mT  # [n, q, s]
    here = mask[:, None]
    root = math.sqrt(q.shape[-1])
    right = (scores / root).masked_fill(~here, -math.inf).softmax(-1)
    if _close(found, right @ v):
        other = v.masked_fill(~mask[..., None], 1e4)
        if not _close(answer(q, k, other, mask), found):
            raise Wrong("with large numbers in the padding the answers change: is a masked weight exactly zero?")
        return "padding gets no weight, and the other weights still sum to 1"
    plain = (scores / root).softmax(-1)
    likely = {
        "the mask is not used: what is in the padding still counts": plain,
        "the weights do not sum to 1 any more: is the softmax taken before masking?": plain * here,
        "a score of 0 is not 'no attention', since exp(0) = 1: which score gives the weight 0?": (
            scores / root * here
        ).softmax(-1),
        "the scores are too large: are they divided by the square root of c?": scores.masked_fill(
            ~here, -math.inf
        ).softmax(-1),
        "the scores are too small: are they divided by c, and not by its square root?": (scores / q.shape[-1])
        .masked_fill(~here, -math.inf)
        .softmax(-1),
    }
    for hint, weights in likely.items():
        if _close(found, weights @ v):
            raise Wrong(hint)
    turned = (scores / root).masked_fill(here, -math.inf).softmax(-1)  # the second video has nothing left: nan
    if _close(found[0], turned[0] @ v[0]) or bool(found.isnan().any()):
        raise Wrong("is the mask the other way round? True means that a token may be read")
    raise Wrong("the numbers differ from the equation: scores, then the mask, then the softmax over s, then the sum")


@torch.no_grad()
def layer_forward(answer: Callable[[QFormerLayer, Tensor, Tensor], Tensor]) -> str:
    """What a Q-Former layer computes: x [n, q, width], states [n, s, encoder_width] -> [n, q, width]."""
    torch.manual_seed(5)
    config = QFormerConfig(3, encoder_width=10, width=8, depth=1, heads=2, mlp_hidden=12, dropout=0.0)
    layer = QFormerLayer(config, reads_states=True).eval()
    for parameter in layer.parameters():
        parameter.copy_(0.5 * torch.randn_like(parameter))
    x, states = torch.randn(2, 3, 8), torch.randn(2, 5, 10)
    found = answer(layer, x, states)
    if not isinstance(found, Tensor) or found.shape != x.shape:
        raise Wrong(f"a layer returns what it got, another x of the shape {list(x.shape)}")
    if _close(found, layer(x, states)):
        return "agree, read, think: each with its sum, and the norm after it"
    assert layer.cross_attention is not None and layer.cross_attention_norm is not None
    agreed = layer.attention_norm(x + layer.attention(x))
    whole = layer.cross_attention_norm(agreed + layer.cross_attention(agreed, states))
    cut = layer.cross_attention_norm(layer.cross_attention(agreed, states))
    if _close(found, cut + layer.feed_forward(layer.feed_forward_norm(cut))):
        raise Wrong("both bugs are still there: look at the second and at the last line")
    if _close(found, layer.feed_forward_norm(cut + layer.feed_forward(cut))):
        raise Wrong("one is found; in the other a query forgets its question when it reads: what is it added to?")
    if _close(found, whole + layer.feed_forward(layer.feed_forward_norm(whole))):
        raise Wrong("one is found; in the other the norm stands before its part: a Q-Former has it after the sum")
    if _close(found, whole + layer.feed_forward(whole)) or _close(found, layer.feed_forward(whole)):
        raise Wrong("the last line lacks something: a sum, and a norm after it")
    raise Wrong("now a line is wrong that was right before: only two of the three need a change")


def parameters(answer: Callable[[QFormerConfig], int]) -> str:
    """How many parameters a Q-Former has in which every layer reads, counted from its sizes."""
    audio = video_llama_7b().audio_branch.qformer
    for config in (tiny().vision_branch.qformer, tiny().audio_branch.qformer, audio):
        with torch.device("meta"):
            right = sum(p.numel() for p in QFormer(config).parameters())
        found, w, e, m = int(answer(config)), config.width, config.encoder_width, config.mlp_hidden
        biases = config.depth * (8 * w + m + w)
        starts = config.num_queries * w + 2 * w
        if found == right:
            continue
        if right - found == biases:
            raise Wrong("every linear layer has a bias, also those of attention: are they counted?")
        if found - right == config.depth * 2 * (w - e) * w:
            raise Wrong("keys and values of cross-attention are computed from the states: of what width are these?")
        if right - found == starts:
            raise Wrong("the layers are right; what is missing are the queries themselves, and the norm on them")
        if right - found in (config.num_queries * w, 2 * w):
            raise Wrong("nearly: there are the queries, and there is one norm on them before the first layer")
        if right - found == config.depth * 6 * w:
            raise Wrong("three norms in each layer, each with a weight and a bias of width w: are they counted?")
        if found * config.depth == right or (found - starts) * config.depth == right - starts:
            raise Wrong("this is one layer: how many are there?")
        raise Wrong(f"for width {w}, reading width {e}, it should be {right:,} and is {found:,}")
    return f"the 7B model's Audio Q-Former has {right:,} parameters"


def equal_queries(answer: tuple[int, int]) -> str:
    """(different outputs of 8 equal queries, ... after one step of gradient descent on them)."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (before the step, after the step)")
    before, after = answer
    if before != 1:
        raise Wrong(
            f"{before} different outputs of equal queries? Queries are equivariant: exchange two equal ones, and "
            "nothing changes, so their outputs are equal; are differences of rounding counted?"
        )
    if after == 1:
        raise Wrong("is the gradient of each query the same? Each output is multiplied by another row of the target")
    if after != 8:
        raise Wrong(f"{after} different vectors after the step: are all 8 compared, with a small tolerance?")
    return "equal queries stay equal until something treats their outputs differently"


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-4)
