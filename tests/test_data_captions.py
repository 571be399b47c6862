"""Sets of captions, as they are downloaded: the words, the files, and what happens to rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minivl.data.captions import captioned_folder, captioned_images, clean_caption, webvid
from minivl.data.samples import Sample, SampleSet
from minivl.errors import InputError

HERE = Path(__file__).parent
ANNOTATIONS = HERE.parent / "data_samples" / "annotations"
CLEANING = json.loads((HERE / "goldens" / "frames.json").read_text())["caption_cleaning"]["examples"]


def refused(samples: SampleSet, i: int) -> str:
    """The one sentence that a broken row gives."""
    with pytest.raises(InputError) as error:
        samples[i]
    assert "\n" not in str(error.value) and str(error.value).endswith("mend the row or delete it")
    return str(error.value)


@pytest.mark.parametrize("caption", CLEANING, ids=lambda text: text[:12])
def test_captions_are_cleaned_as_in_the_original(caption: str) -> None:
    assert clean_caption(caption) == CLEANING[caption]


# ---- WebVid


def test_webvid_reads_csv_and_tsv_and_finds_videos_by_page_and_number() -> None:
    samples = webvid(ANNOTATIONS / "webvid" / "filter_annotation", Path("videos"))
    assert len(samples) == 7
    assert samples[0] == Sample(
        Path("videos/../../../bell.mp4"), (("", "a large bell rings, and swings to both sides"),), "webvid/bell"
    )
    assert samples[3].media == Path("videos/000001_000050/1002.mp4")
    assert samples[4].turns == (("", "red circle large moves left"),)  # the first row of the .tsv
    assert all(samples[i].is_caption for i in range(6))


def test_webvid_takes_one_file_as_well() -> None:
    assert len(webvid(ANNOTATIONS / "webvid" / "filter_annotation" / "1.tsv", Path("videos"))) == 3


def test_a_broken_row_names_its_file_and_line_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text('videoid,page_dir,name\n1,a,sea\n,a,sea\n3,a,\n4,a,"..."\n5,sea\n6,,sea\n')
    samples = webvid(tmp_path, Path("v"))
    assert "0.csv, line 3, has an empty 'videoid'" in refused(samples, 1)
    assert "0.csv, line 4, has an empty 'name'" in refused(samples, 2)
    assert "0.csv, line 5, has nothing but punctuation in 'name'" in refused(samples, 3)
    assert "0.csv, line 6, has 2 columns where the header has 3" in refused(samples, 4)
    assert samples[5].media == Path("v/6.mp4")  # videos that lie flat have no page_dir


def test_a_set_can_be_walked_and_ends() -> None:
    samples = captioned_images(ANNOTATIONS / "cc_sbu_align")
    assert [sample.origin for sample in samples] == ["cc_sbu_align/2", "cc_sbu_align/3", "cc_sbu_align/4"]  # type: ignore[attr-defined]
    assert samples[-1] == samples[2]
    with pytest.raises(IndexError):
        samples[3]


def test_webvid_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \*.csv or \*.tsv"):
        webvid(tmp_path, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        webvid(tmp_path / "none.csv", tmp_path)
    (tmp_path / "0.csv.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="unpack it with gunzip"):
        webvid(tmp_path, tmp_path)


# ---- images


def test_cc_sbu_align_is_read_raw() -> None:
    samples = captioned_images(ANNOTATIONS / "cc_sbu_align")
    assert samples.name == "cc_sbu_align"
    assert samples[0].media == ANNOTATIONS / "cc_sbu_align" / "image" / "2.jpg"
    assert samples[0].turns[0][1].startswith("The picture shows a blue square")  # capitals stay: not cleaned


def test_an_image_may_have_another_suffix(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "7.png").write_bytes(b"x")
    entries = [{"image_id": 7, "caption": "a sea"}, {"image_id": 8, "caption": "a sky"}]
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": entries}))
    assert [s.media.name for s in (captioned_images(tmp_path)[0], captioned_images(tmp_path)[1])] == ["7.png", "8.jpg"]


def test_llava_cc3m_as_downloaded_gives_the_same_captions_from_both_of_its_files(tmp_path: Path) -> None:
    folder = ANNOTATIONS / "llava_cc3m"
    (tmp_path / "metadata.json").write_text((folder / "metadata.json").read_text())
    chat, metadata = captioned_images(folder), captioned_images(tmp_path, folder / "images")
    assert chat[0].turns == (("", "blue square next to a telephone"),)  # the answer; the question is left out
    for i in range(3):
        assert chat[i].turns == metadata[i].turns
        assert chat[i].media == metadata[i].media == folder / "images" / f"GCC_train_00000000{i + 1}.jpg"


def test_images_repacked_as_in_the_original_have_their_own_names(tmp_path: Path) -> None:
    entry = {"image_id": "GCC_train_000000001", "caption": "a sea"}
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": [entry]}))
    (tmp_path / "image").mkdir()
    assert captioned_images(tmp_path)[0].media == tmp_path / "image" / "GCC_train_000000001.jpg"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"image_id": "1"}, "has no 'caption'"),
        ({"image_id": "1", "caption": "  "}, "has an empty 'caption'"),
        ({"caption": "sea"}, "has no 'image_id'"),
        ({"image_id": "1", "caption": ["sea"]}, "has a list where 'caption' should be text"),
        ("sea", "has no 'image_id'"),
    ],
)
def test_a_broken_entry_is_counted_from_one(tmp_path: Path, entry: object, why: str) -> None:
    entries = [{"image_id": "0", "caption": "sky"}, entry]
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": entries}))
    samples = captioned_images(tmp_path)
    assert samples[0].turns == (("", "sky"),)
    assert f"filter_cap.json, entry 2, {why}" in refused(samples, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"annotations": [\n{"image_id" "1"}]}', "is not JSON from line 2, column 13 on"),
        (b"[]", "does not hold a list under 'annotations'"),
        (b"", "is empty"),
        ('{"annotations": []}'.encode("utf-16"), "does not hold a list .* in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "filter_cap.json").write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        captioned_images(tmp_path)
    assert "filter_cap.json" in str(error.value) and "\n" not in str(error.value)


def test_json_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "filter_cap.json").write_text('{"annotations": []}', encoding="utf-8-sig")
    assert len(captioned_images(tmp_path)) == 0


def test_a_folder_without_captions_says_which_files_would_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"filter_cap.json, chat.json"):
        captioned_images(tmp_path)


# ---- your own


def test_own_clips_in_a_table() -> None:
    samples = captioned_folder(ANNOTATIONS / "own_table")
    assert samples[0] == Sample(
        ANNOTATIONS / "own_table" / "../../bell.mp4", (("", "a large bell that rings"),), "own_table/../../bell.mp4"
    )
    assert samples[1].turns == (("", "a blue square, and a telephone"),)


def test_own_pictures_with_texts_beside_them() -> None:
    samples = captioned_folder(ANNOTATIONS / "own_files")
    assert [path.name for path in (samples[0].media, samples[2].media)] == ["cut_short.jpg", "square.jpg"]
    assert samples[2].turns == (("", "a blue square beside a telephone"),)
    assert "no_text.jpg has no no_text.txt beside it" in refused(samples, 1)


def test_a_text_that_is_empty_or_in_another_encoding_is_a_broken_row(tmp_path: Path) -> None:
    for name, text in (("a", b""), ("b", b"s\xe9a"), ("c", "\ufeffa sea\r\n".encode())):
        (tmp_path / f"{name}.mp4").write_bytes(b"x")
        (tmp_path / f"{name}.txt").write_bytes(text)
    samples = captioned_folder(tmp_path)
    assert "has an empty a.txt" in refused(samples, 0)
    assert "has a b.txt that is not UTF-8" in refused(samples, 1)
    assert samples[2].turns == (("", "a sea"),)


def test_texts_and_clips_may_lie_apart(tmp_path: Path) -> None:
    for name in ("texts/a.txt", "clips/a.mp4", "clips/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a sea")
    samples = captioned_folder(tmp_path / "texts", tmp_path / "clips")
    assert samples[0].media == tmp_path / "clips" / "a.mp4"
    assert "b.mp4 has no b.txt" in refused(samples, 1)


def test_clips_without_any_text_are_no_set(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds neither captions.csv nor texts beside clips"):
        captioned_folder(tmp_path)
