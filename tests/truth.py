"""What is true of a scene, worked out from its plain data alone: the tests' own judge of questions and answers."""

from __future__ import annotations

import re
from functools import cache

from minivl.toyworld.phrasings import HELD_OUT_PREFIXES, PHRASINGS, PREFIXES
from minivl.toyworld.scenes import COLOURS, SHAPES, THINGS, Scene

NUMBERS = {"zero": 0, "one": 1, "two": 2, "three": 3}
GRAMMAR = ({"do": "does", "they": "it", "move": "moves", "them": "it"}, {w: w for w in ("do", "they", "move", "them")})
VERBS = {
    "left": ("moves left", "move left"),
    "right": ("moves right", "move right"),
    "up": ("moves up", "move up"),
    "down": ("moves down", "move down"),
    "grow": ("grows", "grow"),
    "shrink": ("shrinks", "shrink"),
    "still": ("stays still", "stay still"),
}
NOUN = rf"(?:(?:the|an?) )?(?:(?:{'|'.join(COLOURS)}) )?(?:{'|'.join((*SHAPES, *THINGS))})"


def wordings(kind: str, held_out: bool, several: bool) -> list[str]:
    """Every wording of a question type, with {x} and {y} in the places of noun phrases."""
    prefixes = HELD_OUT_PREFIXES if held_out else PREFIXES
    gaps = {**GRAMMAR[several], "x": "{x}", "y": "{y}"}
    return [prefix + core.format(**gaps) for prefix in dict.fromkeys(prefixes) for core in PHRASINGS[kind][held_out]]


@cache
def _patterns(held_out: bool, several: bool) -> list[tuple[str, re.Pattern[str]]]:
    """(question type, what matches one of its wordings without a prefix)."""
    found = []
    for kind, cores in PHRASINGS.items():
        for core in cores[held_out]:
            text = re.escape(core.format(**GRAMMAR[several], x="{x}", y="{y}"))
            for gap in "xy":
                text = text.replace(rf"\{{{gap}\}}", f"(?P<{gap}>{NOUN})")
            found.append((kind, re.compile(text)))
    return found


def read_question(text: str, several: bool, held_out: bool = False) -> tuple[str, dict[str, str]]:
    """The type of a question, and the noun phrases in its {x} and {y}. Fails if its wording has two meanings."""
    text = text.removesuffix("?").strip()
    cores = {text.removeprefix(prefix) for prefix in (HELD_OUT_PREFIXES if held_out else PREFIXES)}
    tried = [(kind, pattern.fullmatch(core)) for kind, pattern in _patterns(held_out, several) for core in cores]
    matches = {kind: match.groupdict() for kind, match in tried if match}
    assert len(matches) == 1, f"{text!r} can be {sorted(matches)}"
    return next(iter(matches.items()))


def is_true(scene: Scene, kind: str, asked: dict[str, str], answer: str) -> bool:
    """Whether `answer` is the right answer to a question of type `kind` about what `asked` names."""
    if kind.startswith("hear"):
        return _heard(scene, kind, asked, answer)
    things = sorted(scene.things, key=lambda t: t.start)
    two_events = len({t.start for t in things}) == 2
    if kind in ("describe", "see"):
        return _tells(scene, answer, sized=kind == "describe", two_events=two_events)
    if kind == "count":
        return NUMBERS.get(answer) == len(things) and not two_events
    if kind in ("colour", "size"):
        return len(things) == 1 and answer == getattr(things[0], kind)
    if kind == "shape":
        return len(things) == 1 and answer in (f"a {things[0].name}", f"an {things[0].name}")
    if kind == "motion":
        subject = "they" if len(things) > 1 else "it"
        return answer == f"{subject} {VERBS[scene.motion][len(things) > 1]}"
    if kind in ("first", "last"):
        return two_events and _bare(answer) == things[0 if kind == "first" else 1].name
    if kind == "before":
        return two_events and _order(asked, [t.name for t in things]) == answer
    if kind == "colour_of":
        return [t.colour for t in things if t.name == _bare(asked["x"])] == [answer]
    if kind == "exist":
        return answer == _yes(any(_bare(asked["x"]) in (t.name, f"{t.colour} {t.name}") for t in things))
    assert kind == "match", kind
    return answer == _yes([t.name for t in things if t.name in THINGS] == [s.name for s in scene.sounds])


def _heard(scene: Scene, kind: str, asked: dict[str, str], answer: str) -> bool:
    sounds = sorted(scene.sounds, key=lambda s: s.start)
    names = [s.name for s in sounds]
    if kind == "hear":
        return answer == (", then ".join(_noun(n) for n in names) or "silence")
    if kind == "hear_describe":
        listed = ", then ".join(_noun(s.name, s.size) for s in sounds)
        return answer == (f"the sound of {listed}" if listed else "silence")
    if kind == "hear_size":
        return [s.size for s in sounds] == [answer]
    if kind in ("hear_first", "hear_last"):
        return len(names) == 2 and _bare(answer) == names[0 if kind == "hear_first" else 1]
    if kind == "hear_before":
        return len(names) == 2 and _order(asked, names) == answer
    assert kind == "hear_exist", kind
    return answer == _yes(_bare(asked["x"]) in names)


def _tells(scene: Scene, answer: str, sized: bool, two_events: bool) -> bool:
    """Whether a caption names every thing once, with its colour, size and motion as far as they are asked for."""
    phrases = [_noun(t.name, t.size if sized else "", t.colour) for t in sorted(scene.things, key=lambda t: t.start)]
    if not phrases:
        return answer == "nothing"
    if two_events:
        return answer == ", then ".join(phrases)
    if sized and scene.motion != "still":
        ending = " " + VERBS[scene.motion][len(phrases) > 1]
        if not answer.endswith(ending):
            return False
        answer = answer.removesuffix(ending)
    return sorted(re.split(", | and ", answer)) == sorted(phrases)


def _noun(name: str, *adjectives: str) -> str:
    words = [*filter(None, adjectives), name]
    article = [] if name == "rain" else ["an" if words[0] == "orange" else "a"]
    return " ".join(article + words)


def _bare(noun: str) -> str:
    """A noun phrase without its article."""
    return re.sub("^(a|an|the) ", "", noun)


def _order(asked: dict[str, str], names: list[str]) -> str:
    assert sorted(map(_bare, asked.values())) == sorted(names)
    return _yes(names == [_bare(asked["x"]), _bare(asked["y"])])


def _yes(true: bool) -> str:
    return "yes" if true else "no"
