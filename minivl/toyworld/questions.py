"""Questions about a scene with their one true answer, and the words that all of this is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minivl.toyworld.captions import MOTION_WORDS, in_order, matches, noun, pick, picture_caption, sound_caption
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, HELD_OUT_PREFIXES, PHRASINGS, PREFIXES, STILL, VISUAL
from minivl.toyworld.scenes import COLOURS, SHAPES, SIZES, THINGS, UNSEEN_PAIRS, Scene, Sound

NUMBERS = ("zero", "one", "two", "three")
ONE = {"do": "does", "they": "it", "move": "moves", "them": "it"}
MANY = {word: word for word in ONE}
CANNOT_SEE, CANNOT_HEAR = "i can not see", "i can not hear"


@dataclass(frozen=True)
class Question:
    """A question about a scene with its one true answer; `kind` is a key of PHRASINGS."""

    kind: str
    text: str
    answer: str


def ask(scene: Scene, kind: str, rng: np.random.Generator, held_out: bool = False) -> Question | None:
    """A question of one kind about the scene, or None where it has no single true answer.

    `held_out=True` words it as no training example was ever worded.
    """
    found = _content(scene, kind, rng)
    if found is None:
        return None
    answer, slots = found
    core = pick(rng, PHRASINGS[kind][held_out])
    grammar = MANY if len(scene.things) > 1 else ONE
    text = pick(rng, HELD_OUT_PREFIXES if held_out else PREFIXES) + core.format(**grammar, **slots)
    return Question(kind, text + ("?" if rng.random() < 0.7 else ""), answer)


def questions(
    scene: Scene,
    rng: np.random.Generator,
    count: int | None = None,
    sight: bool = True,
    hearing: bool = True,
    still: bool = False,
    held_out: bool = False,
    weights: dict[str, float] | None = None,
) -> list[Question]:
    """Questions of different kinds in random order: `count` of them, or one of every kind that fits.

    `still` leaves out what a single frame cannot answer; `weights` makes kinds more likely (1 where not named).
    """
    kinds = (
        list(STILL if still else VISUAL) * sight + list(AUDITORY) * hearing + list(AUDIO_VISUAL) * (sight and hearing)
    )
    chance = np.array([(weights or {}).get(kind, 1.0) for kind in kinds])
    order = np.argsort(rng.exponential(size=len(kinds)) / chance)
    asked: list[Question] = []
    for index in order:
        if count is not None and len(asked) == count:
            break
        question = ask(scene, kinds[index], rng, held_out)
        if question is not None:
            asked.append(question)
    return asked


def blind_question(rng: np.random.Generator, hearing: bool) -> Question:
    """A question about a sense that is switched off: the honest answer is that nothing can be seen or heard."""
    kind = pick(
        rng,
        ("hear", "hear_describe", "hear_size") if hearing else ("see", "describe", "colour", "shape", "count"),
    )
    text = pick(rng, PREFIXES) + pick(rng, PHRASINGS[kind][0])
    return Question("blind", text + "?", CANNOT_HEAR if hearing else CANNOT_SEE)


def _content(scene: Scene, kind: str, rng: np.random.Generator) -> tuple[str, dict[str, str]] | None:
    """The answer to a question of this kind and the noun phrases that it mentions; None if it cannot be asked."""
    if kind.startswith("hear"):
        return _heard(scene.sounds, kind, rng, scene)
    things, one = in_order(scene), len(scene.things) == 1
    sized = one and scene.motion not in ("grow", "shrink")
    if kind in ("describe", "see"):
        return picture_caption(scene, size=kind == "describe"), {}
    if kind == "match":
        return None if matches(scene) is None else (_yes(matches(scene)), {})
    if kind == "count" and not scene.events:
        return NUMBERS[len(things)], {}
    if kind == "size" and sized:
        return things[0].size, {}
    if kind in ("colour", "shape") and one and scene.shapes:
        return (things[0].colour, {}) if kind == "colour" else (noun(things[0].name), {})
    if kind == "motion" and scene.shapes and len(scene.shapes) == len(things):
        return ("it " + MOTION_WORDS[scene.motion][0] if one else "they " + MOTION_WORDS[scene.motion][1]), {}
    if kind in ("first", "last") and scene.events:
        return noun(scene.events[0 if kind == "first" else 1].name), {}
    if kind == "before" and scene.events:
        return _before([t.name for t in scene.events], rng)
    if kind == "colour_of":
        names = [t.name for t in scene.shapes]
        unique = [t for t in scene.shapes if names.count(t.name) == 1]
        if unique:
            asked = unique[rng.integers(len(unique))]
            return asked.colour, {"x": noun(asked.name, article="the")}
    if kind == "exist":
        return _exists(scene, rng)
    return None


def _heard(
    sounds: tuple[Sound, ...], kind: str, rng: np.random.Generator, scene: Scene
) -> tuple[str, dict[str, str]] | None:
    names = [s.name for s in sounds]
    if kind == "hear":
        return sound_caption(scene, size=False), {}
    if kind == "hear_describe":
        return sound_caption(scene) if not names else "the sound of " + sound_caption(scene), {}
    if kind == "hear_size" and len(sounds) == 1:
        return sounds[0].size, {}
    if kind in ("hear_first", "hear_last") and len(sounds) == 2:
        return noun(names[0 if kind == "hear_first" else 1]), {}
    if kind == "hear_before" and len(sounds) == 2:
        return _before(names, rng)
    if kind == "hear_exist":
        there = bool(names) and rng.random() < 0.5
        absent = [n for n in THINGS if n not in names]
        # half of the absent things are seen but not heard: the hard case
        seen = [t.name for t in scene.sounding if t.name in absent]
        pool = names if there else seen if seen and rng.random() < 0.5 else absent
        return _yes(there), {"x": noun(pool[rng.integers(len(pool))])}
    return None


def _before(names: list[str], rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    true = rng.random() < 0.5
    x, y = names if true else names[::-1]
    return _yes(true), {"x": noun(x, article="the"), "y": noun(y, article="the")}


def _exists(scene: Scene, rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    there = bool(scene.things) and rng.random() < 0.5
    if there:
        thing = scene.things[rng.integers(len(scene.things))]
        colour = thing.colour if rng.random() < 0.4 else ""
        return "yes", {"x": noun(thing.name, colour)}
    seen = {(t.name, t.colour) for t in scene.things}
    names = {name for name, _ in seen}
    if scene.shapes and rng.random() < 0.4:  # right colour or right shape, but not both
        colour, shape = pick(rng, COLOURS), scene.shapes[rng.integers(len(scene.shapes))].name
        if rng.random() < 0.5:
            colour, shape = scene.shapes[0].colour, pick(rng, SHAPES)
        if (shape, colour) not in seen and (colour, shape) not in UNSEEN_PAIRS:
            return "no", {"x": noun(shape, colour)}
    heard = [s.name for s in scene.sounds if s.name not in names]  # heard but not seen: the hard case
    pool = heard if heard and rng.random() < 0.3 else [n for n in (*SHAPES, *THINGS) if n not in names]
    return "no", {"x": noun(pool[rng.integers(len(pool))])}


def _yes(true: bool | None) -> str:
    return "yes" if true else "no"


def vocabulary() -> list[str]:
    """Every word of the toy world, sorted, and some words that users will try."""
    phrasings = " ".join(p for train, held_out in PHRASINGS.values() for p in (*train, *held_out))
    for gap in ("{x}", "{y}", "{do}", "{they}", "{move}", "{them}"):
        phrasings = phrasings.replace(gap, " ")
    asked = " ".join((phrasings, *PREFIXES, *HELD_OUT_PREFIXES, *ONE.values(), *MANY.values()))
    answers = " ".join(
        (*COLOURS, *SHAPES, *THINGS, *SIZES, *NUMBERS, CANNOT_SEE, CANNOT_HEAR, "yes no silence nothing")
    )
    motions = " ".join(word for words in MOTION_WORDS.values() for word in words)
    texts = "a an the and then before after first that is we see hear shows there sound of no an empty picture"
    users = "did was were color any one this clip image file please thanks hello me who why fits"
    words = " ".join((asked, answers, motions, texts, users)).replace(",", " , ").split()
    return sorted({*words, "?", ".", "!", ",", ":"})
