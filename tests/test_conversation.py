"""Prompt formats, letter for letter."""

from __future__ import annotations

import pytest

from minivl.conversation import (
    IMAGE_SYSTEM,
    LLAMA2,
    TINY,
    VICUNA,
    Conversation,
    Style,
    clean_answer,
    upload_message,
    upload_slots,
)
from minivl.errors import InputError
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT

MSG = "The video contains 2 frames sampled at 0.0, 1.0 seconds. "


def talk(style: Style, system: str, *texts: str) -> str:
    """User and model speaking in turn."""
    conversation = Conversation(style, system)
    for number, text in enumerate(texts):
        conversation.add(style.roles[number % 2], text)
    return conversation.prompt()


def test_vicuna() -> None:
    assert talk(VICUNA, "", "hi") == "###Human: hi###Assistant:"
    assert talk(VICUNA, "Be kind.", "hi", "hello", "bye") == (
        "Be kind.###Human: hi###Assistant: hello###Human: bye###Assistant:"
    )


def test_llama2() -> None:
    assert talk(LLAMA2, "", "hi") == "[INST] <<SYS>>\n\n<</SYS>>\n\nhi [/INST]"
    assert talk(LLAMA2, "Be kind.", "hi", "hello", "bye") == (
        "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nhi [/INST] hello </s><s>[INST] bye [/INST]"
    )


def test_tiny_is_vicuna_without_a_system_text() -> None:
    assert talk(TINY, IMAGE_SYSTEM, "hi", "hello", "bye") == talk(VICUNA, "", "hi", "hello", "bye")


def test_braces_in_a_question_are_only_braces() -> None:
    assert talk(VICUNA, "{x}", "what is {system} ?") == "{x}###Human: what is {system} ?###Assistant:"


def test_a_question_joins_the_upload_before_it() -> None:
    conversation = Conversation(VICUNA)
    conversation.add("Human", upload_message(VICUNA, video=True, image=False, audio=False, msg=MSG))
    conversation.add("Human", "What is happening?")
    assert conversation.turns == [("Human", f"<Video><ImageHere></Video> {MSG} What is happening?")]


def test_nobody_else_speaks_and_the_user_begins() -> None:
    with pytest.raises(InputError, match="unknown role 'USER'"):
        Conversation(VICUNA).add("USER", "hi")
    with pytest.raises(InputError, match="begins with the user"):
        Conversation(VICUNA).add("Assistant", "hi")


@pytest.mark.parametrize("style", [VICUNA, LLAMA2])
def test_original_upload_messages(style: Style) -> None:
    assert upload_message(style, True, False, False, MSG) == f"<Video><ImageHere></Video> {MSG}"
    assert upload_message(style, False, True, False, MSG) == "<Image><ImageHere></Image> "
    both = upload_message(style, True, False, True, MSG)
    assert both == (
        "Close your eyes, open your ears and you imagine only based on the sound that: <ImageHere>."
        "                 Close your ears, open your eyes and you see that <Video><ImageHere></Video>."
        "                  Now answer my question based on what you have just seen and heard."
    )
    assert upload_message(style, False, False, True).count("<ImageHere>") == 1


def test_tiny_upload_messages() -> None:
    video, audio = "<Video><ImageHere></Video> ", "<Audio><AudioHere></Audio> "
    assert upload_message(TINY, True, False, True, MSG) == video + audio
    assert upload_message(TINY, True, False, False, MSG) == video
    assert upload_message(TINY, False, False, True, MSG) == audio
    assert upload_message(TINY, False, True, False, MSG) == "<Image><ImageHere></Image> "


@pytest.mark.parametrize("seen", [True, False])
def test_something_must_be_there_but_not_two_pictures(seen: bool) -> None:
    with pytest.raises(InputError, match="a video or an image"):
        upload_message(TINY, video=seen, image=seen, audio=False)


def test_the_original_hears_first_the_tiny_model_sees_first() -> None:
    assert upload_slots(VICUNA, 32, 8) == [(AUDIO_SLOT, 8), (VIDEO_SLOT, 32)]
    assert upload_slots(TINY, 32, 8) == [(VIDEO_SLOT, 32), (AUDIO_SLOT, 8)]
    assert upload_slots(VICUNA, 32, 0) == [(VIDEO_SLOT, 32)]


@pytest.mark.parametrize(
    ("text", "style", "answer"),
    [
        (" a red ball###Human: and", VICUNA, "a red ball"),
        ("Assistant: a red ball", VICUNA, "a red ball"),
        ("a red ball</s><s>[INST]", LLAMA2, "a red ball"),
        ("ASSISTANT: a # b ", LLAMA2, "a # b"),
        ("###", TINY, ""),
    ],
)
def test_an_answer_ends_at_the_stop_text(text: str, style: Style, answer: str) -> None:
    assert clean_answer(text, style) == answer
