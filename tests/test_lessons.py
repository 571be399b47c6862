"""What a branch is taught: true answers about the clip in its soft prompt, in the chat format that it will meet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from toy_model import numbered_features, toy_model
from truth import is_true, read_question

from minivl.batch import Batch
from minivl.conversation import TINY, Conversation, upload_message, upload_slots
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, tokenize
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.features import Features
from minivl.toyworld.lessons import Teacher, sound_of_picture
from minivl.toyworld.questions import CANNOT_HEAR, CANNOT_SEE, Question
from minivl.toyworld.scenes import COLOURS, SHAPES, THINGS, Scene, Sound, Thing, sample_scene

FEATURES = numbered_features()


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


def lessons(model: VideoLlama, branch: str, stage: int, count: int = 40, **options: bool) -> list[Batch]:
    return list(map(Teacher(model, FEATURES, branch, stage, batch_size=6, **options), range(count)))


def read(model: VideoLlama, batch: Batch) -> Iterator[str]:
    """Each chat of a batch as text, a soft prompt as [V] or [A]."""
    for ids in batch.ids.tolist():
        ids = ids[: len(ids) - next(i for i, t in enumerate(reversed(ids)) if t != model.pad_id)]
        text = " ".join({VIDEO_SLOT: "[V]", AUDIO_SLOT: "[A]"}.get(t) or model.tokenizer.decode([t]) for t in ids)
        yield re.sub(r"(\[.\])( \[.\])+", r"\1", text).replace(" ,", ",")


def turns(chat: str) -> list[tuple[str, str]]:
    """(question, answer) pairs of a chat that was read."""
    return re.findall(r"(?:Human:|</\w+>) ([^<#]*?)(?: \?)? ### Assistant: ([^#]*) ###", chat)


def between(chat: str, tag: str) -> str | None:
    found = re.search(rf"<{tag}> (.*?) </{tag}>", chat)
    return found and found[1]


def named(text: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` a description names, in the order of what happens."""
    found = [word for word in re.findall(r"\w+", text) if word in names]
    return found[::-1] if "after" in text else found


def rows(values: torch.Tensor) -> list[int]:
    """Whose features these are: [B, ...] -> B clip numbers."""
    flat = values.flatten(1)
    assert (flat == flat[:, :1]).all()
    return [int(n) for n in flat[:, 0]]


# ---- the chat format


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize(("sight", "hearing"), [(True, False), (False, True), (True, True)])
def test_a_chat_is_written_as_the_conversation_format_has_it(
    model: VideoLlama, sight: bool, hearing: bool, still: bool
) -> None:
    """Token by token what Chat sends to the language model, also in the second turn."""
    asked = [
        Question("colour", "what colour is it?", "red"),
        Question("hear", "please tell me, what do you hear", "silence"),
    ]
    writer = DialogueWriter(model.tokenizer)
    chat = writer.write([VIDEO_SLOT] * 3 if sight else None, [AUDIO_SLOT] * 2 if hearing else None, asked, still)
    conversation, slots = Conversation(TINY), upload_slots(TINY, 3 * sight, 2 * hearing)
    seen = (sight and not still, sight and still)
    conversation.add("Human", upload_message(TINY, *seen, audio=hearing))
    for question in asked:
        conversation.add("Human", question.text)
        ids = tokenize(model.tokenizer, conversation.prompt(), slots)
        assert chat.ids[: len(ids)] == ids
        conversation.add("Assistant", question.answer)
    assert chat.ids == tokenize(model.tokenizer, conversation.prompt() + "###", slots)


def test_only_answers_and_the_stop_after_them_are_learned(model: VideoLlama) -> None:
    asked = [Question("colour", "what colour is it?", "red"), Question("shape", "what shape is it?", "a star")]
    writer = DialogueWriter(model.tokenizer)
    for chat in (writer.write([VIDEO_SLOT] * 3, None, asked), writer.write(writer.encode("a red star"), None, asked)):
        assert len(chat.labels) == len(chat.ids) == len(chat.described)
        learned = [label for label in chat.labels if label != IGNORE]
        assert model.tokenizer.decode(learned) == "red ### a star ###"
        assert all(label in (IGNORE, token) for label, token in zip(chat.labels, chat.ids, strict=True))
        assert [i for i, d in enumerate(chat.described) if d] == [3, 4, 5]  # after "###", "Human:", "<Video>"


@pytest.mark.parametrize(("branch", "stage"), [("vision", 1), ("vision", 2), ("audio", 1), ("audio", 2)])
def test_no_label_on_slots_questions_or_padding(model: VideoLlama, branch: str, stage: int) -> None:
    for batch in lessons(model, branch, stage, 10):
        learned = batch.labels != IGNORE
        assert (batch.labels[learned] == batch.ids[learned]).all()
        assert (batch.ids[learned] >= 0).all() and (batch.mask[learned] == 1).all()
        assert learned.any(dim=1).all()
        for ids, labels, chat in zip(batch.ids, batch.labels, read(model, batch), strict=True):
            answers = model.tokenizer.decode(ids[labels != IGNORE]).split(" ###")[:-1]
            assert [a.strip().replace(" ,", ",") for a in answers] == [answer for _, answer in turns(chat)]


