"""The original's weights in our modules: every tensor of every file is accounted for, or nothing is loaded.

    official files ─► names and shapes of ours (published/keys.py) ─► checked against the modules ─► device, dtype

The original loads all of them with `strict=False` and ignores the result (`from_config` of `video_llama.py`), so a
file of another model, or a wrong prefix, goes unnoticed and the model talks nonsense. Here a tensor is used, or left
out for a reason that the summary prints, or an error that names file and weight.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minivl.checkpoints import empty_parts, placed
from minivl.config import VideoLlamaConfig, video_llama_1b, video_llama_7b
from minivl.errors import InputError, WeightsError
from minivl.language_model import llm_width
from minivl.new_branch import fresh_branch
from minivl.published.files import KINDS, PREFIX, WHAT, find_llm, find_official, read_official
from minivl.published.keys import convert_official, unused_because
from minivl.vit import resize_positions

BRANCHES = ("official", "new")
FILES = {"vision": ("vit", "blip2", "vision_branch"), "audio": ("imagebind", "audio_branch")}
NEW = ("vision_branch", "audio_branch")  # what a reader may train anew
NOT_ASKED_FOR = "a part that was not asked for"
VIT_POSITIONS = "image_encoder.vit.positions"
PARTS_OF = {
    "vit": "image_encoder.vit.", "blip2": "image_encoder.", "imagebind": "imagebind.",
    "vision_branch": "vision_branch.", "audio_branch": "audio_branch.",
}  # fmt: skip


@dataclass
class OfficialWeights:
    """The tensors of the original's files under our names, and where each came from."""

    files: dict[str, Path]  # kind -> file
    llm: str | Path
    config: VideoLlamaConfig
    tensors: dict[str, Tensor] = field(default_factory=dict)  # ours -> tensor, memory-mapped
    source: dict[str, tuple[Path, str]] = field(default_factory=dict)  # ours -> (file, the original's name)
    left_out: dict[Path, Counter[str]] = field(default_factory=dict)  # file -> reason -> number of tensors
    seed: int | None = None  # of new branches; None: the original's are loaded

    def summary(self) -> str:
        """One line per file, and one for each reason why some of its tensors were not used."""
        lines = []
        for file in dict.fromkeys(self.files.values()):
            used = len({name for origin, name in self.source.values() if origin == file})
            lines.append(f"{file.name}: {used} tensors used")
            lines += [f"    {count} not: {reason}" for reason, count in self.left_out[file].items()]
        lines += [] if self.seed is None else [f"branches: new, seed {self.seed}; train them before you ask"]
        return "\n".join(lines)


def read_weights(
    folder: str | Path,
    llm: str | Path | None = None,
    parts: tuple[str, ...] = ("vision", "audio"),
    conversation: str | None = None,
    config: VideoLlamaConfig | None = None,
    ignore: tuple[str, ...] = (),
    branches: str = "official",
    seed: int = 0,
    **files: str | Path,
) -> OfficialWeights:
    """Find, read, rename and check what `parts` need; nothing is copied yet. The arguments are `from_official`'s.

    conversation: the prompt format, "vicuna", "llama2" or "zephyr"; guessed from the files' names. config: other sizes.
    ignore: beginnings of weight names to leave out. files: one of another place as vit=, blip2=, imagebind=,
    vision_branch= or audio_branch=, path or URL. branches: "new" reads none from files; `fill` draws them from `seed`.

    Raises WeightsError that names the file and the weight, InputError for an unknown argument.
    """
    if branches not in BRANCHES:
        raise InputError(f"there is no branches={branches!r}: choose one of {', '.join(BRANCHES)}")
    if unknown := files.keys() - KINDS.keys():
        raise InputError(f"there is no argument {', '.join(sorted(unknown))}: files are given as {', '.join(KINDS)}")
    folder = _local(folder)
    llm = llm or find_llm(folder)
    kinds = [kind for part in ("vision", "audio") if part in parts for kind in FILES[part]]
    kinds += [kind for kind in FILES["audio"] if "image_trunk" in parts and kind not in kinds]
    if branches == "new":
        kinds = [kind for kind in kinds if not kind.endswith("_branch")]
        if unused := sorted(kind for kind in files if kind.endswith("_branch")):
            raise InputError(f"branches='new' reads no file of a branch: leave out {', '.join(unused)}")
    found = find_official(folder, tuple(kinds), {kind: _file(file, folder) for kind, file in files.items()})
    style = conversation or (config.conversation if config else guess_style(llm, found))
    usual = video_llama_1b if branches == "new" else video_llama_7b
    config = config or replace(usual(), llm_width=llm_width(llm))
    weights = OfficialWeights(found, llm, replace(config, conversation=style), seed=seed if branches == "new" else None)
    wanted = expected_shapes(weights.config, parts)
    if branches == "new":
        wanted = {name: shape for name, shape in wanted.items() if not name.startswith(NEW)}
    for kind in kinds:  # as in the original, a later file wins: the branch's file holds the trained log_logit_scale
        _add(weights, kind, wanted, ignore)
    for name, shape in wanted.items():
        _fit(weights, name, shape)
    return weights


