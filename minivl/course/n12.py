"""Checkers of notebook 12, training the real eyes and ears."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minivl.config import video_llama_1b
from minivl.course.checking import Wrong

Asked = list[tuple[str, str]]  # (question, answer)
Rows = list[tuple[str, str, str]]  # (video, question, answer)
CLIPS = 10_000
T4, UTILISATION = 65e12, 0.35  # FLOP/s at the peak, the share of it that we assume
STEPS, BATCH, TOKENS, WEIGHTS = 1000, 32, 65, 1.1e9


def cache_size(answer: Any) -> str:
    """GB that the frozen eyes' features of 10,000 clips take at the size of video_llama_1b."""
    config = video_llama_1b()
    eyes, side, frames = config.image_qformer, config.vit.image_size, config.num_frames
    numbers = frames * eyes.num_queries * eyes.width
    right = CLIPS * numbers * 2 / 1e9
    patches = frames * ((side // config.vit.patch_size) ** 2 + 1) * config.vit.width
    _number(answer, right)
    if math.isclose(answer, right, rel_tol=0.03):
        pixels = CLIPS * frames * 3 * side**2 / 1e9
        return f"{right:.1f} GB, where the pixels of the same frames would take {pixels:.0f} GB"
    for wrong, hint in (
        (2 * right, "four bytes a number? The features are kept in fp16"),
        (right / 2, "one byte a number? The features are kept in fp16"),
        (right / frames, "that is one frame of each clip, and T = 8"),
        (CLIPS * patches * 2 / 1e9, "those are the ViT's patches: what leaves the image Q-Former?"),
        (CLIPS * frames * 3 * side**2 / 1e9, "those are pixels, before the eyes; what comes out of them?"),
        (CLIPS * config.vision_branch.qformer.num_queries * config.llm_width * 2 / 1e9,
         "that is the soft prompt, which changes at every step: what comes before the branch?"),
    ):  # fmt: skip
        if math.isclose(answer, wrong, rel_tol=0.03):
            raise Wrong(hint)
    raise Wrong("clips x frames x queries of the image Q-Former x its width x 2 bytes: is one of them missing?")


def hours(answer: Any) -> str:
    """Hours of stage 1 on a T4 with cached features, the language model alone, by the rule of thumb."""
    flops = STEPS * BATCH * TOKENS * WEIGHTS  # times 2 for each use of a weight
    right = 4 * flops / (T4 * UTILISATION) / 3600
    _number(answer, right)
    if math.isclose(answer, right, rel_tol=0.04):
        return f"{right:.2f} hours, {60 * right:.0f} minutes"
    for wrong, hint in (
        (6 / 4 * right, "6 N is for weights that are trained: which gradient does a frozen language model not need?"),
        (right / 2, "2 N is the way forward alone: the gradient has to pass back through the language model"),
        (UTILISATION * right, "at the full peak: only 35 % of it is assumed"),
        (3600 * right, "those are seconds"),
        (60 * right, "those are minutes"),
        (right / BATCH, "that is one chat a step: is the batch counted?"),
        (right / TOKENS, "each chat has 65 tokens: are they counted?"),
    ):
        if math.isclose(answer, wrong, rel_tol=0.04):
            raise Wrong(hint)
    raise Wrong("steps x batch x tokens x 4 N, divided by what a T4 really computes in an hour: is a factor missing?")


def _number(answer: Any, right: float) -> None:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise Wrong(f"a number is wanted, not a {type(answer).__name__}")
    if answer > 1e6 * right:
        raise Wrong("that looks like bytes: 1 GB is 10**9 of them")


def blind(answer: Callable[[Asked, Asked], float]) -> str:
    """The share that the most frequent training answer of each question gets right."""
    training = [("colour?", "red")] * 3 + [("colour?", "blue")] * 2 + [("shape?", "a star")] * 2
    test = [("colour?", "blue")] * 3 + [("colour?", "red")] + [("shape?", "a star")] * 2 + [("size?", "small")] * 2
    try:
        found = answer(training, test)
    except (KeyError, IndexError, StopIteration, ValueError):
        raise Wrong(
            "a question that training never asked stops it: no answer is known, so it counts as wrong"
        ) from None
    if not isinstance(found, int | float):
        raise Wrong(f"a share from 0 to 1 is wanted, not a {type(found).__name__}")
    if math.isclose(found, 7 / 8) or math.isclose(found, 5 / 8):
        raise Wrong("it looks at the test: the most frequent answers have to be those of the training")
    if math.isclose(found, 1 / 8):
        raise Wrong("one answer for everything? Each question has a most frequent answer of its own")
    if math.isclose(found, 3 / 6):
        raise Wrong("a question that training never asked is passed over: it counts as wrong, not as unasked")
    if found > 1:
        raise Wrong("that is a count: divide by the number of questions in the test")
    if not math.isclose(found, 3 / 8):
        raise Wrong(f"the share is 3 of 8, not {found:.2f}: is every question of the test counted once?")
    return "three of eight, without looking"


def split(answer: Callable[[Rows, float], tuple[Rows, Rows]]) -> str:
    """Rows of questions in two parts, such that no clip is in both."""
    rows = [(f"clip{n}.mp4", question, "x") for n in range(200) for question in ("colour?", "shape?", "motion?")]
    training, test = answer(list(rows), 0.2)
    if sorted([*training, *test]) != sorted(rows):
        raise Wrong("each row should be in exactly one of the two parts")
    if shared := {row[0] for row in training} & {row[0] for row in test}:
        raise Wrong(f"{len(shared)} clips are in both parts: rows were split, and their clips leak into the test")
    share = len({row[0] for row in test}) / 200
    if not 0.1 <= share <= 0.3:
        raise Wrong(f"{share:.0%} of the clips are held out, not about 20 %")
    again = answer(list(reversed(rows)), 0.2)
    if {row[0] for row in again[1]} != {row[0] for row in test}:
        raise Wrong("the same clips in another order give another split: let the name decide, not the place or chance")
    more = answer([*rows, ("new.mp4", "colour?", "x")], 0.2)
    if {row[0] for row in more[1]} - {"new.mp4"} != {row[0] for row in test}:
        raise Wrong("with one more clip the others change sides: let each name decide for itself")
    return f"{share:.0%} of the clips are held out, whatever their order, and also when more are added"
