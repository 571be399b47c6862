"""Accuracy by question type, on clips that were written to mp4 files and decoded again as a user's file would be.

toyworld/exam.py has the conditions, the questions, and how answers are counted. Beside each accuracy stand its 95 %
interval (confidence.py) and what a model reaches that answers without looking:

    blind       the most frequent answer to that type of question in training
    text only   this model, given the question alone                                     (the others: baselines=True)
    shuffled    ... with the frames in another order
    blank       ... with a black video and a sound track of zeros
    swapped     ... with another clip

An accuracy is worth what it has above them: a question type where "shuffled" is as good is answered without the order
of frames, one where "text only" is, without the clip. toyworld/probes.py alters clips in more ways.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivl.audio import load_audio
from minivl.confidence import wilson_of_mean
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.toyworld.exam import (
    Case,
    Row,
    answer_all,
    frequent_answers,
    make_cases,
    prompt_ids,
    senses_of,
    tabulate,
    unseen_cases,
)
from minivl.toyworld.features import Features, encode_scenes
from minivl.toyworld.mp4 import render_mp4
from minivl.toyworld.probes import BASELINES, answer_altered
from minivl.toyworld.scenes import Scene, sample_scene
from minivl.video import load_video

__all__ = [
    "Case", "Row", "answer_all", "as_text", "compare", "encode_files", "evaluate", "frequent_answers", "make_cases",
    "presence", "presence_as_text", "prompt_ids", "senses_of", "tabulate", "unseen_cases", "watch_files",
    "watch_rendered",
]  # fmt: skip


def evaluate(
    model: VideoLlama, clips: int = 400, seed: int = 1_000_000, from_files: bool = True, batch_size: int = 128,
    baselines: bool = False,
) -> dict[str, Row]:  # fmt: skip
    """The table for clips seed, seed + 1, ...: "condition/question type" → Row.

    A Row is {"accuracy", "low", "high", "count", "blind"}; with `baselines`, which takes several times as long, also
    "text only", "blank", "swapped" and, where frames are seen, "shuffled". Besides, a quarter as many clips of unseen
    pairs. `from_files=False` shows the model the rendered clips themselves, which is faster and needs no PyAV. Raises
    InputError for fewer than one clip.
    """
    if clips < 1:
        raise InputError(f"clips is {clips}: evaluate on at least one clip")
    scenes = [sample_scene(seed + i) for i in range(clips)]
    unseen = [sample_scene(seed + i, unseen_pairs=True) for i in range(max(1, clips // 4))]
    features = (encode_files if from_files else encode_scenes)(model, scenes + unseen)
    cases = make_cases(scenes, seed) + unseen_cases(unseen, clips, seed)
    blind = frequent_answers()
    table = tabulate(cases, answer_all(model, cases, *_soft_prompts(model, features), batch_size), blind)
    for name, probe in BASELINES.items() if baselines else ():
        altered = [case for case in cases if set(probe.changes) & set(case.senses)]
        answers = answer_altered(model, altered, features, probe, seed, batch_size)
        for row, values in tabulate(altered, answers, blind).items():
            table[row][name] = values["accuracy"]
    return table


def encode_files(model: VideoLlama, scenes: list[Scene]) -> Features:
    """Write each scene as an mp4, decode it, and return its frozen features as `encode_scenes` does (no looks)."""
    tokens, sounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        for scene in tqdm(scenes, desc="watching clips", mininterval=1.0):
            render_mp4(file, scene)
            clip = load_video(file, model.config.num_frames, model.config.vit.image_size)
            sound = load_audio(file, model.config.num_segments)
            if sound is None:  # a rendered file always has a track
                raise InputError(f"{file} was written without sound: PyAV or FFmpeg has no AAC encoder here")
            tokens.append(model.encode_frames(clip.frames[None]))  # [1, T, K, width]
            sounds.append(model.encode_segments(sound.mel[None]))  # [1, M, E]
    return Features(scenes, torch.cat(tokens), torch.empty(0), torch.cat(sounds))


def watch_files(model: VideoLlama, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """The soft prompts of scenes as they look and sound in files: video [N, Qv, D] and audio [N, Qa, D]."""
    return _soft_prompts(model, encode_files(model, scenes))


def watch_rendered(model: VideoLlama, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """As `watch_files`, but without files in between."""
    return _soft_prompts(model, encode_scenes(model, scenes))


@torch.no_grad()
def _soft_prompts(model: VideoLlama, features: Features) -> tuple[Tensor, Tensor]:
    return model.video_prompt(features.frame_tokens), model.audio_prompt(features.sounds)


def presence(table: dict[str, Row]) -> dict[str, Row]:
    """Hallucination: how often what is there is affirmed, and what is not there is denied.

    table: of `evaluate` or `probe`, with its rows for "is there X" and "do you hear X". For each condition and type a
    row {"present", "affirmed", "absent", "denied", "balanced", "low", "high"}: two counts, two shares, their mean
    (balanced accuracy: 0.5 for who always says the same) and its 95 % interval. A type that came up on one side only is
    left out.
    """
    found: dict[str, Row] = {}
    for row in table:
        name, _, answer = row.rpartition(" ")
        there, absent = table.get(f"{name} (yes)"), table.get(f"{name} (no)")
        if answer == "(yes)" and name.endswith("exist") and there and absent:
            counts = [(round(r["accuracy"] * r["count"]), int(r["count"])) for r in (there, absent)]
            mean, low, high = (round(value, 4) for value in wilson_of_mean(*counts))
            found[name] = {
                "present": there["count"], "affirmed": there["accuracy"], "absent": absent["count"],
                "denied": absent["accuracy"], "balanced": mean, "low": low, "high": high,
            }  # fmt: skip
    return found


def as_text(table: dict[str, Row]) -> str:
    """The table for a terminal; a baseline has a column if any row has it."""
    extra = [name for name in BASELINES if any(name in row for row in table.values())]
    lines = [
        f"{'condition/question type':34} accuracy   95 % interval    blind   "
        + "".join(f"{name:>9}   " for name in extra)
        + "  count"
    ]
    for row, v in table.items():
        lines.append(
            f"{row:34} {v['accuracy']:8.3f}   {v['low']:.3f} to {v['high']:.3f} {v['blind']:8.3f}   "
            + "".join(f"{v[name]:9.3f}   " if name in v else f"{'-':>9}   " for name in extra)
            + f"{v['count']:7}"
        )
    return "\n".join(lines)


def presence_as_text(rows: dict[str, Row]) -> str:
    """The rows of `presence` for a terminal."""
    lines = [f"{'condition/question type':34} affirmed   denied   balanced   95 % interval   present   absent"]
    lines += [
        f"{row:34} {v['affirmed']:8.3f} {v['denied']:8.3f} {v['balanced']:10.3f}   {v['low']:.3f} to {v['high']:.3f}"
        f" {v['present']:9} {v['absent']:8}"
        for row, v in rows.items()
    ]
    return "\n".join(lines)


def compare(tables: dict[str, dict[str, Row]]) -> str:
    """Accuracies of several tables side by side, such as {name: probe(model, features, name) for name in PROBES}."""
    rows = sorted({row for table in tables.values() for row in table})
    width = max(map(len, rows), default=0)
    lines = [" " * width + "".join(f"{name:>17}" for name in tables)]
    for row in rows:
        found = (table.get(row) for table in tables.values())
        lines.append(f"{row:{width}}" + "".join(f"{v['accuracy']:17.3f}" if v else f"{'-':>17}" for v in found))
    return "\n".join(lines)
