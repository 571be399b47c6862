"""The chat window, used without a browser: what a click would do."""

from __future__ import annotations

import torch
from toy_model import toy_model

from minivl import Chat, tiny
from minivl.widgets import ChatWindow


def test_a_question_and_its_answer_are_shown_and_the_line_is_emptied() -> None:
    chat = Chat(toy_model())
    side = tiny().vit.image_size
    chat.watch(torch.zeros(8, 3, side, side, dtype=torch.uint8))
    window = ChatWindow(chat)
    window.question.value = "is it <small>?"
    window.button.click()
    question, answer = chat.history[0]
    assert question == "is it <small>?" and window.question.value == ""
    assert "is it &lt;small&gt;?" in window.said.value and answer.split(" ")[0] in window.said.value
    window.button.click()  # an empty question
    assert len(chat.history) == 1 and "question is empty" in window.said.value
    window.forget.click()
    assert chat.history == [] and "Ask about the clip" in window.said.value
