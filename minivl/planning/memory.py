"""How much memory a model takes, told before any weight is loaded.

    sum = weights + KV cache + activations + (training: gradients, AdamW's two moments) + CUDA context

Weights are counted on the meta device, activations on fake tensors (peak_memory.py): seconds for 7B, on any machine.
planning/measured.py holds the table against a GPU. The original asks for about 40 GB at 7B, and its README says that
sound does not run on a card of 24 GB: it loads all six of ImageBind's encoders. Here only what runs is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from minivl.model import VideoLlama
from minivl.planning.peak_memory import chat_peaks, training_peak
from minivl.planning.workload import (
    BRANCHES,
    DTYPES,
    MODES,
    PRESETS,
    Workload,
    empty_model,
    fill,
    llm_config,
    quantised_layers,
    workload,
)

__all__ = ["BRANCHES", "DTYPES", "MODES", "PRESETS", "MemoryPlan", "Row", "llm_config", "plan_memory"]

CONTEXT = "CUDA context (typical)"
CONTEXT_BYTES = 500_000_000  # driver and kernels: 0.3 to 0.6 GB by card and driver; torch's counters do not see it


@dataclass(frozen=True)
class Row:
    """One line of the table. What does not consist of weights (KV cache, activations, ...) has 0 parameters."""

    part: str
    parameters: int
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """The table; `print(plan)` shows it."""

    workload: Workload
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """What is run, in one line."""
        return self.workload.title

    @property
    def total(self) -> int:
        """Bytes of all rows together."""
        return sum(row.bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for a JSON file."""
        rows = [asdict(row) for row in self.rows]
        return {"title": self.title, "workload": asdict(self.workload), "rows": rows, "total_bytes": self.total}

    def __str__(self) -> str:
        unit, name, power = (1e9, "GB", 9) if self.total >= 1e9 else (1e6, "MB", 6)
        parameters = sum(row.parameters for row in self.rows)
        table = [("part", "parameters", name)]
        for row in (*self.rows, Row("sum", parameters, self.total)):
            table.append((row.part, f"{row.parameters:,}" if row.parameters else "", f"{row.bytes / unit:.2f}"))
        widths = [max(len(cells[column]) for cells in table) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in table]
        rule = "  ".join("-" * width for width in widths)
        note = f"1 {name} = 10**{power} bytes"
        return "\n".join([self.title, "", lines[0], rule, *lines[1:-1], rule, lines[-1], "", note])


def plan_memory(
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
) -> MemoryPlan:
    """The table of one workload, computed without a GPU and without weights, in a few seconds.

    The arguments are explained in `workload`. Raises InputError for one that is unknown or does not fit the preset.
    """
    load = workload(preset, dtype, mode, branch, batch, frames, segments, tokens, checkpointing, cached)
    model = empty_model(load)
    with FakeTensorMode():
        fill(model, load, "cpu")  # a torch without CUDA has no fake cuda tensors; attention is fused on both
        rows = [*_weights(model, load), *(_chat if mode == "chat" else _training)(model, load)]
    return MemoryPlan(load, (*rows, Row(CONTEXT, 0, CONTEXT_BYTES)))


def quantised_bytes(weight: Tensor, dtype: str) -> float:
    """Bytes of a linear layer's weight [out, in] as bitsandbytes keeps it.

    "8bit" (LLM.int8): a byte for a number, an fp32 scale for a row. "4bit" (QLoRA's nf4 with double quantisation): half
    a byte for a number, a one-byte scale for 64 numbers, an fp32 scale for 256 of those scales.
    """
    if dtype == "8bit":
        return weight.numel() + 4 * len(weight)
    return weight.numel() * (1 / 2 + 1 / 64 + 4 / (64 * 256))


def _weights(model: VideoLlama, load: Workload) -> Iterator[Row]:
    eyes, trunks, trained = model.image_encoder, model.imagebind, " (trained, fp32)" if load.mode == "train" else ""
    parts: list[tuple[str, list[nn.Module | None]]] = [
        ("ViT", [eyes and eyes.vit]),
        ("image Q-Former with ln_vision", [eyes and eyes.norm, eyes and eyes.qformer]),
        ("ImageBind image trunk", [trunks and trunks.image]),
        ("ImageBind audio trunk", [trunks and trunks.audio]),
        (f"vision branch{trained}", [model.vision_branch]),
        (f"audio branch{trained}", [model.audio_branch]),
        ("language model", [model.llm]),
    ]
    weights = [layer.weight for layer in quantised_layers(model, load).values()]
    saved = round(sum(weight.nbytes - quantised_bytes(weight, load.dtype) for weight in weights))
    for name, modules in parts:
        tensors = [tensor for module in modules if module is not None for tensor in module.parameters()]
        size = sum(tensor.nbytes for tensor in tensors) - (saved if name == "language model" else 0)
        if tensors:
            yield Row(name, sum(tensor.numel() for tensor in tensors), size)


def _chat(model: VideoLlama, load: Workload) -> list[Row]:
    peaks, cache = chat_peaks(model, load)
    peaks["reading"] += _largest(model, load)
    # The cache adds to every stage: while a new clip is watched, that of the last conversation is still there.
    most = max(peaks, key=lambda stage: peaks[stage])
    return [Row("KV cache", 0, cache), Row(f"activations (most: while {most})", 0, peaks[most])]


def _training(model: VideoLlama, load: Workload) -> list[Row]:
    activations = training_peak(model, load) + _largest(model, load)
    branch = model.vision_branch if load.branch == "vision" else model.audio_branch
    size = sum(weight.nbytes for weight in branch.parameters()) if branch else 0
    return [
        Row("gradients of the branch", 0, size),
        Row("AdamW's two moments", 0, 2 * size),
        Row("activations, forward and backward", 0, activations),
    ]


def _largest(model: VideoLlama, load: Workload) -> int:
    """Bytes of the largest quantised weight in bf16, which it becomes for as long as it is multiplied with."""
    return max((layer.weight.nbytes for layer in quantised_layers(model, load).values()), default=0)
