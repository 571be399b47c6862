"""Slots, splicing and padding, on sequences small enough to check by eye."""

from __future__ import annotations

import pytest
import torch
from small_model import small_tokenizer
from torch import nn

from minivl.errors import InputError
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, pad, splice, tokenize

V, A = VIDEO_SLOT, AUDIO_SLOT


def test_a_soft_prompt_stands_where_its_slots_are() -> None:
    embedding = nn.Embedding(10, 4)
    video, audio = torch.randn(1, 2, 4), torch.randn(1, 1, 4)
    embedded = splice(torch.tensor([[1, V, V, 2, A]]), embedding, {V: video, A: audio})
    assert torch.equal(embedded[0, [1, 2]], video[0])
    assert torch.equal(embedded[0, 4], audio[0, 0])
    assert torch.equal(embedded[0, [0, 3]], embedding.weight[[1, 2]])


def test_each_row_of_a_batch_gets_its_own_soft_prompt() -> None:
    soft = torch.randn(2, 2, 4)
    embedded = splice(torch.tensor([[1, V, V, 0], [V, V, 2, 3]]), nn.Embedding(10, 4), {V: soft})
    assert torch.equal(embedded[0, 1:3], soft[0])
    assert torch.equal(embedded[1, 0:2], soft[1])


def test_only_some_rows_may_have_one() -> None:
    soft = torch.randn(1, 2, 4)
    embedded = splice(torch.tensor([[1, 2, 3], [V, V, 2]]), nn.Embedding(10, 4), {V: soft})
    assert torch.equal(embedded[1, :2], soft[0])


def test_gradients_reach_the_soft_prompt_and_no_word_that_is_not_there() -> None:
    embedding, soft = nn.Embedding(10, 4), torch.randn(1, 2, 4, requires_grad=True)
    splice(torch.tensor([[5, V, V]]), embedding, {V: soft}).sum().backward()
    assert soft.grad is not None and torch.equal(soft.grad, torch.ones(1, 2, 4))
    assert embedding.weight.grad is not None
    assert embedding.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [5]  # not 0, the clamped slot


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_language_model_decides_the_dtype(dtype: torch.dtype) -> None:
    soft = torch.randn(1, 1, 4, requires_grad=True)
    embedded = splice(torch.tensor([[1, V]]), nn.Embedding(10, 4, dtype=dtype), {V: soft})
    assert embedded.dtype == dtype
    embedded.sum().backward()
    assert soft.grad is not None and soft.grad.dtype == torch.float32


@pytest.mark.parametrize("ids", [[[1, V]], [[1, V, V, V]], [[1, 2]]])
def test_positions_and_vectors_must_be_equally_many(ids: list[list[int]]) -> None:
    with pytest.raises(InputError, match=r"slot -201 has \d positions .* 2 vectors"):
        splice(torch.tensor(ids), nn.Embedding(10, 4), {V: torch.randn(1, 2, 4)})


def test_a_slot_without_a_soft_prompt_is_an_error() -> None:
    with pytest.raises(InputError, match="-202"):
        splice(torch.tensor([[1, A]]), nn.Embedding(10, 4), {})


def test_pad_fills_up_on_the_right() -> None:
    ids, mask, labels = pad([[5, 6, 7], [8]], [[IGNORE, 6, 7], [8]], pad_id=0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert labels.tolist() == [[IGNORE, 6, 7], [8, IGNORE, IGNORE]]


def test_a_slot_is_never_a_label() -> None:
    _, _, labels = pad([[5, V, 6]], [[5, V, 6]], pad_id=0)
    assert labels.tolist() == [[5, IGNORE, 6]]


@pytest.mark.parametrize(("sequences", "labels"), [([], []), ([[1, 2]], [[1]]), ([[1]], [[1], [2]])])
def test_pad_needs_a_label_for_each_token(sequences: list[list[int]], labels: list[list[int]]) -> None:
    with pytest.raises(InputError, match="as many labels"):
        pad(sequences, labels, pad_id=0)


def test_tokenize_puts_slots_between_pieces() -> None:
    tokenizer = small_tokenizer()
    word = tokenizer.get_vocab()
    ids = tokenize(tokenizer, "###Human: <Video><ImageHere></Video> what ?", [(V, 3)])
    marks = [word["###"], word["Human:"], word["<Video>"]]
    assert ids == [*marks, V, V, V, word["</Video>"], word["what"], word["?"]]


def test_bos_comes_once_and_first() -> None:
    tokenizer = small_tokenizer()
    tokenizer.bos_token = "yes"
    bos = tokenizer.bos_token_id
    assert tokenize(tokenizer, "<ImageHere>what<AudioHere>", [(V, 1), (A, 1)])[:2] == [bos, V]
    assert tokenize(tokenizer, "what<ImageHere>what", [(V, 1)]).count(bos) == 1


@pytest.mark.parametrize("prompt", ["what ?", "<ImageHere> <ImageHere> what ?"])
def test_placeholders_and_soft_prompts_must_be_equally_many(prompt: str) -> None:
    with pytest.raises(InputError, match="placeholders"):
        tokenize(small_tokenizer(), prompt, [(V, 3)])
