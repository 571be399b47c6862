"""Altered clips: what each probe does to the features, what then is true, and what the shipped model makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_model import toy_model

from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.toyworld.exam import Row, make_cases, prompt_ids
from minivl.toyworld.features import Features, encode_scenes
from minivl.toyworld.probes import BASELINES, PROBES, answer_altered, played_backwards, probe
from minivl.toyworld.questions import ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, Scene, Thing, sample_scene

CLIPS, FRAMES = 6, 8


@pytest.fixture(scope="module")
def toy() -> VideoLlama:
    return toy_model()


@pytest.fixture(scope="module")
def seen(toy: VideoLlama) -> Features:
    return encode_scenes(toy, [sample_scene(CHOOSING_SEED + i) for i in range(CLIPS)])


@pytest.fixture
def numbered() -> Features:
    """Frame t of clip n is 10 n + t everywhere, its segment m is 1000 + 10 n + m."""
    n = 10.0 * torch.arange(CLIPS)[:, None]
    return Features(
        scenes=[sample_scene(CHOOSING_SEED + i) for i in range(CLIPS)],
        frame_tokens=(n + torch.arange(FRAMES))[..., None, None].expand(CLIPS, FRAMES, 2, 16),  # [N, T, K, width]
        looks=torch.empty(0),
        sounds=(1000 + n + torch.arange(2))[..., None].expand(CLIPS, 2, 12),  # [N, M, E]
    )


def altered(name: str, model: VideoLlama, features: Features, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The first number of each frame [N, T] and of each segment [N, M] under a probe or a baseline."""
    made = {**PROBES, **BASELINES}[name].alter(model, features, np.random.default_rng(seed))
    return made.frame_tokens[:, :, 0, 0], made.sounds[:, :, 0]


# ---- what happens to the features


def test_shuffling_moves_frames_within_their_clip(toy: VideoLlama, numbered: Features) -> None:
    for seed in range(20):
        frames, sounds = altered("shuffled frames", toy, numbered, seed)
        assert torch.equal(frames.sort(dim=1).values, numbered.frame_tokens[:, :, 0, 0])
        assert (frames != numbered.frame_tokens[:, :, 0, 0]).any(dim=1).all()  # no clip stays as it was
        assert torch.equal(sounds, numbered.sounds[:, :, 0])
    assert torch.equal(frames, altered("shuffled frames", toy, numbered, seed)[0])
    assert not torch.equal(frames, altered("shuffled frames", toy, numbered, seed + 1)[0])
    two = replace(numbered, frame_tokens=numbered.frame_tokens[:, :2])
    assert torch.equal(altered("shuffled frames", toy, two)[0], two.frame_tokens[:, :, 0, 0].flip(1))


def test_reversed_and_single_frames(toy: VideoLlama, numbered: Features) -> None:
    assert altered("reversed frames", toy, numbered)[0][2].tolist() == [27, 26, 25, 24, 23, 22, 21, 20]
    assert altered("one frame", toy, numbered)[0].tolist() == [[4.0], [14.0], [24.0], [34.0], [44.0], [54.0]]


@pytest.mark.parametrize(
    ("name", "video", "sound"),
    [("swapped video", True, False), ("swapped sound", False, True), ("swapped", True, True)],
)
def test_a_swap_gives_every_clip_another_one(
    toy: VideoLlama, numbered: Features, name: str, video: bool, sound: bool
) -> None:
    own = torch.arange(CLIPS) * 10
    for seed in range(20):
        frames, sounds = altered(name, toy, numbered, seed)
        for wanted, given in ((video, frames[:, 0]), (sound, sounds[:, 0] - 1000)):
            assert torch.equal(given.sort().values, own.float())  # each is given once
            assert (given != own).all() if wanted else (given == own).all()
        if name == "swapped":
            assert torch.equal(frames[:, 0], sounds[:, 0] - 1000)  # of one and the same clip
    with pytest.raises(InputError, match="at least two clips"):
        alone = Features(numbered.scenes[:1], numbered.frame_tokens[:1], numbered.looks, numbered.sounds[:1])
        altered(name, toy, alone)


