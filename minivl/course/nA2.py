"""Checkers of notebook A2, your own data."""

# ruff: noqa: N999  (the notebook is called A2)

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minivl.course.checking import Wrong
from minivl.data.captions import captioned_folder
from minivl.data.instructions import videochat
from minivl.errors import InputError

ROWS = [
    {"file": "b.mp4", "question": "what moves?", "answer": "a circle"},
    {"file": "a.mp4", "question": "what do you see?", "answer": "a dog"},
    {"file": "b.mp4", "question": "which way?", "answer": "left"},
    {"file": "c.mp4", "question": "how many?", "answer": "two"},
    {"file": "a.mp4", "question": "what colour is it?", "answer": "brown"},
]
CAPTIONS = {
    "a.mp4": "a small red circle",
    "b.mp4": "a dog, then a train",
    "c.mp4": 'a sign that says "stop", and a car',
    "d.mp4": "ein grüner Würfel",
}


def to_videochat(answer: Callable[[list[dict[str, str]]], list[dict[str, Any]]]) -> str:
    """Rows of a spreadsheet as VideoChat's list: one entry for each file, in the order of first appearance."""
    found = answer([dict(row) for row in ROWS])
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and {"video", "QA"} <= set(entry) for entry in found
    ):
        raise Wrong("give a list of entries, each with the keys 'video' and 'QA'")
    videos = [entry["video"] for entry in found]
    if len(videos) > len(set(videos)):
        raise Wrong("a file has several entries: write one entry for each file, with all of its questions")
    if any(set(turn) != {"q", "a"} for entry in found for turn in entry["QA"]):
        raise Wrong("the keys of a turn are 'q' and 'a': did the spreadsheet's names stay?")
    if set(videos) != {"a.mp4", "b.mp4", "c.mp4"}:
        raise Wrong(f"the entries are about {sorted(videos)}: is every file there, by its own name?")
    if videos != ["b.mp4", "a.mp4", "c.mp4"]:
        raise Wrong("the files should come in the order in which they first appear in the rows")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chats.json"
        file.write_text(json.dumps(found), encoding="utf-8")
        read = videochat(file, Path(folder))
        turns = {sample.media.name: sample.turns for sample in (read[i] for i in range(len(read)))}
    if turns["b.mp4"] != (("what moves?", "a circle"), ("which way?", "left")):
        raise Wrong(f"b.mp4 has {turns['b.mp4']}: are all of its questions there, in the order of the rows?")
    return "three conversations of five rows, as the package reads them"


def write_captions(answer: Callable[[Path, dict[str, str]], None]) -> str:
    """Writes captions.csv so that each caption comes back word for word."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "captions.csv"
        answer(table, dict(CAPTIONS))
        if not table.is_file():
            raise Wrong("no table was written: write to the path that is given")
        try:
            samples = captioned_folder(Path(folder))
        except InputError as error:
            raise Wrong(f"the table cannot be read: {error}") from None
        read: dict[str, str] = {}
        for i in range(len(samples)):
            try:
                read[samples[i].media.name] = samples[i].turns[0][1]
            except InputError:
                continue  # a broken row
    if "a.mp4" not in read:
        raise Wrong("not even a caption without commas came back: is the first line file,caption?")
    if read.get("b.mp4") == "a dog then a train":
        raise Wrong("the commas are gone: every caption has to come back word for word")
    if read.get("b.mp4") != CAPTIONS["b.mp4"]:
        raise Wrong("a caption with a comma breaks its row: what tells a comma in a text from one between fields?")
    if read.get("c.mp4") != CAPTIONS["c.mp4"]:
        raise Wrong("a caption with quotes in it does not come back: inside quotes, a quote has to be doubled")
    if read != CAPTIONS:
        raise Wrong("not all captions came back: is the file UTF-8, and each caption as it was?")
    return "all four captions come back word for word"


def gigabytes(answer: float) -> str:
    """What the frozen features of WebVid take on disk for the 7B model."""
    try:
        given = float(answer)
    except (TypeError, ValueError):
        raise Wrong("give one number, of gigabytes") from None
    right = 2.5e6 * 8 * 32 * 768 * 2 / 1e9
    hints = {
        right / 8: "that is one frame of each video: how many frames are there?",
        right * 2: "that is 4 bytes a number: half precision takes 2",
        right / 2: "that is 1 byte a number: half precision takes 2",
        2.5e6 * 8 * 257 * 1408 * 2 / 1e9: "these are the ViT's patches: kept is what the image Q-Former makes of them",
        right * 1e9 / 2**30: "a gigabyte is 10^9 bytes here, not 2^30",
        right * 1e9: "that is in bytes: divide by 10^9",
    }
    for value, hint in hints.items():
        if abs(given - value) < 0.01 * value:
            raise Wrong(hint)
    if abs(given - right) > 0.01 * right:
        raise Wrong("multiply videos, frames, vectors, width and bytes, and divide by 10^9")
    return "983 GB, 393 kB a video"
