"""Questions about the toy world: their answers are true, their words are known, their wordings are kept apart."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from truth import is_true, read_question, wordings

from minivl.pretraining.tokenizer import build_tokenizer
from minivl.toyworld.captions import picture_caption, picture_text, sound_caption, sound_text
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, PHRASINGS, STILL, VISUAL
from minivl.toyworld.questions import CANNOT_HEAR, CANNOT_SEE, Question, ask, blind_question, questions, vocabulary
from minivl.toyworld.scenes import COLOURS, REPORTING_SEED, SHAPES, UNSEEN_PAIRS, Scene, Sound, Thing, sample_scene

SCENES = [sample_scene(seed) for seed in range(400)]


def all_questions(held_out: bool = False) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng((0, held_out))
    return [(scene, q) for scene in SCENES for q in questions(scene, rng, held_out=held_out)]


@pytest.fixture(scope="module")
def everything() -> list[str]:
    """All that is said about a few hundred scenes: questions in both wordings, answers, captions, descriptions."""
    rng = np.random.default_rng(2)
    said = [text for held_out in (False, True) for _, q in all_questions(held_out) for text in (q.text, q.answer)]
    for scene in SCENES:
        said += [picture_caption(scene), sound_caption(scene), picture_text(scene, rng), sound_text(scene, rng)]
    blind = [blind_question(rng, hearing) for hearing in (False, True) for _ in range(30)]
    return said + [text for q in blind for text in (q.text, q.answer)]


@pytest.mark.parametrize("held_out", [False, True])
def test_every_answer_is_true(held_out: bool) -> None:
    """The question is read back from its words, and judged by truth.py, which shares no code with the world."""
    asked = Counter()
    for scene, q in all_questions(held_out):
        kind, slots = read_question(q.text, several=len(scene.things) > 1, held_out=held_out)
        assert kind == q.kind
        assert is_true(scene, kind, slots, q.answer), (scene, q)
        asked[kind] += 1
    assert asked.keys() == PHRASINGS.keys() and min(asked.values()) >= 30


def test_a_wrong_answer_is_found_wrong() -> None:
    """The judge itself: it must not nod at everything."""
    scene = Scene(1, (Thing("circle", "small", "red"),), "left", (Sound("dog", "large"),))
    assert is_true(scene, "describe", {}, "a small red circle moves left")
    assert not is_true(scene, "describe", {}, "a small red circle moves right")
    assert not is_true(scene, "hear", {}, "a cat")
    assert not is_true(scene, "exist", {"x": "a blue circle"}, "yes")
    asked = [(s, read_question(q.text, len(s.things) > 1)) for s, q in all_questions()]
    assert np.mean([is_true(s, kind, slots, "yes") for s, (kind, slots) in asked]) < 0.2


def test_the_same_seed_asks_the_same() -> None:
    first, second, other = (questions(SCENES[5], np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second != other


def test_no_type_is_asked_twice_and_no_more_than_wanted() -> None:
    for scene in SCENES[:50]:
        asked = questions(scene, np.random.default_rng(0), count=4, weights={"match": 9.0})
        assert len({q.kind for q in asked}) == len(asked) <= 4
    weighted = [
        "match" in {q.kind for q in questions(scene, np.random.default_rng(i), 1, weights={"match": 99.0})}
        for i, scene in enumerate(SCENES)
        if scene.sounding and scene.sounds
    ]
    assert np.mean(weighted) > 0.7


def test_no_held_out_wording_is_ever_trained_on() -> None:
    training = {w for kind in PHRASINGS for several in (False, True) for w in wordings(kind, False, several)}
    held_out = {w for kind in PHRASINGS for several in (False, True) for w in wordings(kind, True, several)}
    assert not training & held_out
    assert all(len(PHRASINGS[kind][1]) >= 2 for kind in PHRASINGS)


def test_a_held_out_wording_has_only_words_of_training_wordings() -> None:
    trained = {word for kind in PHRASINGS for wording in wordings(kind, False, False) for word in wording.split()}
    held_out = {word for kind in PHRASINGS for wording in wordings(kind, True, False) for word in wording.split()}
    assert {word.strip(",") for word in held_out} <= {word.strip(",") for word in trained}


def test_the_vocabulary_has_every_word(everything: list[str]) -> None:
    tokenizer = build_tokenizer(vocabulary())
    for text in everything:
        assert tokenizer.unk_token_id not in tokenizer.encode(text, add_special_tokens=False), text
    assert len(vocabulary()) == len(set(vocabulary()))


def test_articles(everything: list[str]) -> None:
    for text in everything:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|\ban? rain", text), text
    assert any("an orange" in text for text in everything) and any("of rain" in text for text in everything)


def test_training_never_shows_or_names_an_unseen_pair(everything: list[str]) -> None:
    for seed in range(5000):
        assert not {(t.colour, t.name) for t in sample_scene(seed).things} & set(UNSEEN_PAIRS), seed
    for text in everything:
        assert not any(f"{colour} {shape}" in text for colour, shape in UNSEEN_PAIRS), text


def test_unseen_pairs_are_all_there_on_request() -> None:
    scenes = [sample_scene(REPORTING_SEED + i, unseen_pairs=True) for i in range(60)]
    assert {(s.things[0].colour, s.things[0].name) for s in scenes} == set(UNSEEN_PAIRS)
    assert all(len(s.things) == 1 for s in scenes)
    assert {c for c, _ in UNSEEN_PAIRS} <= set(COLOURS) and {s for _, s in UNSEEN_PAIRS} <= set(SHAPES)


@pytest.mark.parametrize("kind", ["exist", "before", "hear_exist", "hear_before", "match"])
def test_yes_and_no_are_balanced(kind: str) -> None:
    answers = [q.answer for _, q in all_questions() if q.kind == kind]
    assert 0.38 < answers.count("yes") / len(answers) < 0.62
    assert set(answers) == {"yes", "no"}


def test_is_there_asks_for_the_hard_absences_too() -> None:
    """A thing that is only heard, a colour and a shape that are both there but apart."""
    scene = Scene(1, (Thing("circle", "small", "red"), Thing("star", "large", "blue")), sounds=(Sound("dog", "large"),))
    asked, rng = set(), np.random.default_rng(0)
    for _ in range(1500):
        q = ask(scene, "exist", rng)
        assert q is not None
        asked.add((read_question(q.text, several=True)[1]["x"], q.answer))
    assert asked >= {("a dog", "no"), ("a blue circle", "no"), ("a red circle", "yes"), ("a circle", "yes")}


def test_a_still_scene_gets_still_questions_only() -> None:
    rng = np.random.default_rng(1)
    kinds = Counter()
    for scene in SCENES:
        picture = scene.at(1.0)
        asked = questions(picture, rng, hearing=False, still=True)
        kinds.update(q.kind for q in asked)
        assert all(is_true(picture, q.kind, read_question(q.text, len(picture.things) > 1)[1], q.answer) for q in asked)
    assert kinds.keys() == set(STILL)


def test_a_sense_that_is_off_is_not_asked_about() -> None:
    rng = np.random.default_rng(1)
    seen = {q.kind for s in SCENES for q in questions(s, rng, hearing=False)}
    heard = {q.kind for s in SCENES for q in questions(s, rng, sight=False)}
    assert seen == set(VISUAL) and heard == set(AUDITORY)
    assert set(VISUAL) | set(AUDITORY) | set(AUDIO_VISUAL) == set(PHRASINGS)


def test_what_has_no_single_answer_is_not_asked() -> None:
    rng = np.random.default_rng(1)
    two = Scene(1, (Thing("circle", "small", "red"), Thing("circle", "large", "blue")))
    assert ask(two, "colour", rng) is None and ask(two, "colour_of", rng) is None and ask(two, "first", rng) is None
    assert ask(replace(two, things=two.things[:1], motion="grow"), "size", rng) is None
    assert ask(two, "match", rng) is None and ask(two, "hear_size", rng) is None


def test_a_sense_that_is_off_is_admitted() -> None:
    rng = np.random.default_rng(1)
    assert {blind_question(rng, hearing=True).answer for _ in range(20)} == {CANNOT_HEAR}
    assert {blind_question(rng, hearing=False).answer for _ in range(20)} == {CANNOT_SEE}
