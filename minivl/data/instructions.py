"""The sets of conversations: what is learned from in the second stage.

    LLaVA-Instruct-150K   [{"image", "conversations": [{"from": "human" or "gpt", "value"}, ...]}, ...]   COCO images
    VideoChat-11K         [{"video", "QA": [{"q", "a"}, ...]}, ...]                                      WebVid videos

The original: llava_instruct_dataset.py and video_instruct_dataset.py in video_llama/datasets/datasets. There each also
makes token ids; here a sample holds text alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from minivl.data.entries import Entries
from minivl.data.samples import ParsedRows, Sample, SampleSet, field, first_existing
from minivl.errors import InputError

ASKS, ANSWERS = ("human", "user"), ("gpt", "assistant")
COCO = "COCO_train2014_"  # LLaVA names images by number; in COCO's train2014.zip they have this in front


def llava_instruct(annotations: Path, images: Path) -> SampleSet:
    """LLaVA-Instruct: llava_instruct_150k.json, or any file like it.

    An image is COCO_train2014_NAME in `images`, or NAME, if that is what lies there (COCO's train2017 names them so).
    Raises InputError for a file that is not a JSON list.
    """
    return ParsedRows("llava_instruct", Entries(annotations), partial(_llava_sample, images=Path(images)))


def videochat(annotations: Path, videos: Path) -> SampleSet:
    """VideoChat: videochat_instruct_11k.json, with the videos below `videos` as they are named in it.

    A question may be empty, an answer may not. Raises InputError for a file that is not a JSON list.
    """
    return ParsedRows("videochat", Entries(annotations), partial(_videochat_sample, videos=Path(videos)))


def turns_of(conversation: Any) -> tuple[tuple[str, str], ...]:
    """[{"from": "human", "value": question}, {"from": "gpt", "value": answer}, ...] -> ((question, answer), ...).

    The other common names do as well: "role" and "content", "user" and "assistant".
    Raises InputError for anything else: an odd number of them, two questions in a row, an empty answer.
    """
    if not isinstance(conversation, list) or not conversation or not all(isinstance(m, Mapping) for m in conversation):
        raise InputError("has no list of messages as its conversation")
    who, what = ("from", "value") if "from" in conversation[0] else ("role", "content")
    said = [(field(message, who).lower(), field(message, what)) for message in conversation]
    questions, answers = said[::2], said[1::2]
    if (
        len(questions) != len(answers)
        or any(speaker not in ASKS for speaker, _ in questions)
        or any(speaker not in ANSWERS for speaker, _ in answers)
    ):
        raise InputError(f"has a conversation of {', '.join(s for s, _ in said)[:60]}: human and gpt have to alternate")
    return tuple((question, answer) for (_, question), (_, answer) in zip(questions, answers, strict=True))


def _llava_sample(entry: Any, images: Path) -> Sample:
    image = field(entry, "image")
    turns = turns_of(entry.get("conversations"))
    name = entry.get("id") or Path(image).stem
    return Sample(first_existing(images / f"{COCO}{image}", images / image), turns, f"llava_instruct/{name}")


def _videochat_sample(entry: Any, videos: Path) -> Sample:
    video, turns = field(entry, "video"), entry.get("QA")
    if not isinstance(turns, list) or not turns:
        raise InputError("has no list 'QA'")
    if not all(isinstance(turn, Mapping) and isinstance(turn.get("q"), str) for turn in turns):
        raise InputError("has a turn without a question 'q'")
    return Sample(videos / video, tuple((turn["q"].strip(), field(turn, "a")) for turn in turns), f"videochat/{video}")
