"""The command line: every command and its options, what it prints, and its exit code."""

from __future__ import annotations

import json
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
from toy_model import toy_model

from minivl import cli, evaluation, stages
from minivl.chat import Chat
from minivl.commands import watching
from minivl.model import VideoLlama
from minivl.pretraining import pipeline

SAMPLES = Path(__file__).parent.parent / "data_samples"
BELL = str(SAMPLES / "bell.mp4")
ROOT = Path(__file__).parent.parent
COMMANDS = (
    "demo",
    "ask",
    "chat",
    "pretrain",
    "train",
    "evaluate",
    "claims",
    "download",
    "convert",
    "memory",
    "data",
    "plan",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with random weights, as a reader's own would be given with --model."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    toy_model().save_pretrained(folder)
    return str(folder)


def parse(*arguments: str) -> Namespace:
    return cli.build_parser().parse_args(arguments)


# ---- options


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    assert f"usage: minivl {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["sing"], ["ask"], ["ask", "clip.mp4"], ["train", "--branch", "vision"], ["pretrain"],
        ["train", "--branch", "smell", "--stage", "1", "--out", "x"], ["evaluate", "--clips", "many"],
        ["train", "--branch", "vision", "--stage", "3", "--out", "x"],
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: minivl" in capsys.readouterr().err


def test_what_the_options_mean() -> None:
    asked = parse("ask", "a.mp4", "what?", "where?", "--no-sight")
    assert (asked.run, asked.question, asked.model) == (watching.ask, ["what?", "where?"], "tiny")
    assert asked.no_sight and not asked.no_hearing
    trained = parse("train", "--branch", "audio", "--stage", "2", "--out", "o", "--from-sound", "--steps", "9")
    assert (trained.branch, trained.stage, trained.steps, trained.from_sound) == ("audio", 2, 9, True)
    assert trained.out == Path("o") and trained.seed == 0
    measured = parse("evaluate")
    assert (measured.clips, measured.seed, measured.json) == (400, 1_000_000, None)
    assert parse("pretrain", "--out", "o", "--scale", "0.5").scale == 0.5
    assert parse("demo").run is watching.demo and parse("chat", "a.wav", "--no-hearing").no_hearing


# ---- commands


def test_ask_prints_one_answer_a_line(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    questions = ["what do you see?", "what do you hear?", "is there a bell?"]
    assert cli.main(["ask", BELL, *questions, "--model", folder]) == 0
    out, err = capfd.readouterr()
    chat = Chat(VideoLlama.from_pretrained(folder))
    chat.watch(BELL)
    assert out == "".join(chat.ask(question) + "\n" for question in questions)
    assert err == ""


def test_one_sense_can_be_switched_off(folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    chat = Chat(VideoLlama.from_pretrained(folder))
    for option, senses in (("--no-sight", {"sight": False}), ("--no-hearing", {"hearing": False})):
        assert cli.main(["ask", BELL, "what do you see?", "--model", folder, option]) == 0
        chat.watch(BELL, **senses)
        assert capfd.readouterr().out == chat.ask("what do you see?") + "\n"


def test_chat_talks_until_an_empty_line(
    folder: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = iter(["what do you see?", "what " * 600, "what do you hear?", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(said))
    assert cli.main(["chat", BELL, "--model", folder]) == 0
    lines = capfd.readouterr().out.splitlines()
    chat = Chat(VideoLlama.from_pretrained(folder))
    chat.watch(BELL)
    answers = [f"minivl> {chat.ask(q)}" for q in ("what do you see?", "what do you hear?")]
    assert lines[1] == answers[0] and lines[3] == answers[1]
    assert "ask a shorter question" in lines[2]  # and the chat goes on


def test_chat_ends_at_the_end_of_input(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert cli.main(["chat", BELL, "--model", folder]) == 0


def test_control_c_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_watch", interrupted)
    assert cli.main(["ask", BELL, "what?"]) == 130
    assert capsys.readouterr().err == "\nminivl: stopped\n"


def test_pretrain_passes_its_options_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(pipeline, "pretrain", lambda *arguments: calls.append(arguments))
    assert cli.main(["pretrain", "--out", str(tmp_path), "--seed", "4", "--scale", "0.1"]) == 0
    assert calls == [(tmp_path, 4, 0.1)]
    assert str(tmp_path) in capsys.readouterr().out


def test_train_then_evaluate(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two steps of stage 1; the result is a model whose table can be measured."""
    monkeypatch.setattr(evaluation, "frequent_answers", partial(evaluation.frequent_answers, scenes=50))
    measured = stages.evaluate
    monkeypatch.setattr(stages, "evaluate", lambda model, clips, *rest, **options: measured(model, 1, *rest, **options))
    out, cache, table = str(tmp_path / "trained"), str(tmp_path / "cache"), tmp_path / "table.json"
    train = ["train", "--branch", "vision", "--stage", "1", "--steps", "2", "--clips", "33", "--seed", "1"]
    assert cli.main([*train, "--model", folder, "--out", out, "--cache", cache]) == 0
    printed = capsys.readouterr().out
    assert "sight/describe" in printed and "hearing/" not in printed and "2 steps in" in printed and out in printed
    assert cli.main(["evaluate", "--model", out, "--clips", "1", "--seed", "1000003", "--json", str(table)]) == 0
    assert "condition/question type" in capsys.readouterr().out
    rows = json.loads(table.read_text())
    assert (
        all(row.keys() >= {"accuracy", "count", "blind", "low", "high"} for row in rows.values()) and "both/see" in rows
    )


def test_demo_saves_the_picture_where_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Path] = []
    monkeypatch.setattr("minivl.demo.run", lambda out: calls.append(out))
    assert cli.main(["demo", "--out", str(tmp_path / "a.png")]) == 0
    assert calls == [tmp_path / "a.png"]


# ---- around the published weights, and data sets


def test_memory_prints_a_table_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    assert cli.main(["memory", "--preset", "tiny", "--mode", "train", "--branch", "audio", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "audio branch (trained, fp32)" in printed and "image encoder" not in printed
    assert {row["part"] for row in json.loads(file.read_text())["rows"]} >= {"audio branch (trained, fp32)"}
    assert cli.main(["memory", "--measure"]) == 2
    assert "--measure needs a GPU" in capsys.readouterr().err


def test_download_and_convert_pass_their_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[object] = []
    monkeypatch.setattr("minivl.published.download.download_official", lambda *given: calls.append(given) or given[1])
    monkeypatch.setattr("minivl.published.convert.convert", lambda *given, **named: calls.append((*given, named)) or "")
    assert cli.main(["download", "13b", "--to", "x", "--files", "VL_*.pth"]) == 0
    assert cli.main(["convert", "x", "y", "--conversation", "vicuna", "--vision-branch", "v2.pth"]) == 0
    named = {"llm": None, "conversation": "vicuna", "vision_branch": "v2.pth"}
    assert calls == [("13b", Path("x"), ("VL_*.pth",)), ("x", Path("y"), named)]


def test_a_branch_file_is_refused_where_a_new_branch_begins(capsys: pytest.CaptureFixture[str]) -> None:
    start = ["train", "--branch", "vision", "--stage", "1", "--data", "data_samples"]
    assert cli.main([*start, "--branch-file", "mine.safetensors", "--out", "never_written"]) == 2
    assert "--branch-file has no use in stage 1" in capsys.readouterr().err


def test_data_check_reports_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    assert cli.main(["data", "check", str(ROOT / "data_samples/annotations/webvid"), "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "missing media:\n  webvid/1001" in printed and "broken media:\n  webvid/1002" in printed
    assert json.loads(file.read_text())
    assert cli.main(["data", "check", str(tmp_path)]) == 2
