"""What stands behind an answer: every part of the trace against the model itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from einops import rearrange
from toy_model import toy_model

from minivl.answer_plot import describe_answer_trace, show_answer_trace
from minivl.answer_trace import attention_weights, last_cross_attention, trace_answer
from minivl.chat import Chat
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.plots import Picture
from minivl.transformer import Attention

SAMPLES = Path(__file__).parent.parent / "data_samples"
SEE, HEAR = "what do you see?", "what do you hear?"


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


@pytest.fixture
def chat(model: VideoLlama) -> Chat:
    chat = Chat(model)
    chat.watch(SAMPLES / "cat_but_drum.mp4")
    chat.ask(SEE, max_new_tokens=6)
    chat.ask(HEAR, max_new_tokens=6)
    return chat


# ---- attention


def test_the_weights_sum_to_one_and_give_the_modules_own_output() -> None:
    attention = Attention(12, heads=3, context_width=20)
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 20)
    weights = attention_weights(attention, x, context)  # [2, 3, 5, 7]
    assert weights.shape == (2, 3, 5, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 5))
    values = rearrange(attention.value(context), "n s (h c) -> n h s c", h=3)
    read = rearrange(weights @ values, "n h q c -> n q (h c)")
    torch.testing.assert_close(attention.out(read), attention(x, context))


def test_the_last_layer_is_the_one_whose_weights_are_shown(model: VideoLlama) -> None:
    """A last layer that cannot tell its states apart reads all of them alike, whatever the first one does."""
    assert model.vision_branch is not None
    qformer, states = model.vision_branch.qformer, torch.randn(1, 10, 16)
    uneven = last_cross_attention(qformer, states)
    assert uneven.std() > 1e-4
    key = qformer.layers[-1].cross_attention.key
    kept = key.weight.data.clone()
    key.weight.data.zero_()
    even = last_cross_attention(qformer, states)
    key.weight.data.copy_(kept)
    torch.testing.assert_close(even, torch.full_like(even, 0.1))
    assert not qformer.layers[-1].cross_attention._forward_pre_hooks


def test_the_shares_of_frames_and_segments(chat: Chat, model: VideoLlama) -> None:
    trace = trace_answer(chat)
    assert trace.frames is not None and trace.frames.shape == (8,)
    assert trace.segments is not None and trace.segments.shape == (2,)
    assert trace.frames_by_query is not None and trace.frames_by_query.shape == (3, 8)
    assert trace.segments_by_query is not None and trace.segments_by_query.shape == (2, 2)
    for shares in (trace.frames, trace.segments, *trace.frames_by_query, *trace.segments_by_query):
        torch.testing.assert_close(shares.sum(), torch.tensor(1.0))
    torch.testing.assert_close(trace.frames, trace.frames_by_query.mean(dim=0))


def test_a_frames_share_is_that_of_its_own_tokens(chat: Chat, model: VideoLlama) -> None:
    assert model.vision_branch is not None and chat.perceived is not None and chat.perceived.frame_tokens is not None
    timed = model.vision_branch.positions(chat.perceived.frame_tokens)  # [1, T, K, width]
    weights = last_cross_attention(model.vision_branch.qformer, timed.flatten(1, 2))  # [1, heads, Qv, T K]
    K = timed.shape[2]
    third = weights[..., 2 * K : 3 * K].sum(dim=-1).mean().detach()
    assert trace_answer(chat).frames[2] == pytest.approx(float(third), abs=1e-6)  # type: ignore[index]


# ---- words


def test_the_layout_is_the_prompt(chat: Chat, model: VideoLlama) -> None:
    trace = trace_answer(chat)
    assert [piece.kind for piece in trace.layout] == ["text", "video", "text", "audio", "text"]
    assert [piece.tokens for piece in trace.layout if piece.kind != "text"] == [3, 2]
    assert sum(piece.tokens for piece in trace.layout) == len(chat.turns[-1].ids)
    last = trace.layout[-1].text
    assert SEE in last and HEAR in last, "what was said before is a part of the prompt"


def test_the_probabilities_are_those_of_writing_one_token_after_the_other(chat: Chat, model: VideoLlama) -> None:
    turn, trace = chat.turns[-1], trace_answer(chat)
    assert len(trace.written) == len(turn.new) > 1
    for n, written in enumerate(trace.written):
        ids = torch.tensor([turn.ids + turn.new[:n]])
        logits = model.llm(inputs_embeds=model.embed(ids, chat._soft)).logits[0, -1]
        probabilities = logits.softmax(dim=-1)
        assert written.probability == pytest.approx(float(probabilities[turn.new[n]]), abs=1e-5)
        best = probabilities.topk(5)
        assert [share for _, share in written.likeliest] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert written.text == written.likeliest[0][0], "a greedy answer is made of the likeliest tokens"
    assert trace.likeliest == trace.written[0].likeliest


# ---- without a sense


def test_answers_without_a_sense_are_those_of_a_chat_without_it(chat: Chat, model: VideoLlama) -> None:
    trace = trace_answer(chat)
    for name, senses in (("muted", {"hearing": False}), ("blindfolded", {"sight": False})):
        other = Chat(model)
        other.watch(SAMPLES / "cat_but_drum.mp4", **senses)
        assert trace.without[name] == other.ask(HEAR, max_new_tokens=6)


@pytest.mark.parametrize("file", ["bird.wav", "no_sound_track.mp4", "blue_square_and_phone.png"])
def test_one_sense_alone_cannot_be_taken_away(model: VideoLlama, file: str) -> None:
    chat = Chat(model)
    chat.watch(SAMPLES / file)
    chat.ask(SEE, max_new_tokens=4)
    trace = trace_answer(chat)
    assert trace.without == {}
    assert (trace.frames is None) == (trace.clip is None) == file.endswith(".wav")
    assert (trace.segments is None) == (trace.sound is None) == (not file.endswith(".wav"))


# ---- the chat, and the picture


def test_the_chat_stays_as_it_is(chat: Chat, model: VideoLlama) -> None:
    untouched = Chat(model)
    untouched.watch(SAMPLES / "cat_but_drum.mp4")
    for question in (SEE, HEAR):
        untouched.ask(question, max_new_tokens=6)
    before, prompt = chat.history, chat.prompt
    trace_answer(chat)
    trace_answer(chat, 0)
    assert chat.history == before and chat.prompt == prompt and chat.notes == untouched.notes
    assert chat.ask(SEE, max_new_tokens=6) == untouched.ask(SEE, max_new_tokens=6)


def test_each_answer_has_its_own_trace(chat: Chat) -> None:
    assert [trace_answer(chat, turn).question for turn in (0, 1, -1, -2)] == [SEE, HEAR, HEAR, SEE]
    for turn in (2, -3):
        with pytest.raises(InputError, match="ask a question first"):
            trace_answer(chat, turn)
    with pytest.raises(InputError, match="ask a question first"):
        trace_answer(Chat(chat.model))


def test_the_picture_shows_all_that_there_is(chat: Chat) -> None:
    trace = trace_answer(chat)
    figure = show_answer_trace(trace)
    assert isinstance(figure, Picture) and figure._repr_png_().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figure.axes]
    assert any("each frame" in title for title in titles) and any("2-second segment" in title for title in titles)
    assert sum(title.startswith("likeliest as word") for title in titles) == min(len(trace.written), 4)
    words = describe_answer_trace(trace)
    assert trace.likeliest[0][0] in words and f"{100 * float(trace.frames[0]):.0f} %" in words  # type: ignore[index]
