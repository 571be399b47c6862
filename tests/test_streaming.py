"""An answer arrives piece by piece, and a reader may go away in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from small_model import small_model
from torch import Tensor

from minivl.chat import Chat
from minivl.conversation import TINY
from minivl.generation import AnswerStoppedError, AnswerStreamer

SAMPLES = Path(__file__).parent.parent / "data_samples"
QUESTION = "what do you see ?"


@pytest.fixture
def chat() -> Chat:
    chat = Chat(small_model())
    chat.watch(SAMPLES / "bell.mp4")
    return chat


def test_the_pieces_are_the_answer(chat: Chat) -> None:
    pieces: list[str] = []
    answer = chat.ask(QUESTION, stream=pieces.append, max_new_tokens=8)
    assert "".join(pieces) == answer and len(pieces) > 1
    chat.reset()
    assert list(chat.ask_stream(QUESTION, max_new_tokens=8)) == pieces
    assert chat.history == [(QUESTION, answer)]


def test_a_reader_who_stops_early_has_not_asked(chat: Chat) -> None:
    stream = chat.ask_stream(QUESTION, max_new_tokens=60)
    assert next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert chat.history == []
    assert chat.ask(QUESTION, max_new_tokens=8)


def test_a_failing_reader_has_not_asked(chat: Chat) -> None:
    def broken(piece: str) -> None:
        raise ConnectionError("the browser is gone")

    with pytest.raises(ConnectionError):
        chat.ask(QUESTION, stream=broken, max_new_tokens=8)
    assert chat.history == []


def test_after_a_failure_the_conversation_goes_on_as_if_nothing_had_been(chat: Chat) -> None:
    def broken(piece: str) -> None:
        raise ConnectionError("the browser is gone")

    untouched = Chat(chat.model)
    untouched.watch(SAMPLES / "bell.mp4")
    for each in (chat, untouched):
        each.ask(QUESTION, max_new_tokens=8)
    with pytest.raises(ConnectionError):
        chat.ask("what do you hear first ?", stream=broken)
    assert chat.ask("is it red ?", max_new_tokens=16) == untouched.ask("is it red ?", max_new_tokens=16)


def test_a_failure_while_streaming_reaches_the_reader(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> list[int]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(chat.model, "generate", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(chat.ask_stream(QUESTION))
    assert chat.history == []


def test_the_beginning_of_a_stop_text_is_held_back() -> None:
    """As an LLM with byte-pair pieces streams it: "#" may begin "###", and a character may come in halves."""
    texts = ["a", "a #", "a #1", "a #1 caf\N{REPLACEMENT CHARACTER}", "a #1 café", "a #1 café#", "a #1 café##"]
    said: list[str] = []
    streamer = AnswerStreamer(lambda ids: texts[len(ids) - 1], TINY, said.append)
    for number in range(len(texts)):
        streamer.put(torch.tensor([number]))
    assert said == ["a", " #1", " caf", "é"]
    texts.append("a #1 café")  # the whole "###" arrived, and reading cuts it off
    streamer.put(torch.tensor([0]))
    streamer.end()
    assert "".join(said) == "a #1 café"


# ---- the model writes its own role


@contextmanager
def dictated(chat: Chat, *words: str) -> Iterator[None]:
    """The model writes these words, whatever it is asked."""
    ids = chat.model.tokenizer.convert_tokens_to_ids(list(words))
    steps = iter(ids)

    def dictate(module: object, inputs: object, logits: Tensor) -> Tensor:
        logits[..., next(steps)] += 1e4
        return logits

    hook = chat.model.llm.lm_head.register_forward_hook(dictate)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        (("Assistant:", "red", "###"), "red"),
        (("red", "Assistant:", "blue", "###"), "red"),
        (("red", "Assistant:", "red", "dog", "###"), "red"),
        (("Assistant:", "Assistant:", "red", "dog", "###"), "red dog"),
        (("###",), ""),
    ],
)
def test_a_streamed_answer_is_the_answer_although_the_model_writes_its_role(
    chat: Chat, written: tuple[str, ...], answer: str
) -> None:
    pieces: list[str] = []
    with dictated(chat, *written):
        assert chat.ask(QUESTION, stream=pieces.append) == answer
    assert "".join(pieces) == answer
    with dictated(chat, *written):
        assert chat.ask(QUESTION) == answer
    with dictated(chat, *written):
        assert "".join(chat.ask_stream(QUESTION)) == answer
    assert [said for _, said in chat.history] == [answer] * 3


def test_a_role_that_comes_in_byte_pairs_is_held_back() -> None:
    texts = ["vitamin", "vitamin A", "vitamin Ass", "vitamin Assistant", ""]  # read() drops what stands before a role
    said: list[str] = []
    streamer = AnswerStreamer(lambda ids: texts[len(ids) - 1], TINY, said.append)
    for number in range(len(texts)):
        streamer.put(torch.tensor([number]))
    streamer.end()
    assert said == ["vitamin"] and streamer.said == "vitamin"


# ---- beams, chance, and stopping


def test_beams_come_in_one_piece(chat: Chat) -> None:
    pieces: list[str] = []
    answer = chat.ask(QUESTION, stream=pieces.append, max_new_tokens=8, num_beams=3)
    assert pieces == [answer]
    chat.reset()
    assert list(chat.ask_stream(QUESTION, max_new_tokens=8, num_beams=3)) == [answer]


@pytest.mark.parametrize("beams", [1, 3])
def test_an_answer_is_stopped_from_another_thread(chat: Chat, beams: int) -> None:
    first = chat.ask(QUESTION, max_new_tokens=8)
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(AnswerStoppedError):
        chat.ask("is it red ?", max_new_tokens=60, num_beams=beams, stopped=stopped)
    assert chat.history == [(QUESTION, first)]
    assert chat.ask("is it red ?", max_new_tokens=4) is not None
