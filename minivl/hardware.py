"""Which device, and which number format: what fits the machine at hand.

The frozen parts were trained and published in half precision. bfloat16 has the range of float32 and needs a
GPU of compute capability 8 (A100, L4, RTX 30 and later); older ones (T4, V100) have float16 only, whatever
`torch.cuda.is_bf16_supported()` says: it counts emulation, which is several times slower. A CPU is slow in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from minivl.errors import DeviceMemoryError

BFLOAT16_SINCE = (8, 0)  # compute capability
Device = str | torch.device | None  # None: the CPU, or the best at hand where a function says so


def best_device() -> torch.device:
    """The GPU if there is one (CUDA, then Apple's), otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: Device) -> torch.dtype:
    """bfloat16 on a GPU of compute capability 8 or more, float16 on an older one, float32 on CPU and MPS."""
    device = torch.device(device or "cpu")
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= BFLOAT16_SINCE else torch.float16


def best_precision() -> str:
    """What training computes in, as accelerate names it: "bf16" or "fp16" where hardware is fast in it, else "no"."""
    if torch.cuda.is_available():
        return "bf16" if best_dtype("cuda") == torch.bfloat16 else "fp16"
    return "bf16" if best_device().type == "cpu" and torch.cpu._is_avx512_bf16_supported() else "no"


@contextmanager
def plain_attention_on_cpu(device: torch.device) -> Iterator[None]:
    """On a CPU, attention as plain matrix products: its fused attention has a slow backward pass (half the speed)."""
    with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
        yield


@contextmanager
def enough_memory(doing: str) -> Iterator[None]:
    """Turn torch's page-long out-of-memory error into a sentence. Raises DeviceMemoryError.

    doing: what needs the memory, as in "loading the 7B model".
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceMemoryError(
            f"{doing} does not fit into the device's memory: plan it with `minivl memory`, "
            "load with quantization='4bit', give fewer frames or a smaller batch, or close what else uses the device"
        ) from error
