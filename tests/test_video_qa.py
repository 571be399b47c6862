"""Public question sets: the formats as their authors publish them, the measures, and a score that loses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_model import small_model

from minivl.chat import Chat
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.predictions import append_prediction, for_judge, open_predictions
from minivl.video_qa import VideoQuestion, find_video, read_questions
from minivl.video_qa_score import VideoScore, as_text, contains_answer, exact_match, normalised, score, tabulate

SAMPLES = Path(__file__).parent.parent / "data_samples"
SETS = SAMPLES / "annotations" / "video_qa"


def written(path: Path, entries: Any) -> Path:
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
    return path


# ---- formats


def test_msvd_qa_and_msrvtt_qa() -> None:
    """The question's first word is its type; video_id is a number."""
    questions = read_questions(SETS / "msvd_qa" / "test_qa.json")
    assert questions[1] == VideoQuestion("1", "how many objects are there?", "one", "how", "2")
    assert [q.kind for q in read_questions(SETS / "msrvtt_qa" / "test_qa.json")] == ["what", "what", "what", "who"]


def test_activitynet_qa_matches_answers_by_id() -> None:
    """The sample's answers stand in another order; the second file is found beside the first."""
    questions = read_questions(SETS / "activitynet_qa" / "test_q.json")
    assert [(q.video, q.answer, q.kind) for q in questions] == [
        ("red_circle_moves_left", "it moves left", "motion"),
        ("cat_but_drum", "no", "yes/no"),
        ("no_sound_track", "blue", "colour"),
        ("three_shapes", "3", "number"),
    ]


def test_activitynet_qa_needs_its_second_file(tmp_path: Path) -> None:
    asked = written(tmp_path / "val_q.json", [{"question": "who", "question_id": "v_a_1", "video_name": "a"}])
    with pytest.raises(InputError, match=r"val_q\.json has questions without answers"):
        read_questions(asked)
    answers = written(tmp_path / "elsewhere.json", [{"answer": "man", "question_id": "v_a_1"}])  # a copy without types
    assert read_questions(asked, answers) == [VideoQuestion("a", "who", "man", "", "v_a_1")]
    written(answers, [{"answer": "man", "question_id": "v_b_1"}])
    with pytest.raises(InputError, match=r"val_q\.json, entry 1: .*elsewhere\.json has no answer to it .*'v_a_1'"):
        read_questions(asked, answers)


def test_video_chatgpt() -> None:
    questions = read_questions(SETS / "video_chatgpt" / "generic_qa.json")
    assert questions[1].question == "describe what you see" and {q.kind for q in questions} == {"free-form"}
    first, second = read_questions(SETS / "video_chatgpt" / "consistency_qa.json")
    assert first.answer == second.answer and first.question != second.question
    assert (first.kind, first.id, second.id) == ("consistency", "1.Q1", "1.Q2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "is not JSON from line 1, column 3 on"),
        ("[]", "is not a list of questions"),
        ('{"a": 1}', "is not a list of questions"),
        ('["who?"]', "is not a list of questions"),
        ('[{"q": "who?", "a": "he"}]', "the keys q, a, which no format has"),
        (
            '[{"Q": "who?", "A": "he", "video_name": "v"}, {"Q": "who?", "A": ""}]',
            "entry 2 has no text or number as 'A'",
        ),
        ('[{"question": "who?", "answer": "he", "video_id": [7]}]', "entry 1 has no text or number as 'video_id'"),
        ('[{"question": "who?", "answer": "he", "video_id": 7}, "x"]', "entry 2 is a str and no question"),
    ],
)
def test_a_malformed_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_questions(written(tmp_path / "qa.json", text))
    assert str(tmp_path / "qa.json") in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file: check the path"):
        read_questions(tmp_path / "qa.json")
    (tmp_path / "qa.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_questions(tmp_path / "qa.json")


# ---- videos


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("7010", "video7010.mp4"),
        ("video7010", "video7010.mp4"),
        ("1301", "vid1301.avi"),
        ("1QIUV7WYKXg", "v_1QIUV7WYKXg.mkv"),
        ("v_-1x.y", "v_-1x.y.WEBM"),
        ("v_9eni", "9eni.mp4"),
        ("a.mp4", "a.mp4"),
    ],
)
def test_a_video_is_found_by_the_names_it_has(tmp_path: Path, name: str, file: str) -> None:
    for made in (file, f"{name}.json", f"{name}.txt", "video70101.mp4"):
        (tmp_path / made).write_bytes(b"")
    assert find_video(tmp_path, name) == tmp_path / file
    assert find_video(tmp_path, "70") is None and find_video(tmp_path, "nobody") is None


