"""What `minivl memory` counts and measures: a task (chat or training) and a model of its size without its weights.

    sizes ─► model on the meta device: names and shapes ─► `fill` with random numbers, or with fake tensors

No weight is read and there is never a second copy: each tensor is made once, on its device, in its number format.
Only the parts that the task runs are there. Of ImageBind's six encoders that is the audio trunk to chat, and the
image trunk to train the audio branch (section 2.1.2 of the paper).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from minivl.checkpoints import SHIPPED, empty_parts
from minivl.config import PRESETS as SIZES
from minivl.config import VideoLlamaConfig
from minivl.errors import InputError
from minivl.model import VideoLlama

PRESETS = tuple(SIZES)
QUANTISED = ("8bit", "4bit")  # of the language model's linear layers; all else is bf16 then
NUMBERS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DTYPES = (*NUMBERS, *QUANTISED)
# What the training of a branch loads.
PARTS: dict[str, tuple[str, ...]] = {"vision": ("vision",), "audio": ("image_trunk",)}
BRANCHES = tuple(PARTS)
MODES = ("chat", "train")
TOKENS = {"chat": 2048, "train": 512}  # the original cuts a chat at 2,000 tokens, a training text at 512
ANSWER = 32  # tokens that must fit behind the soft prompts; as many are written when speed is measured
STD = 0.02  # of random weights


@dataclass(frozen=True)
class Workload:
    """What is run; made by `workload`, which checks it and explains the fields."""

    preset: str
    dtype: str
    mode: str
    branch: str
    batch: int
    frames: int
    segments: int
    tokens: int
    checkpointing: bool
    cached: bool = False

    @property
    def config(self) -> VideoLlamaConfig:
        """The sizes of the preset."""
        return SIZES[self.preset]()

    @property
    def number(self) -> torch.dtype:
        """The number format of all that is neither quantised nor trained."""
        return NUMBERS.get(self.dtype, torch.bfloat16)

    @property
    def parts(self) -> tuple[str, ...]:
        """What is loaded, in the words of VideoLlama.from_pretrained."""
        return ("vision", "audio") if self.mode == "chat" else PARTS[self.branch]

    @property
    def title(self) -> str:
        """The workload in one line."""
        if self.mode == "chat":
            counts = f"{self.frames} frames, {self.segments} segments of sound, {self.tokens:,} tokens with the answer"
            return f"{self.preset} in {self.dtype}, chat: batch {self.batch}, {counts}"
        counts = f"{self.frames} frames{' from a cache' if self.cached else ''}, {self.tokens:,} tokens"
        counts += ", checkpointing" if self.checkpointing else ""
        return f"{self.preset} in {self.dtype}, training the {self.branch} branch: batch {self.batch}, {counts}"


def workload(
    preset: str = "video_llama_7b",
    dtype: str = "bf16",
    mode: str = "chat",
    branch: str = "vision",
    batch: int = 1,
    frames: int = 8,
    segments: int = 8,
    tokens: int | None = None,
    checkpointing: bool = False,
    cached: bool = False,
) -> Workload:
    """The arguments as a Workload. Raises InputError for one that is unknown or does not fit the preset.

    Args:
        preset, dtype: one of PRESETS, one of DTYPES. A branch in training is fp32 whatever the dtype.
        mode: "chat" holds eyes and ears; "train" holds what the training of `branch` needs ("vision" or "audio").
        batch: conversations at once.
        frames: T of each; when the audio branch is trained they stand for its segments.
        segments: M of each, in a chat.
        tokens: L of each, soft prompts and answer included. Default: TOKENS, or all that the language model can read.
        checkpointing: in training, compute the language model's layers twice instead of keeping what is in them.
        cached: in training, read what the frozen eyes saw from files; the eyes themselves are not there.
    """
    for name, choice, allowed in (
        ("preset", preset, PRESETS), ("dtype", dtype, DTYPES), ("mode", mode, MODES), ("branch", branch, BRANCHES),
    ):  # fmt: skip
        if choice not in allowed:
            raise InputError(f"there is no {name} {choice!r}: choose one of {', '.join(allowed)}")
    for option, wanted in (("checkpointing", checkpointing), ("cached", cached)):
        if wanted and mode == "chat":
            raise InputError(f"{option} saves memory in training only: leave it out, or choose mode 'train'")
    longest = llm_config(preset).max_position_embeddings
    tokens = min(TOKENS[mode], longest) if tokens is None else tokens
    made = Workload(preset, dtype, mode, branch, batch, frames, segments, tokens, checkpointing, cached)
    branches = {"vision": made.config.vision_branch, "audio": made.config.audio_branch}
    used = [branches[name] for name in (BRANCHES if mode == "chat" else (branch,))]
    soft = sum(config.qformer.num_queries for config in used)
    for name, value, least, most in (
        ("batch", batch, 1, None),
        ("frames", frames, 1, used[0].max_positions),
        ("segments", segments, 1, branches["audio"].max_positions),
        ("tokens", tokens, soft + 1 + ANSWER, longest),
    ):
        if value < least or (most is not None and value > most):
            limits = f"at least {least}" if most is None else f"{least:,} to {most:,}"
            raise InputError(f"{name} is {value:,}, but {preset} takes {limits} here: choose a number in this range")
    return made


def llm_config(preset: str) -> LlamaConfig:
    """The language model's sizes: LLaMA-2 of 7B or 13B, TinyLlama-1.1B-Chat, or the tiny model's.

    Raises InputError for another preset.
    """
    sizes: dict[str, Any] = {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
    if preset == "tiny":
        return LlamaConfig.from_pretrained(SHIPPED / "tiny" / "llm", local_files_only=True)
    if preset == "video_llama_13b":
        sizes |= {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}
    elif preset == "video_llama_1b":
        sizes |= {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22}
        sizes |= {"num_key_value_heads": 4, "max_position_embeddings": 2048}
    elif preset != "video_llama_7b":
        raise InputError(f"there is no preset {preset!r}: choose one of {', '.join(PRESETS)}")
    return LlamaConfig(**sizes)  # the other sizes are by default those of 7B


class NoWords:
    """Stands in for a tokenizer: memory and speed depend on how many tokens there are, not on which."""

    bos_token_id = eos_token_id = pad_token_id = unk_token_id = None

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """No text has tokens. So there is no stop text either, and an answer becomes as long as it may."""
        return []

    def decode(self, ids: list[int], **options: bool) -> str:
        """No token has a text."""
        return ""


class FromCache(VideoLlama):
    """A model without eyes: what they saw was written down once, and is read where frames would be encoded."""

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames [B, T, 3, H, W], of which only B and T count -> frame tokens [B, T, K, width], fp16 as on disk."""
        one = self.config.image_qformer
        return frames.new_zeros(*frames.shape[:2], one.num_queries, one.width, dtype=torch.float16)

    def encode_frames_as_segments(self, frames: Tensor) -> Tensor:
        """Frames [B, M, 3, H, W], of which only B and M count -> ImageBind vectors [B, M, E], fp16."""
        return frames.new_zeros(*frames.shape[:2], self.config.imagebind.embed_dim, dtype=torch.float16)


