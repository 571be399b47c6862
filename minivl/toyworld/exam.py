"""The exam: which questions are asked about which clips, under which conditions, and how answers are counted.

Conditions, each a group of rows in the table:

    sight         the video soft prompt alone, visual questions
    hearing       the audio soft prompt alone, auditory questions
    both          both soft prompts in one chat, all questions
    disagree      ... of these, the clips whose sound does not match the picture
    held out      phrasings that no training has seen, of all question types
    unseen pairs  colours x shapes that no training has shown together

An answer is right if it equals the one true answer as a string. Answers are generated greedily. Some rows are parts of
others, among them those that show a model which says what it expects instead of what is there (hallucination):

    exist (yes), exist (no)             is there X: things that are there, things that are not
    exist (no, but heard)               ... X is not to be seen, but it is heard
    hear_exist (no, but seen)           do you hear X: it is silent, but it is in the picture
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from minivl.confidence import wilson_of_groups
from minivl.conversation import Conversation, upload_message, upload_slots
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT, tokenize
from minivl.toyworld.captions import matches
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, VISUAL
from minivl.toyworld.questions import Question, questions
from minivl.toyworld.scenes import THINGS, Scene, sample_scene

Row = dict[str, float | int]  # accuracy, low and high (its 95 % interval), count, blind


@dataclass(frozen=True)
class Case:
    """One question in one condition: which clip's soft prompts it gets, and the table rows that it counts in."""

    clip: int
    question: Question
    senses: tuple[str, ...]  # "sight", "hearing"; none: the question alone
    rows: tuple[str, ...]


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
                    cases.append(Case(clip, q, senses, _rows(group, q, scene)))
                if not held_out or len(senses) == 2:
                    rows = _rows("held out" if held_out else "both", q, scene)
                    if disagrees and not held_out:
                        rows += _rows("disagree", q, scene)
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


def _rows(group: str, q: Question, scene: Scene) -> tuple[str, ...]:
    """The rows of one answer: its type, some finer types, and the mean over a sense's questions."""
    rows = [f"{group}/{q.kind}"]
    if q.kind in ("exist", "hear_exist", "match"):
        rows.append(f"{group}/{q.kind} ({q.answer})")
    if q.kind in ("exist", "hear_exist") and q.answer == "no":
        elsewhere = scene.sounds if q.kind == "exist" else scene.sounding
        if {x.name for x in elsewhere} & set(q.text.rstrip("?").split()):
            rows.append(f"{group}/{q.kind} (no, but {'heard' if q.kind == 'exist' else 'seen'})")
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
    """Greedy answers, given all clips' soft prompts: video [N, Qv, D] and audio [N, Qa, D].

    Questions of one kind share a batch, since their answers are about equally long.
    """
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
    """The prompt that Chat would write for the first question about a video; without senses the question alone."""
    seen, heard = "sight" in senses, "hearing" in senses
    conversation = Conversation(model.style)
    if senses:
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


def tabulate(cases: Sequence[Case], answers: Sequence[str], blind: Callable[[str], str]) -> dict[str, Row]:
    """Group right and wrong answers by row: {"accuracy", "low", "high", "count", "blind"}, sorted by name."""
    right: dict[str, list[tuple[int, bool]]] = {}
    guessed: Counter[str] = Counter()
    for case, answer in zip(cases, answers, strict=True):
        for row in case.rows:
            right.setdefault(row, []).append((case.clip, answer == case.question.answer))
            guessed[row] += blind(case.question.kind) == case.question.answer
    return {
        row: {**share(verdicts), "blind": round(guessed[row] / len(verdicts), 4)}
        for row, verdicts in sorted(right.items())
    }


def share(verdicts: Sequence[tuple[int, bool]]) -> Row:
    """The share of answers that are right, its 95 % interval, and their number.

    verdicts: (clip, right) of each answer, at least one.
    """
    clips: dict[int, list[bool]] = {}
    for clip, right in verdicts:
        clips.setdefault(clip, []).append(right)
    low, high = wilson_of_groups((sum(answers), len(answers)) for answers in clips.values())
    accuracy = sum(right for _, right in verdicts) / len(verdicts)
    return {"accuracy": round(accuracy, 4), "low": round(low, 4), "high": round(high, 4), "count": len(verdicts)}
