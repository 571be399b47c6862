r"""Supervision: which token ids the language model reads in training, and which of them it has to predict.

The branches learn by next-token prediction through the frozen language model (section 2.2 of the paper). Not every
token counts: the loss of model.py is a mean over those that are marked here. With v for the soft prompt:

    caption        <s> v a dog barks\n
                         ~~~~~~~~~~~~~
    with a prompt  <s> ###Human: <Image>v</Image> Describe this image in detail. ###Assistant: a dog barks###
                                                                                               ~~~~~~~~~~~~~~
    Vicuna         <s> \n\n###Human: <Video>v</Video> q\n###Assistant: a\n###Human: q\n###Assistant: a\n###
                           ~~~                           ~~~~~~~~~~~~~~~~~~~~          ~~~~~~~~~~~~~~~~~~~~
    LLaMA-2        <s> [INST] <<SYS>>\n \n<</SYS>>\n\n<Video>v</Video> q [/INST] a </s><s>[INST] q [/INST] a </s>
                                                                                ~~~~~~~                   ~~~~~~~

Stage 1 teaches captions, stage 2 dialogues and captions with a prompt. The ids and labels are those of the original
(forward() in video_llama.py; video_instruct_dataset.py and llava_instruct_dataset.py), found in another way. The
original counts the tokens of each sentence alone and marks as many in the dialogue, which fits by accident: LLaMA's
tokenizer has one token for the "###" that a text begins with, two for one in its midst, and <s> makes up for it. Here
the dialogue grows part by part, and the tokens that a part brings are the part's own, with any tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minivl.conversation import LLAMA2, VICUNA, Style
from minivl.errors import InputError
from minivl.soft_prompt import AUDIO_HERE, IGNORE, IMAGE_HERE, tokenize

LLAVA_IMAGE = "<image>"  # in LLaVA's questions: here is the picture

# What captions of images are asked for with in stage 2: the original draws one for each batch.
CAPTION_PROMPTS = (
    f"<Image>{IMAGE_HERE}</Image> Describe this image in detail.",
    f"<Image>{IMAGE_HERE}</Image> Take a look at this image and describe what you notice.",
    f"<Image>{IMAGE_HERE}</Image> Please provide a detailed description of the picture.",
    f"<Image>{IMAGE_HERE}</Image> Could you describe the contents of this image for me?",
)
# The blank after each is a token of its own, which chats do not have: the official weights were trained with it.
CAPTION_TEMPLATES = {
    VICUNA.name: "###Human: {} ###Assistant: ",
    LLAMA2.name: "[INST] <<SYS>>\n \n<</SYS>>\n\n{} [/INST] ",
}
TRAINING_SYSTEM = " "  # LLaMA-2's system text in training; the original's demos leave it empty


@dataclass(frozen=True)
class Example:
    """One row of a training batch, before `soft_prompt.pad`."""

    ids: list[int]  # [L] token ids; a slot (soft_prompt.py) for each vector of the soft prompt
    labels: list[int]  # [L] the same ids where the model has to predict them, IGNORE elsewhere


def caption_example(
    tokenizer: Any,
    caption: str,
    slot: int,
    length: int,
    prompt: str = IMAGE_HERE,
    end: str = "\n",
    max_tokens: int = 32,
) -> Example:
    """A caption to be predicted after a soft prompt.

    Args:
        tokenizer: a transformers tokenizer.
        slot, length: the soft prompt's slot id, and how many vectors it has.
        prompt: the text around the soft prompt, with one placeholder. Stage 1 has none; stage 2: `caption_prompt`.
        end: what ends a caption: a new line in stage 1, `style.stop` in stage 2.
        max_tokens: of the caption and `end`; a cut removes `end`, so that an unfinished caption teaches no end.
            The original has 32 in stage 1, 320 (vision) or 512 (audio) in stage 2.

    Raises InputError if the prompt has not one placeholder, or if no token is left to be learned.
    """
    _check_slot(slot, length)
    asked = tokenize(tokenizer, prompt, [(slot, length)])
    said = list(tokenizer.encode(caption + end, add_special_tokens=False))[:max_tokens]
    return _example(tokenizer, asked + said, [False] * len(asked) + [True] * len(said), max_tokens)


def conversation_example(
    tokenizer: Any, style: Style, turns: Sequence[tuple[str, str]], slot: int, length: int, max_tokens: int = 512
) -> Example:
    """A whole dialogue about one soft prompt, its answers to be predicted.

    Args:
        tokenizer: a transformers tokenizer.
        style: the prompt format. Training differs from chats (conversation.py): the Vicuna format begins with two
            new lines and ends each sentence with one; LLaMA-2's system text is a blank.
        turns: (question, answer); the first question holds the placeholder (`first_question`).
        slot, length: the soft prompt's slot id, and how many vectors it has.
        max_tokens: of the whole, the bos and the soft prompt counted. As in the original the rest is cut off.

    Raises InputError if the placeholder is missing or is not the only one, if the cut would take away a part of the
    soft prompt, or if no token is left to be learned.
    """
    _check_slot(slot, length)
    places = [text.count(IMAGE_HERE) + text.count(AUDIO_HERE) for turn in turns for text in turn]
    if places[:1] != [1] or sum(places) != 1:
        raise InputError(
            f"a dialogue needs {IMAGE_HERE} once in its first question and not elsewhere: {len(turns)} turns have "
            f"it {sum(places[:1])} times there and {sum(places[1:])} times elsewhere; see first_question()"
        )
    text = ""
    ids: list[int] = []
    learned: list[bool] = []
    for part, is_learned in _vicuna(turns) if style.name == VICUNA.name else _as_in_chats(style, turns):
        text += part
        # Only the whole text has the right tokens: a sentence alone would begin with other ones.
        grown = tokenize(tokenizer, text, [(slot, length)] if IMAGE_HERE in text or AUDIO_HERE in text else [])
        pairs = enumerate(zip(ids, grown, strict=False))
        same = next((n for n, (old, new) in pairs if old != new), min(len(ids), len(grown)))
        added = [is_learned] * (len(grown) - same)
        # A token across the border of two parts is learned if one of them is: half a stop text would be none.
        if added and any(learned[same:]):
            added[0] = True
        ids, learned = grown, learned[:same] + added
    if (end := len(ids) - ids[::-1].index(slot)) > max_tokens:
        raise InputError(
            f"the soft prompt would be cut: it ends at token {end}, and max_tokens is {max_tokens}; "
            "raise it, or shorten what the first question says before the soft prompt"
        )
    return _example(tokenizer, ids[:max_tokens], learned[:max_tokens], max_tokens)


def first_question(kind: str, question: str, msg: str = "") -> str:
    """The first question of a dialogue, with the placeholder of the soft prompt.

    Args:
        kind: "video" (VideoChat: the placeholder comes first) or "image" (LLaVA: it replaces "<image>").
        question: as the data set has it.
        msg: `Clip.message()`, when the frames were taken; left out for an image.

    Raises InputError for another kind, or an image's question that has not one "<image>".
    """
    if kind == "video":
        return f"<Video>{IMAGE_HERE}</Video> {msg}{question}"
    if kind != "image":
        raise InputError(f'the kind of a first question is {kind!r}: choose "video" or "image"')
    if question.count(LLAVA_IMAGE) != 1:
        raise InputError(
            f"the first question about an image has {question.count(LLAVA_IMAGE)} times {LLAVA_IMAGE}: write it once, "
            f"where the picture belongs, as in {LLAVA_IMAGE + chr(10) + 'What is this?'!r}"
        )
    return question.replace(LLAVA_IMAGE, f"<Image>{IMAGE_HERE}</Image>")


def caption_prompt(style: Style, line: str) -> str:
    """One of CAPTION_PROMPTS (or another request with a placeholder) as the prompt of `caption_example`."""
    if style.name in CAPTION_TEMPLATES:
        return CAPTION_TEMPLATES[style.name].format(line)
    return style.opening.format(system="", text=line)


def _vicuna(turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bool]]:
    """(a part of the text, whether it is learned), in order."""
    yield "\n\n", False
    # Nobody needs to learn the "###" before the first question, nor the role of the answer: it is in every prompt.
    # The original's mask leaves both in, so the official weights were trained on them.
    yield "###", True
    for question, answer in turns:
        yield f"Human: {question}\n", False
        yield f"###Assistant: {answer}\n###", True


def _as_in_chats(style: Style, turns: Sequence[tuple[str, str]]) -> Iterator[tuple[str, bool]]:
    """(a part of the text, whether it is learned), in order: an answer is learned, and the stop text that ends it."""
    before, stop, after = style.answer.partition(style.stop)
    for number, (question, answer) in enumerate(turns):
        if number == 0:
            yield style.opening.format(system=TRAINING_SYSTEM if style is LLAMA2 else "", text=question), False
        else:  # the stop text is in the answer's format ("a </s><s>") or begins the next question ("###Human:")
            asked = style.question if stop else style.question.removeprefix(style.stop)
            yield after + asked.format(text=question), False
        yield before.format(text=answer) + style.stop, True


def _check_slot(slot: int, length: int) -> None:
    if slot >= 0 or length < 1:
        raise InputError(
            f"slot {slot} with {length} vectors is no soft prompt: give VIDEO_SLOT or AUDIO_SLOT and how many it has"
        )


def _example(tokenizer: Any, ids: list[int], learned: list[bool], max_tokens: int) -> Example:
    # An unknown word would teach the model to say <unk>. In the original it is also the padding, which has no labels.
    known = [i != tokenizer.unk_token_id for i in ids]
    labels = [i if y and k else IGNORE for i, y, k in zip(ids, learned, known, strict=True)]
    if all(label == IGNORE for label in labels):
        raise InputError(
            f"no token is left to be learned: the answers are unknown words or lie behind max_tokens={max_tokens}; "
            "shorten the question or raise it"
        )
    return Example(ids, labels)