@pytest.mark.parametrize("place", ["videos", ".", "annotations"])
def test_msvd_names_its_videos_in_a_second_file(tmp_path: Path, place: str) -> None:
    videos, annotations = tmp_path / "videos", tmp_path / "annotations" / "test_qa.json"
    videos.mkdir()
    annotations.parent.mkdir()
    written(tmp_path / place / "youtube_mapping.txt", "-4wsuPCjDBc_5_15 vid1\n-7KMZQEsJW4_205_208 vid2\n\n")
    (videos / "-7KMZQEsJW4_205_208.avi").write_bytes(b"")
    assert find_video(videos, "2", annotations) == videos / "-7KMZQEsJW4_205_208.avi"
    assert find_video(videos, "1", annotations) is None
    (videos / "vid1.avi").write_bytes(b"")  # a folder where they were renamed
    assert find_video(videos, "1", annotations) == videos / "vid1.avi"


def test_a_mapping_that_is_none(tmp_path: Path) -> None:
    written(tmp_path / "youtube_mapping.txt", "a vid1\nvid2 b\n")
    with pytest.raises(InputError, match=r"youtube_mapping\.txt, line 2: 'vid2 b' should be"):
        find_video(tmp_path, "2")


# ---- measures


@pytest.mark.parametrize(
    ("prediction", "answer", "exact", "contains"),
    [
        ("a bell", "bell", True, True),
        ("The man.", "man", True, True),
        ("two", "2", True, True),
        ("t-shirt", "T shirt", True, True),
        ("don't know", "dont know", True, True),
        ("a man is singing", "man", False, True),
        ("a woman sings", "man", False, False),
        ("he plays table tennis", "table tennis", False, True),
        ("he plays tennis at a table", "table tennis", False, False),
        ("there is no dog", "no", False, True),  # what "contains" gets wrong
        ("man", "a man sings", False, False),
        ("", "man", False, False),
        ("", "the", False, False),  # of an answer without content nothing is right
    ],
)
def test_two_measures(prediction: str, answer: str, exact: bool, contains: bool) -> None:
    assert exact_match(prediction, answer) is exact
    assert contains_answer(prediction, answer) is contains


def test_normalised() -> None:
    assert normalised("A  red circle, an apple & the Three\u2019s.") == "red circle apple threes"


def test_missing_predictions_count_as_wrong_and_are_seen() -> None:
    questions = [VideoQuestion("v", f"what {n}", "man", "what") for n in range(4)]
    questions.append(VideoQuestion("w", "who is it", "dog", "who"))
    table = tabulate(questions, {("v", "what 0"): "a man", ("v", "what 1"): "a man sings"})
    assert table["all"].items() >= {"count": 5, "answered": 2, "exact": 0.2, "contains": 0.4}.items()
    assert table["all"].items() >= {"exact of answered": 0.5, "contains of answered": 1.0, "frequent": 1.0}.items()
    assert table["who"].items() >= {"count": 1, "answered": 0, "exact": 0.0, "exact of answered": 0.0}.items()
    assert table["what"]["low"] < table["what"]["exact"] == 0.25 < table["what"]["high"]


# ---- asking


