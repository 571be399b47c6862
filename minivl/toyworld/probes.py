"""Probes: the same questions about an altered clip. What the model does not look at, it does not miss.

A model that answers from the order of frames gets worse when they are shuffled; one that guesses from the wording of
the question does as well without a picture. Each probe alters the frozen features of clips,

    frame_tokens [N, T, K, width]      one row per frame: the image encoder looks at each frame alone, so moving
                                       rows is the same as moving frames
    sounds       [N, M, E]             one row per two-second segment

and asks all questions of the exam that get an altered soft prompt. Some altered clips have a truth of their own:
played backwards, "it moves left" has become "it moves right"; black is "nothing". Of the questions whose true answer
has changed so, the rows "... (as altered)" say how many got the new answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from minivl.errors import InputError
from minivl.mel import spectrogram
from minivl.model import VideoLlama
from minivl.toyworld.exam import Case, Row, answer_all, frequent_answers, make_cases, share, tabulate
from minivl.toyworld.features import BATCH, SEGMENT, Features
from minivl.toyworld.questions import ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, DURATION, Scene

Alteration = Callable[[VideoLlama, Features, np.random.Generator], Features]
CONDITIONS = ("sight", "hearing", "both")
NAMES_THINGS = ("before", "colour_of", "exist", "hear_before", "hear_exist")  # their wording is about one clip
MIRROR = {"left": "right", "right": "left", "up": "down", "down": "up", "grow": "shrink", "shrink": "grow"}


@dataclass(frozen=True)
class Probe:
    """One alteration: which senses' soft prompts it changes, which it leaves in the chat, what then is true."""

    alter: Alteration
    changes: tuple[str, ...] = ("sight",)
    keeps: tuple[str, ...] = ("sight", "hearing")
    shown: Callable[[Scene], Scene] | None = None


def probe(
    model: VideoLlama, features: Features, name: str, seed: int = CHOOSING_SEED, batch_size: int = 128
) -> dict[str, Row]:
    """The exam's rows under the probe PROBES[name], of the conditions sight, hearing and both.

    features: of the clips, as `encode_scenes` makes them. seed: of the questions (as in `evaluate`) and of whatever the
    probe draws. A condition in which the probe changes nothing is left out. Raises InputError for an unknown name, and
    where another clip is needed and there is none.
    """
    if name not in PROBES:
        raise InputError(f"there is no probe {name!r}: choose one of {', '.join(PROBES)}")
    chosen = PROBES[name]
    cases = []
    for case in make_cases(features.scenes, seed):
        rows = tuple(row for row in case.rows if row.split("/")[0] in CONDITIONS)
        if rows and set(chosen.changes) & set(case.senses):
            cases.append(replace(case, rows=rows))
    answers = answer_altered(model, cases, features, chosen, seed, batch_size)
    table = tabulate(cases, answers, frequent_answers())
    return table if chosen.shown is None else {**table, **_as_altered(cases, answers, features.scenes, chosen.shown)}


def answer_altered(
    model: VideoLlama, cases: Sequence[Case], features: Features, probe: Probe, seed: int, batch_size: int = 128
) -> list[str]:
    """Greedy answers to the cases about the altered clips."""
    altered = probe.alter(model, features, np.random.default_rng((seed, 12)))
    kept = [replace(case, senses=tuple(s for s in case.senses if s in probe.keeps)) for case in cases]
    with torch.no_grad():
        video, audio = model.video_prompt(altered.frame_tokens), model.audio_prompt(altered.sounds)
    return answer_all(model, kept, video, audio, batch_size)


def _as_altered(
    cases: Sequence[Case], answers: Sequence[str], scenes: list[Scene], shown: Callable[[Scene], Scene]
) -> dict[str, Row]:
    """Of the questions that have another true answer now: the share that got it, by row."""
    verdicts: dict[str, list[tuple[int, bool]]] = {}
    for case, answer in zip(cases, answers, strict=True):
        kind, rng = case.question.kind, np.random.default_rng(0)  # words the question, which is not used
        now = None if kind in NAMES_THINGS else ask(shown(scenes[case.clip]), kind, rng)
        if now is not None and now.answer != case.question.answer:
            for row in case.rows:
                verdicts.setdefault(f"{row} (as altered)", []).append((case.clip, answer == now.answer))
    return {row: share(values) for row, values in sorted(verdicts.items())}


# ---- alterations: features of N clips -> features of the altered clips


