"""Training one branch while everything else is frozen (section 2.2 of the paper).

    loss = cross-entropy of the answers' tokens, given the soft prompt:  the gradient passes through the frozen language
           model, and only the branch moves.

Stage 1 learns from captions, stage 2 from questions and answers; the code is the same, the batches differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.training_loop import fit, start_large

BRANCHES = ("vision", "audio")


class Chats(Protocol):
    """A batch of chats: token ids with slots, and the frozen features that fill them (None where not used)."""

    @property
    def ids(self) -> Tensor: ...  # [B, L]
    @property
    def mask(self) -> Tensor: ...  # [B, L]
    @property
    def labels(self) -> Tensor: ...  # [B, L]
    @property
    def frame_tokens(self) -> Tensor | None: ...  # [B, T, K, width]
    @property
    def segments(self) -> Tensor | None: ...  # [B, M, E]


def new_branch(model: VideoLlama, branch: str, seed: int) -> VisionLanguageBranch | AudioLanguageBranch:
    """A branch with fresh weights, in the place of the model's own.

    Positions start as large as half of what they are added to, and soft prompts as large as word embeddings: with
    the usual 0.02 a branch of this size spends most of its training on finding these scales.
    """
    torch.manual_seed(seed)
    config, width = model.config, model.config.llm_width
    words = float(model.llm.get_input_embeddings().weight.std())
    made: VisionLanguageBranch | AudioLanguageBranch
    if branch == "vision":
        made = model.vision_branch = VisionLanguageBranch(config.vision_branch, width)
        entering = 1.0  # the image Q-Former ends in a LayerNorm
    elif branch == "audio":
        made = model.audio_branch = AudioLanguageBranch(config.audio_branch, width)
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


def branch_loss(model: VideoLlama, batch: Chats, branch: str) -> Tensor:
    """The loss of one batch; no gradient enters the branch that is not being trained."""
    soft: dict[int, Tensor] = {}
    if batch.frame_tokens is not None:
        with torch.set_grad_enabled(branch == "vision"):
            soft[VIDEO_SLOT] = model.video_prompt(batch.frame_tokens)  # [B, Qv, D]
    if batch.segments is not None:
        with torch.set_grad_enabled(branch == "audio"):
            soft[AUDIO_SLOT] = model.audio_prompt(batch.segments)  # [B, Qa, D]
    return model.loss(batch.ids, batch.mask, batch.labels, soft)


def train_branch(
    model: VideoLlama, branch: str, batches: Iterator[Chats], steps: int, learning_rate: float, name: str = ""
) -> dict[str, Any]:
    """Train "vision" or "audio" for `steps` batches; returns {"seconds", "loss": the curve}."""
    trained = model.vision_branch if branch == "vision" else model.audio_branch
    if trained is None:
        raise InputError(f"the model was loaded without its {branch} branch: add {branch!r} to parts=(...)")
    trained.requires_grad_(True)
    return fit(trained, lambda step: branch_loss(model, next(batches), branch), steps, learning_rate, name or branch)
