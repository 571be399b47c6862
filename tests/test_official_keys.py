"""Every weight of the original's files is renamed, left out for a reason, or refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from golden import GOLDENS, golden, only
from torch import nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.checkpoints import PARTS
from minivl.config import VideoLlamaConfig, video_llama_7b, video_llama_13b
from minivl.errors import WeightsError
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.published.keys import UNUSED, convert_official, rename, unused_because
from minivl.published.weights import expected_shapes


def official_shapes(section: str) -> dict[str, list[int]]:
    """Official key -> shape at 7B, with every {i} written out."""
    shapes = {}
    for pattern, entry in json.loads((GOLDENS / "official_keys.json").read_text())[section].items():
        span, _, step = str(entry.get("i", "0..0")).partition(" step ")
        first, last = map(int, span.split(".."))
        for i in range(first, last + 1, int(step or 1)):
            shapes[pattern.replace("{i}", str(i))] = entry["shape"]
    return shapes


@pytest.mark.parametrize(
    ("config", "layers", "keys"), [(video_llama_7b(), 32, 2521), (video_llama_13b(), 40, 2601)], ids=["7b", "13b"]
)
def test_every_key_of_the_whole_model_is_accounted_for(config: VideoLlamaConfig, layers: int, keys: int) -> None:
    """None missing, none unexplained, all of the right shape."""
    shapes = official_shapes("state_dict")
    for key, shape in list(shapes.items()):
        if key.startswith(("llama_proj.", "audio_llama_proj.")):
            shapes[key] = [config.llm_width if n == 4096 else n for n in shape]
        if key.startswith("llama_model.model.layers.31."):
            shapes |= {key.replace(".31.", f".{i}."): shape for i in range(32, layers)}
    assert len(shapes) == keys
    converted = convert_official({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert {k: v.shape for k, v in converted.items()} == expected_shapes(config, PARTS)


def test_what_is_not_loaded_has_a_reason() -> None:
    for key in official_shapes("qformer_keys_removed_after_construction"):
        assert rename(key) is None, key
    for key in (
        "visual_encoder.blocks.39.mlp.fc1.bias",
        "audio_encoder.modality_trunks.depth.blocks.0.norm_1.bias",
    ):
        assert rename(key) is None
        assert unused_because(key) in UNUSED.values()


@pytest.mark.parametrize("part", ["vl", "al"])
def test_branch_files_written_by_the_original(part: str) -> None:
    checkpoint = torch.load(GOLDENS / f"tiny_branch_{part}.pth")
    weights = convert_official(checkpoint["model"])
    _, full = golden("full_model")
    trained = "vision_branch." if part == "vl" else "audio_branch."
    assert only(weights, trained).keys() == only(full, trained).keys()
    assert all(torch.equal(weights[key], full[key]) for key in weights)
    assert weights.keys() - only(weights, trained).keys() <= {"imagebind.audio.log_logit_scale"}


def test_files_of_one_part_need_their_prefix() -> None:
    qkv = {"blocks.0.attn.qkv.weight": torch.arange(12.0).reshape(6, 2)}
    ours = convert_official(qkv, prefix="visual_encoder.")
    assert list(ours) == [f"image_encoder.vit.blocks.0.attention.{part}.weight" for part in ("query", "key", "value")]
    assert ours["image_encoder.vit.blocks.0.attention.key.weight"].tolist() == [[4, 5], [6, 7]]
    with pytest.raises(WeightsError, match=r"'blocks\.0\.attn\.qkv\.weight'"):
        convert_official(qkv)


@pytest.mark.parametrize(
    "key",
    [
        "ln_visual.weight",  # a typo
        "llama_proj.weight.scale",  # more than a tensor
        "query_tokens_2",
        "visual_encoder.blocks.0.attn.k_bias",  # EVA has none
        "module.query_tokens",  # a prefix of nn.DataParallel
    ],
)
def test_unknown_keys_are_named(key: str) -> None:
    with pytest.raises(WeightsError, match=key.replace(".", r"\.")):
        rename(key)


# Sizes: FACTS of the original, counted without allocating anything


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("config", "vision", "audio"),
    [(video_llama_7b(), 22_104_064, 22_855_680), (video_llama_13b(), 22_891_520, 23_643_136)],
    ids=["7b", "13b"],
)
def test_trainable_parameters(config: VideoLlamaConfig, vision: int, audio: int) -> None:
    with torch.device("meta"):
        assert count(VisionLanguageBranch(config.vision_branch, config.llm_width)) == vision
        assert count(AudioLanguageBranch(config.audio_branch, config.llm_width)) == audio


def test_frozen_parameters_at_7b() -> None:
    config = video_llama_7b()
    with torch.device("meta"):
        encoder, bind = ImageEncoder(config.vit, config.image_qformer), ImageBind(config.imagebind)
    assert count(encoder.vit) == 985_894_528
    assert count(encoder.norm) == 2_816
    assert count(encoder.qformer) == 105_137_664 + 24_576
    assert bind.image is not None
    assert bind.audio is not None
    assert count(bind.image) == 632_829_440
    assert count(bind.audio) + bind.audio.log_logit_scale.numel() == 86_235_648 + 1
