"""A conversation in the terminal, line by line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest
from toy_model import toy_model

from minivl.chat import Chat
from minivl.commands.talking import HELP, Terminal
from minivl.commands.watching import _settings, sampling_options
from minivl.errors import InputError
from minivl.model import VideoLlama

SAMPLES = Path(__file__).parent.parent / "data_samples"
CAT = SAMPLES / "cat_but_drum.mp4"
SEE, HEAR = "what do you see?", "what do you hear?"


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


def watched(model: VideoLlama, file: Path = CAT, **senses: bool) -> Chat:
    chat = Chat(model)
    chat.watch(file, **senses)
    return chat


@pytest.fixture
def terminal(model: VideoLlama) -> Terminal:
    return Terminal(watched(model), "cat_but_drum.mp4", {"max_new_tokens": 8})


def test_questions_and_answers(terminal: Terminal, model: VideoLlama, capsys: pytest.CaptureFixture[str]) -> None:
    chat = watched(model)
    for question in (SEE, HEAR):
        assert terminal.line(question)
        assert capsys.readouterr().out == f"minivl> {chat.ask(question, max_new_tokens=8)}\n"


def test_again_and_new(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.line(SEE)
    first = capsys.readouterr().out
    terminal.line("/again")
    assert capsys.readouterr().out == first and len(terminal.chat.history) == 1
    terminal.line("/new")
    assert terminal.chat.history == []
    terminal.line("/again")
    assert "ask one first" in capsys.readouterr().out


def test_senses_are_taken_away_and_given_back(
    terminal: Terminal, model: VideoLlama, capsys: pytest.CaptureFixture[str]
) -> None:
    both, deaf, blind = (
        watched(model, **senses).ask(HEAR, max_new_tokens=8) for senses in ({}, {"hearing": False}, {"sight": False})
    )
    for command, answer, senses in (
        ("/mute", deaf, "with sight)"),
        ("/unmute", both, "with sight and hearing)"),
        ("/blindfold", blind, "with hearing)"),
    ):
        terminal.line(command)
        terminal.line(HEAR)
        out = capsys.readouterr().out
        assert senses in out and out.endswith(f"minivl> {answer}\n")
    terminal.line("/mute")  # nothing would be left
    assert "nothing is left" in capsys.readouterr().out
    assert terminal.chat.history == [(HEAR, blind)], "the mistake changed nothing"
    terminal.line("/look")
    assert "with sight and hearing)" in capsys.readouterr().out


def test_a_trace_in_lines(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.line("/trace")
    assert "ask a question first" in capsys.readouterr().out
    terminal.line(SEE)
    terminal.line("/trace")
    out = capsys.readouterr().out
    assert "[video: 3 vectors]" in out and "[audio: 2 vectors]" in out and SEE in out
    assert "Attention on each frame" in out and "\nmuted: " in out and "\nblindfolded: " in out


def test_export(terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.line(SEE)
    answer = terminal.chat.history[0][1]
    data, text = tmp_path / "talk.json", tmp_path / "talk.txt"
    for file in (data, text):
        terminal.line(f"/export {file}")
    turn = json.loads(data.read_text())["turns"][0]
    assert (turn["question"], turn["answer"], turn["settings"]["max_new_tokens"]) == (SEE, answer, 8)
    assert f"you:    {SEE}\nminivl: {answer}" in text.read_text()
    capsys.readouterr()
    for command, sentence in (
        (f"/export {data}", "is there already"),
        (f"/export {tmp_path}", "is there already"),
        ("/export", "needs the name of a file"),
        (f"/export {data}/below.json", "choose another path"),
    ):
        assert terminal.line(command)
        assert sentence in capsys.readouterr().out
    assert json.loads(data.read_text())["turns"], "the first file is as it was"


def test_help_names_every_command(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.line("/help")
    assert capsys.readouterr().out == f"{HELP}\n"
    assert all(name in HELP for name in [*terminal.commands, "/quit"] if name != "/help")
    assert terminal.line("/dance") and "type /help" in capsys.readouterr().out
    assert not terminal.line("/quit")


def test_control_c_stops_the_answer_and_not_the_chat(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **options: object) -> list[int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal.chat.model, "generate", interrupted)
    assert terminal.line(SEE)
    assert "stopped" in capsys.readouterr().out and terminal.chat.history == []


def test_unknown_words_are_told(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.line("what zebra do you see?")
    assert "(the model does not know: zebra)" in capsys.readouterr().out


def test_options_of_the_command_line() -> None:
    parser = ArgumentParser()
    sampling_options(parser)
    assert _settings(parser.parse_args([])) == {
        "max_new_tokens": 64, "temperature": 0.0, "top_p": 1.0, "num_beams": 1,
    }  # fmt: skip
    chosen = parser.parse_args(["--temperature", "0.7", "--top-p", "0.9", "--beams", "2", "--length", "9"])
    assert _settings(chosen) == {"max_new_tokens": 9, "temperature": 0.7, "top_p": 0.9, "num_beams": 2}
    with pytest.raises(InputError, match="top_p is 0"):
        _settings(parser.parse_args(["--top-p", "0"]))
