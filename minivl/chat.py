"""Talking about a clip: watch once, then ask as often as you like.

What was said before stays in the prompt, so every question makes it longer. The language model's
attention to it need not be computed again: keys and values of each position depend only on what stands
before it. Chat keeps them (the KV cache) and hands the model only what is new. The answers are those that
it would give without a cache.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from minivl.audio import Sound, load_audio
from minivl.conversation import IMAGE_SYSTEM, TINY, Conversation, upload_message, upload_slots
from minivl.errors import InputError, NoPictureError
from minivl.generation import AnswerStreamer
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT, tokenize
from minivl.video import Clip, load_video

Source = str | os.PathLike[str] | Tensor | np.ndarray


@dataclass(frozen=True)
class _Turn:
    """A question that was found to be answerable."""

    question: str
    conversation: Conversation  # the question included
    ids: list[int]  # its prompt
    room: int  # new tokens that may be written


class _AbandonedError(Exception):
    """Nobody reads the stream any more."""


class Chat:
    """A conversation about one video, image or sound.

    clip, sound: what was watched and heard, or None. notes: what the user should know about it, in sentences.
    history: (question, answer) pairs. All four are for reading only.
    """

    def __init__(self, model: VideoLlama) -> None:
        self.model = model
        self.clip: Clip | None = None
        self.sound: Sound | None = None
        self.notes: list[str] = []
        self.history: list[tuple[str, str]] = []
        self._soft: dict[int, Tensor] = {}
        self._slots: list[tuple[int, int]] = []
        self._upload = Conversation(model.style)
        self._conversation = Conversation(model.style)
        self._cache: tuple[DynamicCache, list[int]] | None = None  # the cache, and the ids that it has read

    @torch.no_grad()
    def watch(self, source: Source, sight: bool = True, hearing: bool = True) -> None:
        """Look at and listen to a video, an image, a sound file, or frames [T, 3, H, W] uint8; start anew.

        With sight=False or hearing=False one sense is left out. A sense for which the file has nothing is
        left out with a sentence in `notes`. Raises InputError if no sense is left, MediaError for a file
        that cannot be read; then the chat is as it was before.
        """
        clip, sound, notes = self._perceive(source, sight, hearing)
        soft = self.model.soft_prompts(
            None if clip is None else clip.frames[None],  # [1, T, 3, H, W]
            None if sound is None else sound.mel[None],  # [1, M, 1, bins, F]
        )
        lengths = [soft[slot].shape[1] if slot in soft else 0 for slot in (VIDEO_SLOT, AUDIO_SLOT)]
        style, still = self.model.style, clip is not None and clip.fps == 0
        video, msg = clip is not None and not still, clip.message() if clip else ""
        message = upload_message(style, video, still, audio=sound is not None, msg=msg)
        self._upload = Conversation(style, IMAGE_SYSTEM if still and style is not TINY else "")
        self._upload.add(style.roles[0], message)
        self._soft, self._slots = soft, upload_slots(style, *lengths)
        self.clip, self.sound, self.notes = clip, sound, notes
        self.reset()

    def reset(self) -> None:
        """Forget all questions and answers; what was watched stays."""
        self.history = []
        self._conversation = self._upload
        self._cache = None

    @property
    def prompt(self) -> str:
        """The conversation so far as the language model reads it, `<ImageHere>` for a soft prompt."""
        return self._conversation.prompt()

    def ask(
        self, question: str, stream: Callable[[str], None] | None = None, max_new_tokens: int = 64
    ) -> str:  # fmt: skip
        """The answer to a question about what was watched, given all that was said before.

        stream: called with each new piece of the answer while it is being written.
        Raises InputError before `watch`, for an empty question, and for one that does not fit into the
        model's context; then (and after any other failure) the question counts as never asked.
        """
        return self._answer(self._prepare(question, max_new_tokens), stream)

    def ask_stream(self, question: str, max_new_tokens: int = 64) -> Iterator[str]:
        """As `ask`, but yields the answer piece by piece. The pieces put together are the answer.

        A reader who stops in the middle stops the model too, and the question counts as never asked.
        """
        return self._pieces(self._prepare(question, max_new_tokens))

    # ---- watching

    def _perceive(self, source: Source, sight: bool, hearing: bool) -> tuple[Clip | None, Sound | None, list[str]]:
        """Load what the wanted senses find in the source, and a note for each that finds nothing."""
        if not (sight or hearing):
            raise InputError("sight=False and hearing=False leave nothing to ask about: switch one of them on")
        model, config = self.model, self.model.config
        clip, sound, notes, name = None, None, [], "an array of frames"
        if not isinstance(source, Tensor | np.ndarray):
            name = Path(source).name
            if hearing and model.can_hear:
                sound = load_audio(source, config.num_segments, original=config.original_quirks)
        if sight and model.can_see:
            try:
                clip = load_video(source, config.num_frames, size=config.vit.image_size)
            except NoPictureError:  # a file cut short is refused, even if its sound can be read
                if sound is None:
                    raise
        missing = []
        if sight and clip is None:
            missing.append(f"{name} has no picture" if model.can_see else "this model was loaded without eyes")
            notes.append(f"{missing[-1]}: going on with hearing alone")
        if hearing and sound is None:
            missing.append(f"{name} has no audio track" if model.can_hear else "this model was loaded without ears")
            notes.append(f"{missing[-1]}: going on with sight alone")
        if clip is None and sound is None:
            switch = "" if sight and hearing else f", and {'hearing' if sight else 'sight'} is switched off"
            raise InputError(f"{' and '.join(missing)}{switch}: give another file, or use both senses")
        return clip, sound, notes

    # ---- asking

    def _prepare(self, question: str, max_new_tokens: int) -> _Turn:
        """Check a question and write its prompt, without changing anything."""
        if not self._soft:
            raise InputError("there is nothing to ask about yet: call chat.watch(a file) first")
        if not question.strip():
            raise InputError("the question is empty: ask something like 'what do you see?'")
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {max_new_tokens}: an answer needs at least one token")
        conversation = replace(self._conversation, turns=list(self._conversation.turns))
        conversation.add(self.model.style.roles[0], question.strip())
        ids = tokenize(self.model.tokenizer, conversation.prompt(), self._slots)
        context = self.model.llm.config.max_position_embeddings
        if len(ids) >= context:
            raise InputError(
                f"the conversation with this question has {len(ids)} tokens, and the model reads at most "
                f"{context - 1}: ask a shorter question, or forget the earlier ones with chat.reset()"
            )
        return _Turn(question, conversation, ids, min(max_new_tokens, context - len(ids)))

    def _answer(self, turn: _Turn, stream: Callable[[str], None] | None) -> str:
        """Generate, and only then remember the turn."""
        model = self.model
        streamer = AnswerStreamer(model.read, model.style.stop, stream) if stream else None
        answer = model.read(self._generate(turn, streamer))
        turn.conversation.add(model.style.roles[1], answer)
        self._conversation = turn.conversation
        self.history = [*self.history, (turn.question, answer)]
        if unknown := self._unknown_words(turn.question):
            self.notes = [*self.notes, f"the model does not know: {', '.join(unknown)}"]
        return answer

    def _unknown_words(self, question: str) -> list[str]:
        """Words outside the vocabulary; only a small closed vocabulary has such."""
        tokenizer = self.model.tokenizer
        unknown = tokenizer.unk_token_id
        words = question.split() if unknown is not None else []
        return [word for word in words if unknown in tokenizer.encode(word, add_special_tokens=False)]

    def _generate(self, turn: _Turn, streamer: AnswerStreamer | None) -> list[int]:
        """New token ids; whatever the cache has read and the new prompt begins with is used again.

        The answer in the prompt may be other tokens than the model wrote (a stop text cut off, a blank),
        therefore the cache is cut back to the common beginning instead of being trusted to its end.
        """
        cache, known = self._cache or (DynamicCache(config=self.model.llm.config), [])
        self._cache = None  # after a failure the next question starts with a new one
        limit = min(len(known), len(turn.ids) - 1)  # one token has to be read to predict the next
        shared = next((i for i in range(limit) if known[i] != turn.ids[i]), limit)
        if known:
            cache.crop(shared - len(known))  # a negative number: how many tokens to drop
        new = self.model.generate(turn.ids, self._soft, turn.room, streamer=streamer, past_key_values=cache)
        self._cache = cache, (turn.ids + new)[: cache.get_seq_length()]  # the last new token was never read
        return new

    def _pieces(self, turn: _Turn) -> Iterator[str]:
        """Generate in a second thread and hand on its pieces."""
        pieces: queue.Queue[str | None] = queue.Queue()
        abandoned = threading.Event()

        def stream(piece: str) -> None:
            if abandoned.is_set():
                raise _AbandonedError
            pieces.put(piece)

        with ThreadPoolExecutor(max_workers=1) as pool:
            future = pool.submit(self._answer, turn, stream)
            future.add_done_callback(lambda _: pieces.put(None))
            try:
                while (piece := pieces.get()) is not None:
                    yield piece
                future.result()  # raises here what was raised there
            finally:
                abandoned.set()
