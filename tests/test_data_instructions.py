"""Sets of conversations: turns in order, the images under either of their names, and rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minivl.data.instructions import llava_instruct, turns_of, videochat
from minivl.errors import InputError

ANNOTATIONS = Path(__file__).parent.parent / "data_samples" / "annotations"
LLAVA = ANNOTATIONS / "llava_instruct" / "llava_instruct_150k.json"
IMAGES = ANNOTATIONS / "llava_instruct" / "train2014"


def talk(*speakers: str, text: str = "so") -> list[dict[str, str]]:
    return [{"from": speaker, "value": text} for speaker in speakers]


def test_llava_keeps_the_turns_and_the_place_of_the_image() -> None:
    sample = llava_instruct(LLAVA, IMAGES)[0]
    assert sample.turns == (
        ("What colour is the square?\n<image>", "The square is blue."),
        ("What stands beside it?", "A telephone stands beside the square."),
    )
    assert not sample.is_caption
    assert sample.origin == "llava_instruct/000000000001"


def test_llava_finds_images_under_cocos_name_or_their_own() -> None:
    samples = llava_instruct(LLAVA, IMAGES)
    assert samples[0].media == IMAGES / "COCO_train2014_000000000001.jpg"
    assert samples[1].media == IMAGES / "000000000002.jpg"
    assert samples[3].media == IMAGES / "COCO_train2014_000000000004.jpg"  # neither is there: the original's name


def test_videochat_keeps_folders_and_turns() -> None:
    samples = videochat(ANNOTATIONS / "videochat" / "videochat_instruct_11k.json", Path("videos"))
    assert samples[0].media == Path("videos/../../../dog_then_train.mp4")
    assert samples[0].turns[1] == ("Which of them is heard last?", "The train is heard last.")
    assert samples[2].origin == "videochat/webvid/1004.mp4"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"QA": [{"q": "why?", "a": "so"}]}, "has no 'video'"),
        ({"video": "1.mp4"}, "has no list 'QA'"),
        ({"video": "1.mp4", "QA": []}, "has no list 'QA'"),
        ({"video": "1.mp4", "QA": [{"a": "so"}]}, "has a turn without a question 'q'"),
        ({"video": "1.mp4", "QA": [{"q": "why?", "a": " "}]}, "has an empty 'a'"),
    ],
)
def test_a_broken_entry_of_videochat(tmp_path: Path, entry: Any, why: str) -> None:
    (tmp_path / "chat.json").write_text(json.dumps([entry]))
    with pytest.raises(InputError, match=f"chat.json, entry 1, {why}"):
        videochat(tmp_path / "chat.json", tmp_path)[0]


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        (None, "has no list of messages"),
        ([], "has no list of messages"),
        (["human", "gpt"], "has no list of messages"),
        (talk("human"), "has a conversation of human: human and gpt have to alternate"),
        (talk("gpt", "human"), "has a conversation of gpt, human"),
        (talk("human", "gpt", "human"), "has a conversation of human, gpt, human"),
        (talk("system", "human", "gpt", "human"), "has a conversation of system, human"),
        (talk("human", "gpt", text=" "), "has an empty 'value'"),
        ([{"from": "human"}, {"from": "gpt", "value": "so"}], "has no 'value'"),
    ],
)
def test_a_conversation_that_is_none_says_why(conversation: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        turns_of(conversation)


def test_the_other_common_names_of_speakers_are_read() -> None:
    assert turns_of([{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}]) == (("why?", "so"),)


def test_an_annotation_file_is_asked_for_not_its_folder() -> None:
    with pytest.raises(InputError, match="is a folder: give the annotation file in it"):
        llava_instruct(ANNOTATIONS / "llava_instruct", IMAGES)
