"""Every component gives the numbers of the original's code, weight for weight.

The files in goldens/ hold inputs ("@in/..."), outputs ("@out/...") and weights (under their official
names) of tiny, randomly initialised parts of the original Video-LLaMA, recorded by running its code.
Largest absolute difference allowed: 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from einops import rearrange
from golden import golden, only, recorded
from torch import Tensor, nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import (
    AudioTrunkConfig,
    BranchConfig,
    ImageBindConfig,
    ImageTrunkConfig,
    QFormerConfig,
    ViTConfig,
)
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.qformer import QFormer

Part = TypeVar("Part", bound=nn.Module)

# The sizes that the goldens were recorded with, as their .json files give them.
VIT = ViTConfig(image_size=28, patch_size=14, width=32, depth=3, heads=4, mlp_hidden=139)
IMAGE_QFORMER = QFormerConfig(num_queries=5, encoder_width=32, width=24, depth=4, heads=4, mlp_hidden=48)
VIDEO_QFORMER = replace(IMAGE_QFORMER, num_queries=4, encoder_width=24, depth=2, cross_attention_every=1)
AUDIO_QFORMER = replace(VIDEO_QFORMER, num_queries=3, encoder_width=20)
IMAGEBIND = ImageBindConfig(
    embed_dim=20,
    image=ImageTrunkConfig(image_size=28, patch_size=14, width=16, depth=2, heads=4, mlp_hidden=64),
    audio=AudioTrunkConfig(mel_bins=36, mel_frames=46, width=24, depth=3, heads=3, mlp_hidden=96),
)
LLM_WIDTH = 32


def loaded(module: Part, weights: dict[str, Tensor], prefix: str) -> Part:
    """The module with all weights under `prefix`: none may be missing, none left over."""
    module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    return module.eval()


def assert_close(ours: Tensor, original: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == original.shape
    assert (ours - original).abs().max() <= tolerance


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_vit_per_block() -> None:
    data, weights = golden("eva_vit")
    config = replace(VIT, image_size=42)
    encoder = ImageEncoder(config, IMAGE_QFORMER)
    vit = loaded(encoder.vit, weights, "image_encoder.vit.")
    loaded(encoder.norm, weights, "image_encoder.norm.")

    patches = rearrange(vit.patch(data["in/image"]), "n width h w -> n (h w) width")
    assert_close(patches, data["out/patch_embed"])
    x = vit.embed(data["in/image"])
    for i, block in enumerate(vit.blocks):
        x = block(x)
        assert_close(x, data[f"out/block.{i}"])
    assert_close(vit(data["in/image"]), data["out/features"])
    assert_close(encoder.features(data["in/image"]), data["out/features_ln"])


@pytest.mark.parametrize(
    ("official", "config", "prefix"),
    [
        ("Qformer", IMAGE_QFORMER, "image_encoder.qformer."),  # cross-attention in every second layer
        ("video_Qformer", VIDEO_QFORMER, "vision_branch.qformer."),  # cross-attention in every layer
    ],
)
def test_qformer_per_layer_and_masked(official: str, config: QFormerConfig, prefix: str) -> None:
    data, weights = golden("qformer")
    qformer = loaded(QFormer(config), weights, prefix)
    states, mask = data[f"in/{official}.encoder_hidden_states"], data[f"in/{official}.encoder_attention_mask"]

    x = qformer.queries_norm(qformer.queries).expand(len(states), -1, -1)
    assert_close(x, data[f"out/{official}.embeddings"])
    for i, layer in enumerate(qformer.layers):
        x = layer(x, states)
        assert_close(x, data[f"out/{official}.layer.{i}"])
    assert_close(qformer(states), data[f"out/{official}.last_hidden_state"])
    assert_close(qformer(states, mask), data[f"out/{official}.last_hidden_state_masked"])
    assert_close(qformer(states, mask.bool()), data[f"out/{official}.last_hidden_state_masked"])


def test_imagebind_audio_at_real_input_size() -> None:
    data, weights = golden("imagebind")
    config = replace(IMAGEBIND, audio=replace(IMAGEBIND.audio, mel_bins=128, mel_frames=204))
    trunk = loaded(ImageBind(config), weights, "imagebind.").audio
    assert trunk is not None
    mel = rearrange(data["in/audio"], "b m ... -> (b m) ...")

    x = trunk.embed(mel)
    assert_close(x, data["out/audio.tokens"])
    for i, block in enumerate(trunk.blocks):
        x = block(x)
        assert_close(x[:, 0], data[f"out/audio.block.{i}.cls"])
    assert_close(trunk.features(mel), data["out/audio.feature"][0])
    assert_close(trunk(mel), data["out/audio.final"][0])
    assert torch.allclose(trunk(mel).norm(dim=-1), torch.tensor(20.0))


@pytest.mark.parametrize("case", ["vision_images", "vision_clips", "vision_video"])
def test_imagebind_vision(case: str) -> None:
    data, weights = golden("imagebind")
    trunk = loaded(ImageBind(IMAGEBIND, with_audio=False), only(weights, "imagebind.image."), "imagebind.").image
    assert trunk is not None
    pixels = data[f"in/{case}"]
    if case != "vision_images":  # [B, clips, 3, ...]: ImageBind folds the clips into the batch
        pixels = rearrange(pixels, "b clips ... -> (b clips) ...")

    x = trunk.embed(pixels)
    assert_close(x, data[f"out/{case}.tokens"])
    x = trunk.pre_norm(x)
    for i, block in enumerate(trunk.blocks):
        x = block(x)
        assert_close(x[:, 0], data[f"out/{case}.block.{i}.cls"])
    assert_close(trunk.features(pixels), data[f"out/{case}.feature"].flatten(0, -2))
    assert_close(trunk(pixels), data[f"out/{case}.final"].flatten(0, -2))


def vision_parts(weights: dict[str, Tensor]) -> tuple[ImageEncoder, VisionLanguageBranch]:
    encoder = loaded(ImageEncoder(VIT, IMAGE_QFORMER), weights, "image_encoder.")
    branch = VisionLanguageBranch(BranchConfig(32, VIDEO_QFORMER), LLM_WIDTH)
    return encoder, loaded(branch, weights, "vision_branch.")


def audio_parts(weights: dict[str, Tensor]) -> tuple[ImageBind, AudioLanguageBranch]:
    imagebind = loaded(ImageBind(IMAGEBIND), weights, "imagebind.")
    branch = AudioLanguageBranch(BranchConfig(8, AUDIO_QFORMER), LLM_WIDTH)
    return imagebind, loaded(branch, weights, "audio_branch.")


def vectors(imagebind: ImageBind, sense: str, x: Tensor) -> Tensor:
    """[B, M, ...] -> ImageBind vectors [B, M, E], with the trunk of that sense."""
    trunk = imagebind.image if sense == "vision" else imagebind.audio
    assert trunk is not None
    return rearrange(trunk(rearrange(x, "b m ... -> (b m) ...")), "(b m) e -> b m e", b=len(x))


@pytest.mark.parametrize("case", ["two_frames", "eight_frames"])
def test_vision_branch(case: str) -> None:
    data, weights = golden("vl_branch")
    encoder, branch = vision_parts(weights)
    frames = rearrange(data[f"in/{case}.video"], "b c t h w -> b t c h w")

    tokens = encoder(frames)  # [B, T, K, width]
    assert_close(rearrange(tokens, "b t k w -> (b t) k w"), data[f"out/{case}.frame_queries"])
    timed = rearrange(branch.positions(tokens), "b t k w -> b (t k) w")
    assert_close(timed, data[f"out/{case}.frame_tokens"])
    assert_close(branch.qformer(timed), data[f"out/{case}.video_hidden"])
    assert_close(branch(tokens), data[f"out/{case}.soft_prompt"])


@pytest.mark.parametrize("case", ["audio_8clips", "audio_2clips", "vision_4frames"])
def test_audio_branch_on_sound_and_on_images(case: str) -> None:
    data, weights = golden("al_branch")  # its logit scale is 7: it must come from the file, not from the config
    imagebind, branch = audio_parts(weights)

    segments = vectors(imagebind, case.split("_")[0], data[f"in/{case}"])  # [B, M, E]
    assert_close(segments, data[f"out/{case}.imagebind_final"])
    assert_close(branch.positions(segments), data[f"out/{case}.clip_tokens"])
    assert_close(branch.qformer(branch.positions(segments)), data[f"out/{case}.audio_hidden"])
    assert_close(branch(segments), data[f"out/{case}.soft_prompt"])


def test_every_layer_norm_eps() -> None:
    # Activations here are so small that any wrong eps moves an output by 1e-3 or more.
    data, weights = golden("small_scale")
    encoder, vision_branch = vision_parts(weights)
    imagebind, audio_branch = audio_parts(weights)
    frames = rearrange(data["in/video"], "b c t h w -> b t c h w")

    assert_close(encoder.vit(frames.flatten(0, 1)), data["out/vit_features"], 1e-4)
    assert_close(encoder.features(frames.flatten(0, 1)), data["out/vit_features_ln"], 1e-4)
    assert_close(encoder(frames).flatten(0, 1), data["out/frame_queries"], 1e-4)
    assert_close(vision_branch(encoder(frames)), data["out/video_soft_prompt"], 1e-4)
    for sense in ("audio", "vision"):
        segments = vectors(imagebind, sense, data[f"in/{sense}"])
        assert_close(segments, data[f"out/imagebind_{sense}_final"], 1e-4)
        assert_close(audio_branch(segments), data[f"out/{sense}_soft_prompt"], 1e-4)


def test_soft_prompts_of_the_whole_model() -> None:
    _, weights = golden("full_model")
    data = recorded("full_model_chat")
    encoder, vision_branch = vision_parts(weights)
    imagebind, audio_branch = audio_parts(weights)

    for case, slot in (
        ("video_vicuna", 0),
        ("video_llama2", 0),
        ("av_vicuna", 1),
        ("av_without_audio_track", 0),
    ):
        frames = rearrange(data[f"in/chat_{case}.frames_processed"], "c t h w -> 1 t c h w")
        assert_close(vision_branch(encoder(frames)), data[f"out/chat_{case}.soft_prompt.{slot}"])
    image = rearrange(data["in/chat_image_vicuna.image_processed"], "c h w -> 1 1 c h w")
    assert_close(vision_branch(encoder(image)), data["out/chat_image_vicuna.soft_prompt.0"])
    segments = vectors(imagebind, "audio", data["in/chat_av_vicuna.mel"])
    assert_close(audio_branch(segments), data["out/chat_av_vicuna.soft_prompt.0"])
