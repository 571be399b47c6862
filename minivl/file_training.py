"""One stage of one branch on data sets of files, from annotations to the branch's weights and a report.

    sets, ratios -> Mixture -> FileBatches (with or without a cache) -> training.train -> BRANCH_branch.safetensors

Only the branch is written: the rest of the model is frozen, and has not changed. `load_branch` puts it into the model
again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from safetensors import SafetensorError, safe_open
from torch import nn

from minivl.atomic import write_text
from minivl.checkpoints import save_part
from minivl.curves import save_loss_curve
from minivl.data.batches import FileBatches
from minivl.data.cache import FeatureCache
from minivl.data.frozen import frozen_encoder
from minivl.data.mixture import Mixture
from minivl.data.samples import SampleSet
from minivl.errors import InputError, WeightsError
from minivl.model import VideoLlama
from minivl.new_branch import BRANCHES, new_branch
from minivl.recipes import Recipe
from minivl.training import train

LOG = "broken.log"
LOOKED_AT = 20  # rows of a set that tell what it holds


def train_on_files(
    model: VideoLlama,
    branch: str,
    stage: int,
    data: Sequence[tuple[SampleSet, float]],
    folder: Path,
    recipe: Recipe,
    cache: Path | None = None,
    fresh: bool = False,
    augment: bool | None = None,
    max_tokens: int | None = None,
    readers: int = 4,
    pieces: int = 1,
    checkpointing: bool = False,
    precision: str | None = None,
    save_every: int = 250,
    tracker: str | None = None,
) -> dict[str, Any]:
    """Train "vision" or "audio" for stage 1 (captions) or 2; returns the report, {} on all processes but the first.

    model: loaded with parts=("vision",), or ("audio", "image_trunk") for the audio branch. data: (set, ratio) pairs.
    cache: a folder for frozen features; what the run will draw is encoded first, and no random crops are used. fresh:
    begin with new weights, not with those that the branch has. The others: see FileBatches and training.train.

    Written: folder/BRANCH_branch.safetensors, and folder/reports/BRANCH_stageN.json and .png. folder/BRANCH_stageN/
    holds broken.log and the state, from which a run that was stopped goes on when this is called again.
    Raises InputError for arguments or data that do not fit; see `train` for the rest.
    """
    _check(branch, stage, data, cache)
    machine = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))  # left to itself it forgets that setting
    frozen_encoder(model, branch).to(machine.device)
    if fresh:
        new_branch(model, branch, recipe.seed)
    sets, ratios = zip(*data, strict=True)
    mixture = Mixture(sets, ratios, recipe.batch, recipe.seed)
    name = f"{branch}_stage{stage}"
    kept = (
        None if cache is None else _filled(FeatureCache(cache, model, branch), mixture, recipe.steps, readers, machine)
    )
    log = folder / name / LOG
    with FileBatches(model, branch, mixture, stage, kept, augment, max_tokens, readers, log) as batches:
        batches.without_encoder = kept is not None
        aside = encoder_aside(model, branch) if kept is not None else nullcontext()
        with aside:
            curve = train(
                model, branch, recipe, batches, folder / name, pieces, save_every, checkpointing, precision, tracker,
                name=f"{branch} branch, stage {stage}",
            )  # fmt: skip
    if not machine.is_main_process:
        return {}
    report = {
        "branch": branch, "stage": stage, "seed": recipe.seed, "batch": recipe.batch,
        "data": [{"name": one.name, "samples": len(one), "ratio": ratio} for one, ratio in data],
        "random crops": batches.reader.augment, "samples left out": _lines(log), **curve,
    }  # fmt: skip
    _write(model, branch, folder, name, report)
    return report


def _filled(
    cache: FeatureCache, mixture: Mixture, steps: int, readers: int, machine: PartialState
) -> FeatureCache:  # fmt: skip
    """The cache with everything in it that the run will draw; the processes share the work."""
    drawn = _drawn(mixture, steps)
    cache.fill(drawn, machine.process_index, machine.num_processes, readers, progress=machine.is_main_process)
    machine.wait_for_everyone()
    cache.shards.refresh()
    return cache


def _write(model: VideoLlama, branch: str, folder: Path, name: str, report: dict[str, Any]) -> None:
    """The branch, the report and the picture of the loss."""
    save_part(_branch_of(model, branch), folder / f"{branch}_branch.safetensors")
    file = folder / "reports" / f"{name}.json"
    write_text(file, json.dumps(report, indent=1) + "\n")
    save_loss_curve(report["loss"], f"{branch} branch, stage {report['stage']}", file.with_suffix(".png"))


@contextmanager
def encoder_aside(model: VideoLlama, branch: str) -> Iterator[None]:
    """Take the frozen encoder out of the model, and off the GPU, while its kept features stand for it."""
    encoder = frozen_encoder(model, branch).cpu()
    owner, name = (model, "image_encoder") if branch == "vision" else (model.imagebind, "image")
    setattr(owner, name, None)
    try:
        yield
    finally:
        setattr(owner, name, encoder)


def load_branch(model: VideoLlama, branch: str, file: Path) -> None:
    """Put the weights of a branch that `train_on_files` or `save_pretrained` wrote into the model.

    Raises WeightsError if they are not those of this branch of this model; the model is then as it was.
    """
    module = _branch_of(model, branch)
    now = module.state_dict()
    try:
        with safe_open(file, framework="pt") as tensors:
            state = {name: tensors.get_tensor(name) for name in tensors.keys()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is missing or no safetensors file: give the file of a trained branch") from error
    for name in sorted(now.keys() | state.keys()):
        wanted, found = (list(part[name].shape) if name in part else "absent" for part in (now, state))
        if wanted != found:
            raise WeightsError(
                f"{file} is no {branch} branch of this model: {name} should be {wanted} but is {found}; give the "
                "model that it was trained in"
            )
    module.load_state_dict(state)  # copies: numbers take the type and device that the branch has


def _branch_of(model: VideoLlama, branch: str) -> nn.Module:
    found = {"vision": model.vision_branch, "audio": model.audio_branch}.get(branch)
    if found is None:
        raise InputError(f"the model has no {branch!r} branch: load it with parts=({branch!r}, ...)")
    return found


def _check(branch: str, stage: int, data: Sequence[tuple[SampleSet, float]], cache: Path | None) -> None:
    if stage not in (1, 2) or branch not in BRANCHES:
        raise InputError(
            f"there is no stage {stage} of a branch {branch!r}: stages are 1 and 2, branches vision and audio"
        )
    if not data:
        raise InputError("there is no data to train on: give at least one set")
    for samples, _ in data:
        if stage == 1 and _holds_conversations(samples):
            raise InputError(f"{samples.name} holds conversations, and stage 1 learns captions: use it for stage 2")
    if cache is None and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise InputError("FSDP spreads the frozen encoder over GPUs, where no frame passes through it: give a cache")


def _holds_conversations(samples: SampleSet) -> bool:
    for row in range(min(LOOKED_AT, len(samples))):
        try:
            return not samples[row].is_caption
        except InputError:
            continue  # broken rows are left out later, one by one
    return False


def _drawn(mixture: Mixture, steps: int) -> Iterator[Path]:
    """The files that a run of so many steps reads."""
    for step in range(steps):
        samples, rows = mixture.batch(step)
        for row in rows:
            try:
                yield samples[row].media
            except InputError:
                continue


def _lines(log: Path) -> int:
    """How many different samples all processes together, and the runs that this one goes on from, left out."""
    return len(set(log.read_text(encoding="utf-8").splitlines())) if log.is_file() else 0
