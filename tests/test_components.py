"""What must be true of the components whatever their weights are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import tiny
from minivl.errors import InputError
from minivl.image_encoder import ImageEncoder, vit_from_image_trunk
from minivl.imagebind import AudioTrunk, ImageBind, ImageTrunk
from minivl.positions import TemporalPositionEmbedding
from minivl.qformer import QFormer
from minivl.transformer import Attention
from minivl.vit import ViT

TINY = tiny()
Part = TypeVar("Part", bound=nn.Module)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5, rtol=0.0)


def lively(module: Part) -> Part:
    """The module with larger weights, biases and norms included, so that every term of its formula shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3 if parameter.ndim < 2 else parameter[0].numel() ** -0.5)
    return module.eval()


def vision_branch() -> VisionLanguageBranch:
    return lively(VisionLanguageBranch(TINY.vision_branch, TINY.llm_width))


def frame_tokens(batch: int = 1, frames: int = 4) -> Tensor:
    return torch.randn(batch, frames, 8, 128)  # [B, T, K, width]


# Attention


def test_attention_equals_torchs_multihead_attention() -> None:
    ours = Attention(12, heads=3, bias_kv=True)
    reference = lively(nn.MultiheadAttention(12, 3, add_bias_kv=True, batch_first=True))
    state = reference.state_dict()
    for kind in ("weight", "bias"):
        for layer, third in zip((ours.query, ours.key, ours.value), state[f"in_proj_{kind}"].chunk(3), strict=True):
            getattr(layer, kind).data = third
    ours.out.load_state_dict({"weight": state["out_proj.weight"], "bias": state["out_proj.bias"]})
    ours.extra_key = nn.Parameter(state["bias_k"].flatten())
    ours.extra_value = nn.Parameter(state["bias_v"].flatten())

    x, mask = torch.randn(2, 5, 12), torch.rand(2, 5) > 0.3
    expected, _ = reference(x, x, x, key_padding_mask=~mask, need_weights=False)
    assert close(ours(x, mask=mask), expected)


def test_a_key_bias_changes_nothing_and_a_query_bias_does() -> None:
    attention, x = lively(Attention(12, heads=3)), torch.randn(2, 5, 12)
    before = attention(x)
    attention.key.bias.data += 3.0
    assert close(attention(x), before)
    attention.query.bias.data += 3.0
    assert not torch.allclose(attention(x), before, atol=1e-2)


def test_a_mask_leaks_nothing() -> None:
    qformer = lively(QFormer(TINY.image_qformer))
    states, mask = torch.randn(2, 6, 128), torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    masked = qformer(states, mask)
    other = states.clone()
    other[0, 4:] = 1e4  # what is hidden may be anything
    assert torch.equal(qformer(other, mask), masked)
    assert close(qformer(states[:1, :4]), masked[:1])  # hidden is the same as absent
    assert close(qformer(states)[1], masked[1])
    assert not torch.allclose(qformer(states)[0], masked[0], atol=1e-2)


# Q-Former and branches: sets, bags and order


def test_queries_are_permutation_equivariant() -> None:
    qformer, states, order = lively(QFormer(TINY.image_qformer)), torch.randn(1, 6, 128), torch.randperm(8)
    before = qformer(states)
    qformer.queries.data = qformer.queries.data[order]
    assert close(qformer(states), before[:, order])


def test_frames_without_positions_are_a_bag_and_with_them_are_not() -> None:
    branch, x = vision_branch(), frame_tokens()
    assert not torch.allclose(branch(x.flip(1)), branch(x), atol=1e-2)
    branch.positions.weight.data.zero_()
    assert close(branch(x.flip(1)), branch(x))


def test_tokens_within_a_frame_are_a_bag() -> None:
    branch, x = vision_branch(), frame_tokens()
    assert close(branch(x.flip(2)), branch(x))


def test_positions_add_one_row_to_all_tokens_of_a_step() -> None:
    positions = TemporalPositionEmbedding(max_positions=5, width=3)
    added = positions(torch.zeros(2, 4, 7, 3))
    assert all(torch.equal(added[b, t, k], positions.weight[t]) for b in range(2) for t in range(4) for k in range(7))
    assert torch.equal(positions(torch.zeros(2, 4, 3))[1], positions.weight[:4])


@pytest.mark.parametrize("frames", [1, 8, 32])
def test_the_soft_prompt_is_as_long_whatever_the_video(frames: int) -> None:
    assert vision_branch()(frame_tokens(2, frames)).shape == (2, 8, 192)


