"""Every size in minivl, one dataclass per part.

The tiny model and the 7B model are two sets of numbers for the same code.
Letters used in all shape comments:

    B batch   T frames of a video (an image: T = 1)   P patches of a frame, class token included
    K image queries per frame   M 2-second audio segments   F mel time frames
    Qv, Qa video / audio soft tokens   E joint ImageBind width   D LLM width   L text tokens
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ViTConfig:
    """The EVA-CLIP image encoder (section 2.1.1 of the paper: "visual encoder from BLIP-2")."""

    image_size: int = 224  # pixels
    patch_size: int = 14  # pixels
    width: int = 1408
    depth: int = 39
    heads: int = 16
    mlp_hidden: int = 6144
    eps: float = 1e-6


@dataclass(frozen=True)
class QFormerConfig:
    """A Q-Former: learned queries that read `encoder_width`-wide states by cross-attention."""

    num_queries: int = 32
    encoder_width: int = 1408
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_hidden: int = 3072
    cross_attention_every: int = 2  # layers 0, 2, 4, ... read the encoder
    dropout: float = 0.1
    eps: float = 1e-12


@dataclass(frozen=True)
class ImageTrunkConfig:
    """ImageBind's image trunk: an image repeated to `frames` frames, then a ViT."""

    image_size: int = 224
    patch_size: int = 14
    frames: int = 2
    width: int = 1280
    depth: int = 32
    heads: int = 16
    mlp_hidden: int = 5120
    pre_norm: bool = True  # a LayerNorm before the first block
    bias_kv: bool = False
    eps: float = 1e-6


@dataclass(frozen=True)
class AudioTrunkConfig:
    """ImageBind's audio trunk: a log-mel spectrogram of 2 s read as a picture of `mel_bins` x `mel_frames`."""

    mel_bins: int = 128
    mel_frames: int = 204
    kernel: int = 16
    stride: int = 10
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_hidden: int = 3072
    bias_kv: bool = True  # one learned extra key/value token in each attention
    eps: float = 1e-6
    logit_scale: float = 20.0  # the norm of an audio vector; an image vector has norm 1


@dataclass(frozen=True)
class ImageBindConfig:
    """Two trunks that end in one shared space of width `embed_dim`."""

    embed_dim: int = 1024
    image: ImageTrunkConfig = field(default_factory=ImageTrunkConfig)
    audio: AudioTrunkConfig = field(default_factory=AudioTrunkConfig)


@dataclass(frozen=True)
class BranchConfig:
    """A trained branch: position embedding, a two-layer Q-Former, a linear layer into the LLM."""

    max_positions: int
    qformer: QFormerConfig


@dataclass(frozen=True)
class VideoLlamaConfig:
    """The whole model; the language model itself brings its own Hugging Face config."""

    vit: ViTConfig = field(default_factory=ViTConfig)
    image_qformer: QFormerConfig = field(default_factory=QFormerConfig)
    imagebind: ImageBindConfig = field(default_factory=ImageBindConfig)
    vision_branch: BranchConfig = field(
        default_factory=lambda: BranchConfig(
            32, QFormerConfig(num_queries=32, encoder_width=768, depth=2, cross_attention_every=1)
        )
    )
    audio_branch: BranchConfig = field(
        default_factory=lambda: BranchConfig(
            8, QFormerConfig(num_queries=8, encoder_width=1024, depth=2, cross_attention_every=1)
        )
    )
    llm_width: int = 4096
    num_frames: int = 8  # T: frames taken from a video
    num_segments: int = 8  # M: audio segments at the most
    conversation: str = "llama2"  # the prompt format, see conversation.py
    original_quirks: bool = True  # reproduce the original's bugs that its weights were trained with
    match_norms: bool = False  # bring audio vectors (norm 20 in the original) to the norm of image vectors, 1

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and dicts, for config.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VideoLlamaConfig:
        """The inverse of `to_dict`. Raises TypeError on a key that this version does not know."""

        def branch(v: dict[str, Any]) -> BranchConfig:
            return BranchConfig(v["max_positions"], QFormerConfig(**v["qformer"]))

        imagebind = values["imagebind"]
        parts = {
            "vit": ViTConfig(**values["vit"]),
            "image_qformer": QFormerConfig(**values["image_qformer"]),
            "imagebind": ImageBindConfig(
                imagebind["embed_dim"],
                ImageTrunkConfig(**imagebind["image"]),
                AudioTrunkConfig(**imagebind["audio"]),
            ),
            "vision_branch": branch(values["vision_branch"]),
            "audio_branch": branch(values["audio_branch"]),
        }
        return cls(**{**values, **parts})


def tiny() -> VideoLlamaConfig:
    """The shipped model: 64-pixel frames, a few million parameters, trained on a laptop."""
    width = 128
    branch = QFormerConfig(
        num_queries=8, encoder_width=width, width=width, depth=2, heads=4,
        mlp_hidden=384, cross_attention_every=1, dropout=0.0,
    )  # fmt: skip
    return VideoLlamaConfig(
        vit=ViTConfig(image_size=64, patch_size=8, width=width, depth=4, heads=4, mlp_hidden=384),
        image_qformer=dataclasses.replace(branch, num_queries=8, depth=2),
        imagebind=ImageBindConfig(
            embed_dim=64,
            image=ImageTrunkConfig(
                image_size=64, patch_size=8, width=width, depth=4, heads=4, mlp_hidden=384, pre_norm=False
            ),
            audio=AudioTrunkConfig(
                stride=16, width=96, depth=3, heads=4, mlp_hidden=256, logit_scale=1.0
            ),
        ),
        vision_branch=BranchConfig(32, branch),
        audio_branch=BranchConfig(8, dataclasses.replace(branch, encoder_width=64)),
        llm_width=192,
        conversation="tiny",
        original_quirks=False,
    )  # fmt: skip


def video_llama_7b() -> VideoLlamaConfig:
    """Video-LLaMA-2-7B: EVA-CLIP ViT-g, BLIP-2 Q-Former, ImageBind-huge, LLaMA-2-7B-chat."""
    return VideoLlamaConfig()


def video_llama_13b() -> VideoLlamaConfig:
    """Video-LLaMA-2-13B: as 7B, in front of a 5120-wide language model."""
    return VideoLlamaConfig(llm_width=5120)


def video_llama_1b() -> VideoLlamaConfig:
    """A middle size for a free Colab GPU: the 7B model's eyes and ears in front of TinyLlama-1.1B-Chat.

    There are no published branches of this size. Trained anew, they need none of the original's bugs, and the audio
    branch, which learns from pictures, may hear vectors of the norm that it has learned from.
    """
    return VideoLlamaConfig(llm_width=2048, conversation="zephyr", original_quirks=False, match_norms=True)


PRESETS = {
    "tiny": tiny,
    "video_llama_1b": video_llama_1b,
    "video_llama_7b": video_llama_7b,
    "video_llama_13b": video_llama_13b,
}
