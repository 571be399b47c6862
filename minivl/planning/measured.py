"""The memory table held against a GPU: the same workload with random weights, and what torch counted.

    empty model ─► random numbers, straight on the GPU in their format ─► one chat, or three training steps ─► counters

Two counters matter. *Allocated* is what tensors took, which is what the table estimates. *Reserved* is what torch took
from the card for them: somewhat more, since freed pieces do not always fit the next tensor. The CUDA context, which is
the driver's, is in neither. Random weights cost the same time and memory as trained ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minivl.errors import DeviceMemoryError, InputError
from minivl.language_model import bits
from minivl.model import VideoLlama
from minivl.planning.memory import CONTEXT, MemoryPlan, plan_memory
from minivl.planning.peak_memory import padded_mask
from minivl.planning.workload import ANSWER, STD, Workload, empty_model, fill, quantised_layers, start_training
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT

STEPS = 3  # of training; the first one also loads kernels and makes AdamW's moments, and its time does not count
WORD = 5  # a token id that every vocabulary has


@dataclass(frozen=True)
class MeasuredPlan:
    """The table, and beside it what a GPU did. `speed` holds seconds and tokens per second by name."""

    plan: MemoryPlan
    device: str
    allocated: int  # bytes of tensors at the peak
    reserved: int  # bytes that torch took from the card at the peak
    speed: dict[str, float]

    @property
    def estimate(self) -> int:
        """What `allocated` should be: the table's sum without the CUDA context."""
        return sum(row.bytes for row in self.plan.rows if row.part != CONTEXT)

    @property
    def difference(self) -> float:
        """How far the measured peak is above the estimate, as a share of the estimate; negative if it is below."""
        return self.allocated / self.estimate - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for a JSON file."""
        measured = {"device": self.device, "allocated_bytes": self.allocated, "reserved_bytes": self.reserved}
        return {**self.plan.to_dict(), "measured": {**measured, "difference": self.difference, "speed": self.speed}}

    def __str__(self) -> str:
        unit, name = (1e9, "GB") if self.plan.total >= 1e9 else (1e6, "MB")
        lines = [
            str(self.plan),
            "",
            f"measured on {self.device}, without the CUDA context:",
            f"  allocated at most  {self.allocated / unit:.2f} {name}",
            f"  the estimate       {self.estimate / unit:.2f} {name} (measured {self.difference:+.1%})",
            f"  reserved at most   {self.reserved / unit:.2f} {name}",
        ]
        return "\n".join([*lines, *(f"  {what}: {value:.3g}" for what, value in self.speed.items())])


def measure(device: str | torch.device = "cuda", **options: Any) -> MeasuredPlan:
    """Run a workload on a GPU with random weights; `options` are the arguments of `plan_memory`.

    Raises InputError without a GPU and for a wrong option, DeviceMemoryError if the GPU's memory is too small.
    """
    device = torch.device(device)
    name = gpu_name(device)
    plan = plan_memory(**options)
    before = reset_counters(device)
    try:
        model = random_model(plan.workload, device)
        speed = (chat_speed if plan.workload.mode == "chat" else training_speed)(model, plan.workload)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"{plan.title} needs about {plan.total / 1e9:.1f} GB, more than {name} has free: "
            "choose 4bit, or a smaller batch or fewer tokens, or checkpointing in training"
        ) from error
    allocated, reserved = read_counters(device)
    return MeasuredPlan(plan, name, allocated - before, reserved, speed)


def gpu_name(device: torch.device) -> str:
    """The name of the card. Raises InputError if there is none."""
    if device.type != "cuda" or not torch.cuda.is_available():
        raise InputError("--measure needs a GPU: torch sees none here; leave it out to get the estimate alone")
    return torch.cuda.get_device_name(device)


def reset_counters(device: torch.device) -> int:
    """Start the GPU's peak counters anew; returns the bytes that are allocated already."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def read_counters(device: torch.device) -> tuple[int, int]:
    """(bytes allocated, bytes reserved) at their peaks."""
    return torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)


def random_model(load: Workload, device: str | torch.device) -> VideoLlama:
    """The workload's parts with random weights. No tensor is made twice: only a weight that is being quantised is.

    Raises InputError if a quantised model is wanted and bitsandbytes is not installed.
    """
    model = empty_model(load)
    for name, layer in quantised_layers(model, load).items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.llm.model.layers.get_submodule(parent), leaf, quantised(layer, load.dtype, device))
    fill(model, load, device)
    return model