def _local(folder: str | Path) -> Path:
    """The folder itself, or for a name on the hub ("owner/name") the one that it is downloaded to, once."""
    if Path(folder).is_dir():
        return Path(folder)
    if Path(folder).exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)):
        raise WeightsError(
            f"{folder} is no folder: give the one with the original's files, or fetch them with `minivl download`."
        )
    cached = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "minivl" / str(folder)
    complete = cached / "complete"
    if not complete.is_file():
        from minivl.published.download import download_official  # slow to import, rarely needed

        download_official(str(folder), cached)
        complete.touch()
    return cached


def _file(path_or_url: str | Path, folder: Path) -> Path:
    """A path as it is; a URL as the file that it was downloaded to, in the same folder."""
    url = str(path_or_url)
    if not url.startswith(("http://", "https://")):
        return Path(url)
    from minivl.published.download import download_file

    return download_file(url, folder / url.rsplit("/", 1)[-1])


def fill(
    weights: OfficialWeights, parts: tuple[str, ...], dtype: torch.dtype, device: torch.device, llm: Any = None
) -> dict[str, nn.Module]:
    """The parts by their VideoLlama attribute, with the original's weights; one tensor at a time goes to the device.

    New branches are fp32, as they are trained; llm: the language model, whose words they take their first size from.
    """
    built = empty_parts(weights.config, parts)
    for name, module in built.items():
        if weights.seed is not None and name in NEW:
            branch, words = name.removesuffix("_branch"), float(llm.get_input_embeddings().weight.detach().std())
            built[name] = fresh_branch(weights.config, branch, words, weights.seed).to(device)
            continue
        keys = {key: f"{name}.{key}" for key in module.state_dict()}
        module.load_state_dict(
            {k: placed(weights.tensors[ours], dtype, device) for k, ours in keys.items()}, assign=True
        )
    return built


def expected_shapes(config: VideoLlamaConfig, parts: tuple[str, ...]) -> dict[str, torch.Size]:
    """Every weight that the parts of this size have: name, with the part's in front -> shape."""
    built = empty_parts(config, parts).items()
    return {f"{part}.{key}": tensor.shape for part, module in built for key, tensor in module.state_dict().items()}


def guess_style(llm: str | Path, files: dict[str, Path]) -> str:
    """The prompt format that the branches were trained with, by the names of the files and of the language model.

    Raises WeightsError if they do not tell.
    """
    names = " ".join(
        [Path(llm).name, *(files[k].name for k in ("vision_branch", "audio_branch") if k in files)]
    ).lower()
    if "vicuna" in names:
        return "vicuna"
    if "llama-2" in names or "llama_2" in names or "llama2" in names:
        return "llama2"
    if "tinyllama" in names or "zephyr" in names:
        return "zephyr"
    raise WeightsError(
        f"{llm} may be a Vicuna or a LLaMA-2-chat: say which format it takes with conversation='vicuna', 'llama2' or "
        "'zephyr'."
    )


def _add(found: OfficialWeights, kind: str, wanted: dict[str, torch.Size], ignore: tuple[str, ...]) -> None:
    """The tensors of one file; each is used, or counted under a reason."""
    file = found.files[kind]
    weights = read_official(file)
    prefix = PREFIX.get(kind, "")
    prefix = "" if any(name.startswith(prefix) for name in weights) else prefix  # a file of the whole model
    reasons = found.left_out.setdefault(file, Counter())
    for official, tensor in weights.items():
        name = prefix + official
        if official.startswith(ignore or ("\0",)):
            reasons["left out as you asked"] += 1
            continue
        try:
            reason = unused_because(name)
            ours = convert_official({name: tensor})
        except WeightsError as error:
            raise WeightsError(
                f"{file} has an unknown weight, {official}: it may be of another model; "
                f"if it is right, leave the weight out with ignore=({official!r},)."
            ) from error
        if not reason and not ours.keys() <= wanted.keys():
            part = next(iter(ours)).rsplit(".")[:2]  # imagebind has two trunks, of which one may be wanted
            if any(key.split(".")[: len(part)] == part for key in wanted):
                raise WeightsError(f"{file} has one weight too many, {official}: it is of a model of another size.")
            reason = NOT_ASKED_FOR
        if reason:
            reasons[reason] += 1
            continue
        for before, _ in {found.source[key] for key in ours if key in found.source}:
            found.left_out[before]["a later file has it too, and wins"] += 1
        found.tensors |= ours
        found.source |= {key: (file, official) for key in ours}


def _fit(found: OfficialWeights, name: str, shape: torch.Size) -> None:
    """Check one weight that the model needs; the ViT's positions are stretched to another image size."""
    if name not in found.tensors:
        kind = next((k for k, part in PARTS_OF.items() if name.startswith(part)), "")
        file = found.files.get(kind, "The folder")
        raise WeightsError(
            f"{file} lacks the weight {name}: it is not the whole file of {WHAT.get(kind, 'the model')}."
        )
    tensor, (file, official) = found.tensors[name], found.source[name]
    if name == VIT_POSITIONS and tensor.ndim == 2 and tensor.shape[1] == shape[1] and tensor.shape != shape:
        found.tensors[name] = tensor = resize_positions(tensor, shape[0])
    if tensor.shape != shape:
        hint = (
            "it belongs to a language model of another width"
            if ".to_llm." in name
            else "it is of a model of another size"
        )
        raise WeightsError(
            f"{file}: {official} gives {name} {list(tensor.shape)}, but this model needs {list(shape)}: {hint}."
        )
