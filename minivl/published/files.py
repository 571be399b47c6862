"""The original's published files: which is which, read without running anything that is in them.

One folder of the published layout, with the two files of BLIP-2 beside it:

    VL_LLaMA_2_7B_Finetuned.pth         vision branch  (older: finetune-vicuna7b-v2.pth ...)
    AL_LLaMA_2_7B_Finetuned.pth         audio branch   (older: finetune_vicuna7b_audiobranch.pth ...)
    imagebind_huge.pth                  ImageBind, all six senses
    llama-2-7b-chat-hf/                 the language model, as transformers saves it
    eva_vit_g.pth                       the ViT of BLIP-2's image encoder
    blip2_pretrained_flant5xxl.pth      its ln_vision and Q-Former

File names have changed over the years, what is in the files has not: a file is known by its weights' names.
A .pth file is a pickle, and a pickle can run code when it is read. These are read with `weights_only=True`, which
allows tensors and plain containers and nothing else, and memory-mapped: what is not used is never read from disk.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minivl.errors import WeightsError

# What a file holds -> the pattern of a weight that only such a file has.
KINDS = {
    "vit": r"(visual_encoder\.)?blocks\.0\.attn\.qkv\.weight",
    "blip2": r"Qformer\.bert\.encoder\.layer\.0\.attention\.self\.query\.weight",
    "imagebind": r"(audio_encoder\.)?modality_trunks\.",
    "vision_branch": r"video_Qformer\.bert\.encoder\.layer\.0\.attention\.self\.query\.weight",
    "audio_branch": r"audio_Qformer\.bert\.encoder\.layer\.0\.attention\.self\.query\.weight",
}
WHAT = {
    "vit": "EVA-CLIP's ViT (eva_vit_g.pth)",
    "blip2": "BLIP-2's Q-Former (blip2_pretrained_flant5xxl.pth)",
    "imagebind": "ImageBind (imagebind_huge.pth)",
    "vision_branch": "the vision branch (VL_..._Finetuned.pth)",
    "audio_branch": "the audio branch (AL_..._Finetuned.pth)",
}
# A file of one part is saved without the name that the part has in the whole model.
PREFIX = {"vit": "visual_encoder.", "imagebind": "audio_encoder."}
ENDINGS = (".pth", ".pt")


def read_official(file: Path) -> dict[str, Tensor]:
    """Weight name -> tensor, memory-mapped, of a .pth file. The optimizer and settings beside them are not read.

    Raises WeightsError, in one sentence, for a file that is missing, cut short, a page or a pointer instead of the
    file, or a pickle that holds more than tensors. Nothing in it is run.
    """
    try:
        mapped = zipfile.is_zipfile(file)  # torch's format since 1.6; the one before it cannot be mapped
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError as error:
        raise WeightsError(f"{file} is missing: give another path, or fetch it with `minivl download`.") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{file} is {_instead(file) or _foreign(error)}") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = _instead(file) or "damaged or cut short: download it again, and compare its size with the original's."
        raise WeightsError(f"{file} is {reason}") from error
    weights = loaded.get("model", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise WeightsError(f"{file} holds no weights by name: it is no file of Video-LLaMA, BLIP-2 or ImageBind.")
    return weights


def kinds(weights: dict[str, Tensor]) -> set[str]:
    """What a file holds: the keys of KINDS whose pattern one of its names has. A joint training's file holds two."""
    return {kind for kind, pattern in KINDS.items() if any(re.match(pattern, name) for name in weights)}


def find_official(folder: Path, needed: tuple[str, ...], given: dict[str, Path]) -> dict[str, Path]:
    """The file of each needed kind: the one given, or else the only one in the folder that holds it.

    Raises WeightsError if there is none, if there are several, or if a given file holds something else.
    """
    holding = {file: kinds(read_official(file)) for file in given.values()}
    if set(needed) - given.keys():
        files = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS and file not in holding)
        holding |= {file: kinds(read_official(file)) for file in files}
    found: dict[str, Path] = {}
    for kind in needed:
        fitting = [file for file, held in holding.items() if kind in held]
        if kind in given:
            if given[kind] not in fitting:
                raise WeightsError(f"{given[kind]} is not the file of {WHAT[kind]}: {_contents(holding[given[kind]])}.")
            fitting = [given[kind]]
        if not fitting:
            raise WeightsError(f"{folder} has no file of {WHAT[kind]}: give its path or URL as {kind}=.")
        if len(fitting) > 1:
            names = " and ".join(file.name for file in fitting)
            raise WeightsError(f"{folder} has several files of {WHAT[kind]}, {names}: choose one as {kind}=.")
        found[kind] = fitting[0]
    return found


def find_llm(folder: Path) -> Path:
    """The only subfolder that holds a language model. Raises WeightsError if there is none, or several."""
    found = sorted(file.parent for file in folder.glob("*/config.json"))
    if len(found) != 1:
        several = "several language models" if found else "no language model"
        raise WeightsError(f"{folder} has {several} in its subfolders: give its folder or its name on the hub as llm=.")
    return found[0]


def _contents(held: set[str]) -> str:
    return f"it holds {' and '.join(WHAT[kind] for kind in sorted(held))}" if held else "it holds none of our parts"


def _instead(file: Path) -> str:
    """What people get when a download did not give the file itself."""
    with file.open("rb") as opened:
        head = opened.read(64).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself: run `git lfs pull`, or fetch it with `minivl download`."
    if head.startswith((b"<!doctype", b"<html")):
        return "a web page, not the file itself: download it again with the link to the file."
    return "" if head else "empty: download it again."


def _foreign(error: Any) -> str:
    """The class or function that a refused pickle wanted, if torch names it."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    wanted = f" ({named[1]})" if named else ""
    return f"a pickle that holds more than tensors{wanted} and could run code: nothing was loaded, get it elsewhere."