def intact(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """The clips as they are."""
    return features


def blank_frames(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """A black video of as many frames, for all clips. The toy world itself is never dark, even where it is empty."""
    size = model.config.vit.image_size
    token = model.encode_frames(torch.zeros(1, 1, 3, size, size, dtype=torch.uint8))  # [1, 1, K, width]
    return replace(features, frame_tokens=token.to(features.frame_tokens).expand_as(features.frame_tokens))


def blank_sound(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """A sound track of zeros. The toy world's own silence has a faint noise."""
    vector = model.encode_segments(spectrogram(torch.zeros(1, SEGMENT))[None])  # [1, 1, E]
    return replace(features, sounds=vector.to(features.sounds).expand_as(features.sounds))


def blank(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """A black video with a sound track of zeros."""
    return blank_sound(model, blank_frames(model, features, rng), rng)


def shuffled_frames(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """Each clip's frames in another order; never all of them where they were. Needs two frames or more."""
    clips, frames = features.frame_tokens.shape[:2]
    order = np.tile(np.arange(frames), (clips, 1))  # [N, T]
    while frames > 1 and (same := (order == np.arange(frames)).all(axis=1)).any():
        order[same] = rng.permuted(order[same], axis=1)
    return replace(features, frame_tokens=features.frame_tokens[np.arange(clips)[:, None], order])


def reversed_frames(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """The last frame first; the sound plays forwards."""
    return replace(features, frame_tokens=features.frame_tokens.flip(1))


def one_frame(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """The middle frame as a video of one frame."""
    middle = features.frame_tokens.shape[1] // 2
    return replace(features, frame_tokens=features.frame_tokens[:, middle : middle + 1])


def more_frames(model: VideoLlama, features: Features, rng: np.random.Generator, count: int) -> Features:
    """The same four seconds in `count` frames: the positions from the 9th frame on were never trained."""
    tokens: list[Tensor] = []
    for start in range(0, len(features.scenes), BATCH):
        part = [torch.from_numpy(render_frames(s, count)) for s in features.scenes[start : start + BATCH]]
        tokens.append(model.encode_frames(torch.stack(part).permute(0, 1, 4, 2, 3)))  # [B, T, 3, H, W]
    return replace(features, frame_tokens=torch.cat(tokens).to(features.frame_tokens))


def swapped_video(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """Another clip's frames with each clip's own sound."""
    return replace(features, frame_tokens=features.frame_tokens[_others(features, rng)])


def swapped_sound(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """Another clip's sound with each clip's own frames."""
    return replace(features, sounds=features.sounds[_others(features, rng)])


def swapped(model: VideoLlama, features: Features, rng: np.random.Generator) -> Features:
    """Another clip, frames and sound."""
    others = _others(features, rng)
    return replace(features, frame_tokens=features.frame_tokens[others], sounds=features.sounds[others])


def _others(features: Features, rng: np.random.Generator) -> np.ndarray:
    """For each clip the number of another; each clip is taken once."""
    clips = len(features.scenes)
    if clips < 2:
        raise InputError("there is one clip, and its video or sound cannot be swapped: take at least two clips")
    circle, others = rng.permutation(clips), np.empty(clips, int)
    others[circle] = np.roll(circle, 1)
    return others


# ---- what an altered clip shows


def played_backwards(scene: Scene) -> Scene:
    """Motions turn round, and what came first comes last."""
    things = [replace(t, start=DURATION - t.end, end=DURATION - t.start) for t in reversed(scene.things)]
    return replace(scene, things=tuple(things), motion=MIRROR.get(scene.motion, scene.motion))


def _only_the_middle(scene: Scene) -> Scene:
    return replace(scene.at(DURATION / 2), sounds=scene.sounds)


def _black(scene: Scene) -> Scene:
    return replace(scene, things=(), motion="still")


def _silent(scene: Scene) -> Scene:
    return replace(scene, sounds=())


PROBES: dict[str, Probe] = {
    "intact": Probe(intact, changes=("sight", "hearing")),
    "text only": Probe(intact, changes=("sight", "hearing"), keeps=()),
    "blank frames": Probe(blank_frames, shown=_black),
    "blank sound": Probe(blank_sound, changes=("hearing",), shown=_silent),
    "shuffled frames": Probe(shuffled_frames),
    "reversed frames": Probe(reversed_frames, shown=played_backwards),
    "one frame": Probe(one_frame, shown=_only_the_middle),
    "12 frames": Probe(partial(more_frames, count=12)),
    "16 frames": Probe(partial(more_frames, count=16)),
    "swapped video": Probe(swapped_video),
    "swapped sound": Probe(swapped_sound, changes=("hearing",)),
}

# The columns that `evaluate(..., baselines=True)` puts beside each accuracy; a swap and a blank concern all of a clip.
BASELINES: dict[str, Probe] = {
    "text only": PROBES["text only"],
    "shuffled": PROBES["shuffled frames"],
    "blank": Probe(blank, changes=("sight", "hearing")),
    "swapped": Probe(swapped, changes=("sight", "hearing")),
}
