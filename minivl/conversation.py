"""Prompt formats: how a conversation is written down for the language model.

A chat model continues text. Which text says "your turn" was fixed when the model was fine-tuned, so each
kind of language model needs its own format. With `a` an answer and `q` a question:

    Vicuna   {system}###Human: q###Assistant: a###Human: q###Assistant:
    LLaMA-2  [INST] <<SYS>>\\n{system}\\n<</SYS>>\\n\\nq [/INST] a </s><s>[INST] q [/INST]
    Zephyr   <|system|>\\n{system}</s>\\n<|user|>\\nq</s>\\n<|assistant|>\\na</s>\\n<|user|>\\nq</s>\\n<|assistant|>\\n
    tiny     ###Human: q###Assistant: a###Human: q###Assistant:

`<ImageHere>` in a question marks the place of a soft prompt (soft_prompt.py). The wording around it follows
section 3 of the paper and, to the letter, the original's conversation_video.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minivl.errors import InputError
from minivl.soft_prompt import AUDIO_HERE, AUDIO_SLOT, IMAGE_HERE, VIDEO_SLOT

# What the original's demo tells the model before a picture; before a video it says nothing.
IMAGE_SYSTEM = (
    "You are able to understand the visual content that the user provides. "
    "Follow the instructions carefully and explain your answers in detail."
)

HEAR = f"Close your eyes, open your ears and you imagine only based on the sound that: {IMAGE_HERE}."
SEE = f"Close your ears, open your eyes and you see that <Video>{IMAGE_HERE}</Video>."


@dataclass(frozen=True)
class Style:
    """A prompt format, as templates. A conversation: `opening`, then `answer`, `question` in turns."""

    name: str
    roles: tuple[str, str]  # the user's name, the model's name
    opening: str  # the first question, with the system text
    question: str  # every later question; ends where the model has to go on
    answer: str  # what is written after a question once it is answered
    stop: str  # the model ends its answer with this text
    audio_first: bool = True  # the order of the soft prompts when there are both


VICUNA = Style(
    name="vicuna",
    roles=("Human", "Assistant"),
    opening="{system}###Human: {text}###Assistant:",
    question="###Human: {text}###Assistant:",
    answer=" {text}",
    stop="###",
)
LLAMA2 = Style(
    name="llama2",
    roles=("USER", "ASSISTANT"),  # never printed
    opening="[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{text} [/INST]",
    question="[INST] {text} [/INST]",
    answer=" {text} </s><s>",
    stop="</s>",
)
ZEPHYR = Style(  # TinyLlama-1.1B-Chat was fine-tuned with it, mostly with an empty system text
    name="zephyr",
    roles=("<|user|>", "<|assistant|>"),
    opening="<|system|>\n{system}</s>\n<|user|>\n{text}</s>\n<|assistant|>\n",
    question="<|user|>\n{text}</s>\n<|assistant|>\n",
    answer="{text}</s>\n",
    stop="</s>",
)
TINY = Style(
    name="tiny",
    roles=("Human", "Assistant"),
    opening="###Human: {text}###Assistant:",
    question="###Human: {text}###Assistant:",
    answer=" {text}",
    stop="###",
    audio_first=False,
)
STYLES = {style.name: style for style in (VICUNA, LLAMA2, ZEPHYR, TINY)}


@dataclass
class Conversation:
    """A list of turns, and the text that the language model reads."""

    style: Style
    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)  # (role, text)

    def add(self, role: str, text: str) -> None:
        """Append what `role` (one of `style.roles`) says.

        Two messages in a row from one role are one turn, joined by a space: so a question joins the
        upload message before it. Raises InputError for an unknown role or a conversation that the model
        would begin.
        """
        if role not in self.style.roles:
            raise InputError(f"unknown role {role!r}: the {self.style.name} format knows {self.style.roles}")
        if not self.turns and role != self.style.roles[0]:
            raise InputError(f"a conversation begins with the user ({self.style.roles[0]!r}), not with {role!r}")
        if self.turns and self.turns[-1][0] == role:
            self.turns[-1] = (role, f"{self.turns[-1][1]} {text}")
        else:
            self.turns.append((role, text))

    def prompt(self) -> str:
        """The conversation as text with `<ImageHere>` placeholders, up to where the model has to go on."""
        text = ""
        for number, (role, said) in enumerate(self.turns):
            if role == self.style.roles[1]:
                text += self.style.answer.format(text=said)
            elif number == 0:
                text += self.style.opening.format(system=self.system, text=said)
            else:
                text += self.style.question.format(text=said)
        return text


def upload_message(style: Style, video: bool, image: bool, audio: bool, msg: str = "") -> str:
    """What the user's first turn says before the question: here is a video, a picture, a sound.

    Args:
        style: the prompt format.
        video, image, audio: what there is; not a video and an image at once.
        msg: `Clip.message()`, when the frames were taken; the original leaves it out where there is sound.

    Returns text with one placeholder per soft prompt, in the order of `upload_slots`. The runs of 17 and
    18 spaces come from line continuations inside a string of the original, and its weights have seen
    them. Sound alone and sound with a picture are ours: the original has no words for them. Raises
    InputError for nothing to show.
    """
    if video == image and (video or not audio):
        raise InputError("a conversation is about a video or an image, about sound, or about sound and one of them")
    tag = "Image" if image else "Video"
    if style is TINY:
        seen = f"<{tag}>{IMAGE_HERE}</{tag}> " if video or image else ""
        return seen + (f"<Audio>{AUDIO_HERE}</Audio> " if audio else "")
    if not audio:
        return f"<{tag}>{IMAGE_HERE}</{tag}> {msg if video else ''}"
    if not (video or image):
        return f"{HEAR} Now answer my question based on what you have just heard."
    seen = SEE.replace("Video", tag)
    return f"{HEAR}{' ' * 17}{seen}{' ' * 18}Now answer my question based on what you have just seen and heard."


def upload_slots(style: Style, video_length: int, audio_length: int) -> list[tuple[int, int]]:
    """(slot id, number of vectors) of each placeholder in `upload_message`, in order; 0: not there."""
    slots = [(VIDEO_SLOT, video_length), (AUDIO_SLOT, audio_length)]
    return [slot for slot in (reversed(slots) if style.audio_first else slots) if slot[1]]


def clean_answer(text: str, style: Style) -> str:
    """The answer in what the model wrote: up to the stop text, and without a role that it wrote before it."""
    return text.split(style.stop)[0].split(f"{style.roles[1]}:")[-1].strip()