def empty_model(load: Workload) -> VideoLlama:
    """The parts that the workload runs, on the meta device."""
    with torch.device("meta"):
        llm = LlamaForCausalLM(llm_config(load.preset))
    llm.generation_config.eos_token_id = None  # random weights must not end an answer whose time is taken
    parts: dict[str, Any] = empty_parts(load.config, load.parts)
    if load.cached:
        parts = {name: part for name, part in parts.items() if name.endswith("_branch")}
    tokenizer: Any = NoWords()
    return (FromCache if load.cached else VideoLlama)(load.config, llm, tokenizer, **parts)


def fill(model: VideoLlama, load: Workload, device: str | torch.device) -> None:
    """Give every tensor that is on the meta device random numbers on `device`, in its final number format.

    Inside FakeTensorMode they are fake tensors, which take no memory.
    """
    made: dict[Tensor, Tensor] = {}  # empty -> filled; tied weights stay one tensor
    for part, whole in model.named_children():
        number = torch.float32 if load.mode == "train" and part.endswith("_branch") else load.number
        for module in whole.modules():
            tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
            for tensors, name, old in [(table, *item) for table in tables for item in table.items()]:
                if old is not None and old.device.type == "meta":
                    made[old] = tensors[name] = made[old] if old in made else _random(old, number, device)


def _random(old: Tensor, number: torch.dtype, device: str | torch.device) -> Tensor:
    """A tensor of the same shape. Buffers (the rotation's frequencies, a scale) stay fp32, as when they are loaded."""
    if not isinstance(old, nn.Parameter):
        return torch.empty(old.shape, dtype=old.dtype, device=device).normal_(std=STD)
    new = torch.empty(old.shape, dtype=number, device=device).normal_(std=STD)
    return nn.Parameter(new, requires_grad=old.requires_grad)


def quantised_layers(model: VideoLlama, load: Workload) -> dict[str, nn.Linear]:
    """The linear layers that bitsandbytes quantises: all of the language model's but the last, `lm_head`."""
    layers = model.llm.model.layers.named_modules() if load.dtype in QUANTISED else ()
    return {name: layer for name, layer in layers if isinstance(layer, nn.Linear)}


def start_training(model: VideoLlama, load: Workload) -> None:
    """Dropout in the branch, and checkpointing if wanted."""
    model.train()
    if load.checkpointing:
        llm = model.llm.train()  # a layer in eval mode is never checkpointed; LLaMA has no dropout
        enable = getattr(llm, "activation_checkpointing_enable", None)  # what newer versions call it
        (enable or llm.gradient_checkpointing_enable)()
