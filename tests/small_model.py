"""A model of a few thousand random weights for the tests: every part, no training, built in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import (
    AudioTrunkConfig,
    BranchConfig,
    ImageBindConfig,
    ImageTrunkConfig,
    QFormerConfig,
    VideoLlamaConfig,
    ViTConfig,
)
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.model import VideoLlama

MARKS = ("###", "Human:", "Assistant:", "<Video>", "</Video>", "<Audio>", "</Audio>", "<Image>", "</Image>")
WORDS = "what do you see hear is it a the red blue circle square bell dog moves yes no ? first".split()

QFORMER = QFormerConfig(3, 16, 16, 2, 2, 32, cross_attention_every=1, dropout=0.0)
CONFIG = VideoLlamaConfig(
    vit=ViTConfig(image_size=16, patch_size=8, width=16, depth=1, heads=2, mlp_hidden=32),
    image_qformer=replace(QFORMER, num_queries=2),
    imagebind=ImageBindConfig(
        embed_dim=12,
        image=ImageTrunkConfig(image_size=16, patch_size=8, width=16, depth=1, heads=2, mlp_hidden=32, pre_norm=False),
        audio=AudioTrunkConfig(stride=16, width=16, depth=1, heads=2, mlp_hidden=32, logit_scale=1.0),
    ),
    vision_branch=BranchConfig(8, QFORMER),
    audio_branch=BranchConfig(8, replace(QFORMER, num_queries=2, encoder_width=12)),
    llm_width=24,
    num_frames=4,
    num_segments=4,
    conversation="tiny",
    original_quirks=False,
)


def small_tokenizer() -> Any:
    """One token a word, and one for each mark of the tiny prompt format."""
    vocabulary = {word: i for i, word in enumerate(("<pad>", "<unk>", *MARKS, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")


def small_model(seed: int = 0, config: VideoLlamaConfig = CONFIG, context: int = 256) -> VideoLlama:
    """All parts, randomly initialised; weights of the language model that give varied answers."""
    torch.manual_seed(seed)
    tokenizer = small_tokenizer()
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.llm_width,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    )
    return VideoLlama(
        config,
        llm,
        tokenizer,
        ImageEncoder(config.vit, config.image_qformer),
        ImageBind(config.imagebind),
        VisionLanguageBranch(config.vision_branch, config.llm_width),
        AudioLanguageBranch(config.audio_branch, config.llm_width),
    )
