"""What can be said about a scene: captions that are exactly true, and the same content in many wordings.

`picture_caption` and `sound_caption` are the canonical descriptions: the answers to "describe ...".
`picture_text` and `sound_text` say the same in many wordings: the language model is trained on them in the
place where a soft prompt will stand later.
"""

from __future__ import annotations

import numpy as np

from minivl.toyworld.scenes import COLOURS, MOTIONS, SHAPES, Scene, Thing

MOTION_WORDS = {
    **{way: (f"moves {way}", f"move {way}", f"moving {way}") for way in MOTIONS[:4]},
    "grow": ("grows", "grow", "growing"),
    "shrink": ("shrinks", "shrink", "shrinking"),
    "still": ("stays still", "stay still", "staying still"),
}  # one thing, several things, participle


def noun(name: str, *adjectives: str, article: str = "a") -> str:
    """A noun phrase: "a small red circle", "an orange star", "the dog", "rain" (which takes no "a")."""
    words = [*(a for a in adjectives if a), name]
    if article != "a":
        return " ".join([article, *words])
    if name == "rain":
        return " ".join(words)
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def join(phrases: list[str]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else phrases[0]


def in_order(scene: Scene) -> list[Thing]:
    """Events by time; things seen together by kind, not by place, so that one caption is right."""
    if scene.events:
        return list(scene.events)

    def rank(thing: Thing) -> tuple[bool, int, int, str]:
        if thing.sounds:
            return (False, 0, 0, thing.size)
        return (True, COLOURS.index(thing.colour), SHAPES.index(thing.name), thing.size)

    return sorted(scene.things, key=rank)


def picture_caption(scene: Scene, size: bool = True) -> str:
    """The canonical description of what is seen: "a small red circle moves left", "a large bell, then a small dog"."""
    if not scene.things:
        return "nothing"
    phrases = [noun(t.name, t.size if size else "", t.colour) for t in in_order(scene)]
    if scene.events:
        return ", then ".join(phrases)
    moves = size and scene.motion != "still"
    return join(phrases) + (f" {MOTION_WORDS[scene.motion][len(phrases) > 1]}" if moves else "")


def sound_caption(scene: Scene, size: bool = True) -> str:
    """The canonical description of what is heard: "a large bell, then a small dog" or "silence"."""
    return ", then ".join(noun(s.name, s.size if size else "") for s in scene.sounds) or "silence"


def matches(scene: Scene) -> bool | None:
    """Whether the sound is made by what is seen; None where the question makes no sense."""
    if not scene.sounding or not scene.sounds:
        return None
    return [t.name for t in in_order(scene) if t.sounds] == [s.name for s in scene.sounds]


# ---- the same content in many wordings: text in the place of a soft prompt ---------------------------------------


def picture_text(scene: Scene, rng: np.random.Generator) -> str:
    """What is seen, worded at random."""
    if not scene.things:
        return pick(rng, ("nothing", "an empty picture", "there is nothing"))
    start = pick(rng, ("", "", "we see ", "the video shows ", "there is "))
    phrases = [_wording(rng, t.name, t.size, t.colour) for t in scene.things]
    if scene.events:
        return start + _sequence(rng, phrases)
    order = [phrases[i] for i in rng.permutation(len(phrases))]
    listed = join(order) if rng.random() < 0.7 else " and ".join(order)
    one, many, participle = MOTION_WORDS[scene.motion]
    if scene.motion == "still" and (rng.random() < 0.7 or scene.sounding):
        return start + listed
    verb = participle if start == "there is " else many if len(order) > 1 else one
    ending = pick(rng, (f" {verb}", f" {participle}", f", {participle}"))
    return start + listed + ending


def sound_text(scene: Scene, rng: np.random.Generator) -> str:
    """What is heard, worded at random."""
    if not scene.sounds:
        return pick(rng, ("silence", "no sound", "there is silence"))
    start = pick(rng, ("", "", "we hear ", "the sound of ", "there is the sound of "))
    return start + _sequence(rng, [_wording(rng, s.name, s.size) for s in scene.sounds])


def _wording(rng: np.random.Generator, name: str, size: str, colour: str = "") -> str:
    if rng.random() < 0.8:
        return noun(name, size, colour)
    return f"{noun(name, colour)} that is {size}"


def _sequence(rng: np.random.Generator, phrases: list[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    a, b = phrases
    forms = (
        f"{a}, then {b}",
        f"first {a}, then {b}",
        f"{a} and then {b}",
        f"{a} before {b}",
        f"{b} after {a}",
    )
    return pick(rng, forms)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]
