"""Makes data_samples/annotations: each format of minivl/data in a few rows: python data_samples/make_annotations.py

The rows are about the clips of data_samples and small copies of its picture. In each set one medium is missing
and one is broken, and in some a row is, so that `minivl data check` has something to find. Videos are reached through
".." from where the format wants them: copies would be large.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
UP = "../../.."  # from annotations/SET/videos to data_samples

WEBVID = ("videoid", "contentUrl", "duration", "page_dir", "name")
WEBVID_CSV = (
    ("bell", "", "PT00H00M04S", UP, "A large bell rings, and swings to both sides."),
    ("dog_then_train", "", "PT00H00M04S", UP, 'First a dog, then a "Train": sight & sound'),
    ("1001", "", "PT00H00M15S", "000001_000050", "Aerial view of the sea,\nslow motion"),  # missing
    ("1002", "", "PT00H00M15S", "000001_000050", "Clouds over a city, time lapse #4K"),  # broken
)
WEBVID_TSV = (
    ("red_circle_moves_left", "", "PT00H00M04S", UP, "Red circle (large) moves left!"),
    ("three_shapes", "", "PT00H00M04S", UP, "A star, a cross and a square; the sound of rain"),
    ("1003", "", "PT00H00M15S", "000001_000050", "..."),  # a broken row: nothing is left of this caption
)

ALIGNED = (
    {"image_id": "2", "caption": "The picture shows a blue square and a telephone. Both stand before a dark ground."},
    {"image_id": "3", "caption": "This file is cut short."},
    {"image_id": "4", "caption": "This file is not there."},
)

GCC = "GCC_train_00000000"
CHAT = tuple(
    {
        "id": f"{GCC}{k}",
        "image": f"{GCC}{k}.jpg",
        "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": caption}],
    }
    for k, question, caption in (
        (1, "Describe the image concisely.\n<image>", "blue square next to a telephone"),
        (2, "<image>\nGive a brief description of the image.", "this file is cut short"),
        (3, "Share a concise interpretation of the image provided.\n<image>", "this file is not there"),
    )
)
METADATA = tuple(
    {
        "id": entry["id"],
        "image": entry["image"],
        "caption": entry["conversations"][1]["value"],
        "blip_caption": "a blue square on a black background",
        "url": "http://example.com/picture.jpg",
    }
    for entry in CHAT
)


def _talk(*said: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(said)]


LLAVA_INSTRUCT = (
    {
        "id": "000000000001",
        "image": "000000000001.jpg",
        "conversations": _talk(
            "What colour is the square?\n<image>",
            "The square is blue.",
            "What stands beside it?",
            "A telephone stands beside the square.",
        ),
    },
    {
        "id": "000000000002",
        "image": "000000000002.jpg",
        "conversations": _talk("<image>\nHow many objects are there?", "There are two objects in the image."),
    },
    {"id": "000000000003", "image": "000000000003.jpg", "conversations": _talk("<image>\nIs it cut short?", "Yes.")},
    {"id": "000000000004", "image": "000000000004.jpg", "conversations": _talk("<image>\nIs it there?", "No.")},
    {"id": "000000000005", "image": "000000000001.jpg", "conversations": _talk("<image>\nA question without answer?")},
)

VIDEOCHAT = (
    {
        "video": f"{UP}/dog_then_train.mp4",
        "type": "conversation",
        "QA": [
            {"q": "What happens in the video?", "a": "A dog appears, and after it a train."},
            {"q": "Which of them is heard last?", "a": "The train is heard last."},
        ],
    },
    {
        "video": f"{UP}/no_sound_track.mp4",
        "type": "description",
        "QA": [{"q": "Describe the video in detail.", "a": "A blue square grows until it fills half of the picture."}],
    },
    {"video": "webvid/1004.mp4", "QA": [{"q": "Is this file there?", "a": "No, it is missing."}]},
    {"video": "webvid/1005.mp4", "QA": [{"q": "Is this file whole?", "a": "No, it is cut short."}]},
)

OWN = (
    ("../../bell.mp4", "a large bell that rings"),
    ("../../blue_square_and_phone.png", "a blue square, and a telephone"),
    ("cut_short.mp4", "this file is cut short"),
    ("forgotten.mp4", "this file is not there"),
)

HUB = (
    {"clip": "../../bell.mp4", "text": "a large bell that rings", "ask": "what do you hear?", "say": "a bell"},
    {"clip": "../../three_shapes.mp4", "text": "three shapes", "ask": "what do you hear?", "say": "rain"},
    {"clip": "../../cut_short.mp4", "text": "this file is not there", "ask": "is it there?", "say": "no"},
)


def main(out: Path = HERE / "annotations") -> None:
    """Write all sets below `out`. Their videos are found only in data_samples/annotations."""
    clip = (HERE / "bell.mp4").read_bytes()[:1500]
    picture = _small_picture()
    _table(out / "webvid" / "filter_annotation" / "0.csv", ",", WEBVID, WEBVID_CSV)
    _table(out / "webvid" / "filter_annotation" / "1.tsv", "\t", WEBVID, WEBVID_TSV)
    _bytes(out / "webvid" / "videos" / "000001_000050" / "1002.mp4", clip)
    _json(out / "cc_sbu_align" / "filter_cap.json", {"annotations": ALIGNED})
    _bytes(out / "cc_sbu_align" / "image" / "2.jpg", picture)
    _bytes(out / "cc_sbu_align" / "image" / "3.jpg", picture[:700])
    _json(out / "llava_cc3m" / "chat.json", CHAT)
    _json(out / "llava_cc3m" / "metadata.json", METADATA)
    _bytes(out / "llava_cc3m" / "images" / f"{GCC}1.jpg", picture)
    _bytes(out / "llava_cc3m" / "images" / f"{GCC}2.jpg", picture[:700])
    _json(out / "llava_instruct" / "llava_instruct_150k.json", LLAVA_INSTRUCT)
    _bytes(out / "llava_instruct" / "train2014" / "COCO_train2014_000000000001.jpg", picture)
    _bytes(out / "llava_instruct" / "train2014" / "000000000002.jpg", picture)
    _bytes(out / "llava_instruct" / "train2014" / "COCO_train2014_000000000003.jpg", picture[:700])
    _json(out / "videochat" / "videochat_instruct_11k.json", VIDEOCHAT)
    _bytes(out / "videochat" / "videos" / "webvid" / "1005.mp4", clip)
    _table(out / "own_table" / "captions.csv", ",", ("file", "caption"), OWN)
    _bytes(out / "own_table" / "cut_short.mp4", clip)
    for name, text in (("square", "a blue square beside a telephone"), ("cut_short", "this file is cut short")):
        _bytes(out / "own_files" / f"{name}.txt", f"{text}\n".encode())
    _bytes(out / "own_files" / "square.jpg", picture)
    _bytes(out / "own_files" / "cut_short.jpg", picture[:700])
    _bytes(out / "own_files" / "no_text.jpg", picture)
    _bytes(out / "hub" / "train.jsonl", "".join(json.dumps(row) + "\n" for row in HUB).encode())


def _small_picture() -> bytes:
    with Image.open(HERE / "blue_square_and_phone.png") as image:
        small = image.convert("RGB").resize((64, 64))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return file.getvalue()


def _table(file: Path, delimiter: str, header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    _bytes(file, text.getvalue().encode())


def _json(file: Path, content: Any) -> None:
    _bytes(file, (json.dumps(content, indent=1) + "\n").encode())


def _bytes(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "annotations")
    main(parser.parse_args().out)
