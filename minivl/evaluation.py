"""Accuracy by question type, on clips that were written to mp4 files and decoded again as a user's file would be.

Conditions, each a group of rows in the table:

    sight         the video soft prompt alone, visual questions
    hearing       the audio soft prompt alone, auditory questions
    both          both soft prompts in one chat, all questions
    disagree      ... of these, the clips whose sound does not match the picture
    held out      phrasings that no training has seen, of all question types
    unseen pairs  colours x shapes that no training has shown together

An answer is right if it equals the one true answer as a string. Answers are generated greedily. Beside each accuracy
stands what a blind model reaches: the most frequent answer to that type of question in training.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivl.audio import load_audio
from minivl.conversation import Conversation, upload_message, upload_slots
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT, tokenize
from minivl.toyworld.captions import matches
from minivl.toyworld.features import encode_scenes
from minivl.toyworld.mp4 import render_mp4
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, VISUAL
from minivl.toyworld.questions import Question, questions
from minivl.toyworld.scenes import THINGS, Scene, sample_scene
from minivl.video import load_video

Row = dict[str, float | int]  # accuracy, count, blind


@dataclass(frozen=True)
class Case:
    """One question in one condition: which clip's soft prompts it gets, and the table rows that it counts in."""

    clip: int
    question: Question
    senses: tuple[str, ...]  # "sight", "hearing"
    rows: tuple[str, ...]


