"""Which number format goes with which device, and what a full device says."""

from __future__ import annotations

import pytest
import torch

from minivl.errors import DeviceMemoryError
from minivl.hardware import best_device, best_dtype, enough_memory


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 5), torch.float16), ((7, 0), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
    ids=["T4", "V100", "A100", "H100"],
)
def test_bfloat16_from_compute_capability_8_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # says yes on a T4 too, since it emulates
    assert best_dtype("cuda") == best_dtype(torch.device("cuda:1")) == dtype


def test_float32_everywhere_else() -> None:
    assert best_dtype("cpu") == best_dtype(None) == best_dtype("mps") == torch.float32


def test_the_gpu_is_taken_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, device in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert best_device() == torch.device(device)


def test_out_of_memory_is_one_sentence() -> None:
    with pytest.raises(DeviceMemoryError) as caught, enough_memory("loading the 7B model"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
    text = str(caught.value)
    assert text.startswith("loading the 7B model does not fit") and "4bit" in text and "\n" not in text
