"""Training: what `minivl data check`, `plan`, `pretrain` and `train` do."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.errors import InputError

if TYPE_CHECKING:
    from minivl.data.samples import SampleSet
    from minivl.recipes import Recipe

STEPS = 1000  # of a training on files, unless said otherwise
LEARNING_RATE = {1: 1e-4, 2: 3e-5}  # the paper's


def data_check(options: argparse.Namespace) -> None:
    """Read a data set, decode a part of it, and say what is wrong."""
    from minivl.atomic import write_text
    from minivl.data.check import Plan, check
    from minivl.data.detect import detect

    samples = detect(options.folder, options.format, options.media)
    report = check(samples, decode=options.decode, plan=Plan(options.batch, options.steps))
    print(report)
    if options.json:
        write_text(options.json, json.dumps(report.to_dict(), indent=1) + "\n")
        print(f"wrote {options.json}")


def pretrain(options: argparse.Namespace) -> None:
    """Train all frozen parts from nothing."""
    from minivl.pretraining.pipeline import pretrain as train_frozen_parts

    train_frozen_parts(options.out, options.seed, options.scale)
    print(f"wrote the frozen parts and their reports to {options.out}")


def plan(options: argparse.Namespace) -> None:
    """Print what a training run would cost."""
    from minivl.atomic import write_text
    from minivl.planning.training_plan import plan_training

    made = plan_training(
        options.branch, options.stage, options.preset, options.gpu, options.gpus, options.cached,
        checkpointing=options.checkpointing,
    )  # fmt: skip
    print(made)
    if options.json:
        write_text(options.json, json.dumps(made.to_dict(), indent=1) + "\n")
        print(f"wrote {options.json}")


def train(options: argparse.Namespace) -> None:
    """Train one branch for one stage, on files or on the toy world."""
    (train_on_data if options.data else train_on_toy_world)(options)


def train_on_toy_world(options: argparse.Namespace) -> None:
    """Train with rendered clips, and print how well it does on others."""
    from minivl.model import VideoLlama
    from minivl.stages import TRAINING_CLIPS, run_stage

    model = VideoLlama.from_pretrained(options.model, parts=("vision", "audio", "image_trunk"))
    report = run_stage(
        model, options.branch, options.stage, options.out, options.cache, options.seed, options.steps,
        options.clips or TRAINING_CLIPS, options.from_sound, pieces=options.pieces, precision=options.precision,
    )  # fmt: skip
    if not report:  # another of several processes writes
        return
    sense = "hearing" if options.branch == "audio" else "sight"
    for row, values in report["held out"].items():
        if row.startswith(sense):
            print(f"{row:28} {values['accuracy']:.3f}   (blind {values['blind']:.3f}, {values['count']} questions)")
    print(f"{report['steps']} steps in {report['seconds']:.0f} s; wrote the model and its report to {options.out}")


def train_on_data(options: argparse.Namespace) -> None:
    """Train with the user's own files or one of the paper's data sets."""
    from minivl.file_training import load_branch, train_on_files
    from minivl.hardware import best_device, best_dtype
    from minivl.model import VideoLlama

    if options.branch_file and options.stage == 1:
        raise InputError(
            "--branch-file has no use in stage 1, which starts with a new branch: leave it out, or --stage 2"
        )
    parts = ("vision",) if options.branch == "vision" else ("audio", "image_trunk")
    dtype = best_dtype(best_device())
    model = VideoLlama.from_pretrained(options.model, dtype=dtype, parts=parts, quantization=options.quantization)
    if options.branch_file:
        load_branch(model, options.branch, options.branch_file)
    report = train_on_files(
        model, options.branch, options.stage, [_data_set(given, options) for given in options.data], options.out,
        _recipe(options), None if options.no_cache else options.cache, fresh=options.stage == 1,
        pieces=options.pieces, checkpointing=options.checkpointing, precision=options.precision,
        save_every=options.save_every, tracker=options.tracker,
    )  # fmt: skip
    if report:
        file = options.out / f"{options.branch}_branch.safetensors"
        print(f"{report['steps']} steps in {report['seconds']:.0f} s, loss {report['loss'][-1]:.3f}; wrote {file}")


def _data_set(given: str, options: argparse.Namespace) -> tuple[SampleSet, float]:
    """ "FOLDER" or "FOLDER:RATIO"."""
    from minivl.data.detect import detect

    folder, colon, ratio = given.rpartition(":")
    if not colon or Path(given).exists():
        folder, ratio = given, "1"
    try:
        share = float(ratio)
    except ValueError as error:
        raise InputError(f"--data {given}: write FOLDER or FOLDER:RATIO, with a number behind the colon") from error
    return detect(Path(folder), options.format, options.media), share


def _recipe(options: argparse.Namespace) -> Recipe:
    """The paper's, or a short one; each number can be given."""
    from minivl.recipes import PAPER, Recipe

    peak = options.learning_rate or LEARNING_RATE[options.stage]
    steps = options.steps or STEPS
    short = Recipe(steps, options.batch or 32, peak, peak / 10, max(1, steps // 10), clip=1.0, seed=options.seed)
    if not options.paper:
        return short
    named = {"steps": options.steps, "batch": options.batch, "learning_rate": options.learning_rate}
    given = {name: value for name, value in named.items() if value}
    return replace(PAPER[options.branch, options.stage], seed=options.seed, **given)
