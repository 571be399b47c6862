"""A model as a folder.

    config.json                   every size (VideoLlamaConfig)
    image_encoder.safetensors     frozen: ViT and image Q-Former
    imagebind.safetensors         frozen: image trunk ("image.") and audio trunk ("audio.")
    vision_branch.safetensors     trained
    audio_branch.safetensors      trained
    llm/                          frozen: the language model and its tokenizer, as transformers saves them

Weights are half precision on disk. Every key must be expected and every expected key must be there: the
original loads without checking, and a wrong prefix fails silently. Files are written next to their place
and then moved there, so that an interrupted save leaves the old file whole.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import VideoLlamaConfig
from minivl.errors import InputError, WeightsError
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind

PARTS = ("vision", "audio", "image_trunk")

SHIPPED = Path(__file__).parent / "weights"  # models that come with the package: "tiny"


def find_folder(name_or_folder: str | Path) -> Path:
    """The folder of a shipped model's name or of a path. Raises WeightsError if there is none."""
    shipped, folder = SHIPPED / str(name_or_folder), Path(name_or_folder)
    if folder.is_dir() and (folder / "config.json").is_file():
        return folder
    if (shipped / "config.json").is_file():
        return shipped
    names = sorted(path.parent.name for path in SHIPPED.glob("*/config.json")) or ["none"]
    raise WeightsError(
        f"{name_or_folder} is no model: give a folder that save_pretrained wrote (it holds a config.json) "
        f"or the name of a shipped model ({', '.join(names)})."
    )


def load_config(folder: Path) -> VideoLlamaConfig:
    """Read config.json. Raises WeightsError if this version cannot understand it."""
    try:
        return VideoLlamaConfig.from_dict(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{folder / 'config.json'} is no configuration that this version reads ({error}): save it again."
        ) from error


def save_config(config: VideoLlamaConfig, folder: Path) -> None:
    """Write config.json."""
    write_text(folder / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    _replace(file, lambda path: path.write_text(text))


def load_part(module: nn.Module, file: Path, dtype: torch.dtype, prefixes: tuple[str, ...] = ("",)) -> nn.Module:
    """Fill `module` with the tensors of `file` whose names begin with one of `prefixes`, as `dtype`.

    `module` may be on the meta device. Raises WeightsError that names the file and the first
    wrong key.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            state = {key: tensors.get_tensor(key) for key in tensors.keys() if key.startswith(prefixes)}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is missing or no safetensors file: save or copy the model again.") from error
    expected = {key: tensor.shape for key, tensor in module.state_dict().items()}
    found = {key: tensor.shape for key, tensor in state.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise WeightsError(
                f"{file} does not fit the config.json beside it: {key} should be {_shape(expected.get(key))} "
                f"but is {_shape(found.get(key))}."
            )
    state = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    module.load_state_dict(state, assign=True)
    return module


def load_parts(
    folder: Path, config: VideoLlamaConfig, dtype: torch.dtype, parts: tuple[str, ...]
) -> dict[str, nn.Module]:
    """The wanted parts by their VideoLlama attribute; `parts` is explained in from_pretrained."""
    if wrong := set(parts) - set(PARTS):
        raise InputError(f"parts are {', '.join(PARTS)}; there is no part {', '.join(sorted(wrong))}.")
    image, audio = "image_trunk" in parts, "audio" in parts
    built: dict[str, nn.Module] = {}
    with torch.device("meta"):  # no time is spent on random numbers that would be overwritten
        if "vision" in parts:
            built["image_encoder"] = ImageEncoder(config.vit, config.image_qformer)
            built["vision_branch"] = VisionLanguageBranch(config.vision_branch, config.llm_width)
        if image or audio:
            built["imagebind"] = ImageBind(config.imagebind, with_image=image, with_audio=audio)
            built["audio_branch"] = AudioLanguageBranch(config.audio_branch, config.llm_width)
    trunks = tuple(name for name, wanted in (("image.", image), ("audio.", audio)) if wanted)
    for name, module in built.items():
        load_part(module, folder / f"{name}.safetensors", dtype, trunks if name == "imagebind" else ("",))
    return built


def save_part(module: nn.Module, file: Path) -> None:
    """Write a module's tensors, floating-point ones in half precision."""
    state = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for key, tensor in module.state_dict().items()
    }
    _replace(file, lambda path: save_file(state, path))


def load_llm(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The language model and its tokenizer, from local files. Raises WeightsError if there are none."""
    try:
        with _no_progress_bar():
            llm = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
        return llm, AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} holds no language model with its tokenizer ({reason}).") from error


def save_llm(llm: Any, tokenizer: Any, folder: Path) -> None:
    """Write the language model in half precision, and its tokenizer, as transformers does."""

    def write(path: Path) -> None:
        copy.deepcopy(llm).half().save_pretrained(path)
        tokenizer.save_pretrained(path)

    _replace(folder, write)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws one on stderr while it loads, even for a model of a few megabytes."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder next to `target`, then move it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".saving-") as work:
        new = Path(work) / target.name
        write(new)
        for file in (new, *new.rglob("*")):  # safetensors makes files that only their owner may read
            file.chmod(0o755 if file.is_dir() else 0o644)
        if target.is_dir():
            shutil.move(target, Path(work) / "old")
        os.replace(new, target)
