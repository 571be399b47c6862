"""Where an answer ends, and how it is read out while it is being written.

A language model goes on for ever unless told otherwise. It was taught to end an answer with its format's
stop text ("###" or "</s>"), which may be one token or several. The original has LLaMA's token numbers of
"###" written into its code (835, or 2277 and 29937); here they are asked of the tokenizer, so that any
language model can be used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from minivl.conversation import Style
from minivl.hardware import enough_memory


def stop_sequences(tokenizer: Any, style: Style) -> list[list[int]]:
    """The token sequences that end an answer: the eos token, and the stop text alone and behind a word.

    A sentencepiece tokenizer has two spellings of "###": as one piece where a text begins, as pieces in
    its midst.
    """

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    word, behind = encode("a"), encode("a" + style.stop)
    found = [[tokenizer.eos_token_id], encode(style.stop)]
    if behind[: len(word)] == word:
        found.append(behind[len(word) :])
    useless = {None, tokenizer.unk_token_id}  # a tokenizer without eos; one that does not know the stop text
    return [ids for n, ids in enumerate(found) if ids and not useless & set(ids) and ids not in found[:n]]


def cut(ids: list[int], stops: list[list[int]]) -> list[int]:
    """What stands before the first stop sequence."""
    for end in range(len(ids)):
        if any(ids[end : end + len(stop)] == stop for stop in stops):
            return ids[:end]
    return ids


class AnswerStoppedError(Exception):
    """Somebody stopped the answer while it was being written. No mistake, so no MinivlError."""


class StopAt(StoppingCriteria):
    """Ends each row of a batch at a stop sequence of its own (the original looks at the first row only).

    stopped: an event that another thread may set; then the next token raises AnswerStoppedError.
    """

    def __init__(self, stops: list[list[int]], stopped: threading.Event | None = None) -> None:
        self.stops, self.stopped = stops, stopped

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """New tokens [B, n] -> which rows are done [B], bool."""
        if self.stopped is not None and self.stopped.is_set():
            raise AnswerStoppedError("the answer was stopped")
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        for stop in self.stops:
            if input_ids.shape[1] >= len(stop):
                tail = input_ids[:, -len(stop) :]  # [B, len(stop)]
                done |= (tail == torch.tensor(stop, device=tail.device)).all(dim=1)
        return done


@torch.no_grad()
def continue_text(
    llm: Any, embedded: Tensor, mask: Tensor, stops: list[list[int]], pad_id: int, max_new_tokens: int,
    stopped: threading.Event | None = None, **options: Any,
) -> Tensor:  # fmt: skip
    """inputs_embeds [B, L, D] and mask [B, L] -> new token ids [B, n], at most until a stop sequence; greedy.

    A row that ended early is filled up with `pad_id`. stopped: see StopAt. options: as in transformers' generate,
    `do_sample=True` first.
    """
    # A chat model's own generation_config may ask for sampling; None switches its settings off.
    sampling = {} if options.get("do_sample") else {"temperature": None, "top_p": None, "top_k": None}
    settings = {"do_sample": False, "num_beams": 1, "max_length": None, "pad_token_id": pad_id, **sampling, **options}
    with enough_memory("answering"):
        return llm.generate(
            inputs_embeds=embedded,
            attention_mask=mask.to(embedded.device),
            max_new_tokens=max_new_tokens,
            stopping_criteria=StoppingCriteriaList([StopAt(stops, stopped)]),
            **settings,
        )


class AnswerStreamer(BaseStreamer):
    """Hands on the answer piece by piece. `said` is the answer so far, and the pieces put together.

    Held back until more is known: the beginning of a stop text or of the model's own role, and a character that is
    only half there. A model may write its role ("Assistant:") into its answer. At the answer's beginning it is left
    out; in the midst it ends the answer. (The original keeps what follows it, which nobody can do who has begun to
    read the answer aloud.)
    """

    def __init__(self, read: Callable[[list[int]], str], style: Style, on_piece: Callable[[str], None]) -> None:
        self.read, self.on_piece = read, on_piece
        marks = (style.stop, f"{style.roles[1]}:")
        self.beginnings = sorted({mark[:n] for mark in marks for n in range(1, len(mark) + 1)}, key=len)[::-1]
        self.ids: list[int] = []
        self.said, self.over = "", False

    def put(self, value: Tensor) -> None:
        """Called by transformers with each new token."""
        self.ids += value.flatten().tolist()
        read = self.read(self.ids)
        self.over |= not read.startswith(self.said)  # what is read begins anew behind a role
        text = read.rstrip("\N{REPLACEMENT CHARACTER}")
        held = next((len(start) for start in self.beginnings if text.endswith(start)), 0)
        self._say(text[: len(text) - held].rstrip())

    def end(self) -> None:
        """Called by transformers after the last token."""
        self._say(self.read(self.ids))

    def _say(self, text: str) -> None:
        if not self.over and len(text) > len(self.said) and text.startswith(self.said):
            self.on_piece(text[len(self.said) :])
            self.said = text