def test_blank_is_what_the_model_sees_in_black_and_hears_in_silence(toy: VideoLlama, seen: Features) -> None:
    black = toy.encode_frames(torch.zeros(1, FRAMES, 3, 64, 64, dtype=torch.uint8)).half()  # [1, T, K, width]
    made = BASELINES["blank"].alter(toy, seen, np.random.default_rng(0))
    assert made.frame_tokens.shape == seen.frame_tokens.shape and made.sounds.shape == seen.sounds.shape
    assert torch.allclose(made.frame_tokens, black.expand_as(made.frame_tokens), atol=2e-3)
    assert torch.equal(made.sounds[0], made.sounds[-1]) and not torch.equal(made.sounds[0], seen.sounds[0])
    only_frames = PROBES["blank frames"].alter(toy, seen, np.random.default_rng(0))
    assert torch.equal(only_frames.frame_tokens, made.frame_tokens) and torch.equal(only_frames.sounds, seen.sounds)
    only_sound = PROBES["blank sound"].alter(toy, seen, np.random.default_rng(0))
    assert torch.equal(only_sound.sounds, made.sounds) and torch.equal(only_sound.frame_tokens, seen.frame_tokens)


def test_more_frames_show_the_same_four_seconds(toy: VideoLlama, seen: Features) -> None:
    made = PROBES["16 frames"].alter(toy, seen, np.random.default_rng(0)).frame_tokens
    assert made.shape == (CLIPS, 16, *seen.frame_tokens.shape[2:])
    assert torch.allclose(made[:, ::2], seen.frame_tokens, atol=2e-3)  # every second frame is one of the eight
    assert PROBES["12 frames"].alter(toy, seen, np.random.default_rng(0)).frame_tokens.shape[1] == 12
    with pytest.raises(InputError, match="learned positions for 8 only"):  # the toy model's branch ends there
        probe(toy, seen, "12 frames")


def test_text_only_is_the_question_without_a_soft_prompt(
    toy: VideoLlama, seen: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, set[int]]] = []

    def answer_batch(prompts: list[list[int]], soft: dict[int, Tensor], max_new_tokens: int) -> list[str]:
        asked.extend((toy.tokenizer.decode([i for i in ids if i >= 0]), set(soft)) for ids in prompts)
        return ["" for _ in prompts]

    monkeypatch.setattr(toy, "answer_batch", answer_batch)
    cases = make_cases(seen.scenes, seed=1)
    answer_altered(toy, cases, seen, PROBES["intact"], seed=1)
    assert {len(soft) for _, soft in asked} == {1, 2}
    asked.clear()
    answer_altered(toy, cases, seen, PROBES["text only"], seed=1)
    for prompt, soft in asked:
        assert not soft and prompt.startswith("### Human:") and "<video>" not in prompt.lower()
    assert not {VIDEO_SLOT, AUDIO_SLOT} & set(prompt_ids(toy, "what do you see?", ()))


# ---- what then is true


@pytest.mark.parametrize("motion", ["left", "up", "grow", "still"])
def test_backwards_is_what_reversed_frames_show(motion: str) -> None:
    scene = Scene(3, (Thing("star", "small", "blue", x=0.45), Thing("circle", "large", "red", y=0.6)), motion)
    back = played_backwards(scene)
    played = render_frames(scene)[::-1].astype(float)
    mirrored, same = (np.abs(render_frames(s) - played).mean() for s in (back, scene))
    assert mirrored < 7  # of 255 levels: sensor noise
    assert motion == "still" or mirrored < 0.9 * same
    assert played_backwards(back).motion == motion


