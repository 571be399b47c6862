"""The clips of the claims, what is asked about them, and how a model's answers become a table.

The questions are those of toyworld/exam.py. Added are rows that put question types together by what they need:

    looks     colour and shape: any single frame tells them
    order     motion, first, last, X before Y: no frame tells them, nor all frames in a heap

Who sees the frames in a heap still knows whether something moves, and along which line, and which two things come; what
is left is a coin. `unordered` says how often that is right: the chance that an answer without order has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from minivl.claims.runs import load
from minivl.claims.settings import Settings
from minivl.model import VideoLlama
from minivl.soft_prompt import VIDEO_SLOT
from minivl.toyworld.captions import MOTION_WORDS
from minivl.toyworld.dialogue import IGNORE, DialogueWriter
from minivl.toyworld.exam import Case, Row, answer_all, frequent_answers, make_cases, share, tabulate, unseen_cases
from minivl.toyworld.features import Features, cached_features, encode_scenes
from minivl.toyworld.questions import questions
from minivl.toyworld.scenes import sample_scene

Table = dict[str, Row]  # row → accuracy, low, high, count, blind
LOOKS = ("colour", "shape")
ORDER = ("motion", "first", "last", "before")
HEARD_ORDER = ("hear_first", "hear_last", "hear_before")
OPEN = ("describe", "see", "blind")  # too many answers to say what form they have
BATCH = 128


@dataclass(frozen=True)
class Exam:
    """Clips with their frozen features, and all questions about them."""

    features: Features
    cases: list[Case]
    unseen: Features  # clips of colour x shape pairs that no training has shown
    unseen_cases: list[Case]
    blind: Callable[[str], str]  # question type → most frequent answer
    seed: int

    def about(self, *groups: str) -> list[Case]:
        """The cases of these conditions: "sight", "hearing", "both", "held out"."""
        return [case for case in self.cases if case.rows[0].partition("/")[0] in groups]


@lru_cache(maxsize=1)
def load_exam(settings: Settings) -> Exam:
    """The clips of the settings; once per process."""
    model, _, _ = load(settings)
    clips, first = settings.clips, settings.first_clip
    features = cached_features(model, clips, first, settings.cache)
    unseen = [sample_scene(first + i, unseen_pairs=True) for i in range(max(1, clips // 4))]
    cases = [_with_sums(case) for case in make_cases(features.scenes, first)]
    return Exam(
        features, cases, encode_scenes(model, unseen), unseen_cases(unseen, 0, first), frequent_answers(), first
    )  # fmt: skip


def _with_sums(case: Case) -> Case:
    """The case, counted in the rows "looks" and "order" of its conditions as well."""
    kind = case.question.kind
    for name, kinds in (("looks", LOOKS), ("order", ORDER), ("heard order", HEARD_ORDER)):
        if kind in kinds:
            groups = dict.fromkeys(row.partition("/")[0] for row in case.rows)
            return replace(case, rows=(*case.rows, *(f"{group}/{name}" for group in groups)))
    return case


@torch.no_grad()
def ask(model: VideoLlama, exam: Exam, cases: Sequence[Case], features: Features | None = None) -> Table:
    """Greedy answers to the cases about the exam's clips, or about `features` of altered ones."""
    seen = features or exam.features
    video, audio = model.video_prompt(seen.frame_tokens), model.audio_prompt(seen.sounds)  # [N, Qv, D], [N, Qa, D]
    return tabulate(cases, answer_all(model, list(cases), video, audio, BATCH), exam.blind)


@torch.no_grad()
def ask_for_form(model: VideoLlama, exam: Exam, cases: Sequence[Case]) -> Table:
    """As `ask`, with a row "sight/form": how often the answer was one that this type of question can have."""
    forms: dict[str, set[str]] = {}
    rng = np.random.default_rng(13)
    for seed in range(1000):
        for q in questions(sample_scene(seed), rng):
            forms.setdefault(q.kind, set()).add(q.answer)
    video, audio = model.video_prompt(exam.features.frame_tokens), model.audio_prompt(exam.features.sounds)
    answers = answer_all(model, list(cases), video, audio, BATCH)
    closed = [(c, a) for c, a in zip(cases, answers, strict=True) if c.question.kind not in OPEN]
    form = share([(case.clip, answer in forms[case.question.kind]) for case, answer in closed])
    return {**tabulate(cases, answers, exam.blind), "sight/form": {**form, "blind": 1.0}}


def answer_written(
    model: VideoLlama, cases: Sequence[Case], pictures: Sequence[list[int]], video: Tensor | None, still: bool = False
) -> list[str]:
    """Answers to visual questions where pictures[clip] are the ids in the video's place: a text, or slots.

    video: the soft prompts [N, Qv, D] that fill the slots. still: the place is tagged as an image.
    """
    writer, answers = DialogueWriter(model.tokenizer), [""] * len(cases)
    order = sorted(range(len(cases)), key=lambda i: cases[i].question.kind)  # answers of a kind are equally long
    for start in range(0, len(order), BATCH):
        part, prompts = order[start : start + BATCH], []
        for i in part:
            chat = writer.write(pictures[cases[i].clip], None, [cases[i].question], still)
            prompts.append(chat.ids[: next(n for n, label in enumerate(chat.labels) if label != IGNORE)])
        soft = {} if video is None else {VIDEO_SLOT: video[[cases[i].clip for i in part]]}
        for i, answer in zip(part, model.answer_batch(prompts, soft, max_new_tokens=32), strict=True):
            answers[i] = answer
    return answers


def unordered(cases: Sequence[Case]) -> Table:
    """How often who sees the frames in a heap is right about their order: 1 for what stands still, else 1/2."""
    still = {words for one, many, _ in [MOTION_WORDS["still"]] for words in (f"it {one}", f"they {many}")}
    right: dict[str, list[float]] = {}
    for case in cases:
        if case.question.kind in ORDER:
            for row in case.rows:
                right.setdefault(row, []).append(1.0 if case.question.answer in still else 0.5)
    return {
        row: {"accuracy": round(sum(values) / len(values), 4), "count": len(values)}
        for row, values in sorted(right.items())
        if row.partition("/")[2] in (*ORDER, "order")
    }
