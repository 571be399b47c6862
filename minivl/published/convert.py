"""Official files become a folder of ours, once: `minivl convert OFFICIAL_DIR OUT_DIR`.

Afterwards `VideoLlama.from_pretrained(OUT_DIR)` reads safetensors: nothing that could run code, no renaming, no search
through tensors that are not used, and straight from the file to the device. Every tensor keeps its number format, so
that the converted model answers as the original files do.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from minivl import atomic
from minivl.checkpoints import PARTS, save_config
from minivl.errors import InputError, WeightsError
from minivl.published.files import read_official
from minivl.published.weights import read_weights

FILES = ("image_encoder", "imagebind", "vision_branch", "audio_branch")
ROTARY = ".rotary_emb.inv_freq"  # a buffer of older versions of transformers, computed by the newer ones


def convert(folder: str | Path, out: Path, **options: Any) -> str:
    """Write `out` from the official files in `folder`; returns the summary of what was used.

    options: as in VideoLlama.from_official (llm, conversation, files of other places). Both trunks of ImageBind are
    written, so that the result can also train the audio branch. config.json comes last: a folder without it is no
    model, and the command can be run again. Raises WeightsError, and OSError for a full disk.
    """
    weights = read_weights(folder, parts=PARTS, **options)
    if weights.seed is not None:
        raise InputError("new branches cannot be converted: from_official(..., branches='new').save_pretrained(out)")
    for name in tqdm(FILES, desc="converting"):
        part = {k.removeprefix(f"{name}."): v for k, v in weights.tensors.items() if k.startswith(f"{name}.")}
        _save(part, out / f"{name}.safetensors")
    copy_llm(Path(weights.llm), out / "llm")
    save_config(weights.config, out)
    return weights.summary()


def copy_llm(source: Path, target: Path) -> None:
    """Copy a language model's folder; pickled weights (pytorch_model*.bin) become safetensors, a shard at a time.

    Raises WeightsError if `source` is no folder, or holds no weights.
    """
    if not source.is_dir():
        raise WeightsError(f"{source} is no folder: download the language model first, and give its folder as llm=.")
    ready, pickled = sorted(source.glob("*.safetensors")), sorted(source.glob("pytorch_model*.bin"))
    if not ready and not pickled:
        raise WeightsError(
            f"{source} holds neither *.safetensors nor pytorch_model*.bin: give the language model's folder."
        )

    def write(path: Path) -> None:
        path.mkdir()
        for file in [*ready, *sorted(source.glob("*.json")), *sorted(source.glob("tokenizer.model"))]:
            if ready or not file.name.endswith(".bin.index.json"):
                shutil.copyfile(file, path / file.name)
        for file in tqdm([] if ready else pickled, desc="language model"):
            state = {key: tensor for key, tensor in read_official(file).items() if not key.endswith(ROTARY)}
            name = file.name.replace("pytorch_model", "model").replace(".bin", ".safetensors")
            _save(state, path / name)
        if not ready and len(pickled) > 1:
            _write_index(path)

    atomic.replace(target, write)


def _write_index(folder: Path) -> None:
    """transformers finds the shard of each weight in model.safetensors.index.json."""
    weight_map: dict[str, str] = {}
    size = 0
    for file in sorted(folder.glob("model-*.safetensors")):
        size += file.stat().st_size
        with safe_open(file, framework="pt") as tensors:
            weight_map |= dict.fromkeys(tensors.keys(), file.name)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _save(state: dict[str, Tensor], file: Path) -> None:
    # A clone: three of ours can be one tensor of the original, stacked, and a mapped file's tensors share one storage.
    apart = {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in state.items()}
    atomic.replace(file, lambda path: save_file(apart, path, {"format": "pt"}))
