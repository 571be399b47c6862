"""JSON lists: entries are found by their bytes, and parsed one at a time."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from minivl.data.entries import Entries
from minivl.errors import InputError

CONTENT: list[Any] = [{"a": 'say "ß"], [', "b": [1, {"c": None}]}, {}, ["x", "]"], "é ☃ \U0001f600\n", 5, -1.5e3, True]


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "list.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("key", [None, "annotations"])
def test_entries_are_those_of_the_json_module(
    tmp_path: Path, indent: int | None, ascii_only: bool, key: str | None
) -> None:
    whole: Any = CONTENT if key is None else {"info": {"year": 2023, "of": ["☃"]}, key: CONTENT, "more": [1]}
    entries = Entries(write(tmp_path, json.dumps(whole, indent=indent, ensure_ascii=ascii_only)), key)
    assert [entries[i] for i in range(len(entries))] == CONTENT


@pytest.mark.parametrize("text", ["[]", " [ \n ] ", "\ufeff[]"], ids=["empty", "white space", "byte order mark"])
def test_a_list_may_be_empty(tmp_path: Path, text: str) -> None:
    assert len(Entries(write(tmp_path, text))) == 0


def test_an_entry_in_another_encoding_is_one_broken_entry(tmp_path: Path) -> None:
    entries = Entries(write(tmp_path, b'["a", "s\xe9a", "b"]'))
    assert (len(entries), entries[0], entries[2]) == (3, "a", "b")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        entries[1]
    assert entries.where(1).endswith("list.json, entry 2,")


@pytest.mark.parametrize("text", ['[{"a": 1},\n{"a": 2', '[{"a": 1},\n', "[1,\n2 x]", '["a",\n"b\nc"]'])
def test_a_file_that_is_cut_short_or_wrong_is_named_with_the_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"list.json is not JSON from line [23], column \d+ on .*: download it again"):
        Entries(write(tmp_path, text))


@pytest.mark.parametrize("text", ["{}", "text", '{"annotations": {}}'])
def test_a_file_without_the_list_is_named(tmp_path: Path, text: str) -> None:
    for key in (None, "annotations"):
        with pytest.raises(InputError, match=r"list.json does not hold a list"):
            Entries(write(tmp_path, text), key)


def test_an_open_list_is_small_and_goes_to_another_process(tmp_path: Path) -> None:
    entries = Entries(write(tmp_path, json.dumps([{"caption": "of some length " * 5, "id": i} for i in range(5000)])))
    assert entries[4999]["id"] == 4999
    sent = pickle.dumps(entries)
    assert len(sent) < 9 * len(entries)  # bytes
    assert pickle.loads(sent)[7] == entries[7]
