"""From the original's weight names to ours, with every name accounted for.

The original loads its files non-strictly and ignores the result, so a wrong prefix goes unnoticed. Here
each key of an official file is one of three things: renamed by a row of RENAMED, left out by a row of
UNUSED that says why, or an error that names it.

Official prefixes (attributes in `video_llama.py`): visual_encoder, ln_vision, Qformer and query_tokens
are BLIP-2's frozen image encoder; audio_encoder is ImageBind; video_* and llama_proj are the
vision-language branch, audio_* and audio_llama_proj the audio-language branch.
"""

from __future__ import annotations

import re

from torch import Tensor

from minivl.errors import WeightsError

# Pattern -> our name. {query,key,value} marks an official tensor that holds three of ours, stacked.
QKV = "{query,key,value}"

VIT_BLOCK = {
    r"norm1\.": "attention_norm.",
    r"norm2\.": "feed_forward_norm.",
    r"attn\.q_bias": "attention.query.bias",
    r"attn\.v_bias": "attention.value.bias",
    r"attn\.qkv\.weight": f"attention.{QKV}.weight",
    r"attn\.proj\.": "attention.out.",
    r"mlp\.fc1\.": "feed_forward.up.",
    r"mlp\.fc2\.": "feed_forward.down.",
}
TRUNK_BLOCK = {
    r"norm_1\.": "attention_norm.",
    r"norm_2\.": "feed_forward_norm.",
    r"attn\.in_proj_(weight|bias)": rf"attention.{QKV}.\2",
    r"attn\.out_proj\.": "attention.out.",
    r"attn\.bias_k": "attention.extra_key",
    r"attn\.bias_v": "attention.extra_value",
    r"mlp\.fc1\.": "feed_forward.up.",
    r"mlp\.fc2\.": "feed_forward.down.",
}
QFORMER_LAYER = {
    r"attention\.self\.(query|key|value)\.": r"attention.\2.",
    r"attention\.output\.dense\.": "attention.out.",
    r"attention\.output\.LayerNorm\.": "attention_norm.",
    r"crossattention\.self\.(query|key|value)\.": r"cross_attention.\2.",
    r"crossattention\.output\.dense\.": "cross_attention.out.",
    r"crossattention\.output\.LayerNorm\.": "cross_attention_norm.",
    r"intermediate_query\.dense\.": "feed_forward.up.",
    r"output_query\.dense\.": "feed_forward.down.",
    r"output_query\.LayerNorm\.": "feed_forward_norm.",
}


def _layers(official: str, ours: str, parts: dict[str, str]) -> dict[str, str]:
    """Rows for the parts of every numbered layer: `official`0.x -> `ours`0.y."""
    return {rf"{official}(\d+)\.{pattern}": rf"{ours}\1.{name}" for pattern, name in parts.items()}


def _qformer(official: str, queries: str, ours: str) -> dict[str, str]:
    """Rows for one Q-Former, whose queries lie beside it in the original."""
    return {
        queries: f"{ours}.queries",
        rf"{official}\.bert\.embeddings\.LayerNorm\.": f"{ours}.queries_norm.",
        **_layers(rf"{official}\.bert\.encoder\.layer\.", f"{ours}.layers.", QFORMER_LAYER),
    }


def _trunk(sense: str, ours: str) -> dict[str, str]:
    """Rows for what ImageBind's two trunks have in common."""
    entrance = rf"audio_encoder\.modality_preprocessors\.{sense}"
    return {
        rf"{entrance}\.cls_token": f"{ours}.class_token",
        rf"{entrance}\.pos_embedding_helper\.pos_embed": f"{ours}.positions",
        **_layers(rf"audio_encoder\.modality_trunks\.{sense}\.blocks\.", f"{ours}.blocks.", TRUNK_BLOCK),
        rf"audio_encoder\.modality_heads\.{sense}\.0\.": f"{ours}.norm.",
        rf"audio_encoder\.modality_heads\.{sense}\.2\.": f"{ours}.projection.",
    }