def test_too_many_steps_name_the_limit() -> None:
    with pytest.raises(InputError, match=r"33 time steps.* 32 "):
        vision_branch()(frame_tokens(frames=33))
    with pytest.raises(InputError, match=r"9 time steps.* 8 "):
        AudioLanguageBranch(TINY.audio_branch, TINY.llm_width)(torch.randn(1, 9, 64))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ViT(TINY.vit)(torch.randn(1, 3, 32, 32)), r"\[N, 3, 64, 64\].*\[1, 3, 32, 32\]"),
        (lambda: ImageEncoder(TINY.vit, TINY.image_qformer)(torch.randn(1, 3, 64, 64)), r"\[B, T, 3, H, W\]"),
        (lambda: ImageTrunk(TINY.imagebind.image, 64)(torch.randn(1, 3, 32, 32)), r"\[1, 3, 2, 32, 32\]"),
        (lambda: AudioTrunk(TINY.imagebind.audio, 64)(torch.randn(1, 1, 128, 198)), r"128, 204\].*198\]"),
        (lambda: QFormer(TINY.image_qformer)(torch.randn(1, 6, 64)), "width 128, not 64"),
    ],
)
def test_a_wrong_shape_is_named(call: Callable[[], Tensor], says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


# Encoders


def test_frames_do_not_see_each_other() -> None:
    encoder = lively(ImageEncoder(TINY.vit, TINY.image_qformer))
    frames = torch.randn(2, 3, 3, 64, 64)
    tokens = encoder(frames)
    assert tokens.shape == (2, 3, 8, 128)
    assert close(encoder(frames[1:, 2:]), tokens[1:, 2:])  # T = 1: an image


def test_vectors_have_the_norm_of_their_sense() -> None:
    config = replace(TINY.imagebind, audio=replace(TINY.imagebind.audio, logit_scale=20.0))
    bind = ImageBind(config)
    assert bind.image is not None
    assert bind.audio is not None
    image, sound = bind.image(torch.randn(2, 3, 64, 64)), bind.audio(torch.randn(2, 1, 128, 204))
    assert image.shape == sound.shape == (2, 64)
    assert torch.allclose(image.norm(dim=-1), torch.ones(2))
    assert torch.allclose(sound.norm(dim=-1), torch.full((2,), 20.0))
    bind.audio.log_logit_scale.fill_(10.0)  # e^10 is cut to 100
    assert torch.allclose(bind.audio(torch.randn(2, 1, 128, 204)).norm(dim=-1), torch.full((2,), 100.0))


def test_a_trunk_that_is_not_needed_is_not_held() -> None:
    answering, training = (
        ImageBind(TINY.imagebind, with_image=False),
        ImageBind(TINY.imagebind, with_audio=False),
    )
    assert answering.image is None
    assert training.audio is None
    assert all(name.startswith("audio.") for name in answering.state_dict())


def test_a_vit_starts_from_the_image_trunk_exactly() -> None:
    trunk = lively(ImageTrunk(TINY.imagebind.image, TINY.imagebind.embed_dim))
    vit, pixels = vit_from_image_trunk(TINY.vit, trunk), torch.randn(2, 3, 64, 64)
    x, y = vit.embed(pixels), trunk.embed(pixels)
    assert close(x, y)
    for ours, theirs in zip(vit.blocks, trunk.blocks, strict=True):
        x, y = ours(x), theirs(y)
        assert close(x, y)
    assert close(vit(pixels), trunk.states(pixels))


@pytest.mark.parametrize("change", [{"pre_norm": True}, {"bias_kv": True}, {"depth": 3}])
def test_a_vit_starts_from_no_other_trunk(change: dict[str, Any]) -> None:
    trunk = ImageTrunk(replace(TINY.imagebind.image, **change), 64)
    with pytest.raises(InputError, match=next(iter(change))):
        vit_from_image_trunk(TINY.vit, trunk)


# Training


@pytest.mark.parametrize("part", ["image_encoder", "image", "audio", "vision_branch", "audio_branch"])
def test_every_parameter_learns(part: str) -> None:
    module, batch = {
        "image_encoder": lambda: (ImageEncoder(TINY.vit, TINY.image_qformer), torch.randn(1, 2, 3, 64, 64)),
        "image": lambda: (ImageTrunk(TINY.imagebind.image, 64), torch.randn(2, 3, 64, 64)),
        "audio": lambda: (AudioTrunk(TINY.imagebind.audio, 64), torch.randn(2, 1, 128, 204)),
        "vision_branch": lambda: (VisionLanguageBranch(TINY.vision_branch, 192), torch.randn(2, 32, 8, 128)),
        "audio_branch": lambda: (AudioLanguageBranch(TINY.audio_branch, 192), torch.randn(2, 8, 64)),
    }[part]()
    out = module(batch)
    (out * torch.randn_like(out)).sum().backward()
    # A key bias is the exception: softmax ignores it, so its gradient is zero up to rounding.
    still = [
        name
        for name, p in module.named_parameters()
        if not name.endswith("key.bias") and (p.grad is None or p.grad.abs().max() == 0)
    ]
    assert not still


def test_gradients_reach_the_soft_prompts_input() -> None:
    x = frame_tokens().requires_grad_()
    vision_branch()(x).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax(dim=(0, 2, 3)) > 0).all()  # every frame matters


def test_dropout_acts_in_training_only() -> None:
    qformer = QFormer(replace(TINY.image_qformer, dropout=0.5))
    states = torch.randn(1, 6, 128)
    assert not torch.equal(qformer.train()(states), qformer(states))
    assert torch.equal(qformer.eval()(states), qformer(states))


def test_dropout_also_acts_on_the_queries() -> None:
    qformer = QFormer(replace(TINY.image_qformer, dropout=0.5, depth=0)).train()
    out, whole = qformer(torch.randn(2, 6, 128)), qformer.queries_norm(qformer.queries)
    kept = out != 0
    assert 0.4 < kept.float().mean() < 0.6
    assert close(out[kept], 2 * whole.expand(2, -1, -1)[kept])
    assert not torch.equal(kept[0], kept[1])  # drawn anew for each sequence