def test_backwards_what_came_first_comes_last() -> None:
    events = (Thing("dog", "large", end=2.0), Thing("cat", "small", start=2.0))
    scene, rng = Scene(4, events), np.random.default_rng(0)
    for kind, answer in (("first", "a cat"), ("last", "a dog"), ("see", "a cat, then a dog")):
        question = ask(played_backwards(scene), kind, rng)
        assert question is not None and question.answer == answer


# ---- the rows


def test_only_conditions_that_the_probe_changes_have_rows(toy: VideoLlama, seen: Features) -> None:
    groups = {name: {row.split("/")[0] for row in probe(toy, seen, name)} for name in ("intact", "swapped sound")}
    assert groups == {"intact": {"sight", "hearing", "both"}, "swapped sound": {"hearing", "both"}}
    table = probe(toy, seen, "reversed frames")
    assert {row.split("/")[0] for row in table} == {"sight", "both"}
    turned = [s for s in seen.scenes if s.shapes and len(s.shapes) == len(s.things) and s.motion != "still"]
    assert turned and table["sight/motion (as altered)"]["count"] == len(turned)
    events = [s for s in seen.scenes if s.events]
    assert table["both/first (as altered)"]["count"] == table["both/last (as altered)"]["count"] == len(events)
    assert "both/colour (as altered)" not in table and "both/exist (as altered)" not in table
    assert table["sight/motion"].keys() == {"accuracy", "low", "high", "count", "blind"}


def test_the_same_seed_probes_the_same(toy: VideoLlama, seen: Features) -> None:
    assert probe(toy, seen, "shuffled frames", seed=5) == probe(toy, seen, "shuffled frames", seed=5)


def test_a_probe_that_is_not_there(toy: VideoLlama, seen: Features) -> None:
    with pytest.raises(InputError, match="no probe 'upside down': choose one of intact, text only"):
        probe(toy, seen, "upside down")


# ---- the shipped model


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, Row]]:
    """On 20 of the clips that designs are chosen with."""
    model = VideoLlama.from_pretrained("tiny")
    features = encode_scenes(model, [sample_scene(CHOOSING_SEED + 200 + i) for i in range(20)])
    names = ("intact", "text only", "blank sound", "reversed frames", "one frame", "swapped video", "swapped sound")
    return {name: probe(model, features, name) for name in names}


def test_it_looks_and_listens(tables: dict[str, dict[str, Row]]) -> None:
    """Without the clip, or with another one, hardly more is right than with the most frequent answers."""
    for probed, rows in (
        ("text only", ("sight/all visual", "hearing/all auditory")),
        ("swapped video", ("sight/all visual", "both/all visual")),
        ("swapped sound", ("hearing/all auditory", "both/all auditory")),
    ):
        for row in rows:
            found = tables[probed][row]
            assert found["accuracy"] < found["blind"] + 0.1 < tables["intact"][row]["accuracy"] - 0.3, (probed, row)


def test_it_sees_time(tables: dict[str, dict[str, Row]]) -> None:
    back, still = tables["reversed frames"], tables["one frame"]
    for row in ("sight/motion", "sight/first", "sight/last"):
        assert back[f"{row} (as altered)"]["accuracy"] >= 0.75 and back[row]["accuracy"] < 0.6
    assert back["sight/colour"]["accuracy"] > 0.9 and still["sight/colour"]["accuracy"] > 0.9
    assert still["sight/motion (as altered)"]["accuracy"] > 0.8  # a picture stays still


def test_one_sense_does_not_take_the_other_for_its_own(tables: dict[str, dict[str, Row]]) -> None:
    assert (
        tables["swapped sound"]["both/all visual"]["accuracy"] > tables["intact"]["both/all visual"]["accuracy"] - 0.1
    )
    assert tables["swapped video"]["both/all auditory"]["accuracy"] > 0.85
    assert tables["blank sound"]["both/hear (as altered)"]["accuracy"] > 0.9  # silence, whatever is seen
