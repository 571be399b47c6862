"""Talking about a clip: watch once, then ask as often as you like.

What was said before stays in the prompt, so every question makes it longer. The language model's
attention to it need not be computed again: keys and values of each position depend only on what stands
before it. Chat keeps them (the KV cache) and hands the model only what is new. The answers are those that
it would give without a cache.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from torch import Tensor, tensor
from transformers import DynamicCache

from minivl.audio import Sound
from minivl.conversation import Conversation
from minivl.errors import InputError
from minivl.generation import AnswerStreamer
from minivl.model import VideoLlama
from minivl.perception import Perception, Source, perceive
from minivl.sampling import Sampling, seeded
from minivl.soft_prompt import tokenize
from minivl.video import Clip

Stream = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """A question, what the model read, and what it wrote."""

    question: str
    ids: list[int]  # the prompt, slots included
    room: int  # new tokens that fit behind it
    new: list[int]  # what the model wrote, the stop text included; [] before it is answered
    answer: str
    sampling: Sampling = field(default_factory=Sampling)


class Chat:
    """A conversation about one video, image or sound.

    perceived: what was watched, see perception.py. clip, sound: the two parts of it, or None. notes: what the user
    should know about it, in sentences. turns, history: what was asked and answered. All are for reading only.
    """

    def __init__(self, model: VideoLlama) -> None:
        self.model = model
        self.perceived: Perception | None = None
        self.clip: Clip | None = None
        self.sound: Sound | None = None
        self.notes: list[str] = []
        self.turns: list[Turn] = []
        self._soft: dict[int, Tensor] = {}
        self._cache: tuple[DynamicCache, list[int]] | None = None  # the cache, and the ids that it has read

    def watch(self, source: Source, sight: bool = True, hearing: bool = True) -> None:
        """Look at and listen to a video, an image, a sound file, or frames [T, 3, H, W] uint8; start anew.

        With sight=False or hearing=False one sense is left out. A sense for which the file has nothing is
        left out with a sentence in `notes`. Raises InputError if no sense is left, MediaError for a file
        that cannot be read; then the chat is as it was before.
        """
        self.start(perceive(self.model, source, sight, hearing))

    def start(self, perceived: Perception) -> None:
        """Start anew about what was watched before, perhaps `muted()` or `blindfolded()`."""
        self.perceived, self._soft = perceived, perceived.soft
        self.clip, self.sound, self.notes = perceived.clip, perceived.sound, list(perceived.notes)
        self.reset()

    def reset(self) -> None:
        """Forget all questions and answers; what was watched stays."""
        self.turns = []
        self._cache = None

    @property
    def history(self) -> list[tuple[str, str]]:
        """(question, answer) pairs."""
        return [(turn.question, turn.answer) for turn in self.turns]

    @property
    def prompt(self) -> str:
        """The conversation so far as the language model reads it, `<ImageHere>` for a soft prompt."""
        return self._conversation(self.turns).prompt()

    def ask(
        self, question: str, stream: Stream | None = None, max_new_tokens: int = 64, temperature: float = 0.0,
        top_p: float = 1.0, num_beams: int = 1, seed: int | None = None, stopped: threading.Event | None = None,
    ) -> str:  # fmt: skip
        """The answer to a question about what was watched, given all that was said before.

        stream: called with each new piece of the answer while it is being written (with beams: once, at the end,
            because until then it is open which beam is the answer).
        temperature, top_p, num_beams, seed: see sampling.py; by default always the likeliest word.
        stopped: an event that another thread may set to stop the answer; then AnswerStoppedError is raised.

        Raises InputError before `watch`, for an empty question, for one that does not fit into the model's context,
        and for a number that means nothing; then (and after any other failure) the question counts as never asked.
        """
        sampling = Sampling(max_new_tokens, temperature, top_p, num_beams, seed)
        turn = replace(self._prepare(question, max_new_tokens), sampling=sampling)
        return self._answer(turn, len(self.turns), stream, stopped)

    def ask_again(
        self, stream: Stream | None = None, max_new_tokens: int = 64, temperature: float = 0.0,
        top_p: float = 1.0, num_beams: int = 1, seed: int | None = None, stopped: threading.Event | None = None,
    ) -> str:  # fmt: skip
        """Another answer to the last question, in place of the one that it got; everything else is as in `ask`.

        After a failure the old answer stays. Raises InputError also if nothing was asked yet.
        """
        if not self.turns:
            raise InputError("there is no question to answer again: ask one first")
        sampling = Sampling(max_new_tokens, temperature, top_p, num_beams, seed)
        place = len(self.turns) - 1
        turn = replace(self._prepare(self.turns[place].question, max_new_tokens, place), sampling=sampling)
        return self._answer(turn, place, stream, stopped)

    def ask_stream(
        self, question: str, max_new_tokens: int = 64, temperature: float = 0.0, top_p: float = 1.0,
        num_beams: int = 1, seed: int | None = None,
    ) -> Iterator[str]:  # fmt: skip
        """As `ask`, but yields the answer piece by piece. The pieces put together are the answer.

        A reader who stops in the middle stops the model too, and the question counts as never asked.
        """
        sampling = Sampling(max_new_tokens, temperature, top_p, num_beams, seed)
        return self._pieces(replace(self._prepare(question, max_new_tokens), sampling=sampling))

    def _conversation(self, turns: list[Turn]) -> Conversation:
        """What was watched, and these turns, in the model's prompt format."""
        style = self.model.style
        conversation = Conversation(style) if self.perceived is None else self.perceived.upload(style)
        for turn in turns:
            conversation.add(style.roles[0], turn.question.strip())
            conversation.add(style.roles[1], turn.answer)
        return conversation

    def _prepare(self, question: str, max_new_tokens: int, place: int | None = None) -> Turn:
        """Check a question and write its prompt, behind the first `place` turns (default: all)."""
        if self.perceived is None:
            raise InputError("there is nothing to ask about yet: call chat.watch(a file) first")
        if not question.strip():
            raise InputError("the question is empty: ask something like 'what do you see?'")
        conversation = self._conversation(self.turns[:place])
        conversation.add(self.model.style.roles[0], question.strip())
        ids = tokenize(self.model.tokenizer, conversation.prompt(), self.perceived.slots(self.model.style))
        context = self.model.llm.config.max_position_embeddings
        if len(ids) >= context:
            raise InputError(
                f"the conversation with this question has {len(ids)} tokens, and the model reads at most "
                f"{context - 1}: ask a shorter question, or forget the earlier ones with chat.reset()"
            )
        return Turn(question, ids, min(max_new_tokens, context - len(ids)), [], "")

    def _answer(self, turn: Turn, place: int, stream: Stream | None, stopped: threading.Event | None) -> str:
        """Generate, and only then remember the turn."""
        model, beams = self.model, turn.sampling.num_beams > 1
        held: list[str] = []
        streamer = AnswerStreamer(model.read, model.style, held.append if beams or stream is None else stream)
        with seeded(turn.sampling.seed, model.llm.device):
            new = self._generate(turn, None if beams else streamer, stopped)
        if beams:
            for token in new:
                streamer.put(tensor([token]))
            streamer.end()
            if stream is not None and held:
                stream("".join(held))
        self.turns = [*self.turns[:place], replace(turn, new=new, answer=streamer.said)]
        if unknown := self._unknown_words(turn.question):
            self.notes = [*self.notes, f"the model does not know: {', '.join(unknown)}"]
        return streamer.said

    def _unknown_words(self, question: str) -> list[str]:
        """Words outside the vocabulary; only a small closed vocabulary has such."""
        tokenizer = self.model.tokenizer
        unknown = tokenizer.unk_token_id
        words = question.split() if unknown is not None else []
        return [word for word in words if unknown in tokenizer.encode(word, add_special_tokens=False)]

    def _generate(self, turn: Turn, streamer: AnswerStreamer | None, stopped: threading.Event | None) -> list[int]:
        """New token ids; whatever the cache has read and the new prompt begins with is used again.

        The answer in the prompt may be other tokens than the model wrote (a stop text cut off, a blank),
        therefore the cache is cut back to the common beginning instead of being trusted to its end.
        """
        options = {**turn.sampling.options(), "streamer": streamer, "stopped": stopped}
        if turn.sampling.num_beams > 1:  # a cache of one row is of no use to several beams, and stays as it is
            return self.model.generate(turn.ids, self._soft, turn.room, **options)
        cache, known = self._cache or (DynamicCache(config=self.model.llm.config), [])
        self._cache = None  # after a failure the next question starts with a new one
        limit = min(len(known), len(turn.ids) - 1)  # one token has to be read to predict the next
        shared = next((i for i in range(limit) if known[i] != turn.ids[i]), limit)
        if known:
            cache.crop(shared - len(known))  # a negative number: how many tokens to drop
        new = self.model.generate(turn.ids, self._soft, turn.room, past_key_values=cache, **options)
        self._cache = cache, (turn.ids + new)[: cache.get_seq_length()]  # the last new token was never read
        return new

    def _pieces(self, turn: Turn) -> Iterator[str]:
        """Generate in a second thread and hand on its pieces."""
        pieces: queue.Queue[str | None] = queue.Queue()
        stopped, place = threading.Event(), len(self.turns)
        with ThreadPoolExecutor(max_workers=1) as pool:
            future = pool.submit(self._answer, turn, place, pieces.put, stopped)
            future.add_done_callback(lambda _: pieces.put(None))
            try:
                while (piece := pieces.get()) is not None:
                    yield piece
                future.result()  # raises here what was raised there
            finally:
                stopped.set()