# ---- what is asked


def test_stage_1_asks_for_captions_only(model: VideoLlama) -> None:
    for branch, kind in (("vision", "describe"), ("audio", "hear_describe")):
        for batch in lessons(model, branch, 1, 10):
            assert (batch.frame_tokens is None, batch.segments is None) == (branch == "audio", branch == "vision")
            for chat in read(model, batch):
                ((question, _),) = turns(chat)
                assert kind in {
                    read_question(question, several)[0] for several in (False, True) if _readable(question, several)
                }


def test_vision_lessons_are_true_of_the_clip_in_the_soft_prompt(model: VideoLlama) -> None:
    """In stage 2, with and without a text about sound in the other place."""
    texts, kinds = 0, set()
    for batch in lessons(model, "vision", 2):
        assert batch.segments is None and batch.frame_tokens is not None
        if batch.frame_tokens.shape[1] == 1:
            continue  # one frame: below
        for row, chat in zip(rows(batch.frame_tokens), read(model, batch), strict=True):
            scene = FEATURES.scenes[row]
            assert between(chat, "Video") == "[V]"
            sound = between(chat, "Audio")
            texts += sound is not None
            if sound is not None:
                assert named(sound, THINGS) == [s.name for s in scene.sounds]
            kinds |= _check(chat, scene, deaf=sound is None)
    assert texts > 50 and {"colour", "motion", "before", "exist", "match", "hear"} <= kinds


def test_a_still_image_is_a_video_of_one_frame(model: VideoLlama) -> None:
    batches = lessons(model, "vision", 2, 120)
    stills = [b for b in batches if b.frame_tokens is not None and b.frame_tokens.shape[1] == 1]
    assert 5 < len(stills) < 30
    kinds = set()
    for batch in stills:
        for row, chat in zip(rows(batch.frame_tokens), read(model, batch), strict=True):
            assert between(chat, "Image") == "[V]" and "<Video>" not in chat
            kinds |= _check_still(chat, FEATURES.scenes[row])
    assert {"describe", "colour", "exist"} <= kinds and not kinds & {"motion", "first", "last", "before"}


def test_audio_lessons_hold_pictures_in_the_place_of_sound(model: VideoLlama) -> None:
    """Image vectors stand for the sound that the pictured things would make; no sound is ever used."""
    others, kinds, frames = {"nothing": 0, "text": 0, "soft prompt": 0}, set(), set()
    for batch in lessons(model, "audio", 2):
        assert batch.segments is not None
        heard, shown = rows(batch.segments), [None] * len(batch.ids)
        frames.add(batch.segments.shape[1])
        assert max(heard) < 1000  # from `looks`, not from `sounds`
        if batch.frame_tokens is not None:
            shown = rows(batch.frame_tokens)
        for hear, see, chat in zip(heard, shown, read(model, batch), strict=True):
            sounds = sound_of_picture(FEATURES.scenes[hear])
            picture = between(chat, "Video")
            assert between(chat, "Audio") == "[A]"
            others["nothing" if picture is None else "text" if see is None else "soft prompt"] += 1
            if see is not None:
                seen = FEATURES.scenes[see]
                kinds |= _check(chat, Scene(seen.seed, seen.things, seen.motion, sounds))
            elif picture is not None:
                _check_beside_text(chat, picture, [s.name for s in sounds])
            else:
                kinds |= _check(chat, Scene(0, (), sounds=sounds), blind=True)
    assert frames == {2, 4, 8} and min(others.values()) > 20
    assert {"hear", "hear_before", "match", "hear_size"} <= kinds


def test_sound_that_disagrees_is_taught_too(model: VideoLlama) -> None:
    answers = [
        answer
        for batch in lessons(model, "audio", 2)
        for chat in read(model, batch)
        for question, answer in turns(chat)
        if re.search("match|fit|made by|makes the sound$|hear what you see", question) and answer in ("yes", "no")
    ]
    assert len(answers) > 30 and 0.25 < answers.count("yes") / len(answers) < 0.75


def test_from_sound_teaches_with_sound(model: VideoLlama) -> None:
    for batch in lessons(model, "audio", 2, 15, from_sound=True):
        assert batch.segments is not None and batch.segments.shape[1] == 2
        for row, chat in zip(rows(batch.segments), read(model, batch), strict=True):
            assert row >= 1000
            scene = FEATURES.scenes[row - 1000]
            if between(chat, "Video") is None:
                _check(chat, Scene(0, (), sounds=scene.sounds), blind=True)
            else:
                _check(chat, scene)


