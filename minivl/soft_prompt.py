"""Soft prompts: vectors that stand in a sentence where word embeddings would stand.

A branch turns a video into Qv vectors of the language model's width D. They are put into the embedded text

    [ E(w_1) ... E(w_i)  v_1 ... v_Qv  E(w_i+1) ... E(w_L) ]        E: the frozen word embedding

at the place that the prompt marks with `<ImageHere>` (sections 2.1.1 and 2.1.2 of the paper:
"concatenated to the text embeddings as a video soft prompt"). The language model cannot tell them from
words, which is all that it takes.

In a row of token ids such a place is a *slot*: a negative number, so that no word can ever be mistaken
for it.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from minivl.errors import InputError

VIDEO_SLOT = -201
AUDIO_SLOT = -202
IGNORE = -100  # a label that the loss leaves out; the value that torch and transformers use

IMAGE_HERE = "<ImageHere>"  # in a prompt: the next soft prompt goes here
AUDIO_HERE = "<AudioHere>"  # the same, only in the tiny model's prompts


def tokenize(tokenizer: Any, prompt: str, slots: list[tuple[int, int]]) -> list[int]:
    """A prompt as token ids, each placeholder replaced by as many slot ids as its soft prompt has vectors.

    As in the original, the text between two placeholders is tokenised on its own, and only the first
    piece begins with the tokenizer's bos (if it has one).

    Args:
        tokenizer: a transformers tokenizer.
        prompt: text with `<ImageHere>` (or `<AudioHere>`) placeholders.
        slots: (slot id, number of vectors) for each placeholder, in the order of the prompt.

    Raises InputError if the prompt has more or fewer placeholders than `slots`.
    """
    pieces = re.split(f"{IMAGE_HERE}|{AUDIO_HERE}", prompt)
    if len(pieces) != len(slots) + 1:
        raise InputError(
            f"the prompt has {len(pieces) - 1} placeholders ({IMAGE_HERE}, {AUDIO_HERE}) "
            f"for {len(slots)} soft prompts: write none in a question, and give one soft prompt for each"
        )
    ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    for piece, (slot, length) in zip(pieces, [*slots, (0, 0)], strict=True):
        ids += tokenizer.encode(piece, add_special_tokens=False) if piece else []
        ids += [slot] * length
    return ids


def pad(
    sequences: list[list[int]], labels: list[list[int]], pad_id: int
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Sequences of different lengths as one batch, padded on the right.

    Returns ids [B, L], attention_mask [B, L] (1: a token or a slot, 0: padding) and labels [B, L], all
    int64. Labels are IGNORE on the padding and on every slot, whatever was given there: a soft prompt is
    never predicted.
    Raises InputError if a sequence and its labels differ in length, or if there is no sequence.
    """
    if not sequences or [len(s) for s in sequences] != [len(y) for y in labels]:
        raise InputError("pad() needs at least one sequence, and for each one as many labels as it has tokens")
    longest = max(len(s) for s in sequences)
    ids = torch.full((len(sequences), longest), pad_id)  # [B, L]
    mask = torch.zeros_like(ids)  # [B, L]
    targets = torch.full_like(ids, IGNORE)  # [B, L]
    for b, (sequence, label) in enumerate(zip(sequences, labels, strict=True)):
        ids[b, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask[b, : len(sequence)] = 1
        targets[b, : len(label)] = torch.tensor(label, dtype=torch.long)
    return ids, mask, targets.masked_fill(ids < 0, IGNORE)


def pad_left(prompts: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as ids [B, L] and attention_mask [B, L], int64; padded so that all end together."""
    longest = max(len(prompt) for prompt in prompts)
    gaps = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[pad_id] * gap + prompt for gap, prompt in zip(gaps, prompts, strict=True)])
    return ids, torch.tensor([[0] * gap + [1] * (longest - gap) for gap in gaps])


def splice(ids: Tensor, embedding: nn.Module, soft: dict[int, Tensor]) -> Tensor:
    """Embed a batch of token ids and put the soft prompts into their slots.

    Args:
        ids: [B, L] int64; negative where a slot is.
        embedding: the language model's word embedding, [L] -> [L, D].
        soft: slot id -> soft prompts [n, Q, D]; they fill that slot's n * Q positions in reading order
            (row after row), so n = B when each row of the batch has one.

    Returns inputs_embeds [B, L, D] in the embedding's dtype; gradients flow into `soft`.
    Raises InputError when a slot's positions and vectors differ in number, or a slot got no soft prompt.
    """
    missing = set(ids[ids < 0].unique().tolist()) - set(soft)
    if missing:
        raise InputError(f"the ids hold slots {sorted(missing)} for which no soft prompt was given")
    embedded = embedding(ids.clamp(min=0))  # [B, L, D]
    for slot, prompts in soft.items():
        vectors = rearrange(prompts, "n Q D -> (n Q) D")
        here = ids == slot  # [B, L]
        if (positions := int(here.sum())) != len(vectors):
            raise InputError(
                f"slot {slot} has {positions} positions in the ids, but its soft prompts have {len(vectors)} "
                f"vectors (shape {list(prompts.shape)}): they must be equal"
            )
        embedded = embedded.masked_scatter(here[..., None], vectors.to(embedded))  # [B, L, D]
    return embedded
