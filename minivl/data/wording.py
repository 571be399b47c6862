"""What a sample says, as the text of a training example (supervision.py makes ids and labels of it).

    stage 1   caption        the soft prompt, the caption, a new line
    stage 2   caption        a request drawn for the whole batch, with the soft prompt; the caption, the stop text
              conversation   the soft prompt in the first question; beside a video also when its frames were taken

In the original: webvid_datasets.py, cc_sbu_dataset.py and forward() of video_llama.py.
"""

from __future__ import annotations

import re

import numpy as np

from minivl.conversation import TINY
from minivl.data.samples import Sample
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.recipes import PAPER_TOKENS
from minivl.soft_prompt import AUDIO_HERE, AUDIO_SLOT, IMAGE_HERE, VIDEO_SLOT
from minivl.supervision import (
    CAPTION_PROMPTS,
    LLAVA_IMAGE,
    Example,
    caption_example,
    caption_prompt,
    conversation_example,
    first_question,
)

CONVERSATION_TOKENS = 512  # at most, the soft prompt counted


class Wording:
    """Writes the examples of one branch and stage."""

    def __init__(self, model: VideoLlama, branch: str, stage: int, max_tokens: int | None = None) -> None:
        """max_tokens: of a caption, and of a conversation; by default those of the paper's runs, and 512.

        Raises InputError for a branch or stage that there is not.
        """
        if (branch, stage) not in PAPER_TOKENS:
            raise InputError(
                f"there is no stage {stage} of a branch {branch!r}: stages are 1 and 2, branches vision and audio"
            )
        self.tokenizer, self.style, self.branch, self.stage = model.tokenizer, model.style, branch, stage
        audio = branch == "audio"
        self.slot = AUDIO_SLOT if audio else VIDEO_SLOT
        config = model.config.audio_branch if audio else model.config.vision_branch
        self.length = config.qformer.num_queries
        self.caption_tokens = max_tokens or PAPER_TOKENS[branch, stage]
        self.conversation_tokens = max_tokens or CONVERSATION_TOKENS

    def prompt(self, random: np.random.Generator) -> str:
        """What a batch of captions is asked for with: nothing but the soft prompt in stage 1."""
        if self.stage == 1:
            return IMAGE_HERE
        return self._in_place(caption_prompt(self.style, CAPTION_PROMPTS[random.integers(len(CAPTION_PROMPTS))]))

    def example(self, sample: Sample, message: str, prompt: str) -> Example:
        """The ids and labels of one sample.

        message: about the frames; empty for a still image. prompt: of the batch, for captions.
        Raises InputError if the sample leaves nothing to learn (supervision.py).
        """
        soft = {"slot": self.slot, "length": self.length}
        if sample.is_caption:
            end = "\n" if self.stage == 1 else self.style.stop
            caption = sample.turns[0][1]
            return caption_example(
                self.tokenizer, caption, prompt=prompt, end=end, max_tokens=self.caption_tokens, **soft
            )
        (asked, answered), *later = sample.turns
        turns = [(self._first(asked, message), answered), *later]
        return conversation_example(self.tokenizer, self.style, turns, max_tokens=self.conversation_tokens, **soft)

    def _first(self, question: str, message: str) -> str:
        if message:
            # some sets write <image> for a video; the placeholder of a video comes first
            question = question.replace(LLAVA_IMAGE, "").strip()
            return self._in_place(first_question("video", question, "" if self.style is TINY else message))
        if LLAVA_IMAGE not in question:
            question = f"{LLAVA_IMAGE} {question}"
        return self._in_place(first_question("image", question))

    def _in_place(self, text: str) -> str:
        """The tiny model's chats mark a sound by words of its own; the original's training calls it a picture."""
        if self.style is TINY and self.branch == "audio":
            return re.sub(rf"<(Image|Video)>{IMAGE_HERE}</\1>", f"<Audio>{AUDIO_HERE}</Audio>", text)
        return text