def test_the_same_seed_teaches_the_same(model: VideoLlama) -> None:
    def first(seed: int) -> list[torch.Tensor]:
        return [b.ids for b in map(Teacher(model, FEATURES, "audio", 2, seed, batch_size=4), range(5))]

    assert all(torch.equal(a, b) for a, b in zip(first(1), first(1), strict=True))
    assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first(1), first(2), strict=True))


def test_a_picture_sounds_as_the_things_in_it() -> None:
    things = (Thing("dog", "large", end=2.0), Thing("bell", "small", start=2.0))
    scene = Scene(1, things, sounds=(Sound("rain", "large"),))
    assert sound_of_picture(scene) == (Sound("dog", "large", end=2.0), Sound("bell", "small", start=2.0))
    assert sound_of_picture(Scene(1, (Thing("circle", "small", "red"),))) == ()


def test_cached_features_are_computed_once(tmp_path, monkeypatch: pytest.MonkeyPatch, model: VideoLlama) -> None:
    from minivl.toyworld import features as module

    first = module.cached_features(model, 3, 20, tmp_path)
    assert first.scenes == [sample_scene(seed) for seed in (20, 21, 22)]
    assert first.frame_tokens.shape == (3, 8, 2, 16) and first.looks.shape == (3, 8, 12)
    assert first.sounds.shape == (3, 2, 12) and first.sounds.dtype == torch.float16
    computed = module.encode_scenes
    monkeypatch.setattr(module, "encode_scenes", lambda *_: pytest.fail("computed again"))
    again = module.cached_features(model, 3, 20, tmp_path)
    for name in ("frame_tokens", "looks", "sounds"):
        assert torch.equal(getattr(again, name), getattr(first, name))
    calls: list[int] = []
    monkeypatch.setattr(module, "encode_scenes", lambda *a: calls.append(1) or computed(*a))
    module.cached_features(toy_model(seed=1), 3, 20, tmp_path)  # other weights
    (file,) = tmp_path.glob(f"features-{module.fingerprint(model, first.scenes)}-*")
    file.write_bytes(file.read_bytes()[:100])  # cut off
    assert isinstance(module.cached_features(model, 3, 20, tmp_path), Features)
    assert len(calls) == 2


# ---- helpers


def _readable(question: str, several: bool) -> bool:
    try:
        return bool(read_question(question, several))
    except AssertionError:
        return False


def _check(chat: str, scene: Scene, blind: bool = False, deaf: bool = False) -> set[str]:
    """All answers of a chat are true of the scene, or admit that a sense is off; returns the question types."""
    kinds = set()
    for question, answer in turns(chat):
        several = len(scene.things) > 1
        if answer in (CANNOT_SEE, CANNOT_HEAR):
            assert (answer == CANNOT_SEE and blind) or (answer == CANNOT_HEAR and deaf), chat
            continue
        kind, slots = read_question(question, several)
        assert is_true(scene, kind, slots, answer), (chat, scene)
        assert not (blind and not kind.startswith("hear")) and not (deaf and kind.startswith("hear")), chat
        kinds.add(kind)
    return kinds


def _check_still(chat: str, scene: Scene) -> set[str]:
    """All answers are true of one of the moments of a clip, whose sound is what it was."""
    assert scene.motion not in ("grow", "shrink")  # one frame does not tell the size then
    moments = {replace(scene.at(time), sounds=scene.sounds) for time in (0.0, 2.0)}
    deaf = between(chat, "Audio") is None
    for moment in moments:
        with suppress(AssertionError):
            return _check(chat, moment, deaf=deaf)
    pytest.fail(f"{chat} is not true of {scene}")


def _check_beside_text(chat: str, picture: str, heard: list[str]) -> None:
    """A described picture and a soft prompt for the sound: the answers agree with the words of the description."""
    shapes, things = named(picture, SHAPES), named(picture, THINGS)
    for question, answer in turns(chat):
        kind, slots = next(read_question(question, s) for s in (False, True) if _readable(question, s))
        if kind == "match":
            assert answer == ("yes" if things == heard else "no"), chat
        elif kind == "colour" or (kind == "colour_of" and len(shapes) == 1):
            assert [answer] == named(picture, COLOURS), chat
        elif kind == "exist" and answer == "yes":
            assert slots["x"].split()[-1] in shapes + things, chat
        elif kind.startswith("hear"):
            assert is_true(Scene(0, (), sounds=_as_heard(chat, heard)), kind, slots, answer) or "size" in chat, chat


def _as_heard(chat: str, names: list[str]) -> tuple[Sound, ...]:
    """Sounds of these names; their sizes are read off the chat's answers, which other tests check."""
    sizes = dict.fromkeys(names, "large")
    for size, name in re.findall(rf"(small|large) ({'|'.join(THINGS)})", " ".join(a for _, a in turns(chat))):
        sizes[name] = size
    for question, answer in turns(chat):
        if answer in ("small", "large") and "hear" in question:
            sizes = dict.fromkeys(names, answer)
    return tuple(Sound(n, sizes[n], start=2.0 * i) for i, n in enumerate(names))
