"""A folder becomes a data set: which of the known layouts lies in it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minivl.data.captions import (
    LLAVA_CAPTIONS,
    OWN_COLUMNS,
    OWN_TABLE,
    REPACKED,
    WEBVID_COLUMNS,
    captioned_folder,
    captioned_images,
    has_captions,
    tables_in,
    webvid,
)
from minivl.data.instructions import llava_instruct, videochat
from minivl.data.samples import SampleSet
from minivl.data.table import read_header
from minivl.errors import InputError

LAYOUTS = ("captioned_images", "webvid", "llava_instruct", "videochat", "captioned_folder")
MEDIA_FOLDERS = ("videos", "video", "images", "image", "train2014", "train2017")
LLAVA_INSTRUCT = "llava_instruct_150k.json"  # the whole of the parts that lie beside it in LLaVA's download
BEGINNING = 1 << 18  # bytes in which the first entry of a JSON list ends


def detect(folder: Path, layout: str | None = None, media: Path | None = None) -> SampleSet:
    """Open the data set that lies in a folder, or a single annotation file (csv, tsv, json).

    layout: one of LAYOUTS, if it is known. media: the folder of the videos or images; by default videos/, images/,
    train2014/ or the like beside the annotations, or the folder itself.
    Raises InputError if nothing fits, saying what was looked for, and for a set that cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise InputError(f"{folder} does not exist: check the path, which is looked up from {Path.cwd()}")
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"there is no layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    named = {REPACKED: "captioned_images", OWN_TABLE: "captioned_folder"} | dict.fromkeys(
        LLAVA_CAPTIONS, "captioned_images"
    )
    if folder.name in named:  # known by their names: their readers take the folder, whatever else lies in it
        layout, folder = layout or named[folder.name], folder.parent
    for name in LAYOUTS if layout is None else (layout,):
        annotations = _find(name, folder, media)
        if annotations is not None:
            return _open(name, annotations, media)
    if layout is not None:  # opening it will say what is wrong
        return _open(layout, folder, media)
    raise InputError(
        f"{folder} holds no data set that is known: give a folder with {REPACKED} or {' or '.join(LLAVA_CAPTIONS)}, a "
        f"csv or tsv with the columns {', '.join(WEBVID_COLUMNS)}, a json list with image and conversations or with "
        f"video and QA, a captions.csv with the columns {', '.join(OWN_COLUMNS)}, or clip.mp4 with clip.txt beside it"
    )


def _find(layout: str, folder: Path, media: Path | None) -> Path | None:
    """The folder or file that the layout's reader is to be given, if there is one."""
    if layout == "captioned_images":
        return folder if any((folder / name).is_file() for name in (REPACKED, *LLAVA_CAPTIONS)) else None
    if layout == "webvid":
        return _webvid_annotations(folder)
    if layout == "llava_instruct":
        return _json_with(folder, "image", "conversations")
    if layout == "videochat":
        return _json_with(folder, "video", "QA")
    return folder if has_captions(folder, media) else None


def _open(layout: str, annotations: Path, media: Path | None) -> SampleSet:
    if layout == "captioned_images":
        return captioned_images(annotations, media)
    if layout == "captioned_folder":
        return captioned_folder(annotations, media)
    read = {"webvid": webvid, "llava_instruct": llava_instruct, "videochat": videochat}[layout]
    return read(annotations, media or _media_folder(annotations))


def _media_folder(annotations: Path) -> Path:
    """Where the media of some annotations lie, if nobody says: in a folder of a usual name in or beside their own."""
    base = annotations if annotations.is_dir() else annotations.parent
    places = [place / name for place in (base, base.parent) for name in MEDIA_FOLDERS]
    return next((place for place in places if place.is_dir()), base)


def _webvid_annotations(folder: Path) -> Path | None:
    """A folder with a table of WebVid's columns: this one or one below it. Or the table that was given."""
    if folder.is_file():
        return folder if _is_webvid(folder) else None
    places = (folder, *sorted(path for path in folder.iterdir() if path.is_dir()))
    return next((place for place in places if any(map(_is_webvid, tables_in(place)))), None)


def _is_webvid(table: Path) -> bool:
    try:
        with table.open("rb") as opened:
            read_header(opened, table, WEBVID_COLUMNS)
    except InputError:
        return False
    return True


def _json_with(folder: Path, *keys: str) -> Path | None:
    """The only JSON list whose first entry has all the keys. Raises InputError if there are several."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    fitting = [file for file in files if set(keys) <= _first_entry(file).keys()]
    whole = [file for file in fitting if file.name == LLAVA_INSTRUCT]
    if len(fitting) > 1 and not whole:
        raise InputError(
            f"{folder} holds several lists with {' and '.join(keys)} ({', '.join(f.name for f in fitting)}): "
            "give the path of one of them"
        )
    return next(iter(whole or fitting), None)


def _first_entry(file: Path) -> dict[str, Any]:
    """The first entry of a JSON list, read without the rest; empty for any other file."""
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        beginning = text.read(BEGINNING).lstrip()
    if not beginning.startswith("["):
        return {}
    try:
        entry, _ = json.JSONDecoder().raw_decode(beginning[1:].lstrip())
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}
