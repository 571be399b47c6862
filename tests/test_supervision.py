"""What is learned in training, letter by letter, on tokenizers small enough to check by eye."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import minivl
from minivl.conversation import LLAMA2, TINY, VICUNA, Conversation, Style
from minivl.errors import InputError
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, tokenize
from minivl.supervision import (
    CAPTION_PROMPTS,
    Example,
    caption_example,
    caption_prompt,
    conversation_example,
    first_question,
)
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.questions import Question

V, A = VIDEO_SLOT, AUDIO_SLOT
SHIPPED = Path(minivl.__file__).parent / "weights" / "tiny" / "llm"
TURNS = [("<Video><ImageHere></Video> what do you see?", "a red circle"), ("is there a bell?", "no")]


def letters(*merges: tuple[str, str]) -> Any:
    """A tokenizer with one token a letter, and one for each pair in `merges`."""
    pieces = ["<unk>", *string.printable, *("".join(pair) for pair in merges)]
    model = models.BPE({piece: i for i, piece in enumerate(pieces)}, list(merges), unk_token="<unk>")
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="<unk>")


@pytest.fixture(scope="module")
def words() -> Any:
    """The shipped model's tokenizer: one token a word, one a mark."""
    return AutoTokenizer.from_pretrained(SHIPPED)


def read(tokenizer: Any, example: Example) -> str:
    """All of an example's text, "v" for each vector of the soft prompt."""
    return "".join("v" if i < 0 else tokenizer.convert_ids_to_tokens(i) for i in example.ids)


def learned(tokenizer: Any, example: Example) -> list[str]:
    """The tokens that the loss is taken over; every label is the id that stands there."""
    assert all(y in (i, IGNORE) for i, y in zip(example.ids, example.labels, strict=True))
    return tokenizer.convert_ids_to_tokens([y for y in example.labels if y != IGNORE])  # type: ignore[no-any-return]


# ---- captions


def test_stage_1_learns_the_caption_and_the_new_line() -> None:
    example = caption_example(letters(), "a dog", V, 3)
    assert read(letters(), example) == "vvva dog\n"
    assert "".join(learned(letters(), example)) == "a dog\n"


def test_stage_2_learns_the_caption_and_the_stop_text_but_not_the_request() -> None:
    prompt = caption_prompt(VICUNA, CAPTION_PROMPTS[0])
    example = caption_example(letters(), "a dog", V, 2, prompt, VICUNA.stop)
    assert read(letters(), example) == (
        "###Human: <Image>vv</Image> Describe this image in detail. ###Assistant: a dog###"
    )
    assert "".join(learned(letters(), example)) == "a dog###"


def test_a_long_caption_loses_its_end_not_the_request() -> None:
    example = caption_example(letters(), "a dog barks", V, 2, "<ImageHere> what?", "###", max_tokens=8)
    assert read(letters(), example) == "vv what?a dog ba"
    assert "".join(learned(letters(), example)) == "a dog ba"


def test_every_example_begins_with_the_tokenizers_bos() -> None:
    tokenizer = letters()
    tokenizer.bos_token = "#"
    assert read(tokenizer, caption_example(tokenizer, "a dog", V, 1)) == "#va dog\n"
    assert read(tokenizer, conversation_example(tokenizer, VICUNA, TURNS, V, 1)).startswith("#\n\n###Human:")


def test_requests_for_captions() -> None:
    assert len(set(CAPTION_PROMPTS)) == 4
    assert caption_prompt(VICUNA, "{x}<ImageHere>") == "###Human: {x}<ImageHere> ###Assistant: "
    assert caption_prompt(LLAMA2, "{x}<ImageHere>") == "[INST] <<SYS>>\n \n<</SYS>>\n\n{x}<ImageHere> [/INST] "
    assert caption_prompt(TINY, "{x}<ImageHere>") == "###Human: {x}<ImageHere>###Assistant:"


# ---- dialogues


