"""The chat window, used without a browser: its methods, and what clicks and switches do."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from toy_model import toy_model

from minivl.chat import Chat
from minivl.errors import InputError, MediaError
from minivl.model import VideoLlama
from minivl.widgets import ChatApp, upload

SAMPLES = Path(__file__).parent.parent / "data_samples"
CAT, BIRD, SILENT = SAMPLES / "cat_but_drum.mp4", SAMPLES / "bird.wav", SAMPLES / "no_sound_track.mp4"
SEE, HEAR = "what do you see?", "what do you hear?"


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


@pytest.fixture
def app(model: VideoLlama) -> Iterator[ChatApp]:
    app = ChatApp(model, CAT)
    yield app
    app.close()


def everything(widget: Any) -> str:
    """All text in a widget and in those inside it."""
    own = widget.value if isinstance(getattr(widget, "value", None), str) else ""
    return "\n".join([own, *(everything(child) for child in getattr(widget, "children", ()))])


def shown(app: ChatApp) -> str:
    """All text of the conversation, the lower half of the window."""
    return everything(app.box.children[2])


# ---- asking


def test_the_window_answers_as_a_chat_does(app: ChatApp, model: VideoLlama) -> None:
    chat = Chat(model)
    chat.watch(CAT)
    assert [app.ask(question) for question in (SEE, HEAR)] == [chat.ask(question) for question in (SEE, HEAR)]
    assert app.chat.history == chat.history


def test_a_click_does_what_the_method_does(app: ChatApp) -> None:
    answer = app.ask(SEE)
    app.new_button.click()
    assert app.chat.history == [] and SEE not in shown(app)
    app.question.value = SEE
    app.ask_button.click()
    app.wait()
    assert app.chat.history == [(SEE, answer)] and app.question.value == ""
    assert SEE in shown(app) and answer in shown(app)


def test_enter_asks(app: ChatApp) -> None:
    app.question.value = SEE
    app.question._handle_custom_msg({"event": "submit"}, [])  # what the browser sends
    app.wait()
    assert [question for question, _ in app.chat.history] == [SEE]


def test_what_people_type_is_text_and_no_html(app: ChatApp) -> None:
    app.ask("is it <small>?")
    assert "is it &lt;small&gt;?" in shown(app) and "<small>" not in shown(app)


def test_the_sliders_are_used(app: ChatApp) -> None:
    app.length.value = 2
    assert len(app.ask(SEE).split()) <= 2
    app.length.value, app.temperature.value, app.top_p.value = 12, 2.0, 0.95
    drawn = [app.again(seed=seed) for seed in (1, 2, 3, 1)]
    assert drawn[0] == drawn[3] and len(set(drawn)) > 1
    settings = app.export()["turns"][-1]["settings"]
    assert settings == {"max_new_tokens": 12, "temperature": 2.0, "top_p": 0.95, "num_beams": 1, "seed": 1}


def test_regenerate_takes_the_answers_place(app: ChatApp) -> None:
    first, second = app.ask(SEE), app.ask(HEAR)
    app.again_button.click()
    app.wait()
    assert app.chat.history == [(SEE, first), (HEAR, second)]
    assert len(app.views) == 2


def test_an_answer_can_be_stopped_and_asked_again(app: ChatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is held after its first piece, as a large one would be at work."""
    app.length.value = 40
    expected, writing, stopped = app.ask(SEE), threading.Event(), threading.Event()
    app.new_chat()
    original = app.chat.ask

    def slow(question: str, stream: Any, **settings: Any) -> str:
        def held(piece: str) -> None:
            stream(piece)
            writing.set()
            assert stopped.wait(20)

        return original(question, held, **settings)

    monkeypatch.setattr(app.chat, "ask", slow)
    app.question.value = SEE
    app.ask_button.click()
    assert writing.wait(20) and not app.stop_button.disabled and app.ask_button.disabled
    app.ask_button.click()  # a second one at the same time is refused
    assert "still at work" in app.problem
    app.stop_button.click()
    stopped.set()
    app.wait()
    assert app.chat.history == [] and app.question.value == SEE and app.stop_button.disabled
    assert "does not remember" in shown(app)
    monkeypatch.undo()
    assert app.ask(SEE) == expected


# ---- senses and clips


def test_a_sense_is_taken_away_and_given_back(app: ChatApp, model: VideoLlama) -> None:
    with_both = app.ask(HEAR)
    muted = Chat(model)
    muted.watch(CAT, hearing=False)
    app.hearing.value = False
    assert app.chat.history == [] and "hearing is switched off" in shown(app)
    assert HEAR in shown(app), "what was said before stays in view"
    assert app.ask(HEAR) == muted.ask(HEAR)
    app.hearing.value = True
    assert app.ask(HEAR) == with_both


def test_the_last_sense_cannot_be_taken_away(app: ChatApp) -> None:
    answer = app.ask(SEE)
    app.hearing.value = False
    app.sight.value = False
    assert app.sight.value and app.problem == "sight and hearing are both switched off: switch one of them on"
    app.hearing.value = True
    app.load(BIRD)
    app.hearing.value = False
    assert app.hearing.value and "bird.wav has nothing to see" in app.problem
    app.load(CAT)
    assert app.ask(SEE) == answer


def test_what_a_file_lacks_is_told(app: ChatApp) -> None:
    app.load(SILENT)
    assert "no_sound_track.mp4 has no audio track" in everything(app.box)
    app.hearing.value = False  # changes nothing
    assert app.problem == ""