@pytest.fixture(scope="module")
def small() -> VideoLlama:
    return small_model()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are watched from now on."""
    names: list[str] = []
    watch = Chat.watch

    def watch_and_note(chat: Chat, source: Path, *senses: bool) -> None:
        names.append(source.name)
        watch(chat, source, *senses)

    monkeypatch.setattr(Chat, "watch", watch_and_note)
    return names


ASKED = [
    VideoQuestion("bell", "what do you see ?", "a dog", "what", "1"),
    VideoQuestion("gone", "what do you see ?", "a dog", "what", "2"),
    VideoQuestion("dog_then_train", "is it a dog ?", "yes", "other", "3"),
    VideoQuestion("bell", "what do you hear ?", "a bell", "what", "4"),
    VideoQuestion("cut_short", "is it red ?", "no", "other", "5"),
]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two videos, one that is cut short, and one that is asked about and not there."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("bell.mp4", "dog_then_train.mp4"):
        shutil.copyfile(SAMPLES / name, folder / name)
    (folder / "cut_short.mp4").write_bytes((SAMPLES / "bell.mp4").read_bytes()[:1500])
    return folder


def test_each_question_is_the_first_about_its_video(
    small: VideoLlama, videos: Path, tmp_path: Path, watched: list[str]
) -> None:
    result = score(small, ASKED, videos, tmp_path / "new" / "said.jsonl", max_new_tokens=8)
    assert watched == ["bell.mp4", "dog_then_train.mp4", "cut_short.mp4"]  # each once
    lines = [json.loads(line) for line in (tmp_path / "new" / "said.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines[1:]] == ["1", "4", "3"]
    chat = Chat(small)
    chat.watch(videos / "bell.mp4", True, False)
    assert lines[2]["prediction"] == chat.ask("what do you hear ?", max_new_tokens=8)
    assert result.missing == ["gone"] and list(result.broken) == ["cut_short"]
    assert "cut short" in result.broken["cut_short"]
    assert result.rows["all"]["count"] == 5 and result.rows["all"]["answered"] == 3
    text = as_text(result)
    assert "1 missing:\n  gone" in text and "1 broken:\n  cut_short: " in text


def test_an_interrupted_score_goes_on_where_it_stopped(
    small: VideoLlama, videos: Path, tmp_path: Path, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(small, ASKED, videos, tmp_path / "whole.jsonl", max_new_tokens=8)
    out, ask = tmp_path / "said.jsonl", Chat.ask

    def interrupted(chat: Chat, question: str, **options: int) -> str:
        if "hear" in question:
            raise KeyboardInterrupt
        return ask(chat, question, **options)

    monkeypatch.setattr(Chat, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(small, ASKED, videos, out, max_new_tokens=8)
    monkeypatch.setattr(Chat, "ask", ask)
    out.write_text(out.read_text() + '{"video": "dog_th')  # the machine stopped in the middle of a line
    watched.clear()
    assert score(small, ASKED, videos, out, max_new_tokens=8) == whole
    assert sorted(out.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())
    watched.clear()
    assert score(small, ASKED, videos, out, max_new_tokens=8) == whole and watched == ["cut_short.mp4"]


def test_a_question_that_fails_does_not_take_its_video_along(small: VideoLlama, videos: Path, tmp_path: Path) -> None:
    long = VideoQuestion("bell", "what is it " * 200, "a dog", "what")
    result = score(small, [long, ASKED[0]], videos, tmp_path / "said.jsonl", max_new_tokens=4)
    ((name, why),) = result.broken.items()
    assert name.startswith("bell: what is it") and "ask a shorter question" in why
    assert result.rows["all"]["answered"] == 1


def test_a_video_without_sound_is_named(small: VideoLlama, tmp_path: Path) -> None:
    asked = [VideoQuestion("no_sound_track", "what do you see ?", "a circle", "what")]
    result = score(small, asked, SAMPLES, tmp_path / "said.jsonl", hearing=True, max_new_tokens=4)
    assert "no audio track" in result.one_sense["no_sound_track"] and "1 of one sense" in as_text(result)


def test_an_instruction_stands_behind_the_question(small: VideoLlama, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.jsonl"
    score(small, ASKED[:1], videos, out, instruction="is it a dog or a bell ?", max_new_tokens=8)
    chat = Chat(small)
    chat.watch(videos / "bell.mp4", hearing=False)
    said = chat.ask("what do you see ? is it a dog or a bell ?", max_new_tokens=8)
    assert json.loads(out.read_text().splitlines()[1])["prediction"] == said


def test_predictions_of_other_settings_are_not_mixed(small: VideoLlama, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.jsonl"
    score(small, ASKED[:1], videos, out, name="one", max_new_tokens=4)
    with pytest.raises(InputError, match=r"of other settings \(model, hearing\): give the name of a new file"):
        score(small, ASKED[:1], videos, out, name="other", hearing=True, max_new_tokens=4)
    with pytest.raises(InputError, match="no question"):
        score(small, [], videos, out)


def test_a_file_that_holds_no_predictions_is_left_alone(tmp_path: Path) -> None:
    for content in (b"", b"my diary\n", b"\xff\xfe", b'["a"]\n'):
        (tmp_path / "out").write_bytes(content)
        with pytest.raises(InputError, match="holds no predictions"):
            open_predictions(tmp_path / "out", {})
        assert (tmp_path / "out").read_bytes() == content
    with pytest.raises(InputError, match="holds no predictions"):
        open_predictions(tmp_path, {})
    open_predictions(tmp_path / "new", {"model": "a"})
    append_prediction(tmp_path / "new", ASKED[0], "line one\nline two \u2028 three")
    assert open_predictions(tmp_path / "new", {"model": "a"}) == {
        ("bell", "what do you see ?"): "line one\nline two \u2028 three"
    }
    (tmp_path / "new").write_text((tmp_path / "new").read_text() + "oh\n")
    with pytest.raises(InputError, match="new, line 3 is no prediction: delete that line"):
        open_predictions(tmp_path / "new", {"model": "a"})


def test_free_form_answers_go_to_the_judge() -> None:
    """The keys that Video-ChatGPT's evaluation scripts read; a pair of questions is one entry."""
    pair = [VideoQuestion("v", f"what {n}?", "a man", "consistency", f"1.Q{n}") for n in (1, 2)]
    halves = [VideoQuestion(v, f"who {n}?", "a dog", "consistency", f"{v}.Q{n}") for v in "23" for n in (1, 2)]
    free = VideoQuestion("v", "describe it", "a man sings", "free-form", "1.Q")
    said = {("v", "what 1?"): "a", ("v", "what 2?"): "b", ("v", "describe it"): "d"}
    said |= {("2", "who 1?"): "of a pair whose second failed", ("3", "who 2?"): "of a pair whose first failed"}
    assert for_judge([*pair, *halves, free], said) == [
        {"video_name": "v", "Q1": "what 1?", "Q2": "what 2?", "A": "a man", "pred1": "a", "pred2": "b"},
        {"video_name": "v", "Q": "describe it", "A": "a man sings", "pred": "d"},
    ]
    rows = tabulate([free], said)
    assert rows == {"all": {"count": 1, "answered": 1}, "free-form": {"count": 1, "answered": 1}}
    assert "a language model judge them" in as_text(VideoScore(rows))


# ---- the shipped model


@pytest.mark.parametrize(
    ("file", "exact"),
    [
        ("msvd_qa/test_qa.json", 1.0),
        ("msrvtt_qa/test_qa.json", 0.25),  # one video is not there; which of three shapes is purple is too hard
        ("activitynet_qa/test_q.json", 1.0),
        ("video_chatgpt/generic_qa.json", None),
        ("video_chatgpt/consistency_qa.json", None),
    ],
)
def test_the_shipped_model_on_the_samples(file: str, exact: float | None, tmp_path: Path) -> None:
    questions, out = read_questions(SETS / file), tmp_path / "said.jsonl"
    result = score(VideoLlama.from_pretrained("tiny"), questions, SAMPLES, out, "tiny", annotations=SETS / file)
    assert result.missing == (["7010"] if "msrvtt" in file else []) and not result.broken
    row = result.rows["all"]
    assert row["answered"] == row["count"] - len(result.missing)
    if exact is None:
        assert "exact" not in row
    else:
        assert row["exact"] >= exact
    judged = json.loads((tmp_path / "said.judge.json").read_text())
    assert len(judged) == (1 if "consistency" in file else row["answered"])
