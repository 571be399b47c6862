"""Checkers of notebook 00, the quick start."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import minivl
from minivl.course.checking import Wrong
from minivl.course.profile import tiny_model
from minivl.demo import CLIPS

FIVE = (
    "what colour is it?",
    "which way does it move?",
    "what do you see first?",
    "what do you see last?",
    "is there a dog?",
)
NEED_ORDER = {"which way does it move?", "what do you see first?", "what do you see last?"}


def backwards(answer: Callable[[Tensor], Tensor]) -> str:
    """Frames [T, 3, H, W] in reverse order."""
    frames = _frames()
    found = answer(frames)
    if not isinstance(found, Tensor):
        raise Wrong(f"it returns a {type(found).__name__}: chat.watch wants one tensor; does torch.flip give one?")
    if found.shape != frames.shape:
        raise Wrong(f"the shape is {list(found.shape)}, but should stay {list(frames.shape)}")
    if found.equal(frames):
        raise Wrong("nothing has changed: is the result returned?")
    if found.equal(frames.flip(-1)) or found.equal(frames.flip(-2)):
        raise Wrong("each frame is now its mirror image, and the order is as before: which dimension is T?")
    if found.equal(frames.roll(1, 0)) or found.equal(frames.roll(-1, 0)):
        raise Wrong("the frames only moved on by one place: the second should become the last but one")
    if not found.equal(frames.flip(0)):
        raise Wrong("the last frame should become the first, the first the last, and no other dimension may change")
    chat = minivl.Chat(tiny_model())
    chat.watch(found)
    return f"now the model sees first {chat.ask('what do you see first?')}, and last {_again(chat, FIVE[3])}"


def deaf_row(answer: Callable[[Any, Tensor, str], Tensor]) -> str:
    """The row [L, D] of a prompt with a video and without sound."""
    model = tiny_model()
    video = torch.randn(8, 192, generator=torch.Generator().manual_seed(1))  # any vectors will do
    for question in ("what do you see last?", "is there a dog?"):
        with torch.no_grad():
            found = answer(model, video, question)
        if not isinstance(found, Tensor) or found.ndim != 2:
            raise Wrong("the row should be one tensor [L, D]: is there a dimension too many, or a list?")
        right = _row(f"###Human: <Video>{{}}</Video> {question}###Assistant:", video)
        if found.shape == right.shape and torch.allclose(found, right, atol=1e-5):
            continue
        if len(found) > len(right):
            raise Wrong(f"the row is {len(found) - len(right)} vectors too long: is there still an <Audio> tag?")
        if len(found) < len(right):
            raise Wrong(
                f"the row is {len(right) - len(found)} vectors too short: does it begin with ###Human:, and end where "
                "the model has to go on, with ###Assistant:?"
            )
        raise Wrong("the row has the right length: does the soft prompt stand between <Video> and </Video>?")
    return "a sense that is off leaves no trace in the row"


def positions_and_times(answer: tuple[float, float]) -> str:
    """Positions that the patches of 8 frames would take in the 7B model, and how many times the soft prompt."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (positions, times as many)")
    positions, times = map(float, answer)
    if positions == 8 * 256:
        raise Wrong("nearly: is the class token of each frame counted?")
    if positions in (256, 257):
        raise Wrong("these are the patches of one frame: how many frames are there?")
    if positions == 8 * 32:
        raise Wrong("these are what the image Q-Former leaves of the patches: the question is about a model without it")
    if positions != 8 * 257:
        raise Wrong("the positions are those of 8 frames, each with 16 x 16 patches and a class token")
    if times == positions / 8:
        raise Wrong("the tiny model's soft prompt has 8 vectors: how many has that of the 7B model?")
    if abs(times - positions / 32) > 0.5:
        raise Wrong("divide the positions by the vectors of the video soft prompt, which are 32")
    return "more than the whole context of 2,048 positions, and 64 times the soft prompt"


def need_order(answer: set[str]) -> str:
    """The questions of FIVE whose answer changes when the frames are reversed."""
    if isinstance(answer, str) or not set(answer) <= set(FIVE):
        raise Wrong("give a set of questions, each written as in n00.FIVE")
    given = set(answer)
    if extra := given - NEED_ORDER:
        raise Wrong(f"{sorted(extra)[0]!r} is answered by every single frame: does its answer really change?")
    if "which way does it move?" not in given:
        raise Wrong("is there not a clip whose motion turns round? Ask about both clips")
    if given != NEED_ORDER:
        raise Wrong("what comes first and what comes last change together: ask about the clip with two events")
    return "these three are about what lies between frames; the other two are answered by any one of them"


@lru_cache(maxsize=1)
def _frames() -> Tensor:
    return minivl.load_video(CLIPS / "dog_then_train.mp4").frames


def _again(chat: minivl.Chat, question: str) -> str:
    chat.reset()
    return chat.ask(question)


@torch.no_grad()
def _row(prompt: str, video: Tensor) -> Tensor:
    """The vectors [L, D] of a prompt with a soft prompt in the place of {}."""
    model = tiny_model()
    embedding = model.llm.get_input_embeddings()
    first, last = (
        embedding(torch.tensor(model.tokenizer.encode(text, add_special_tokens=False))) for text in prompt.split("{}")
    )
    return torch.cat([first, video, last])
