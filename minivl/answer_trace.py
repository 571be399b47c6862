"""Why this answer: what the model read, what it found likely, where it looked, what it would say with one sense less.

The queries of the Video Q-Former read the tokens of all frames by cross-attention. The weights of its last layer,

    A = softmax(Q K^T / sqrt(head width))            [heads, Qv, T K]

summed over the K tokens of a frame, say how much of what a query read came from which frame; the same for sound.
Attention shows where the model looked, not why it answered: that a sense mattered is seen by taking it away. Sections
2.1.1 and 2.1.2 of the paper have the two Q-Formers; the original shows nothing of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from minivl.audio import Sound
from minivl.chat import Chat, Turn
from minivl.errors import InputError
from minivl.perception import Perception
from minivl.positions import TemporalPositionEmbedding
from minivl.qformer import QFormer
from minivl.soft_prompt import VIDEO_SLOT
from minivl.transformer import Attention
from minivl.video import Clip

LIKELIEST = 5


@dataclass(frozen=True)
class Piece:
    """A part of the prompt."""

    kind: str  # "text", "video" or "audio"
    text: str  # as the tokenizer reads it back; "" for a soft prompt
    tokens: int  # how many tokens, or vectors of a soft prompt


@dataclass(frozen=True)
class Written:
    """One token of the answer, the stop text included."""

    text: str
    probability: float  # that the model gave it
    likeliest: tuple[tuple[str, float], ...]  # the five likeliest tokens in its place, with their probabilities


@dataclass(frozen=True)
class AnswerTrace:
    """What stands behind one answer. A sense that was not there has None."""

    question: str
    answer: str
    layout: tuple[Piece, ...]  # the prompt, in the order in which the model read it
    written: tuple[Written, ...]
    frames: Tensor | None  # [T] share of the video queries' attention on each frame; sums to 1
    frames_by_query: Tensor | None  # [Qv, T] the same for each query; rows sum to 1
    segments: Tensor | None  # [M] share of the audio queries' attention on each segment
    segments_by_query: Tensor | None  # [Qa, M]
    without: dict[str, str]  # "muted" and "blindfolded": the answer with one sense less; {} if there was only one
    clip: Clip | None
    sound: Sound | None

    @property
    def likeliest(self) -> tuple[tuple[str, float], ...]:
        """The five likeliest first tokens of the answer, with their probabilities."""
        return self.written[0].likeliest


@torch.no_grad()
def trace_answer(chat: Chat, turn: int = -1) -> AnswerTrace:
    """Look behind an answer of a chat; the chat stays as it is.

    turn: which of `chat.turns`, -1 for the last. The answers in `without` are greedy, at most as long as the given
    one, and to the question alone: what was said before it would give away what the missing sense had told.

    It costs one pass through the language model, one through each branch, and the one or two other answers.
    Raises InputError if there is no such turn.
    """
    if not -len(chat.turns) <= turn < len(chat.turns) or chat.perceived is None:
        raise InputError(f"there is no answer number {turn} in a chat with {len(chat.turns)}: ask a question first")
    told, perceived, model = chat.turns[turn], chat.perceived, chat.model
    frames = segments = None
    if perceived.frame_tokens is not None:
        frames = _frame_attention(model.vision_branch, perceived.frame_tokens)
    if perceived.segments is not None:
        segments = _segment_attention(model.audio_branch, perceived.segments)
    return AnswerTrace(
        question=told.question,
        answer=told.answer,
        layout=_layout(model.tokenizer, told.ids),
        written=_written(chat, told),
        frames=None if frames is None else frames.mean(dim=0),
        frames_by_query=frames,
        segments=None if segments is None else segments.mean(dim=0),
        segments_by_query=segments,
        without=_without(chat, told, perceived),
        clip=perceived.clip,
        sound=perceived.sound,
    )


# ---- where the queries looked


def attention_weights(attention: Attention, x: Tensor, context: Tensor) -> Tensor:
    """The weights [N, heads, Q, S] that `attention(x, context)` puts on its values; rows sum to 1, float32.

    x [N, Q, width], context [N, S, context_width]. `Attention` uses torch's fused attention, which never has the
    weights in memory; so they are computed here once more.
    """
    query = rearrange(attention.query(x), "n q (h c) -> n h q c", h=attention.heads)
    key = rearrange(attention.key(context), "n s (h c) -> n h s c", h=attention.heads)
    scores = torch.einsum("nhqc,nhsc->nhqs", query.float(), key.float()) / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1)


def last_cross_attention(qformer: QFormer, states: Tensor) -> Tensor:
    """Weights [N, heads, Q, S] of the last layer in which the queries read `states` [N, S, encoder_width]."""
    readers = [m for name, m in qformer.named_modules() if name.endswith(".cross_attention")]
    last = cast(Attention, readers[-1])
    seen: list[tuple[Tensor, ...]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[:2])

    handle = last.register_forward_pre_hook(note)
    try:
        qformer(states)
    finally:
        handle.remove()
    return attention_weights(last, *seen[-1])


def _frame_attention(branch: Any, frame_tokens: Tensor) -> Tensor:
    """Frame tokens [1, T, K, width] -> [Qv, T]."""
    timed = _timed(branch.positions, frame_tokens)  # [1, T, K, width]
    weights = last_cross_attention(branch.qformer, rearrange(timed, "1 T K width -> 1 (T K) width"))
    return reduce(weights, "1 heads Qv (T K) -> Qv T", "sum", T=timed.shape[1]).cpu() / weights.shape[1]


def _segment_attention(branch: Any, segments: Tensor) -> Tensor:
    """ImageBind vectors [1, M, E] -> [Qa, M]."""
    weights = last_cross_attention(branch.qformer, _timed(branch.positions, segments))
    return reduce(weights, "1 heads Qa M -> Qa M", "mean").cpu()


def _timed(positions: TemporalPositionEmbedding, features: Tensor) -> Tensor:
    return positions(features.to(next(positions.parameters())))


# ---- what the language model read and found likely


def _layout(tokenizer: Any, ids: list[int]) -> tuple[Piece, ...]:
    """Runs of words and of slots."""
    pieces = []
    for slot, group in groupby(ids, key=lambda token: min(token, 0)):
        run = list(group)
        kind = "text" if slot == 0 else "video" if slot == VIDEO_SLOT else "audio"
        pieces.append(Piece(kind, tokenizer.decode(run) if slot == 0 else "", len(run)))
    return tuple(pieces)


def _written(chat: Chat, told: Turn) -> tuple[Written, ...]:
    """Prompt and answer are read once more in one pass: the probabilities of all its tokens at the same time."""
    model = chat.model
    ids = torch.tensor([told.ids + told.new])  # [1, L]
    assert chat.perceived is not None
    logits = model.llm(inputs_embeds=model.embed(ids, chat.perceived.soft), use_cache=False).logits
    before = len(told.ids) - 1  # the place whose prediction is the answer's first token
    probabilities = logits[0, before : before + len(told.new)].float().softmax(dim=-1).cpu()  # [n, vocabulary]
    top = probabilities.topk(LIKELIEST, dim=-1)
    return tuple(
        Written(
            _word(model.tokenizer, token),
            float(row[token]),
            tuple((_word(model.tokenizer, i), p) for i, p in zip(indices, values, strict=True)),
        )
        for token, row, indices, values in zip(
            told.new, probabilities, top.indices.tolist(), top.values.tolist(), strict=True
        )
    )


def _word(tokenizer: Any, token: int) -> str:
    """A token as text; its name in the vocabulary if it is no text (a half character, a mark)."""
    text = tokenizer.decode([token]).strip()
    return text if text and "\N{REPLACEMENT CHARACTER}" not in text else str(tokenizer.convert_ids_to_tokens(token))


# ---- with one sense less


def _without(chat: Chat, told: Turn, perceived: Perception) -> dict[str, str]:
    if len(perceived.soft) < 2:
        return {}
    other, answers = Chat(chat.model), {}
    for name, fewer in (("muted", perceived.muted()), ("blindfolded", perceived.blindfolded())):
        other.start(fewer)
        answers[name] = other.ask(told.question, max_new_tokens=told.room)
    return answers
