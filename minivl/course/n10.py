"""Checkers of notebook 10, is it true."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from minivl.confidence import wilson
from minivl.course.checking import Wrong
from minivl.course.planted_bugs import CAUSES, PLANTED

# What speaks against a wrong guess: what the guessed cause would have shown, and this run does not.
REFUTED = {
    "labels shifted twice": "its first loss would be far above the healthy one, and its answers would be broken",
    "loss on the prompt too": "its first loss would be far above the healthy one: no clip tells a question's words",
    "padding not masked": "its first loss would be far above the healthy one: nothing predicts padding at first",
    "branch not in the optimiser": "a gradient would arrive, and the weights would not move",
    "soft prompt detached": "no gradient would arrive at all",
    "positions forgotten": "colours would be right, and reversed frames would change nothing",
    "learning rate 100 times too high": "the weights would have moved by more than their own size",
    "frames of the wrong clip": "the soft prompt would hardly change with the clip, and answers would be well-formed",
}
OTHER_LOSS = CAUSES[:3]


def denials_needed(answer: Callable[[float], int]) -> str:
    """How many denials in a row bring the upper limit of Wilson's interval for the affirmed share below `limit`."""
    for limit in (0.05, 0.01):
        found = answer(limit)
        if not isinstance(found, int | np.integer):
            raise Wrong(f"{found!r} is no whole number of questions: round up")
        right = next(n for n in range(1, 100_000) if wilson(0, n)[1] < limit)
        if found == right:
            continue
        if found == 1:
            raise Wrong(
                "one question does not show that: with p = 0 the textbook interval has no width, is it Wilson's?"
            )
        if abs(found - 3 / limit) <= 1:
            raise Wrong("this is the rule of three, 3 / n, for a one-sided limit: Wilson's upper limit at 0 is wider")
        if abs(found - right) == 1:
            raise Wrong(f"off by one at limit {limit}: the limit has to be below it, with whole questions")
        raise Wrong(f"for a limit of {limit} it is not {found}: what is Wilson's upper limit if 0 of n are affirmed?")
    return "73 denials for 5 %, 381 for 1 %: an exam of a hundred questions can show neither one per cent nor zero"


def partners(answer: Callable[[int, np.random.Generator], np.ndarray]) -> str:
    """For each of n clips the number of another one, each given once."""
    seen = set()
    for n in (2, 3, 5, 40):
        for seed in range(30):
            found = np.asarray(answer(n, np.random.default_rng(seed)))
            if found.shape != (n,):
                raise Wrong(f"for {n} clips the answer has the shape {list(found.shape)}: one number for each clip")
            if (found == np.arange(n)).any():
                raise Wrong("a clip got its own frames: a plain permutation leaves one in place in two draws of three")
            if sorted(found.tolist()) != list(range(n)):
                raise Wrong("some clip was given twice and another never: the altered clips are no longer the same set")
            if n == 40:
                seen.add(tuple(found.tolist()))
    if len(seen) == 1:
        raise Wrong("every seed gives the same partners: are they drawn, or merely the neighbours?")
    return "every clip gets another one, and each is given once: what is left right was guessed"


def worth_of_yes(answer: Callable[[float, float, float], float]) -> str:
    """The chance that a thing is there if the model says yes (Bayes)."""
    for affirmed, denied, there in ((0.99, 0.98, 0.5), (0.99, 0.98, 0.07), (0.9, 0.8, 0.01)):
        found = float(answer(affirmed, denied, there))
        true, false = affirmed * there, (1 - denied) * (1 - there)
        if abs(found - true / (true + false)) < 1e-6:
            continue
        if abs(found - affirmed) < 1e-6:
            raise Wrong("that is how many present things are affirmed; asked is how many affirmed things are present")
        if abs(found - affirmed / (affirmed + 1 - denied)) < 1e-6:
            raise Wrong("this holds if half of the things are there: where does the share `there` come in?")
        if abs(found - (true + denied * (1 - there))) < 1e-6:
            raise Wrong("that is the accuracy over all answers: count the yes-answers alone")
        if abs(found - true) < 1e-6:
            raise Wrong("that is the share of true yes-answers among all: divide by all yes-answers, true and false")
        raise Wrong(f"for {affirmed}, {denied}, {there} it is not {found:.3f}: true yes / (true yes + false yes)")
    return "the same model, and its yes is worth .98, .79 or .04: it depends on what it is asked about"


def diagnosis(answer: Mapping[str, str]) -> str:
    """Which cause is planted under which letter."""
    if not isinstance(answer, Mapping) or set(answer) != set(PLANTED):
        raise Wrong("give a dictionary with the five letters A to E")
    for letter, cause in answer.items():
        if cause is None:
            raise NotImplementedError
        if cause not in CAUSES:
            raise Wrong(f"{letter}: {cause!r} is none of the eight causes: copy its name as it is printed")
    if len(set(answer.values())) < len(answer):
        raise Wrong("one cause is named twice: there are five different bugs")
    for letter, guess in answer.items():
        truth = PLANTED[letter]
        if guess == truth:
            continue
        if guess in OTHER_LOSS and truth in OTHER_LOSS:
            raise Wrong(f"{letter} does compute another loss, but look at the form of its answers: what do they lack?")
        raise Wrong(f"{letter} is not '{guess}': {REFUTED[guess]}")
    return "all five, from curves and probes alone"