def test_vicuna_dialogue() -> None:
    example = conversation_example(letters(), VICUNA, TURNS, V, 2)
    assert read(letters(), example) == (
        "\n\n###Human: <Video>vv</Video> what do you see?\n###Assistant: a red circle\n"
        "###Human: is there a bell?\n###Assistant: no\n###"
    )
    assert "".join(learned(letters(), example)) == "###" + "###Assistant: a red circle\n###" + "###Assistant: no\n###"


def test_llama2_dialogue() -> None:
    example = conversation_example(letters(), LLAMA2, TURNS, V, 2)
    assert read(letters(), example) == (
        "[INST] <<SYS>>\n \n<</SYS>>\n\n<Video>vv</Video> what do you see? [/INST] a red circle </s>"
        "<s>[INST] is there a bell? [/INST] no </s>"
    )
    assert "".join(learned(letters(), example)) == " a red circle </s> no </s>"


def test_a_format_of_ones_own_learns_answers_and_stop_texts() -> None:
    chatml = Style("chatml", ("user", "assistant"), "<u>{text}<a>", "<u>{text}<a>", "{text}<end>\n", stop="<end>")
    example = conversation_example(letters(), chatml, TURNS, V, 1)
    assert read(letters(), example) == (
        "<u><Video>v</Video> what do you see?<a>a red circle<end>\n<u>is there a bell?<a>no<end>"
    )
    assert "".join(learned(letters(), example)) == "a red circle<end>no<end>"


def test_braces_in_a_dialogue_are_only_braces() -> None:
    turns = [("<ImageHere>{text}", "{}"), ("{system}", "{0}")]
    for style in (VICUNA, LLAMA2, TINY):
        text = read(letters(), conversation_example(letters(), style, turns, V, 1))
        assert [brace in text for brace in ("{text}", "{}", "{system}", "{0}")] == [True] * 4


def test_a_word_tokenizer_learns_exactly_the_answers_and_what_ends_them(words: Any) -> None:
    answers = ["a", "red", "circle", "###", "no", "###"]
    assert learned(words, conversation_example(words, TINY, TURNS, V, 4)) == answers
    ended = ["a", "red", "circle", "</s>", "no", "</s>"]
    assert learned(words, conversation_example(words, LLAMA2, TURNS, V, 4)) == ended
    with_roles = ["###", "###", "Assistant:", "a", "red", "circle", "###", "###", "Assistant:", "no", "###"]
    assert learned(words, conversation_example(words, VICUNA, TURNS, V, 4)) == with_roles


def test_the_tiny_format_is_that_of_its_chats(words: Any) -> None:
    chat = Conversation(TINY)
    for question, answer in TURNS:
        chat.add("Human", question)
        chat.add("Assistant", answer)
    example = conversation_example(words, TINY, TURNS, V, 4)
    assert example.ids == tokenize(words, chat.prompt() + TINY.stop, [(V, 4)])


@pytest.mark.parametrize(
    ("first", "slot"), [("<Video><ImageHere></Video> ", V), ("<Audio><AudioHere></Audio> ", A)], ids=["video", "audio"]
)
def test_the_tiny_format_is_that_of_the_toy_worlds_lessons(words: Any, first: str, slot: int) -> None:
    asked = [("what do you see?", "a red circle, a bell"), ("how many things?", "two"), ("is there a dog?", "no")]
    slots = [slot] * 4
    lesson = DialogueWriter(words).write(
        slots if slot == V else None, slots if slot == A else None, [Question("see", q, a) for q, a in asked]
    )
    turns = [(first + asked[0][0], asked[0][1]), *asked[1:]]
    example = conversation_example(words, TINY, turns, slot, 4)
    assert example.ids == lesson.ids
    assert example.labels == lesson.labels


def test_an_unknown_word_is_read_but_not_learned(words: Any) -> None:
    turns = [("<ImageHere> what is the zebra?", "a zebra")]
    example = conversation_example(words, TINY, turns, V, 1)
    assert example.ids.count(words.unk_token_id) == 2
    assert learned(words, example) == ["a", "###"]


