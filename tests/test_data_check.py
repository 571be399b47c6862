"""What `minivl data check` finds: the sample sets have one of everything that can be wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minivl.data.check import check
from minivl.data.detect import detect
from minivl.data.report import LISTED, Plan, Problems, Report
from minivl.errors import InputError

SAMPLES = Path(__file__).parent.parent / "data_samples"
ANNOTATIONS = SAMPLES / "annotations"


def report(name: str, **settings: object) -> Report:
    return check(detect(ANNOTATIONS / name), progress=False, **settings)  # type: ignore[arg-type]


def test_everything_wrong_with_webvid_is_counted_and_named() -> None:
    found = report("webvid")
    assert (found.rows, found.usable, found.broken_rows.count, found.missing_media.count) == (7, 5, 1, 1)
    assert "1.tsv, line 4, has nothing but punctuation" in found.broken_rows.listed[0]
    assert found.missing_media.listed[0].startswith("webvid/1001: ")
    assert (found.decoded, found.broken_media.count) == (5, 1)
    assert found.broken_media.listed[0].startswith("webvid/1002: ")
    assert "cut short" in found.broken_media.listed[0]
    assert found.first_good.startswith("webvid/bell, ")


@pytest.mark.parametrize(
    ("name", "usable", "broken_rows", "missing", "broken_media"),
    [
        ("cc_sbu_align", 2, 0, 1, 1),
        ("llava_cc3m", 2, 0, 1, 1),
        ("llava_instruct", 3, 1, 1, 1),
        ("videochat", 3, 0, 1, 1),
        ("own_table", 3, 0, 1, 1),
        ("own_files", 2, 1, 0, 1),
    ],
)
def test_every_set_is_checked(name: str, usable: int, broken_rows: int, missing: int, broken_media: int) -> None:
    found = report(name)
    assert found.usable == usable
    assert (found.broken_rows.count, found.missing_media.count, found.broken_media.count) == (
        broken_rows,
        missing,
        broken_media,
    )
    assert found.rows == usable + broken_rows + missing


def test_captions_and_conversations_are_told_apart_and_measured() -> None:
    captions, conversations = report("webvid", decode=0), report("videochat", decode=0)
    assert (captions.captions, captions.conversations, captions.question_words) == (6, 0, None)
    assert captions.answer_words == (5, 8.0, 11)
    assert (conversations.captions, conversations.conversations, conversations.turns) == (0, 4, 5)
    assert conversations.question_words == (4, 5.0, 6)


def test_sound_is_opened_too(write_media: Callable[..., Path], tmp_path: Path) -> None:
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    write_media("a.mp4", frames=frames)
    write_media("b.mp4", frames=frames, sound=np.zeros((1, 16_000), np.float32))
    shutil.copy(SAMPLES / "blue_square_and_phone.png", tmp_path / "c.png")
    (tmp_path / "captions.csv").write_text("file,caption\na.mp4,dark\nb.mp4,dark\nc.png,a square\n")
    found = check(detect(tmp_path), progress=False)
    assert (found.images, found.without_sound, found.broken_sound.count) == (1, 1, 0)
    assert found.picture_seconds > 0 and found.sound_seconds > 0


def test_rows_that_repeat_are_counted(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\na.mp4,sea\na.mp4,sea\na.mp4,sky\nb.mp4,sea\n")
    found = check(detect(tmp_path), progress=False)
    assert (found.repeated_samples, found.repeated_media) == (1, 2)


def test_at_most_so_many_are_decoded_from_first_to_last(tmp_path: Path) -> None:
    names = [f"{k:02}.png" for k in range(30)]
    for name in names:
        shutil.copy(ANNOTATIONS / "own_files" / "square.jpg", tmp_path / name)
    for name in (names[0], names[-1]):
        (tmp_path / name).write_bytes(b"broken")
    (tmp_path / "captions.csv").write_text("file,caption\n" + "".join(f"{name},a square\n" for name in names))
    found = check(detect(tmp_path), decode=4, progress=False)
    assert "/10.png" in found.first_good
    assert (found.decoded, found.broken_media.count) == (4, 2)
    assert check(detect(tmp_path), decode=None, progress=False).decoded == 30


def test_an_empty_set_is_reported_not_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file,caption\n")
    found = check(detect(tmp_path), progress=False)
    assert (found.rows, found.usable, found.decoded) == (0, 0, 0)
    assert "first good sample           none" in str(found)


def test_if_no_medium_is_found_the_folder_is_probably_wrong() -> None:
    found = check(detect(ANNOTATIONS / "videochat", media=Path("nowhere")), progress=False)
    assert "No medium is where it is expected" in str(found)
    assert "No medium" not in str(report("videochat", decode=0))
    assert "videochat/../../../dog_then_train.mp4" in report("videochat", decode=0).first_good


def test_the_training_takes_the_slower_of_steps_and_reading() -> None:
    slow_reading = Report("set", 100, Plan(batch=32, steps=100, step_seconds=0.5, readers=4), picture_seconds=0.1)
    assert slow_reading.reading_seconds() == pytest.approx(80)
    assert slow_reading.training_seconds() == pytest.approx(80)
    slow_reading.plan.readers = 16
    assert slow_reading.training_seconds() == pytest.approx(50)


def test_the_table_shows_the_first_of_each_kind_and_counts_the_rest() -> None:
    missing = Problems()
    for k in range(LISTED + 500):
        missing.add(f"webvid/{k}: {k}.mp4")
    shown = str(Report("webvid", 2000, usable=500, missing_media=missing))
    assert "medium missing            1,500  (75.0%)" in shown
    assert "webvid/2: 2.mp4\n  and 1497 more" in shown and "webvid/3:" not in shown
    assert len(missing.listed) == LISTED


def test_the_report_is_json() -> None:
    content = json.loads(json.dumps(report("own_table", plan=Plan(batch=2, steps=3, step_seconds=1.0)).to_dict()))
    assert content["missing_media"]["count"] == 1
    assert content["training_seconds"] >= 3


def test_arguments_outside_their_range() -> None:
    with pytest.raises(InputError, match="decode is -1"):
        report("webvid", decode=-1)
    with pytest.raises(InputError, match="give positive numbers"):
        Plan(batch=0)


def test_the_sample_sets_are_what_their_maker_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_annotations", SAMPLES / "make_annotations.py")
    assert spec and spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    maker.main(tmp_path)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    found = {path.relative_to(ANNOTATIONS) for path in ANNOTATIONS.rglob("*") if path.is_file()}
    assert written == {path for path in found if path.parts[0] != "video_qa"}  # these are no training data
    for path in written:
        if path.suffix != ".jpg":  # another version of Pillow may write other bytes
            assert (tmp_path / path).read_bytes() == (ANNOTATIONS / path).read_bytes(), path
    assert sum((ANNOTATIONS / path).stat().st_size for path in written) < 50_000
