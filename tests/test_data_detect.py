"""A folder tells which data set lies in it; if it does not, the message says what was looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minivl.data.detect import LAYOUTS, detect
from minivl.errors import InputError

ANNOTATIONS = Path(__file__).parent.parent / "data_samples" / "annotations"


@pytest.mark.parametrize(
    ("place", "name", "rows"),
    [
        ("webvid", "webvid", 7),
        ("webvid/filter_annotation", "webvid", 7),
        ("webvid/filter_annotation/0.csv", "webvid", 4),
        ("cc_sbu_align", "cc_sbu_align", 3),
        ("cc_sbu_align/filter_cap.json", "cc_sbu_align", 3),
        ("llava_cc3m", "llava_cc3m", 3),
        ("llava_cc3m/chat.json", "llava_cc3m", 3),
        ("llava_instruct", "llava_instruct", 5),
        ("llava_instruct/llava_instruct_150k.json", "llava_instruct", 5),
        ("videochat", "videochat", 4),
        ("own_table", "own_table", 4),
        ("own_table/captions.csv", "own_table", 4),
        ("own_files", "own_files", 3),
    ],
)
def test_every_layout_is_recognised_and_its_first_medium_found(place: str, name: str, rows: int) -> None:
    samples = detect(ANNOTATIONS / place)
    assert (samples.name, len(samples)) == (name, rows)
    assert samples[0].media.is_file()


def test_media_may_lie_elsewhere() -> None:
    samples = detect(ANNOTATIONS / "videochat", media=Path("far/away"))
    assert samples[2].media == Path("far/away/webvid/1004.mp4")


def test_of_llavas_files_the_whole_is_taken_not_a_part(tmp_path: Path) -> None:
    whole = ANNOTATIONS / "llava_instruct" / "llava_instruct_150k.json"
    for name in ("conversation_58k.json", "detail_23k.json"):
        (tmp_path / name).write_text(json.dumps(json.loads(whole.read_text())[:1]))
    with pytest.raises(InputError, match=r"several lists .*conversation_58k.json, detail_23k.json"):
        detect(tmp_path)
    shutil.copy(whole, tmp_path)
    assert len(detect(tmp_path)) == 5


def test_a_file_that_was_named_is_opened_whatever_lies_beside_it(tmp_path: Path) -> None:
    """A captions.csv beside a list of conversations: the captions were asked for."""
    (tmp_path / "captions.csv").write_text("file,caption\nx.mp4,a dog\n")
    (tmp_path / "chats.json").write_text('[{"video": "x.mp4", "QA": [{"q": "what?", "a": "a cat"}]}]')
    (tmp_path / "x.mp4").touch()
    assert "a dog" in str(detect(tmp_path / "captions.csv")[0])
    assert "a cat" in str(detect(tmp_path / "chats.json")[0])


def test_a_folder_with_nothing_known_says_what_would_do(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"a": 1}')
    (tmp_path / "labels.csv").write_text("file,label\n1.mp4,cat\n")
    with pytest.raises(InputError) as error:
        detect(tmp_path)
    for looked_for in ("filter_cap.json", "chat.json", "videoid, page_dir, name", "QA", "captions.csv", "clip.txt"):
        assert looked_for in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_that_is_named_but_not_there_is_one_sentence(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError) as error:
        detect(tmp_path, layout)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_named_layout_tells_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_bytes("videoid,page_dir,name\n".encode("utf-16"))
    with pytest.raises(InputError, match="is not UTF-8 text"):
        detect(tmp_path, "webvid")


def test_a_path_or_layout_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        detect(tmp_path / "none")
    with pytest.raises(InputError, match="there is no layout 'coco': choose one of captioned_images"):
        detect(tmp_path, "coco")