def evaluate(
    model: VideoLlama, clips: int = 400, seed: int = 1_000_000, from_files: bool = True, batch_size: int = 128
) -> dict[str, Row]:
    """The table for clips seed, seed + 1, ...: "condition/question type" → {"accuracy", "count", "blind"}.

    Besides, a quarter as many clips of unseen pairs. `from_files=False` shows the model the rendered clips themselves,
    which is faster and needs no PyAV. Raises InputError for fewer than one clip.
    """
    if clips < 1:
        raise InputError(f"clips is {clips}: evaluate on at least one clip")
    scenes = [sample_scene(seed + i) for i in range(clips)]
    unseen = [sample_scene(seed + i, unseen_pairs=True) for i in range(max(1, clips // 4))]
    video, audio = (watch_files if from_files else watch_rendered)(model, scenes + unseen)
    cases = make_cases(scenes, seed) + unseen_cases(unseen, clips, seed)
    answers = answer_all(model, cases, video, audio, batch_size)
    return tabulate(cases, answers, frequent_answers())


def watch_files(model: VideoLlama, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Write each scene as an mp4, decode it, and return video [N, Qv, D] and audio [N, Qa, D] soft prompts."""
    video, audio = [], []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        file = Path(folder) / "clip.mp4"
        for scene in tqdm(scenes, desc="watching clips", mininterval=1.0):
            render_mp4(file, scene)
            clip = load_video(file, model.config.num_frames, model.config.vit.image_size)
            sound = load_audio(file, model.config.num_segments)
            if sound is None:  # a rendered file always has a track
                raise InputError(f"{file} was written without sound: PyAV or FFmpeg has no AAC encoder here")
            video.append(model.video_prompt(model.encode_frames(clip.frames[None])))
            audio.append(model.audio_prompt(model.encode_segments(sound.mel[None])))
    return torch.cat(video), torch.cat(audio)


@torch.no_grad()
def watch_rendered(model: VideoLlama, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """As `watch_files`, but without files in between."""
    features = encode_scenes(model, scenes)
    return model.video_prompt(features.frame_tokens), model.audio_prompt(features.sounds)


def make_cases(scenes: list[Scene], seed: int) -> list[Case]:
    """All questions about the clips in the conditions sight, hearing, both (with disagree) and held out."""
    rng = np.random.default_rng((seed, 9))
    cases = []
    for clip, scene in enumerate(scenes):
        disagrees = scene.sounding and scene.sounds and not matches(scene)
        for held_out in (False, True):
            for q in questions(scene, rng, held_out=held_out):
                senses = senses_of(q.kind)
                group = "held out" if held_out else "+".join(senses)
                if len(senses) == 1:
                    cases.append(Case(clip, q, senses, _rows(group, q)))
                if not held_out or len(senses) == 2:
                    rows = _rows("held out" if held_out else "both", q)
                    if disagrees and not held_out:
                        rows += _rows("disagree", q)
                    cases.append(Case(clip, q, ("sight", "hearing"), rows))
    return cases


def unseen_cases(scenes: list[Scene], first_clip: int, seed: int) -> list[Case]:
    """Colour and shape of the clips that show an unseen pair; clip numbers start at `first_clip`."""
    rng = np.random.default_rng((seed, 10))
    return [
        Case(first_clip + i, q, ("sight",), (f"unseen pairs/{q.kind}",))
        for i, scene in enumerate(scenes)
        for q in questions(scene, rng, hearing=False)
        if q.kind in ("colour", "shape")
    ]


def senses_of(kind: str) -> tuple[str, ...]:
    """Which senses a question type needs."""
    return ("sight", "hearing") if kind in AUDIO_VISUAL else ("hearing",) if kind in AUDITORY else ("sight",)


def _rows(group: str, q: Question) -> tuple[str, ...]:
    """The rows of one answer: its type, some finer types, and the mean over a sense's questions."""
    rows = [f"{group}/{q.kind}"]
    if q.kind in ("exist", "hear_exist", "match"):
        rows.append(f"{group}/{q.kind} ({q.answer})")
    if q.kind == "see" and q.answer.removeprefix("a ") in THINGS:
        rows.append(f"{group}/thing")
    if q.kind == "hear" and q.answer == "silence":
        rows.append(f"{group}/hear (silence)")
    if q.kind in VISUAL:
        rows.append(f"{group}/all visual")
    elif q.kind in AUDITORY:
        rows.append(f"{group}/all auditory")
    return tuple(rows)


def answer_all(model: VideoLlama, cases: list[Case], video: Tensor, audio: Tensor, batch_size: int = 128) -> list[str]:
    """Greedy answers; questions of one kind share a batch, since their answers are about equally long."""
    answers = [""] * len(cases)
    order = sorted(range(len(cases)), key=lambda i: (cases[i].senses, cases[i].question.kind))
    groups: list[list[int]] = []
    for i in order:
        if not groups or len(groups[-1]) == batch_size or cases[groups[-1][0]].senses != cases[i].senses:
            groups.append([])
        groups[-1].append(i)
    for group in tqdm(groups, desc="answering", mininterval=1.0):
        senses, soft = cases[group[0]].senses, {}
        clips = [cases[i].clip for i in group]
        if "sight" in senses:
            soft[VIDEO_SLOT] = video[clips]  # [B, Qv, D]
        if "hearing" in senses:
            soft[AUDIO_SLOT] = audio[clips]  # [B, Qa, D]
        prompts = [prompt_ids(model, cases[i].question.text, senses) for i in group]
        for i, answer in zip(group, model.answer_batch(prompts, soft, max_new_tokens=32), strict=True):
            answers[i] = answer
    return answers


def prompt_ids(model: VideoLlama, question: str, senses: tuple[str, ...]) -> list[int]:
    """The prompt that Chat would write for the first question about a video."""
    seen, heard = "sight" in senses, "hearing" in senses
    conversation = Conversation(model.style)
    conversation.add(model.style.roles[0], upload_message(model.style, seen, False, heard))
    conversation.add(model.style.roles[0], question)
    lengths = (
        model.config.vision_branch.qformer.num_queries if seen else 0,
        model.config.audio_branch.qformer.num_queries if heard else 0,
    )
    return tokenize(model.tokenizer, conversation.prompt(), upload_slots(model.style, *lengths))


def frequent_answers(scenes: int = 2000) -> Callable[[str], str]:
    """The blind baseline: question type → its most frequent answer among training clips."""
    rng, counts = np.random.default_rng(11), dict[str, Counter[str]]()
    for seed in range(scenes):
        for q in questions(sample_scene(seed), rng):
            counts.setdefault(q.kind, Counter())[q.answer] += 1
    best = {kind: counter.most_common(1)[0][0] for kind, counter in counts.items()}
    return lambda kind: best.get(kind, "")


def tabulate(cases: list[Case], answers: list[str], blind: Callable[[str], str]) -> dict[str, Row]:
    """Group right and wrong answers by row."""
    right: dict[str, list[tuple[bool, bool]]] = {}
    for case, answer in zip(cases, answers, strict=True):
        verdict = (answer == case.question.answer, blind(case.question.kind) == case.question.answer)
        for row in case.rows:
            right.setdefault(row, []).append(verdict)
    return {
        row: {
            "accuracy": round(float(np.mean([v[0] for v in values])), 4),
            "count": len(values),
            "blind": round(float(np.mean([v[1] for v in values])), 4),
        }
        for row, values in sorted(right.items())
    }


def as_text(table: dict[str, Row]) -> str:
    """The table for a terminal."""
    lines = [f"{'condition/question type':34} accuracy   blind   count"]
    lines += [f"{row:34} {v['accuracy']:8.3f} {v['blind']:7.3f} {v['count']:7}" for row, v in table.items()]
    return "\n".join(lines)
