"""The sets of captions: what is learned from in the first stage (and MiniGPT-4's 3,500 in the second).

    WebVid          2.5 million stock videos   *.csv or *.tsv with videoid, page_dir, name; videos/page_dir/videoid.mp4
    LLaVA-CC3M      595,000 images             chat.json and metadata.json with images/, or repacked as the next
    cc_sbu_align    3,439 images               filter_cap.json; image/ID.jpg
    your own                                   clip.mp4 and clip.txt side by side, or captions.csv with file, caption

The original: webvid_datasets.py and cc_sbu_dataset.py in video_llama/datasets/datasets. Its README shows a .tsv for
WebVid; its code reads only .csv. Both are read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from minivl.data.entries import Entries
from minivl.data.instructions import turns_of
from minivl.data.samples import ParsedRows, Sample, SampleSet, field, first_existing
from minivl.data.table import Table, Tables
from minivl.errors import InputError

WEBVID_COLUMNS = ("videoid", "page_dir", "name")
OWN_TABLE, OWN_COLUMNS = "captions.csv", ("file", "caption")
TABLE_SUFFIXES = (".csv", ".tsv")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MEDIA_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", *PICTURE_SUFFIXES)

# LLaVA's files in the order of preference; metadata.json has the same captions without the questions
LLAVA_CAPTIONS = ("chat.json", "blip_laion_cc_sbu_558k.json", "metadata.json")
REPACKED = "filter_cap.json"

MAX_WORDS = 50
PUNCTUATION = str.maketrans('.!"()*#:;~', " " * 10)


def clean_caption(caption: str) -> str:
    """As the original cleans WebVid's captions, and no others: lower case, no . ! " ( ) * # : ; ~, at most 50 words."""
    caption = re.sub(r"\s{2,}", " ", caption.lower().translate(PUNCTUATION)).strip()
    return " ".join(caption.split(" ")[:MAX_WORDS])


def webvid(annotations: Path, videos: Path) -> SampleSet:
    """WebVid: a table, or a folder whose tables (*.csv, *.tsv) are read in the order of their names.

    Raises InputError for a folder without tables, and for a table without the columns videoid, page_dir and name.
    """
    annotations = Path(annotations).expanduser()
    files = tables_in(annotations) if annotations.is_dir() else [annotations]
    if not files:
        raise InputError(f"{annotations} holds no *.csv or *.tsv: give the folder of WebVid's annotations")
    for file in files:
        if file.suffix == ".gz":
            raise InputError(f"{file} is compressed, and its rows are read in any order: unpack it with gunzip")
    rows = Tables([Table(file, WEBVID_COLUMNS) for file in files])
    return ParsedRows("webvid", rows, partial(_webvid_sample, videos=Path(videos)))


def tables_in(folder: Path) -> list[Path]:
    """The tables that lie directly in a folder, compressed ones included, in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.name.removesuffix(".gz").endswith(TABLE_SUFFIXES))


def _webvid_sample(row: Mapping[str, str], videos: Path) -> Sample:
    identity, caption = field(row, "videoid"), clean_caption(field(row, "name"))
    if not caption:
        raise InputError("has nothing but punctuation in 'name'")
    media = videos.joinpath(row["page_dir"].strip(), f"{identity}.mp4")
    return Sample(media, (("", caption),), f"webvid/{identity}")


def captioned_images(folder: Path, images: Path | None = None) -> SampleSet:
    """A folder with filter_cap.json (cc_sbu_align; LLaVA-CC3M as the original repacks it), or LLaVA's own download.

    images: where the images lie; by default image/ or images/ in the folder, or the folder itself. Captions are
    taken as they are. In LLaVA's chat.json the caption is the answer; the question ("Describe the image briefly") is
    left out, as the original does.
    Raises InputError if none of the files is there.
    """
    folder = Path(folder).expanduser()
    names = (REPACKED, *LLAVA_CAPTIONS)
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise InputError(f"{folder} holds none of {', '.join(names)}: give the folder that does")
    images = images or next((p for p in (folder / "image", folder / "images") if p.is_dir()), folder)
    name = folder.resolve().name
    if file.name == REPACKED:
        return ParsedRows(name, Entries(file, "annotations"), partial(_repacked_sample, images=images, name=name))
    return ParsedRows(name, Entries(file), partial(_llava_sample, images=images, name=name))


def _repacked_sample(entry: Any, images: Path, name: str) -> Sample:
    identity = field(entry, "image_id")
    media = first_existing(*(images / f"{identity}{suffix}" for suffix in PICTURE_SUFFIXES))
    return Sample(media, (("", field(entry, "caption")),), f"{name}/{identity}")


def _llava_sample(entry: Any, images: Path, name: str) -> Sample:
    image = field(entry, "image")
    caption = turns_of(entry["conversations"])[0][1] if "conversations" in entry else field(entry, "caption")
    return Sample(images / image, (("", caption),), f"{name}/{Path(image).stem}")


def captioned_folder(folder: Path, media: Path | None = None) -> SampleSet:
    """Your own clips and images: clip.mp4 beside clip.txt, or a captions.csv with the columns file and caption.

    media: where the files lie, by default in the folder itself. Subfolders are looked into only through captions.csv.
    A file without its text is a broken row. Raises InputError for a folder with neither.
    """
    folder = Path(folder).expanduser()
    if not has_captions(folder, media):
        raise InputError(
            f"{folder} holds neither captions.csv nor texts beside clips (clip.mp4, clip.txt): write one of the two"
        )
    media = media or folder
    name = folder.resolve().name
    if (folder / OWN_TABLE).is_file():
        table = Table(folder / OWN_TABLE, OWN_COLUMNS)
        return ParsedRows(name, table, partial(_own_sample, media=media, name=name))
    files = sorted(path for path in media.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES)
    return ParsedRows(name, _Files(files), partial(_side_by_side, texts=folder, name=name))


def has_captions(folder: Path, media: Path | None = None) -> bool:
    """True for a folder with captions.csv, or with a text that has the name of a medium beside it (or in `media`)."""
    if (folder / OWN_TABLE).is_file():
        return True
    texts = {file.stem for file in folder.glob("*.txt")}
    return any(file.stem in texts for file in (media or folder).glob("*") if file.suffix.lower() in MEDIA_SUFFIXES)


def _own_sample(row: Mapping[str, str], media: Path, name: str) -> Sample:
    file = field(row, "file")
    return Sample(media / file, (("", field(row, "caption")),), f"{name}/{file}")


class _Files:
    """Media files as rows."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int, /) -> Path:
        return self.files[i]

    def where(self, i: int) -> str:
        return str(self.files[i])


def _side_by_side(file: Path, texts: Path, name: str) -> Sample:
    text = texts / f"{file.stem}.txt"
    try:
        caption = text.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        raise InputError(f"has no {text.name} beside it") from None
    except UnicodeDecodeError:
        raise InputError(f"has a {text.name} that is not UTF-8 text") from None
    if not caption:
        raise InputError(f"has an empty {text.name}")
    return Sample(file, (("", caption),), f"{name}/{file.name}")
