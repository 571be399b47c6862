"""How much arithmetic one training sample takes: FLOPs, part by part, without a formula.

The model's own modules run once, forward and backward, on fake tensors, and torch counts every matrix product and
convolution (a multiplication and its addition are two FLOPs): seconds for 7B, no weights, no GPU. The rule of thumb
behind the numbers, for each token and each of the N weights in matrices:

    2 N forward   +   2 N for the gradient that is passed on   +   2 N for the gradient of the weights

So the frozen eyes cost 2 N, the trained branch 6 N, and the frozen language model 4 N, since its weights need no
gradient (6 N with checkpointing, which runs it twice). Attention comes on top: it has products without weights.
What is frozen and what is trained is section 2.2 of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minivl.model import VideoLlama
from minivl.planning.peak_memory import padded_mask
from minivl.planning.workload import Workload, empty_model, fill, start_training


@dataclass(frozen=True)
class Work:
    """FLOPs of one part for one sample."""

    part: str
    forward: float
    backward: float  # with what checkpointing computes again


def count_work(load: Workload, frames: tuple[int, ...]) -> list[tuple[Work, Work, Work]]:
    """For each number of frames: the FLOPs of eyes, branch and language model for one sample of `load.tokens` tokens.

    load: a training; its batch and its own number of frames do not matter here.
    """
    model = empty_model(load)
    with FakeTensorMode(), sdpa_kernel(SDPBackend.MATH):  # torch cannot count inside a CPU's fused attention
        fill(model, load, "cpu")
        start_training(model, load)
        llm = _language_model(model, load)  # reads the same number of tokens, however many frames they stand for
        return [(*_eyes_and_branch(model, load, count), llm) for count in frames]


def _eyes_and_branch(model: VideoLlama, load: Workload, frames: int) -> tuple[Work, Work]:
    eyes, side = "ViT and image Q-Former", load.config.vit.image_size
    encode: Callable[[Tensor], Tensor] = model.encode_frames
    prompt: Callable[[Tensor], Tensor] = model.video_prompt
    if load.branch == "audio":
        eyes, side = "ImageBind image trunk", load.config.imagebind.image.image_size
        encode, prompt = model.encode_frames_as_segments, model.audio_prompt
    features, seeing = _counted(lambda: encode(torch.zeros(1, frames, 3, side, side)))
    soft, forward = _counted(lambda: prompt(features))  # [B, Q, D]
    _, backward = _counted(lambda: soft.backward(torch.ones_like(soft)))
    return Work(eyes, seeing, 0), Work(f"{load.branch} branch", forward, backward)


def _language_model(model: VideoLlama, load: Workload) -> Work:
    """Its gradient is wanted for what it reads, as if all of it were soft prompt: words in between change nothing."""
    embedded = torch.zeros(1, load.tokens, load.config.llm_width, dtype=load.number, requires_grad=True)  # [B, L, D]
    mask = padded_mask(load)[:1]  # [B, L]
    run = partial(model.llm, inputs_embeds=embedded, attention_mask=mask, use_cache=False)
    logits, forward = _counted(lambda: run().logits)  # [B, L, vocabulary]
    _, backward = _counted(lambda: logits.sum().backward())
    return Work("language model", forward, backward)


def _counted(run: Callable[[], Any]) -> tuple[Any, float]:
    """(what `run` returns, the FLOPs that it takes)."""
    with FlopCounterMode(display=False) as counter:
        made = run()
    return made, float(counter.get_total_flops())
