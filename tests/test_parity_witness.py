"""A second witness: transformers' BLIP-2 has the same ViT and Q-Former, written by others.

The goldens were recorded with the original's code; should they or their reading be wrong, this one disagrees. Both
get the same random weights. Outputs, every layer and gradients are equal within 1e-5 of their size.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from parity_blip2 import qformers, vits
from torch import Tensor

from minivl.config import QFormerConfig, ViTConfig
from minivl.image_encoder import ImageEncoder
from minivl.vit import resize_positions

VITS = {
    "small": ViTConfig(image_size=28, patch_size=14, width=32, depth=3, heads=4, mlp_hidden=139),
    "uneven": ViTConfig(image_size=35, patch_size=5, width=33, depth=5, heads=3, mlp_hidden=50),
    "true width": ViTConfig(image_size=56, depth=1),  # 1408, 16 heads of 88, hidden 6144
}
QFORMERS = {
    "small": QFormerConfig(num_queries=5, encoder_width=32, width=24, depth=4, heads=4, mlp_hidden=48),
    "uneven": QFormerConfig(7, 22, width=30, depth=5, heads=5, mlp_hidden=41, cross_attention_every=3),
    "every layer": QFormerConfig(4, 24, width=24, depth=2, heads=4, mlp_hidden=48, cross_attention_every=1),
    "true width": QFormerConfig(depth=2),  # 768, 12 heads, hidden 3072, reads 1408
}


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("size", VITS)
def test_vit(size: str) -> None:
    config = VITS[size]
    theirs, ours = vits(config)
    pixels = torch.randn(2, 3, config.image_size, config.image_size)
    there, here = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    expected = theirs(there, output_hidden_states=True).hidden_states  # the last: before their final norm

    states = [ours.embed(here)]
    for block in ours.blocks:
        states.append(block(states[-1]))
    assert len(states) == len(expected) == config.depth + 1
    for mine, other in zip(states, expected, strict=True):
        assert_equal(mine, other)
    assert torch.equal(ours(here), states[-1])

    direction = torch.randn_like(states[-1])
    (states[-1] * direction).sum().backward()
    (expected[-1] * direction).sum().backward()
    assert_equal(here.grad, there.grad)


@pytest.mark.parametrize("masked", [False, True], ids=["all read", "masked"])
@pytest.mark.parametrize("size", QFORMERS)
def test_qformer(size: str, masked: bool) -> None:
    config = QFORMERS[size]
    queries, states = torch.randn(config.num_queries, config.width), torch.randn(3, 11, config.encoder_width)
    mask = torch.ones(3, 11, dtype=torch.long)
    if masked:
        mask[1, 4:] = mask[2, ::2] = 0
    theirs, ours = qformers(config, queries)
    there, here = states.clone().requires_grad_(), states.clone().requires_grad_()
    asked = queries.clone().requires_grad_()
    told = theirs(
        query_embeds=asked.expand(3, -1, -1),
        encoder_hidden_states=there,
        encoder_attention_mask=mask if masked else None,
        output_hidden_states=True,
    )

    x = ours.queries_norm(ours.queries).expand(3, -1, -1)
    layers = [x]
    for layer in ours.layers:
        layers.append(layer(layers[-1], here, mask.bool() if masked else None))
    assert len(layers) == len(told.hidden_states) == config.depth + 1
    for mine, other in zip(layers, told.hidden_states, strict=True):
        assert_equal(mine, other)
    out = ours(here, mask if masked else None)
    assert_equal(out, told.last_hidden_state)

    direction = torch.randn_like(out)
    (out * direction).sum().backward()
    (told.last_hidden_state * direction).sum().backward()
    assert_equal(here.grad, there.grad)
    assert_equal(ours.queries.grad, asked.grad)
    assert here.grad[mask == 0].abs().sum() == 0  # what is not read gets no gradient


def test_a_masked_state_may_be_anything() -> None:
    _, ours = qformers(QFORMERS["small"], torch.randn(5, 24))
    states, mask = torch.randn(1, 9, 32), torch.tensor([[1, 1, 0, 1, 0, 1, 1, 1, 0]])
    other = torch.where(mask[..., None] == 1, states, 100.0)
    with torch.no_grad():
        assert torch.equal(ours(states, mask), ours(other, mask))
        assert (ours(states) - ours(other)).abs().max() > 0.01


@torch.no_grad()
def test_trap_their_last_state_has_one_norm_more() -> None:
    """`last_hidden_state` of Blip2VisionModel is not the ViT's output: post_layernorm has been at it."""
    theirs, ours = vits(VITS["small"])
    pixels = torch.randn(2, 3, 28, 28)
    normed = theirs(pixels).last_hidden_state
    assert_equal(theirs.post_layernorm(ours(pixels)), normed)
    assert (ours(pixels) - normed).abs().max() > 0.1


@torch.no_grad()
def test_trap_that_norm_is_ln_vision_with_another_eps() -> None:
    config = replace(VITS["small"], depth=0)  # few and small numbers to normalise, so that eps is visible
    theirs, ours = vits(config)
    encoder = ImageEncoder(config, QFORMERS["small"])
    encoder.vit, encoder.norm.weight, encoder.norm.bias = ours, theirs.post_layernorm.weight, theirs.post_layernorm.bias
    black = torch.zeros(1, 3, 28, 28)
    with pytest.raises(AssertionError):
        assert_equal(encoder.features(black), theirs(black).last_hidden_state)
    encoder.norm.eps = theirs.post_layernorm.eps
    assert_equal(encoder.features(black), theirs(black).last_hidden_state)


@torch.no_grad()
def test_trap_a_key_bias_is_no_difference() -> None:
    """Theirs has room for one, ours has none: it adds the same to all scores of a query, and softmax ignores that."""
    theirs, _ = vits(VITS["small"])
    pixels = torch.randn(1, 3, 28, 28)
    before = theirs(pixels).last_hidden_state
    for layer in theirs.encoder.layers:
        layer.self_attn.qkv.bias[32:64] += 1.0
    assert_equal(theirs(pixels).last_hidden_state, before)
    for layer in theirs.encoder.layers:
        layer.self_attn.qkv.bias[:32] += 1.0
    assert (theirs(pixels).last_hidden_state - before).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("side", [28, 56])
def test_positions_stretched_for_another_image_size(side: int) -> None:
    theirs, ours = vits(VITS["small"] if side > 28 else replace(VITS["small"], image_size=56))
    tokens = (side // 14) ** 2 + 1
    stretched = theirs(torch.zeros(1, 3, side, side), interpolate_pos_encoding=True, output_hidden_states=True)
    bare = torch.cat([ours.class_token[None], ours.patch.bias.expand(tokens - 1, -1)])  # black, without positions
    assert_equal(bare + resize_positions(ours.positions, tokens), stretched.hidden_states[0][0])
