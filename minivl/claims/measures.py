"""What is measured for the claims: trained branches and altered clips in, one table for each column of the page out.

Each function puts branches of one seed into the model and asks. All take (settings, seed) and return
{column: {row: Row}}; they run in processes of their own, so that they share no model.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from minivl.claims.exam import Exam, Table, answer_written, ask, ask_for_form, load_exam, unordered
from minivl.claims.runs import load, put
from minivl.claims.settings import Settings
from minivl.model import VideoLlama
from minivl.soft_prompt import VIDEO_SLOT
from minivl.toyworld.captions import picture_caption
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.exam import Case, answer_all, tabulate
from minivl.toyworld.features import Features
from minivl.toyworld.probes import PROBES, more_frames, probe
from minivl.toyworld.questions import questions
from minivl.toyworld.scenes import DURATION

Measured = dict[str, Table]  # column → table
NORMS = (2, 5, 20)  # 20: the original's
FRAMES = (4, 12, 16)
INGREDIENTS = {  # column → the branches: vision, audio
    "as the paper": ("vision alone", "as the paper"),
    "+ sound words": ("vision alone", "+ sound words"),
    "+ sound words, twice the steps": ("vision alone", "+ sound words, twice the steps"),
    "+ text": ("vision", "+ text"),
    "+ twice the steps": ("vision", "+ twice the steps"),
}


def measure(name: str, settings: Settings, seed: int) -> Measured:
    """One of MEASURES; a function of this module, so that another process can be told its name."""
    return MEASURES[name](settings, seed)


def _branches(settings: Settings, seed: int, vision: str, audio: str = "audio") -> tuple[VideoLlama, Exam]:
    model, _, folder = load(settings)
    put(model, folder, vision, seed)
    put(model, folder, audio, seed)
    return model, load_exam(settings)


def the_recipe(settings: Settings, seed: int) -> Measured:
    """Both branches of our recipe, in all conditions."""
    model, exam = _branches(settings, seed, "vision")
    return {"recipe": _all_rows(model, exam)}


def shipped(settings: Settings, seed: int) -> Measured:
    """The branches that the model came with; whatever the seed."""
    return {"shipped": _all_rows(VideoLlama.from_pretrained(settings.model), load_exam(settings))}


def _all_rows(model: VideoLlama, exam: Exam) -> Table:
    return {**ask(model, exam, exam.cases), **ask(model, exam, exam.unseen_cases, exam.unseen)}


def vision_parts(settings: Settings, seed: int) -> Measured:
    """Vision branches without positions, with mean pooling, and chance for who knows no order."""
    exam = load_exam(settings)
    cases = exam.about("sight")
    found: Measured = {"unordered": unordered(cases)}
    for run in ("no positions", "mean pooling"):
        model, _ = _branches(settings, seed, run)
        found[run] = ask(model, exam, cases)
    return found


def stages(settings: Settings, seed: int) -> Measured:
    """After stage 1, after stage 2, and the language model with the true caption in the soft prompt's place."""
    cases = load_exam(settings).about("sight")
    model, exam = _branches(settings, seed, "vision captions")
    found = {"stage 1": ask_for_form(model, exam, cases)}
    model, exam = _branches(settings, seed, "vision")
    found["stage 2"] = ask_for_form(model, exam, cases)
    writer = DialogueWriter(model.tokenizer)
    captions = [writer.encode(picture_caption(scene)) for scene in exam.features.scenes]
    found["caption as text"] = tabulate(cases, answer_written(model, cases, captions, None), exam.blind)
    return found


def frames(settings: Settings, seed: int) -> Measured:
    """Frames in another order, and other numbers of frames than the eight of training."""
    model, exam = _branches(settings, seed, "vision")
    cases, rng = exam.about("sight"), np.random.default_rng((exam.seed, 12))
    shuffled = PROBES["shuffled frames"].alter(model, exam.features, rng)
    backwards = PROBES["reversed frames"].alter(model, exam.features, rng)
    mirrored = probe(model, exam.features, "reversed frames", exam.seed)  # has rows for the mirrored truth
    found = {
        "shuffled": ask(model, exam, cases, shuffled),
        "reversed": {**mirrored, **ask(model, exam, cases, backwards)},
    }
    for count in FRAMES:
        found[f"{count} frames"] = ask(model, exam, cases, _with_frames(settings, count))
    for count in FRAMES:
        model, _ = _branches(settings, seed, "vision")
        _stretch_positions(model, count)
        found[f"{count} frames, stretched"] = ask(model, exam, cases, _with_frames(settings, count))
    return found