def test_a_sample_is_picked(app: ChatApp) -> None:
    app.ask(SEE)
    app.sample.value = "bird.wav"
    assert app.chat.sound is not None and app.chat.clip is None and app.chat.history == []
    app.load(CAT)
    assert app.sample.value == ""


def test_a_file_is_uploaded(app: ChatApp) -> None:
    """What ipywidgets makes of the browser's message, in version 7 and 8."""
    file = {"name": "bird.wav", "type": "audio/wav", "size": 1, "last_modified": datetime(2024, 1, 1)}
    content = BIRD.read_bytes()
    if app.file.traits()["value"].read_only:
        app.file.set_trait("value", {"bird.wav": {"metadata": file, "content": content}})
    else:
        app.file.value = ({**file, "content": memoryview(content)},)
        assert app.file.value == (), "the same file can be uploaded again"
    assert app.chat.sound is not None and app.chat.clip is None and app.problem == ""


def test_a_path_is_typed(app: ChatApp) -> None:
    app.path.value = str(BIRD)
    app.path._handle_custom_msg({"event": "submit"}, [])
    assert app.chat.clip is None and app.problem == ""


def test_frames_of_an_array_can_be_watched(model: VideoLlama) -> None:
    import torch

    app = ChatApp(model, torch.zeros(8, 3, 64, 64, dtype=torch.uint8))
    assert app.chat.clip is not None and app.ask(SEE) == app.chat.history[0][1]
    app.close()


# ---- mistakes


@pytest.mark.parametrize(
    ("question", "sentence"),
    [("  ", "the question is empty"), ("what " * 600, "with New chat"), ("is it <ImageHere>?", "placeholder")],
)
def test_a_question_that_cannot_be_asked_is_one_sentence(app: ChatApp, question: str, sentence: str) -> None:
    answer = app.ask(SEE)
    with pytest.raises(InputError):
        app.ask(question)
    assert sentence in app.problem and "\n" not in app.problem
    app.question.value = question
    app.ask_button.click()
    app.wait()
    assert sentence in app.problem and app.question.value == question
    assert app.chat.history == [(SEE, answer)] and len(app.views) == 1


def test_asking_before_there_is_a_clip(model: VideoLlama) -> None:
    app = ChatApp(model)
    with pytest.raises(InputError, match="pick a sample or upload a file"):
        app.ask(SEE)
    with pytest.raises(InputError, match="ask a question first"):
        app.again()
    with pytest.raises(InputError, match="ask a question first"):
        app.trace()
    app.close()


def test_a_file_that_is_no_clip_loses_nothing(app: ChatApp) -> None:
    answer, watched = app.ask(SEE), app.chat.perceived
    with pytest.raises(MediaError):
        app.upload("letter.mp4", b"Dear reader, this is no video. " * 20)
    assert app.problem.startswith("letter.mp4 is not a video, image or sound file")
    assert app.chat.history == [(SEE, answer)] and app.chat.perceived is watched


def test_files_over_the_bounds_are_refused(app: ChatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_MEGABYTES", 0.01)
    with pytest.raises(MediaError, match=r"cat_but_drum.mp4 has \d+ MB, and at most 0.01 MB are taken"):
        app.load(CAT)
    monkeypatch.undo()
    monkeypatch.setattr(upload, "MAX_MINUTES", 0.05)
    for file in (CAT, BIRD):
        with pytest.raises(MediaError, match=f"{file.name} lasts .* at most 0.05 minutes are taken"):
            app.upload(file.name, file.read_bytes())
    assert app.chat.clip is not None


def test_a_mistake_of_ours_is_a_sentence_too(app: ChatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **options: Any) -> str:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(app.chat, "ask", broken)
    with pytest.raises(ZeroDivisionError):
        app.ask(SEE)
    assert app.problem == "ZeroDivisionError: division by zero" and not app.ask_button.disabled


# ---- traces and export


def test_a_trace_opens_and_closes(app: ChatApp) -> None:
    app.ask(SEE)
    app.ask(HEAR)
    trace = app.trace(0)
    assert trace.question == SEE and app.views[0].is_open and not app.views[1].is_open
    page = app.views[0].traced.value
    assert "video soft prompt, 3 vectors" in page and "muted" in page and 'alt="Likeliest first words' in page
    app.views[0].button.click()
    assert not app.views[0].is_open
    app.views[1].button.click()
    app.wait()
    assert app.views[1].trace is not None and app.views[1].trace.question == HEAR
    old = app.views
    app.sight.value = False
    assert old[0].button.disabled is False, "a trace that was made can still be opened"


def test_the_conversation_is_exported(app: ChatApp) -> None:
    answers = [app.ask(SEE), app.ask(HEAR)]
    exported = app.export()
    assert exported["clip"] == "cat_but_drum.mp4" and exported["sight"] and exported["hearing"]
    assert [(turn["question"], turn["answer"]) for turn in exported["turns"]] == list(
        zip((SEE, HEAR), answers, strict=True)
    )
    links = dict(re.findall(r'download="conversation\.(\w+)" href="data:[^,]*,([^"]*)"', shown(app)))
    assert json.loads(base64.b64decode(links["json"])) == exported
    text = base64.b64decode(links["txt"]).decode()
    assert "A conversation about cat_but_drum.mp4, with sight and hearing" in text
    assert f"you:    {SEE}\nminivl: {answers[0]}" in text


def test_uploads_are_removed_with_the_window(model: VideoLlama) -> None:
    app = ChatApp(model)
    app.upload("../../my cat.mp4", CAT.read_bytes())
    assert app.chat.clip is not None
    file = Path(app.chat.clip.source)
    assert file.name == "my cat.mp4" and file.is_file()
    app.close()
    assert not file.parent.exists()
