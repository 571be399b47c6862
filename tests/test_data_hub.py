"""Hugging Face data sets by their columns: paths and embedded media, captions and questions. No network is used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

from minivl import load_video
from minivl.data.hub import from_hub
from minivl.errors import InputError

SAMPLES = Path(__file__).parent.parent / "data_samples"
HUB = SAMPLES / "annotations" / "hub"
PICTURE = (SAMPLES / "blue_square_and_phone.png").read_bytes()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def clips(**columns: list[Any]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"video": ["a.mp4", "b.mp4"], **columns})


def test_a_folder_of_paths_and_captions() -> None:
    samples = from_hub(HUB, media="clip", caption="text", root=HUB)
    assert len(samples) == 3
    assert samples[0].turns == (("", "a large bell that rings"),)
    assert samples[0].origin == "hub/0"
    assert samples[0].media.samefile(SAMPLES / "bell.mp4")
    assert not samples[2].media.exists()


def test_questions_and_answers() -> None:
    samples = from_hub(HUB, media="clip", question="ask", answer="say")
    assert samples[1].turns == (("what do you hear?", "rain"),)
    assert not samples[1].is_caption


def test_conversations_as_in_llavas_files() -> None:
    talk = [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so"}]
    assert from_hub(clips(talk=[talk, talk]), conversation="talk")[1].turns == (("why?", "so"),)


def test_a_video_column_is_not_decoded_by_the_library() -> None:
    files = datasets.Dataset.from_dict({"video": [str(SAMPLES / "bell.mp4")], "text": ["a bell"]})
    samples = from_hub(files.cast_column("video", datasets.Video()), caption="text")
    assert samples[0].media == SAMPLES / "bell.mp4"


@pytest.mark.parametrize("feature", [datasets.Image(), datasets.Value("binary")], ids=["image", "bytes"])
def test_embedded_media_are_written_once_when_they_are_asked_for(tmp_path: Path, feature: Any) -> None:
    embedded = [{"bytes": PICTURE, "path": "square.png"}] * 2 if isinstance(feature, datasets.Image) else [PICTURE] * 2
    features = datasets.Features({"picture": feature, "text": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"picture": embedded, "text": ["a square", "the same"]}, features=features)
    samples = from_hub(rows, media="picture", caption="text", cache=tmp_path / "media")
    assert not (tmp_path / "media").exists()
    assert samples[0].media.read_bytes() == PICTURE
    written = samples[0].media.stat().st_mtime_ns
    assert samples[1].media == samples[0].media
    assert samples[1].media.stat().st_mtime_ns == written
    assert [path.name for path in (tmp_path / "media").iterdir()] == [samples[0].media.name]
    assert load_video(samples[0].media).is_image


def test_a_set_that_was_saved_to_disk_and_a_set_of_splits(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({"train": clips(text=["x", "y"]), "test": clips(text=["z", "w"])})
    splits.save_to_disk(tmp_path / "saved")
    assert from_hub(tmp_path / "saved", "test", caption="text")[0].turns == (("", "z"),)
    with pytest.raises(InputError, match="has no split 'validation': it has train, test"):
        from_hub(splits, "validation", caption="text")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"video": "a.mp4", "text": ""}, "has an empty 'text'"),
        ({"video": "a.mp4", "text": None}, "has no 'text'"),
        ({"video": None, "text": "sea"}, "has neither a path nor bytes in 'video'"),
        ({"video": "https://example.com/a.mp4", "text": "sea"}, "has an address in 'video', not a file"),
    ],
)
def test_a_broken_row_is_numbered(row: dict[str, Any], why: str) -> None:
    features = datasets.Features({"video": datasets.Value("string"), "text": datasets.Value("string")})
    samples = from_hub(datasets.Dataset.from_list([row], features=features), caption="text")
    with pytest.raises(InputError, match=f"row 0, {why}"):
        samples[0]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "the columns of words are not given"),
        ({"question": "text"}, "name a caption, or a question and an answer"),
        ({"caption": "text", "conversation": "text"}, "name a caption"),
        ({"caption": "words"}, "has no column words: it has video, text"),
        ({"caption": "text", "media": "clip"}, "has no column clip"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_hub(clips(text=["x", "y"]), **columns)  # type: ignore[arg-type]


def test_a_set_that_cannot_be_loaded_is_one_sentence(tmp_path: Path) -> None:
    for source, split in ((tmp_path / "none", "train"), (HUB, "validation")):
        with pytest.raises(InputError, match="cannot be loaded") as error:
            from_hub(source, split, caption="text")
        assert "\n" not in str(error.value)


def test_a_stream_has_no_length() -> None:
    with pytest.raises(InputError, match="load it without streaming"):
        from_hub(clips(text=["x", "y"]).to_iterable_dataset(), caption="text")


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="pip install datasets"):
        from_hub("someone/clips", caption="text")
