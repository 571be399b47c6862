"""The world of notebook A1: one thing in a picture, one sound, and the words that name it."""

from __future__ import annotations

import torch

from minivl.course.one_thing import NO_WORD, WORDS, name_of, one_thing, paint, record, side_of, word_ids
from minivl.toyworld.render import render_still
from minivl.toyworld.scenes import COLOURS, SHAPES, THINGS, Scene


def test_half_of_the_pictures_show_a_shape_and_half_a_sounding_thing() -> None:
    names = [name_of(one_thing(seed)).split() for seed in range(400)]
    shapes = [words for words in names if len(words) == 3]
    assert 150 < len(shapes) < 250
    assert all(words[1] in COLOURS and words[2] in SHAPES for words in shapes)
    assert {words[1] for words in names if len(words) == 2} == set(THINGS)


def test_the_thing_is_where_its_side_says() -> None:
    scenes, pixels = paint(40, 5)
    assert pixels.shape == (40, 3, 64, 64) and pixels.dtype == torch.uint8
    for scene, picture in zip(scenes, pixels.float(), strict=True):
        empty = torch.from_numpy(render_still(Scene(scene.seed, ()), 0.0)).permute(2, 0, 1)
        thing = (picture - empty).abs().sum(0)  # [64, 64]: the same background, so what is left is the thing
        middle = float((thing.sum(0) * torch.arange(64)).sum() / thing.sum())
        assert side_of(scene) == ("left" if middle < 32 else "right")


def test_the_same_seed_is_the_same_picture_and_the_same_sound() -> None:
    assert torch.equal(paint(3, 7)[1][1:], paint(2, 8)[1])
    names, mels = record(3, 7)
    again, more = record(2, 8)
    assert names[1:] == again and torch.equal(mels[1:], more)
    assert mels.shape == (3, 1, 128, 204) and all(name.split()[1] in THINGS for name in names)


def test_words_as_numbers() -> None:
    ids = word_ids(["small bell", "large red circle"])
    assert [[WORDS[i] for i in row if i != NO_WORD] for row in ids] == [["small", "bell"], ["large", "red", "circle"]]
    assert ids.tolist()[0][2] == NO_WORD == len(WORDS)
