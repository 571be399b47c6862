"""Public video question answering sets: their annotation files, and where their videos lie.

    MSVD-QA, MSRVTT-QA   test_qa.json  [{"answer", "id", "question", "video_id" (and in MSRVTT-QA "category_id")}, ...]
    ActivityNet-QA       test_q.json   [{"question", "question_id", "video_name"}, ...]
                         test_a.json   [{"answer", "question_id", "type"}, ...]
    Video-ChatGPT        generic_qa.json, temporal_qa.json   [{"Q", "A", "video_name"}, ...]
                         consistency_qa.json                 [{"Q1", "Q2", "A", "video_name"}, ...]

D. Xu et al., Video question answering via gradually refined attention over appearance and motion, 2017 (the first two);
Z. Yu et al., ActivityNet-QA, 2019; M. Maaz et al., Video-ChatGPT, 2023. The last one's answers are sentences, those of
the others a word or two. Which format a file has is seen by its keys. video_qa_score.py asks and counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivl.errors import InputError

SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov")
MAPPING = "youtube_mapping.txt"  # of MSVD: "-4wsuPCjDBc_5_15 vid1", a line for each video
ASKED_BY = ("what", "who", "how", "when", "where")  # the question types of MSVD-QA and MSRVTT-QA
ACTIVITYNET_TYPES = (
    "motion", "spatial relation", "temporal relation", "yes/no", "colour", "object", "location", "number", "other",
)  # fmt: skip
FREE_FORM, CONSISTENCY = "free-form", "consistency"  # the kinds whose answers are sentences


@dataclass(frozen=True)
class VideoQuestion:
    """A question about a video, and the answer that its data set gives."""

    video: str  # its name in the annotations: "1301", "v_hFi6S_guB7I"
    question: str
    answer: str
    kind: str = ""  # the question type, if the set has such
    id: str = ""  # of the question in its set


def read_questions(file: Path, answers: Path | None = None) -> list[VideoQuestion]:
    """The questions of an annotation file, in its order; the two of a consistency entry follow each other.

    answers: ActivityNet-QA's second file; test_a.json beside test_q.json is found without it. Raises InputError, naming
    file and entry, for whatever is not one of the formats, and for a question without an answer.
    """
    file = Path(file)
    entries = _entries(file)
    first = entries[0].keys()
    for keys, kind in ((("Q1", "Q2"), CONSISTENCY), (("Q",), FREE_FORM)):
        if {*keys, "A"} <= first:
            return [
                VideoQuestion(row["video_name"], row[key], row["A"], kind, f"{i}.{key}")
                for i, row in enumerate(_texts(file, entries, (*keys, "A", "video_name")), 1)
                for key in keys
            ]
    if {"question", "answer", "video_id"} <= first:
        return [
            VideoQuestion(r["video_id"], r["question"], r["answer"], _asked_by(r["question"]), r.get("id", ""))
            for r in _texts(file, entries, ("question", "answer", "video_id"))
        ]
    if {"question", "question_id", "video_name"} <= first:
        return _activitynet(file, entries, answers)
    raise InputError(
        f"{file} has entries with the keys {', '.join(first) or '(none)'}, which no format has: "
        "give the file of MSVD-QA, MSRVTT-QA, ActivityNet-QA (the one with the questions) or Video-ChatGPT"
    )


def find_video(folder: Path, name: str, annotations: Path | None = None) -> Path | None:
    """The file of the video that the annotations call `name`, or None.

    It is called NAME, videoNAME (MSRVTT), vidNAME (MSVD), v_NAME (ActivityNet), or as youtube_mapping.txt says, which
    may lie in `folder`, above it, or beside the file `annotations`; its suffix is one of SUFFIXES.
    Raises InputError for a line of youtube_mapping.txt that is not a name and a number.
    """
    number = name.removeprefix("video").removeprefix("vid")
    stems = [name, f"v_{name}", name.removeprefix("v_")]
    if number.isdigit():
        mapped = _mapping(folder, folder.parent, *([annotations.parent] if annotations else [])).get(number)
        stems = [name, *([mapped] if mapped else []), f"video{number}", f"vid{number}"]
    suffixes = ("", *SUFFIXES, *map(str.upper, SUFFIXES))
    files = (folder / f"{stem}{suffix}" for stem in stems for suffix in suffixes)
    return next((file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()), None)


def _mapping(*places: Path) -> dict[str, str]:
    """MSVD's numbers → names of files, from the first of the folders that has the file."""
    file = next((place / MAPPING for place in places if (place / MAPPING).is_file()), None)
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file else []
    found = {}
    for i, line in enumerate(lines, 1):
        stem, _, vid = line.strip().partition(" ")
        number = vid.strip().removeprefix("vid")
        if line.strip() and not number.isdigit():
            raise InputError(f"{file}, line {i}: {line!r} should be a file's name, a space, and 'vid' with a number")
        found[number] = stem
    return found


def _activitynet(file: Path, entries: list[Any], answers: Path | None) -> list[VideoQuestion]:
    """Questions and answers are matched by question_id: in somebody's copy their order may differ."""
    if answers is None and file.stem.endswith("_q"):
        beside = file.with_name(f"{file.stem[:-1]}a{file.suffix}")
        answers = beside if beside.is_file() else None
    if answers is None:
        raise InputError(f"{file} has questions without answers: give the file with the answers too, test_a.json")
    given = {row["question_id"]: row for row in _texts(answers, _entries(answers), ("question_id", "answer"))}
    found = []
    for i, row in enumerate(_texts(file, entries, ("question", "question_id", "video_name")), 1):
        name = row["question_id"]
        if name not in given:
            raise InputError(f"{file}, entry {i}: {answers} has no answer to it (question_id {name!r})")
        kind = given[name].get("type", "")
        if kind.isdigit() and int(kind) < len(ACTIVITYNET_TYPES):
            kind = ACTIVITYNET_TYPES[int(kind)]
        found.append(VideoQuestion(row["video_name"], row["question"], given[name]["answer"], kind, name))
    return found


def _asked_by(question: str) -> str:
    word = question.split()[0].lower()
    return word if word in ASKED_BY else "other"


def _entries(file: Path) -> list[Any]:
    """A JSON list that begins with a dictionary."""
    if not file.is_file():
        raise InputError(f"{file} is not a file: check the path, which is looked up from {Path.cwd()}")
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text: give the annotation file") from None
    except json.JSONDecodeError as error:
        where = f"from line {error.lineno}, column {error.colno} on ({error.msg})"
        raise InputError(f"{file} is not JSON {where}: download it again") from None
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], Mapping):
        raise InputError(f"{file} is not a list of questions: give the annotation file")
    return entries


def _texts(file: Path, entries: list[Any], needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The entries with texts and numbers as text. Raises InputError where a needed one is missing or empty."""
    found = []
    for i, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping):
            raise InputError(f"{file}, entry {i} is a {type(entry).__name__} and no question: mend or delete it")
        texts = {key: str(value).strip() for key, value in entry.items() if isinstance(value, str | int)}
        if missing := [key for key in needed if not texts.get(key)]:
            raise InputError(f"{file}, entry {i} has no text or number as {missing[0]!r}: mend or delete it")
        found.append(texts)
    return found
