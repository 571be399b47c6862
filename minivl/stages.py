"""One stage of one branch on the toy world, from features to a saved model, a report and a loss curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from minivl.atomic import write_text
from minivl.curves import save_loss_curve
from minivl.errors import InputError
from minivl.evaluation import evaluate
from minivl.model import VideoLlama
from minivl.toyworld.features import cached_features
from minivl.toyworld.lessons import Teacher
from minivl.toyworld.scenes import CHOOSING_SEED
from minivl.training import BRANCHES, new_branch, train_branch

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
) -> dict[str, Any]:
    """Train a branch for one stage and write the whole model to `folder`, with reports/BRANCH_stageN.json and .png.

    Stage 1 starts from fresh weights, stage 2 from the branch that the model has. The model needs all of
    parts=("vision", "audio", "image_trunk"). `from_sound` trains the audio branch on sound, to compare.
    Raises InputError for an unknown branch or stage.
    """
    if stage not in (1, 2) or branch not in BRANCHES:
        raise InputError(
            f"there is no stage {stage} of a branch {branch!r}: stages are 1 and 2, branches vision and audio"
        )
    features = cached_features(model, clips, 0, cache)
    if stage == 1:
        new_branch(model, branch, seed)
    torch.manual_seed(seed + stage)
    teacher = Teacher(model, features, branch, stage, seed, from_sound=from_sound)
    steps = steps or STEPS[branch][stage]
    curve = train_branch(model, branch, iter(teacher), steps, LEARNING_RATE[stage], f"{branch} branch, stage {stage}")
    table = evaluate(model, test_clips, CHOOSING_SEED, from_files=False) if test_clips else {}
    report = {
        "branch": branch, "stage": stage, "seed": seed, "steps": steps, "clips": clips,
        "trained on": "sound" if from_sound else "pictures", **curve, "held out": table,
    }  # fmt: skip
    model.save_pretrained(folder)
    name = folder / "reports" / f"{branch}_stage{stage}"
    write_text(name.with_suffix(".json"), json.dumps(report, indent=1) + "\n")
    save_loss_curve(curve["loss"], f"{branch} branch, stage {stage}", name.with_suffix(".png"))
    return report
