"""Reads the files of goldens/: what the original computes at tiny size with random weights."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from minivl.published.keys import convert_official

GOLDENS = Path(__file__).parent / "goldens"


def recorded(name: str) -> dict[str, Tensor]:
    """The recorded data of a golden file: "in/..." and "out/..."."""
    tensors = load_file(GOLDENS / f"{name}.safetensors")
    return {key[1:]: tensor for key, tensor in tensors.items() if key.startswith("@")}


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The recorded data of a golden file, and its weights under our names."""
    tensors = load_file(GOLDENS / f"{name}.safetensors")
    official = {key: tensor for key, tensor in tensors.items() if not key.startswith("@")}
    return recorded(name), convert_official(official)


def only(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names start with `prefix`, names unchanged."""
    return {key: tensor for key, tensor in weights.items() if key.startswith(prefix)}