RENAMED: dict[str, str] = {
    r"visual_encoder\.cls_token": "image_encoder.vit.class_token",
    r"visual_encoder\.pos_embed": "image_encoder.vit.positions",
    r"visual_encoder\.patch_embed\.proj\.": "image_encoder.vit.patch.",
    **_layers(r"visual_encoder\.blocks\.", "image_encoder.vit.blocks.", VIT_BLOCK),
    r"ln_vision\.": "image_encoder.norm.",
    **_qformer("Qformer", "query_tokens", "image_encoder.qformer"),
    **_qformer("video_Qformer", "video_query_tokens", "vision_branch.qformer"),
    r"video_frame_position_embedding\.": "vision_branch.positions.",
    r"llama_proj\.": "vision_branch.to_llm.",
    **_qformer("audio_Qformer", "audio_query_tokens", "audio_branch.qformer"),
    r"audio_position_embedding\.": "audio_branch.positions.",
    r"audio_llama_proj\.": "audio_branch.to_llm.",
    **_trunk("vision", "imagebind.image"),
    r"audio_encoder\.modality_preprocessors\.vision\.rgbt_stem\.proj\.1\.": "imagebind.image.stem.",
    r"audio_encoder\.modality_trunks\.vision\.pre_transformer_layer\.0\.": "imagebind.image.pre_norm.",
    **_trunk("audio", "imagebind.audio"),
    r"audio_encoder\.modality_preprocessors\.audio\.rgbt_stem\.proj\.": "imagebind.audio.stem.",
    r"audio_encoder\.modality_preprocessors\.audio\.rgbt_stem\.norm_layer\.": "imagebind.audio.stem_norm.",
    r"audio_encoder\.modality_postprocessors\.audio\.1\.log_logit_scale": "imagebind.audio.log_logit_scale",
}

# Pattern -> why a tensor of an official file is not loaded.
UNUSED: dict[str, str] = {
    r"visual_encoder\.blocks\.39\.": "the released ViT-g file has 40 blocks, the original builds and runs 39",
    r"visual_encoder\.(norm|fc_norm|head)\.": "EVA-CLIP's end: BLIP-2 reads the last block's states",
    r"\w*Qformer\.bert\.embeddings\.(word|position)_embeddings\.": "a Q-Former has queries, no words",
    r"\w*Qformer\.bert\.embeddings\.position_ids": "a buffer of 0, 1, 2, ...: queries have no positions",
    r"\w*Qformer\.bert\.encoder\.layer\.\d+\.(intermediate|output)\.": "BLIP-2's feed-forward for text",
    r"\w*Qformer\.cls\.": "BLIP-2's word prediction head",
    r"(vision_proj|text_proj|itm_head|t5_proj|opt_proj)\.|temp$": "heads of BLIP-2's own training",
    r"audio_encoder\.modality_\w+\.(text|depth|thermal|imu)\.": "a sense that Video-LLaMA does not use",
    r"llama_model\.": "the language model is loaded from its own Hugging Face files",
}  # fmt: skip


def rename(key: str) -> str | None:
    """Our name for an official one, or None for a known tensor that is not used (UNUSED says why).

    A result that holds "{query,key,value}" stands for three of our tensors, stacked in one official one.
    Raises WeightsError for an unknown key.
    """
    if unused_because(key) is not None:
        return None
    for pattern, name in RENAMED.items():
        if match := re.match(pattern, key):
            rest = key[match.end() :]
            # A row that ends in "." renames a module and keeps what follows; any other is one whole tensor.
            if name.endswith(".") == bool(rest) and rest in ("", "weight", "bias"):
                return match.expand(name) + rest
    raise WeightsError(f"Unknown weight {key!r}: this is no file of Video-LLaMA, or its prefix is missing.")


def unused_because(key: str) -> str | None:
    """Why an official tensor is not loaded, or None if it is (or is unknown)."""
    return next((reason for pattern, reason in UNUSED.items() if re.match(pattern, key)), None)


def convert_official(state_dict: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Official tensors under our names and in our shapes, as views where possible; unused ones left out.

    Args:
        state_dict: official name -> tensor.
        prefix: put before every name, for files of one part: "visual_encoder." for eva_vit_g.pth,
            "audio_encoder." for imagebind_huge.pth.

    Raises WeightsError for a key that is neither known nor known to be unused.
    """
    converted: dict[str, Tensor] = {}
    for official, tensor in state_dict.items():
        name = rename(prefix + official)
        if name is None:
            continue
        if QKV in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[name.replace(QKV, part)] = third
        elif name.endswith((".queries", ".positions")):
            converted[name] = tensor.squeeze(0)  # [1, Q | P, width] -> [Q | P, width]
        elif name.endswith((".class_token", ".extra_key", ".extra_value")):
            converted[name] = tensor.flatten()  # [1, 1, width] -> [width]
        else:
            converted[name] = tensor
    return converted
