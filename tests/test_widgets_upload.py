"""An uploaded file, in the layouts of ipywidgets 7 and 8, and in its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minivl.errors import MediaError
from minivl.widgets import upload
from minivl.widgets.upload import store, uploaded

SEVEN = {
    "old.mp4": {"metadata": {"name": "old.mp4", "type": "video/mp4", "size": 3}, "content": b"old"},
    "new.mp4": {"metadata": {"name": "new.mp4", "type": "video/mp4", "size": 3}, "content": b"new"},
}
EIGHT = (
    {"name": "old.mp4", "type": "video/mp4", "size": 3, "content": memoryview(b"old")},
    {"name": "new.mp4", "type": "video/mp4", "size": 3, "content": memoryview(b"new")},
)


@pytest.mark.parametrize("value", [SEVEN, EIGHT], ids=["ipywidgets 7", "ipywidgets 8"])
def test_the_last_file_is_taken(value: Any) -> None:
    assert uploaded(value) == ("new.mp4", b"new")


@pytest.mark.parametrize("nothing", [{}, (), None])
def test_an_empty_value_holds_nothing(nothing: Any) -> None:
    assert uploaded(nothing) is None


@pytest.mark.parametrize("name", ["clip.mp4", "../../clip.mp4", "/etc/clip.mp4", "C:\\films\\clip.mp4"])
def test_a_file_is_stored_under_its_own_name_alone(name: str, tmp_path: Path) -> None:
    assert store(name, b"content", tmp_path) == tmp_path / "clip.mp4"
    assert (tmp_path / "clip.mp4").read_bytes() == b"content"


def test_a_file_without_a_name_gets_one(tmp_path: Path) -> None:
    for name in ("..", "", "films/.."):
        assert store(name, b"content", tmp_path).parent == tmp_path
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"content"]


def test_a_large_file_is_not_even_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_MEGABYTES", 1)
    with pytest.raises(MediaError, match=r"film\.mp4 has 2 MB, and at most 1 MB are taken"):
        store("film.mp4", bytes(2 * 10**6), tmp_path)
    assert list(tmp_path.iterdir()) == []
