"""A model of a few thousand random weights that speaks the toy world's language, and made-up features of its clips."""

from __future__ import annotations

from dataclasses import replace

import torch
from small_model import CONFIG
from torch import nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import VideoLlamaConfig
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.model import VideoLlama
from minivl.pretraining.language import LanguageTraining, new_language_model
from minivl.pretraining.tokenizer import build_tokenizer
from minivl.toyworld.features import Features
from minivl.toyworld.questions import vocabulary
from minivl.toyworld.scenes import sample_scene

TOY_CONFIG: VideoLlamaConfig = replace(
    CONFIG,  # of small_model.py, for the toy world's frames: 64 pixels, cut into 4 patches
    vit=replace(CONFIG.vit, image_size=64, patch_size=32),
    imagebind=replace(CONFIG.imagebind, image=replace(CONFIG.imagebind.image, image_size=64, patch_size=32)),
    num_frames=8,
)
TOY_LANGUAGE = LanguageTraining(steps=2, batch_size=4, width=24, depth=2, heads=2, mlp_hidden=48)


def toy_model(seed: int = 0) -> VideoLlama:
    """All parts with random weights, and the tokenizer of the shipped model; a context of 512 tokens."""
    torch.manual_seed(seed)
    tokenizer, config = build_tokenizer(vocabulary()), TOY_CONFIG
    llm = new_language_model(tokenizer, TOY_LANGUAGE)
    for weight in llm.parameters():
        if weight.ndim > 1:  # large weights give varied answers, and let a soft prompt change them
            nn.init.normal_(weight, std=0.3)
    with torch.no_grad():  # answers of a few words: the "###" that ends them is a likely token
        llm.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("###")] *= 2
    return VideoLlama(
        config,
        llm,
        tokenizer,
        ImageEncoder(config.vit, config.image_qformer),
        ImageBind(config.imagebind),
        VisionLanguageBranch(config.vision_branch, config.llm_width),
        AudioLanguageBranch(config.audio_branch, config.llm_width),
    )


def numbered_features(clips: int = 60) -> Features:
    """Features that say whose they are: those of clip n are n in sight, and 1000 + n in sound."""
    n = torch.arange(clips).half()[:, None, None]
    return Features(
        scenes=[sample_scene(seed) for seed in range(clips)],
        frame_tokens=n[..., None].expand(clips, 8, 2, 16),  # [N, T, K, width]
        looks=n.expand(clips, 8, 12),  # [N, T, E]
        sounds=1000 + n.expand(clips, 2, 12),  # [N, M, E]
    )
