"""A scene and questions about it as one token sequence, in the chat format of the tiny model.

    ### Human: <Video> PICTURE </Video> <Audio> SOUND </Audio> question ### Assistant: answer ### Human: question ...

PICTURE and SOUND are what stands in the place of the soft prompts: slot ids (branch training), or a text that
describes the scene (language-model training). Only the answers and the "###" that ends them are learned.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from minivl.toyworld.questions import Question

IGNORE = -100


@dataclass(frozen=True)
class Dialogue:
    """Token ids, labels (IGNORE outside the answers), and which positions hold the description of a scene."""

    ids: list[int]
    labels: list[int]
    described: list[bool]


class DialogueWriter:
    """Turns scenes' texts and questions into `Dialogue`s with one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; the toy world's sentences repeat, so each is tokenised once."""
        if text not in self._known:
            self._known[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]

    def write(
        self, picture: list[int] | None, sound: list[int] | None, asked: list[Question], still: bool = False
    ) -> Dialogue:
        """`picture` and `sound` are the ids in the two places; None leaves the place out of the chat."""
        ids = list(self.encode("###Human:"))
        labels: list[int] = []
        described: list[bool] = []
        for content, tag in ((picture, "Image" if still else "Video"), (sound, "Audio")):
            if content is not None:
                described += [False] * (len(ids) + 1 - len(described)) + [True] * len(content)
                ids += [*self.encode(f"<{tag}>"), *content, *self.encode(f"</{tag}>")]
        for turn, question in enumerate(asked):
            prompt = ("###Human: " if turn else "") + question.text + "###Assistant:"
            if turn:  # the "###" that ended the answer before already opens this turn
                prompt = prompt.removeprefix("###")
            ids += self.encode(prompt)
            labels += [IGNORE] * (len(ids) - len(labels))
            ids += self.encode(question.answer + "###")
            labels += ids[len(labels) :]
        described += [False] * (len(ids) - len(described))
        return Dialogue(ids, labels, described)
