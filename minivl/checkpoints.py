"""A model as a folder.

    config.json                   every size (VideoLlamaConfig)
    image_encoder.safetensors     frozen: ViT and image Q-Former
    imagebind.safetensors         frozen: image trunk ("image.") and audio trunk ("audio.")
    vision_branch.safetensors     trained
    audio_branch.safetensors      trained
    llm/                          frozen: the language model and its tokenizer, as transformers saves them

Weights are half precision on disk. Every key must be expected and every expected key must be there: the
original loads without checking, and a wrong prefix fails silently. An interrupted save leaves the old file
whole (atomic.py).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from minivl import atomic
from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import VideoLlamaConfig
from minivl.errors import InputError, WeightsError
from minivl.hardware import Device
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
    atomic.write_text(folder / "config.json", json.dumps(config.to_dict(), indent=1) + "\n")


def load_part(
    module: nn.Module,
    file: Path,
    dtype: torch.dtype,
    device: Device = None,
    prefixes: tuple[str, ...] = ("",),
) -> nn.Module:
    """Fill `module` with the tensors of `file` whose names begin with one of `prefixes`, as `dtype` on `device`.

    `module` may be on the meta device. Tensors go from the file to their device one by one. Raises WeightsError
    that names the file and the first wrong key.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            names = [key for key in tensors.keys() if key.startswith(prefixes)]
            found = {key: torch.Size(tensors.get_slice(key).get_shape()) for key in names}
            _check(module, found, f"{file} does not fit the config.json beside it")
            state = {key: placed(tensors.get_tensor(key), dtype, device) for key in names}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is missing or no safetensors file: save or copy the model again.") from error
    module.load_state_dict(state, assign=True)
    return module


def placed(tensor: Tensor, dtype: torch.dtype, device: Device) -> Tensor:
    """On the device, and as `dtype` if it holds floating-point numbers. A single number keeps all its digits."""
    if not tensor.is_floating_point():
        return tensor.to(device)
    return tensor.to(device, dtype if tensor.ndim else torch.float32)


def _check(module: nn.Module, found: dict[str, torch.Size], wrong: str) -> None:
    """Every weight that the module expects is there with its shape, and no other. `wrong` begins the sentence."""
    expected = {key: tensor.shape for key, tensor in module.state_dict().items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise WeightsError(f"{wrong}: {key} should be {_shape(expected.get(key))} but is {_shape(found.get(key))}.")


def empty_parts(config: VideoLlamaConfig, parts: tuple[str, ...]) -> dict[str, nn.Module]:
    """The wanted parts by their VideoLlama attribute, on the meta device: names and shapes, no numbers.

    parts: see VideoLlama.from_pretrained. Raises InputError for an unknown part.
    """
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
    return built


def load_parts(
    folder: Path,
    config: VideoLlamaConfig,
    dtype: torch.dtype,
    parts: tuple[str, ...],
    device: Device = None,
) -> dict[str, nn.Module]:
    """The wanted parts by their VideoLlama attribute, filled from the folder's files."""
    trunks = tuple(f"{name}." for name, part in (("image", "image_trunk"), ("audio", "audio")) if part in parts)
    built = empty_parts(config, parts)
    for name, module in built.items():
        prefixes = trunks if name == "imagebind" else ("",)
        load_part(module, folder / f"{name}.safetensors", dtype, device, prefixes)
    return built


def save_part(module: nn.Module, file: Path) -> None:
    """Write a module's tensors, floating-point ones in half precision."""
    state = {
        key: placed(tensor.detach(), torch.float16, "cpu").contiguous() for key, tensor in module.state_dict().items()
    }
    atomic.replace(file, lambda path: save_file(state, path))


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))
