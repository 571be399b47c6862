"""One mistake at a time on the way from a prompt to ids, labels, loss and answer, to show that a parity test sees it.

Each is a function that replaces a public function of minivl through monkeypatch, which undoes it afterwards. The
mistakes of the architecture are in parity_changes.py, those of reading files in parity_file_mistakes.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import test_parity_model
import torch
from parity_changes import OURS, RECORDED, install
from parity_file_mistakes import FILE_MISTAKES, Mistake
from torch import Tensor

from minivl import conversation
from minivl.conversation import STYLES, Conversation
from minivl.model import VideoLlama
from minivl.soft_prompt import IGNORE, pad, tokenize

# ---- the prompt: text, ids, slots


def style(name: str, **templates: str) -> Mistake:
    """Another template in a prompt format."""
    return lambda patch: patch.setitem(STYLES, name, replace(STYLES[name], **templates))


def two_messages_without_a_blank(patch: pytest.MonkeyPatch) -> None:
    add = Conversation.add

    def glued(self: Conversation, role: str, text: str) -> None:
        add(self, role, text)
        said = self.turns[-1][1].removesuffix(" " + text)
        if said != self.turns[-1][1]:
            self.turns[-1] = (role, said + text)

    patch.setattr(Conversation, "add", glued)


def no_system_text(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(test_parity_model, "Conversation", lambda style, system: Conversation(style))


def single_blanks_in_the_upload_message(patch: pytest.MonkeyPatch) -> None:
    def tidy(*args: object) -> str:
        return re.sub(" +", " ", conversation.upload_message(*args))

    patch.setattr(test_parity_model, "upload_message", tidy)


def picture_before_sound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(test_parity_model, "upload_slots", lambda *args: conversation.upload_slots(*args)[::-1])


def bos_on_every_piece(patch: pytest.MonkeyPatch) -> None:
    def wrong(tokenizer: object, prompt: str, slots: list[tuple[int, int]]) -> list[int]:
        ids = tokenize(tokenizer, prompt, slots)
        after = [n for n in range(1, len(ids)) if ids[n - 1] < 0 <= ids[n]]
        for n in reversed(after):
            ids.insert(n, test_parity_model.BOS)
        return ids

    patch.setattr(test_parity_model, "tokenize", wrong)


def text_tokenised_as_one(patch: pytest.MonkeyPatch) -> None:
    """The words after a soft prompt lose the blank that begins each piece of LLaMA's tokenizer."""

    def wrong(tokenizer: object, prompt: str, slots: list[tuple[int, int]]) -> list[int]:
        ids = tokenize(tokenizer, prompt, slots)
        here = next(n for n, i in enumerate(ids) if i < 0)
        whole = tokenize(tokenizer, prompt.replace("<ImageHere>", ""), [])
        return whole[:here] + [i for i in ids if i < 0] + whole[here:]

    patch.setattr(test_parity_model, "tokenize", wrong)


# ---- soft prompts in their slots, labels, loss


def soft_prompts(change: Callable[[Tensor], Tensor]) -> Mistake:
    """Soft prompts [n, Q, D] are changed on their way into the text."""

    def install_it(patch: pytest.MonkeyPatch) -> None:
        embed = VideoLlama.embed

        def wrong(self: VideoLlama, ids: Tensor, soft: dict[int, Tensor]) -> Tensor:
            return embed(self, ids, {slot: change(vectors) for slot, vectors in soft.items()})

        patch.setattr(VideoLlama, "embed", wrong)

    return install_it


def batches(change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Mistake:
    """What `pad` returns is changed: ids, mask and labels, [B, L] each."""

    def wrong(*args: object) -> tuple[Tensor, Tensor, Tensor]:
        return change(*pad(*args))

    return lambda patch: patch.setattr(test_parity_model, "pad", wrong)


def losses(change: Callable[..., Tensor]) -> Mistake:
    """change(loss, model, ids, mask, labels, soft) in the place of VideoLlama.loss."""

    def install_it(patch: pytest.MonkeyPatch) -> None:
        loss = VideoLlama.loss
        patch.setattr(VideoLlama, "loss", lambda self, *args: change(partial(loss, self), *args))

    return install_it


def mean_of_rows(loss: Callable[..., Tensor], ids: Tensor, mask: Tensor, labels: Tensor, soft: dict) -> Tensor:
    rows = range(len(ids))
    one = [loss(*(x[i : i + 1] for x in (ids, mask, labels)), {k: v[i : i + 1] for k, v in soft.items()}) for i in rows]
    return torch.stack(one).mean()


MISTAKES: dict[str, Mistake] = {
    **{name: partial(install, *change) for name, change in (RECORDED | OURS).items()},
    "blank before the answer": style("vicuna", opening="{system}###Human: {text}###Assistant: "),
    "no blank in the history": style("vicuna", answer="{text}"),
    "<s> kept": style("llama2", opening="<s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{text} [/INST]"),
    "no </s><s> between turns": style("llama2", answer=" {text} "),
    "two messages without a blank": two_messages_without_a_blank,
    "no system text": no_system_text,
    "single blanks in the upload message": single_blanks_in_the_upload_message,
    "picture before sound": picture_before_sound,
    "bos on every piece": bos_on_every_piece,
    "text tokenised as one": text_tokenised_as_one,
    "soft prompt one place further": soft_prompts(lambda vectors: vectors.roll(1, dims=1)),
    "soft prompts of two rows exchanged": soft_prompts(lambda vectors: vectors.flip(0)),
    "half of the gradient lost": soft_prompts(lambda vectors: vectors / 2 + vectors.detach() / 2),
    "the prompt is learned": batches(lambda ids, mask, y: (ids, mask, torch.where((mask == 1) & (ids >= 0), ids, y))),
    "padding is learned": batches(lambda ids, mask, y: (ids, mask, y.masked_fill(mask == 0, 0))),
    "padding is read": batches(lambda ids, mask, y: (ids, torch.ones_like(mask), y)),
    "labels shifted twice": losses(lambda loss, ids, mask, y, soft: loss(ids, mask, y.roll(-1, dims=1), soft)),
    "soft prompt in the loss": losses(
        lambda loss, ids, mask, y, soft: loss(ids, mask, y.masked_fill((ids < 0) & (y == IGNORE), 0), soft)
    ),
    "loss averaged by row": losses(mean_of_rows),
    **FILE_MISTAKES,
}