def quantised(layer: nn.Linear, dtype: str, device: str | torch.device) -> nn.Linear:
    """A layer of the same size as bitsandbytes makes it, "8bit" or "4bit", with random weights on the device."""
    settings = bits(dtype, torch.bfloat16)  # those of the real model
    import bitsandbytes.nn as bnb  # optional, and slow to import

    sizes, shape = (layer.in_features, layer.out_features), layer.weight.shape
    if dtype == "8bit":
        # bitsandbytes quantises to 8 bits only what comes from the CPU; drawing the numbers there would take minutes.
        eight = bnb.Linear8bitLt(
            *sizes, bias=False, has_fp16_weights=False, threshold=settings.llm_int8_threshold, device="meta"
        )
        numbers = torch.randint(-127, 128, shape, dtype=torch.int8, device=device)
        scales = torch.full(shape[:1], STD, device=device)  # [out]
        eight.weight = bnb.Int8Params(numbers, requires_grad=False, CB=numbers, SCB=scales)
        return eight
    kind = {"compress_statistics": settings.bnb_4bit_use_double_quant, "quant_type": settings.bnb_4bit_quant_type}
    four = bnb.Linear4bit(*sizes, bias=False, compute_dtype=torch.bfloat16, device="meta", **kind)
    numbers = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(std=STD)
    weight: Any = bnb.Params4bit(numbers, requires_grad=False, module=four, **kind)
    four.weight = weight.to(device)  # quantises
    return four


def chat_speed(model: VideoLlama, load: Workload) -> dict[str, float]:
    """Watch, listen and write ANSWER tokens; twice, since the first run also loads kernels. The second is timed."""
    audio = load.config.imagebind.audio
    mel = torch.randn(load.batch, load.segments, 1, audio.mel_bins, audio.mel_frames)  # [B, M, 1, bins, F]
    times: list[float] = []
    hook = model.llm.register_forward_hook(lambda *_: times.append(_now(model)))
    for _ in range(2):
        times.clear()
        start = _now(model)
        with torch.no_grad():
            soft = model.soft_prompts(_frames(load, load.config.vit.image_size), mel)
        words = load.tokens - ANSWER - 1 - sum(prompt.shape[1] for prompt in soft.values())
        slots = [slot for slot, prompt in soft.items() for _ in range(prompt.shape[1])]
        model.answer_batch([[WORD, *slots, *[WORD] * words]] * load.batch, soft, max_new_tokens=ANSWER)
    hook.remove()
    per_second = load.batch * (len(times) - 1) / (times[-1] - times[0])
    return {"seconds to the first token": times[0] - start, "tokens per second": per_second}


def training_speed(model: VideoLlama, load: Workload) -> dict[str, float]:
    """STEPS steps of AdamW on the branch; the mean time of all but the first."""
    start_training(model, load)
    branch = model.vision_branch if load.branch == "vision" else model.audio_branch
    weights = list(branch.parameters()) if branch else []
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    times = []
    for _ in range(STEPS):
        start = _now(model)
        loss = _training_loss(model, load)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        del loss  # an 8-bit model's graph holds its layers' inputs for as long as its loss is there
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        times.append(_now(model) - start)
    return {"seconds per training step": sum(times[1:]) / len(times[1:])}


def _training_loss(model: VideoLlama, load: Workload) -> Tensor:
    """The loss of a batch of random frames and one repeated word, as in training.branch_loss; a scalar."""
    if load.branch == "vision":
        frames = _frames(load, load.config.vit.image_size)
        slot, soft = VIDEO_SLOT, model.video_prompt(model.encode_frames(frames))  # [B, Qv, D]
    else:
        frames = _frames(load, load.config.imagebind.image.image_size)
        slot, soft = AUDIO_SLOT, model.audio_prompt(model.encode_frames_as_segments(frames))  # [B, Qa, D]
    ids, mask = torch.full((load.batch, load.tokens), WORD), padded_mask(load)  # [B, L]
    ids[:, 1 : 1 + soft.shape[1]] = slot
    labels = ids.masked_fill((ids < 0) | (mask == 0), IGNORE)  # [B, L]
    return model.loss(ids, mask, labels, {slot: soft})


def _frames(load: Workload, side: int) -> Tensor:
    """Random frames [B, T, 3, H, W] as they are decoded: uint8, on the CPU."""
    return torch.randint(0, 256, (load.batch, load.frames, 3, side, side), dtype=torch.uint8)


def _now(model: VideoLlama) -> float:
    """The time in seconds when the GPU has done all that it was asked to do."""
    device = model.llm.get_input_embeddings().weight.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