def test_a_token_across_a_border_is_learned_if_one_side_is() -> None:
    """One token: "\\n#", at the border of a question and what is learned, and "#H", at the end of what is learned."""
    tokenizer = letters(("\n", "#"), ("#", "H"))
    example = conversation_example(tokenizer, VICUNA, TURNS, V, 1)
    assert "".join(learned(tokenizer, example)) == (
        "\n###H" + "\n###Assistant: a red circle\n###H" + "\n###Assistant: no\n###"
    )


# ---- cutting


def test_a_long_dialogue_is_cut_at_its_end() -> None:
    whole = conversation_example(letters(), VICUNA, TURNS, V, 2)
    cut = conversation_example(letters(), VICUNA, TURNS, V, 2, max_tokens=80)
    assert len(cut.ids) == len(cut.labels) == 80 < len(whole.ids)
    assert cut == Example(whole.ids[:80], whole.labels[:80])


def test_a_soft_prompt_is_never_cut(words: Any) -> None:
    before = len(tokenize(words, "\n\n###Human: <Video>", []))
    exactly = conversation_example(words, VICUNA, TURNS, V, 4, max_tokens=before + 4)
    assert exactly.ids[-4:] == [V] * 4
    with pytest.raises(InputError, match=f"ends at token {before + 4}, and max_tokens is {before + 3}"):
        conversation_example(words, VICUNA, TURNS, V, 4, max_tokens=before + 3)


def test_nothing_to_learn_is_an_error(words: Any) -> None:
    """Its loss would be a mean over no token: not a number."""
    with pytest.raises(InputError, match="max_tokens=20"):
        conversation_example(letters(), TINY, [("<ImageHere> " + "why? " * 9, "no")], V, 2, max_tokens=20)
    with pytest.raises(InputError, match="unknown words"):
        caption_example(words, "zebra", V, 4)


# ---- wrong input


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [("what?", "a dog")],
        [("<ImageHere><ImageHere> what?", "a dog")],
        [("what?", "<ImageHere>")],
        [("<ImageHere> what?", "a dog"), ("<ImageHere> and now?", "a cat")],
        [("<ImageHere> what?", "a dog"), ("and", "<AudioHere>")],
    ],
)
def test_the_soft_prompt_stands_in_the_first_question_alone(turns: list[tuple[str, str]]) -> None:
    with pytest.raises(InputError, match="first_question"):
        conversation_example(letters(), VICUNA, turns, V, 2)


@pytest.mark.parametrize(("slot", "length"), [(400, 2), (V, 0)])
def test_a_slot_is_a_negative_number_with_vectors(slot: int, length: int) -> None:
    with pytest.raises(InputError, match=f"slot {slot} with {length} vectors"):
        conversation_example(letters(), VICUNA, TURNS, slot, length)
    with pytest.raises(InputError, match=f"slot {slot} with {length} vectors"):
        caption_example(letters(), "a dog", slot, length)


@pytest.mark.parametrize("prompt", ["what?", "<ImageHere> <ImageHere> what?"])
def test_a_request_has_one_soft_prompt(prompt: str) -> None:
    with pytest.raises(InputError, match="placeholders"):
        caption_example(letters(), "a dog", V, 2, prompt)


def test_first_questions() -> None:
    msg = "The video contains 2 frames sampled at 0.0, 1.0 seconds. "
    assert first_question("video", "What is it?", msg) == f"<Video><ImageHere></Video> {msg}What is it?"
    assert first_question("video", "What is it?") == "<Video><ImageHere></Video> What is it?"
    assert first_question("image", "What is it?\n<image>", msg) == "What is it?\n<Image><ImageHere></Image>"


@pytest.mark.parametrize("question", ["What is it?", "<image><image>What is it?"])
def test_an_image_question_says_where_the_picture_belongs(question: str) -> None:
    with pytest.raises(InputError, match="write it once"):
        first_question("image", question)


def test_a_first_question_is_about_a_video_or_an_image() -> None:
    with pytest.raises(InputError, match='choose "video" or "image"'):
        first_question("audio", "What do you hear?")
