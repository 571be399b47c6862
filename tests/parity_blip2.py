"""transformers' BLIP-2 classes at any of our sizes, with random weights, and these weights in minivl's modules.

Their names are brought back to those of the original's files, from which convert_official takes them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import minivl  # noqa: F401  its torchaudio shim must run before transformers is imported
from minivl.config import QFormerConfig, ViTConfig
from minivl.published.keys import convert_official
from minivl.qformer import QFormer
from minivl.vit import ViT

from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel  # isort: skip

# transformers' name -> the original's
VIT_NAMES = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding": "pos_embed",
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "encoder.layers.": "blocks.",
    ".self_attn.qkv.": ".attn.qkv.",
    ".self_attn.projection.": ".attn.proj.",
    ".layer_norm1.": ".norm1.",
    ".layer_norm2.": ".norm2.",
}
QFORMER_NAMES = {
    "layernorm.": "bert.embeddings.LayerNorm.",
    "encoder.": "bert.encoder.",
    "attention.attention.": "attention.self.",
}


def renamed(state: dict[str, Tensor], names: dict[str, str], prefix: str) -> dict[str, Tensor]:
    official = {}
    for key, tensor in state.items():
        for theirs, original in names.items():
            if theirs in key:
                key = key.replace(theirs, original)
        official[prefix + key] = tensor
    return official


@torch.no_grad()
def randomise(module: nn.Module) -> None:
    """Every weight at random, also those that start as 0 or 1; a layer's outputs are about as large as its inputs."""
    for name, weight in module.named_parameters():
        spread = 0.2 if weight.ndim == 1 or "embed" in name else weight[0].numel() ** -0.5
        one = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        weight.normal_(one, spread)


def vits(config: ViTConfig) -> tuple[Blip2VisionModel, ViT]:
    """theirs, ours. Theirs has one LayerNorm more, whose weights are left out of ours."""
    settings = Blip2VisionConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_hidden,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        layer_norm_eps=config.eps,
        hidden_act="gelu",
    )
    theirs = Blip2VisionModel(settings).eval()
    randomise(theirs)
    state = {key: tensor for key, tensor in theirs.state_dict().items() if not key.startswith("post_layernorm.")}
    official = renamed(state, VIT_NAMES, "visual_encoder.")
    for i in range(config.depth):  # one bias of three widths there, two of one width in the original
        attention = f"visual_encoder.blocks.{i}.attn"
        bias = official.pop(f"{attention}.qkv.bias").chunk(3)
        official[f"{attention}.q_bias"], official[f"{attention}.v_bias"] = bias[0], bias[2]
    return theirs, filled(ViT(config), convert_official(official), "image_encoder.vit.")


def qformers(config: QFormerConfig, queries: Tensor) -> tuple[Blip2QFormerModel, QFormer]:
    """theirs, ours. Queries [Q, width] are an input of theirs and weights of ours."""
    settings = Blip2QFormerConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_hidden,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        encoder_hidden_size=config.encoder_width,
        cross_attention_frequency=config.cross_attention_every,
        layer_norm_eps=config.eps,
        hidden_act="gelu",
    )
    theirs = Blip2QFormerModel(settings).eval()
    randomise(theirs)
    official = renamed(theirs.state_dict(), QFORMER_NAMES, "Qformer.")
    weights = convert_official(official | {"query_tokens": queries[None]})
    return theirs, filled(QFormer(config), weights, "image_encoder.qformer.")


def filled(module: nn.Module, weights: dict[str, Tensor], prefix: str) -> nn.Module:
    module.load_state_dict({key.removeprefix(prefix): tensor for key, tensor in weights.items()})
    return module.eval()