@lru_cache(maxsize=len(FRAMES))
def _with_frames(settings: Settings, count: int) -> Features:
    model, _, _ = load(settings)
    return more_frames(model, load_exam(settings).features, np.random.default_rng(0), count)


@torch.no_grad()
def _stretch_positions(model: VideoLlama, count: int) -> None:
    """Give frame k of `count` the trained position of its moment, between those of the frames before and after it."""
    assert model.vision_branch is not None
    rows, trained = model.vision_branch.positions.weight, model.config.num_frames
    moments = (torch.arange(count) * trained / count).clamp(max=trained - 1)  # [T], in frames of training
    before, share = moments.long(), moments.frac()[:, None]
    after = (before + 1).clamp(max=trained - 1)
    rows[:count] = rows[before] * (1 - share) + rows[after] * share


def images(settings: Settings, seed: int) -> Measured:
    """The frame at two seconds as an image, as a video of one frame, and eight times as a video."""
    model, exam = _branches(settings, seed, "vision")
    middle, cases = model.config.num_frames // 2, image_cases(exam)
    tokens = exam.features.frame_tokens[:, middle : middle + 1]  # [N, 1, K, width]
    repeated = tokens.expand(-1, model.config.num_frames, -1, -1)
    slots = [[VIDEO_SLOT] * model.config.vision_branch.qformer.num_queries] * len(tokens)
    with torch.no_grad():
        one, eight = model.video_prompt(tokens), model.video_prompt(repeated)
    silent = torch.empty(0)  # no question is about sound
    answers = {
        "an image": answer_written(model, cases, slots, one, still=True),
        "a video of one frame": answer_all(model, cases, one, silent),
        "the frame eight times": answer_all(model, cases, eight, silent),
    }
    return {column: tabulate(cases, found, exam.blind) for column, found in answers.items()}


def image_cases(exam: Exam) -> list[Case]:
    """Questions about what the clips show at two seconds. Of what grows, one frame does not tell the size."""
    rng, cases = np.random.default_rng((exam.seed, 14)), []
    for clip, scene in enumerate(exam.features.scenes):
        if scene.motion not in ("grow", "shrink"):
            for q in questions(scene.at(DURATION / 2), rng, hearing=False, still=True):
                cases.append(Case(clip, q, ("sight",), (f"image/{q.kind}", "image/all visual")))
    return cases


def hearing(settings: Settings, seed: int) -> Measured:
    """The audio branch trained on sound; and that trained on pictures, given longer audio vectors."""
    cases = load_exam(settings).about("hearing")
    model, exam = _branches(settings, seed, "vision", "from sound")
    found = {"from sound": ask(model, exam, cases)}
    model, exam = _branches(settings, seed, "vision")
    for norm in NORMS:
        found[f"norm x {norm}"] = ask(model, exam, cases, louder(exam.features, norm))
    return found


def louder(features: Features, norm: float) -> Features:
    """The same clips with audio vectors `norm` times as long: the audio trunk's last step is such a factor."""
    sounds: Tensor = features.sounds.float() * norm
    return replace(features, sounds=sounds)


def ingredients(settings: Settings, seed: int) -> Measured:
    """What joint hearing and seeing is taught with: one ingredient after the other."""
    exam = load_exam(settings)
    cases, found = exam.about("sight", "hearing", "both"), {}
    for column, runs in INGREDIENTS.items():
        model, _ = _branches(settings, seed, *runs)
        found[column] = ask(model, exam, cases)
    return found


MEASURES = {
    "the recipe": the_recipe, "vision parts": vision_parts, "stages": stages, "frames": frames, "images": images,
    "hearing": hearing, "ingredients": ingredients, "shipped": shipped,
}  # fmt: skip
