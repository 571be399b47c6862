"""A branch with fresh weights: where training starts.

The usual start (matrices of std 0.02) is made for width 768. At the tiny model's width of 128 a branch would spend most
of its training on finding the right scales.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import VideoLlamaConfig
from minivl.errors import InputError
from minivl.qformer import QFormer

BRANCHES = ("vision", "audio")


def start_large(qformer: QFormer) -> None:
    """Larger first weights for a small Q-Former: the usual 0.02 is made for width 768, not for 128.

    With 0.02 attention is almost uniform for the first thousand steps, and nothing is learned about places.
    """
    nn.init.normal_(qformer.queries)
    for layer in qformer.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)


def new_branch(model: Any, branch: str, seed: int) -> VisionLanguageBranch | AudioLanguageBranch:
    """A branch with fresh weights, in the place of the VideoLlama's own."""
    words = float(model.llm.get_input_embeddings().weight.std())
    made = fresh_branch(model.config, branch, words, seed)
    setattr(model, f"{branch}_branch", made)
    return made


def fresh_branch(
    config: VideoLlamaConfig, branch: str, words: float, seed: int
) -> VisionLanguageBranch | AudioLanguageBranch:
    """A branch with fresh weights, for a language model whose word embeddings are of size `words`.

    Positions start as large as half of what they are added to, and soft prompts as large as word embeddings: with
    the usual 0.02 a branch of this size spends most of its training on finding these scales.
    """
    torch.manual_seed(seed)
    made: VisionLanguageBranch | AudioLanguageBranch
    if branch == "vision":
        made = VisionLanguageBranch(config.vision_branch, config.llm_width)
        entering = 1.0  # the image Q-Former ends in a LayerNorm
    elif branch == "audio":
        made = AudioLanguageBranch(config.audio_branch, config.llm_width)
        entering = config.imagebind.embed_dim**-0.5  # a unit vector
    else:
        raise InputError(f"there is no branch {branch!r}: choose one of {', '.join(BRANCHES)}")
    start_large(made.qformer)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith(("cross_attention.key.weight", "cross_attention.value.weight")):
                parameter.div_(entering)
    nn.init.normal_(made.positions.weight, std=0.5 * entering)
    nn.init.normal_(made.to_llm.weight, std=words * made.to_llm.in_features**-0.5)
    return made
