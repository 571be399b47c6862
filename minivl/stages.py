"""One stage of one branch on the toy world, from features to a saved model, a report and a loss curve."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from minivl.atomic import write_text
from minivl.curves import save_loss_curve
from minivl.errors import InputError
from minivl.evaluation import evaluate
from minivl.model import VideoLlama
from minivl.new_branch import BRANCHES, new_branch
from minivl.recipes import toy_recipe
from minivl.toyworld.features import cached_features
from minivl.toyworld.lessons import Teacher
from minivl.toyworld.scenes import CHOOSING_SEED
from minivl.training import train

# Captions are cheap (short chats), and say of every thing what it is: the vision branch, which has the harder task of
# the two, takes three times as many of them before its questions.
STEPS = {"vision": {1: 900, 2: 1000}, "audio": {1: 300, 2: 800}}
LEARNING_RATE = {1: 1.5e-3, 2: 1.5e-3}
TRAINING_CLIPS = 6000


def run_stage(
    model: VideoLlama,
    branch: str,
    stage: int,
    folder: Path,
    cache: Path,
    seed: int = 0,
    steps: int | None = None,
    clips: int = TRAINING_CLIPS,
    from_sound: bool = False,
    test_clips: int = 100,
    pieces: int = 1,
    precision: str | None = None,
) -> dict[str, Any]:
    """Train a branch for one stage and write the whole model to `folder`, with reports/BRANCH_stageN.json and .png.

    Stage 1 starts from fresh weights, stage 2 from the branch that the model has. The model needs all of
    parts=("vision", "audio", "image_trunk"). `from_sound` trains the audio branch on sound, to compare. A run that was
    interrupted goes on when it is called again. Of several processes, the first one measures and writes; the others
    return {}. Raises InputError for an unknown branch or stage.
    """
    if stage not in (1, 2) or branch not in BRANCHES:
        raise InputError(
            f"there is no stage {stage} of a branch {branch!r}: stages are 1 and 2, branches vision and audio"
        )
    machine = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise InputError(
            "FSDP spreads a language model over GPUs that one cannot hold; the tiny one fits: use --multi_gpu alone"
        )
    with machine.main_process_first():  # the others read what it kept
        features = cached_features(model, clips, 0, cache)
    if stage == 1:
        new_branch(model, branch, seed)
    teacher = Teacher(model, features, branch, stage, seed, from_sound=from_sound)
    recipe = toy_recipe(steps or STEPS[branch][stage], LEARNING_RATE[stage], seed=seed)
    name = f"{branch}_stage{stage}"
    curve = train(
        model, branch, recipe, teacher, folder / name, pieces, precision=precision,
        name=f"{branch} branch, stage {stage}",
    )  # fmt: skip
    if not machine.is_main_process:
        return {}
    table = evaluate(model, test_clips, CHOOSING_SEED, from_files=False) if test_clips else {}
    report = {
        "branch": branch, "stage": stage, "seed": seed, "clips": clips,
        "trained on": "sound" if from_sound else "pictures", **curve, "held out": table,
    }  # fmt: skip
    model.save_pretrained(folder)
    report_file = folder / "reports" / f"{name}.json"
    write_text(report_file, json.dumps(report, indent=1) + "\n")
    save_loss_curve(curve["loss"], f"{branch} branch, stage {stage}", report_file.with_suffix(".png"))
    return report
