"""Watching and asking; the cache changes nothing but the time; a failure leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_model import CONFIG, small_model
from torch import Tensor

from minivl.chat import Chat
from minivl.conversation import IMAGE_SYSTEM, upload_slots
from minivl.errors import InputError, MediaError
from minivl.model import VideoLlama
from minivl.sampling import Sampling
from minivl.soft_prompt import tokenize

SAMPLES = Path(__file__).parent.parent / "data_samples"
FRAMES = torch.randint(0, 256, (6, 3, 20, 24), dtype=torch.uint8, generator=torch.manual_seed(3))
QUESTIONS = ("what do you see ?", "is it a red circle ?", "what do you hear first ?")


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return small_model()


@pytest.fixture
def chat(model: VideoLlama) -> Chat:
    chat = Chat(model)
    chat.watch(SAMPLES / "bell.mp4")
    return chat


@pytest.fixture
def record(model: VideoLlama) -> Iterator[Callable[[], tuple[list[int], list[Tensor]]]]:
    """Call it to get the positions read and the logits given in every step since the last call."""
    read: list[int] = []
    logits: list[Tensor] = []

    def taken() -> tuple[list[int], list[Tensor]]:
        result = list(read), list(logits)
        read.clear()
        logits.clear()
        return result

    hooks = (
        model.llm.model.norm.register_forward_hook(lambda _, inputs, states: read.append(states.shape[1])),
        model.llm.lm_head.register_forward_hook(lambda _, inputs, output: logits.append(output[0, -1])),
    )
    yield taken
    for hook in hooks:
        hook.remove()


# ---- watching


def test_a_video_is_seen_and_heard(chat: Chat) -> None:
    assert chat.clip is not None and chat.clip.frames.shape == (4, 3, 16, 16)
    assert chat.sound is not None and chat.sound.mel.shape == (2, 1, 128, 204)  # 4 seconds
    assert chat.notes == []
    assert chat.prompt == ("###Human: <Video><ImageHere></Video> <Audio><AudioHere></Audio> ###Assistant:")


def test_one_sense_can_be_left_out(model: VideoLlama) -> None:
    chat = Chat(model)
    chat.watch(SAMPLES / "bell.mp4", hearing=False)
    assert chat.sound is None and "<Audio>" not in chat.prompt
    chat.watch(SAMPLES / "bell.mp4", sight=False)
    assert chat.clip is None and "<Video>" not in chat.prompt
    assert chat.notes == []
    with pytest.raises(InputError, match="switch one of them on"):
        chat.watch(SAMPLES / "bell.mp4", sight=False, hearing=False)


@pytest.mark.parametrize(
    ("file", "message", "note"),
    [
        ("no_sound_track.mp4", "<Video>", "no_sound_track.mp4 has no audio track: going on with sight alone"),
        ("bird.wav", "<Audio>", "bird.wav has no picture: going on with hearing alone"),
        (
            "blue_square_and_phone.png",
            "<Image>",
            "blue_square_and_phone.png has no audio track: going on with sight alone",
        ),
    ],
)
def test_what_a_file_lacks_is_noted(model: VideoLlama, file: str, message: str, note: str) -> None:
    chat = Chat(model)
    chat.watch(str(SAMPLES / file))
    assert chat.notes == [note]
    assert (chat.clip is None) == file.endswith(".wav") and (chat.sound is not None) == file.endswith(".wav")
    assert chat.prompt.startswith(f"###Human: {message}")
    assert isinstance(chat.ask("what ?", max_new_tokens=2), str)


def test_frames_in_memory_can_be_watched(model: VideoLlama) -> None:
    chat = Chat(model)
    chat.watch(FRAMES)
    assert chat.clip is not None and chat.clip.frames.shape == (4, 3, 16, 16)
    assert chat.notes == ["an array of frames has no audio track: going on with sight alone"]


def test_nothing_left_to_ask_about(model: VideoLlama, tmp_path: Path) -> None:
    chat = Chat(model)
    with pytest.raises(InputError, match=r"no_sound_track.mp4 has no audio track, and sight is switched off"):
        chat.watch(SAMPLES / "no_sound_track.mp4", sight=False)
    with pytest.raises(MediaError, match="has no picture"):
        chat.watch(SAMPLES / "bird.wav", hearing=False)


def test_a_model_without_ears_says_so(model: VideoLlama) -> None:
    deaf = VideoLlama(model.config, model.llm, model.tokenizer, model.image_encoder, vision_branch=model.vision_branch)
    chat = Chat(deaf)
    chat.watch(SAMPLES / "bell.mp4")
    assert chat.notes == ["this model was loaded without ears: going on with sight alone"]
    with pytest.raises(InputError, match="without ears"):
        chat.watch(SAMPLES / "bird.wav", sight=False)


def test_original_formats_speak_as_the_original_demo() -> None:
    chat = Chat(small_model(config=replace(CONFIG, conversation="vicuna")))
    chat.watch(SAMPLES / "no_sound_track.mp4")
    message = "The video contains 4 frames sampled at 0.0, 1.0, 2.0, 3.0 seconds. "
    assert chat.prompt == f"###Human: <Video><ImageHere></Video> {message}###Assistant:"
    chat.watch(SAMPLES / "blue_square_and_phone.png")
    assert chat.prompt == f"{IMAGE_SYSTEM}###Human: <Image><ImageHere></Image> ###Assistant:"
    chat.watch(SAMPLES / "bell.mp4")
    assert chat.prompt.index("sound that: <ImageHere>") < chat.prompt.index("<Video><ImageHere></Video>")
    assert chat.ask("what ?", max_new_tokens=2) == chat.history[0][1]


# ---- asking


def test_an_answer_is_what_the_model_generates_from_the_prompt(chat: Chat, model: VideoLlama) -> None:
    assert chat.clip is not None and chat.sound is not None
    answer = chat.ask(QUESTIONS[0], max_new_tokens=8)
    text = f"<Video><ImageHere></Video> <Audio><AudioHere></Audio>  {QUESTIONS[0]}"
    ids = tokenize(model.tokenizer, f"###Human: {text}###Assistant:", upload_slots(model.style, 3, 2))
    soft = model.soft_prompts(chat.clip.frames[None], chat.sound.mel[None])
    assert answer == model.read(model.generate(ids, soft, 8))
    assert chat.history == [(QUESTIONS[0], answer)]
    assert chat.prompt == f"###Human: {text}###Assistant: {answer}"


def test_the_cache_changes_nothing_but_the_work(
    model: VideoLlama, record: Callable[[], tuple[list[int], list[Tensor]]]
) -> None:
    """Answers and logits of a conversation, with the cache and with the cache thrown away before each turn."""
    cached, fresh = Chat(model), Chat(model)
    for chat in (cached, fresh):
        chat.watch(SAMPLES / "bell.mp4")
    record()
    for turn, question in enumerate(QUESTIONS):
        answer = cached.ask(question, max_new_tokens=8)
        read, logits = record()
        fresh._cache = None
        assert fresh.ask(question, max_new_tokens=8) == answer
        read_all, logits_without = record()
        torch.testing.assert_close(torch.stack(logits), torch.stack(logits_without), atol=1e-5, rtol=0)
        new = len(question.split()) + 4  # ### Human: question ### Assistant:
        assert read[0] <= (new + 1 if turn else read_all[0])  # one more: the last token of the answer


def test_the_cache_forgets_what_the_cleaned_answer_leaves_out(model: VideoLlama) -> None:
    """The model writes "Assistant: red ###", of which the next prompt holds only "red"."""
    words = model.tokenizer.get_vocab()
    script = [words["Assistant:"], words["red"], words["###"]]
    steps = 0

    def dictate(module: object, inputs: object, logits: Tensor) -> Tensor:
        nonlocal steps
        logits[..., script[steps % 3]] += 1e4
        steps += 1
        return logits

    chat, fresh = Chat(model), Chat(model)
    chat.watch(FRAMES)
    fresh.watch(FRAMES)
    hook = model.llm.lm_head.register_forward_hook(dictate)
    assert chat.ask(QUESTIONS[0]) == fresh.ask(QUESTIONS[0]) == "red"
    hook.remove()
    fresh._cache = None
    assert chat.ask(QUESTIONS[1], max_new_tokens=16) == fresh.ask(QUESTIONS[1], max_new_tokens=16)


def test_watch_and_reset_start_anew(chat: Chat) -> None:
    first = chat.ask(QUESTIONS[0], max_new_tokens=8)
    chat.ask(QUESTIONS[1], max_new_tokens=8)
    chat.reset()
    assert chat.history == [] and chat.clip is not None
    assert chat.ask(QUESTIONS[0], max_new_tokens=8) == first
    chat.watch(FRAMES)
    assert chat.history == []


def test_unknown_words_are_noted(chat: Chat) -> None:
    chat.ask("what zebra do you see ?", max_new_tokens=2)
    assert chat.notes == ["the model does not know: zebra"]


def test_asking_before_watching(model: VideoLlama) -> None:
    with pytest.raises(InputError, match="watch"):
        Chat(model).ask("what ?")


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("  ", "the question is empty"),
        ("what " * 300, "reads at most 255: ask a shorter question"),
        ("what is <ImageHere> ?", "placeholder"),
    ],
)
def test_a_question_that_cannot_be_asked_leaves_no_trace(chat: Chat, question: str, sentence: str) -> None:
    first = chat.ask(QUESTIONS[0], max_new_tokens=8)
    for ask in (chat.ask, chat.ask_stream):
        with pytest.raises(InputError, match=sentence):
            ask(question)
    assert chat.history == [(QUESTIONS[0], first)]
    untouched = Chat(chat.model)
    untouched.watch(SAMPLES / "bell.mp4")
    untouched.ask(QUESTIONS[0], max_new_tokens=8)
    assert chat.ask(QUESTIONS[1], max_new_tokens=8) == untouched.ask(QUESTIONS[1], max_new_tokens=8)


def test_a_file_that_cannot_be_watched_leaves_no_trace(chat: Chat, tmp_path: Path) -> None:
    chat.ask(QUESTIONS[0], max_new_tokens=4)
    clip, prompt = chat.clip, chat.prompt
    with pytest.raises(MediaError, match="does not exist"):
        chat.watch(tmp_path / "nothing.mp4")
    assert chat.clip is clip and chat.prompt == prompt and len(chat.history) == 1


def test_an_answer_ends_where_the_context_ends(model: VideoLlama) -> None:
    chat = Chat(model)
    chat.watch(FRAMES)
    chat.ask("what " * 243, max_new_tokens=64)  # 9 more tokens around it leave room for 4
    (_, answer) = chat.history[0]
    assert len(answer.split()) <= 4
    with pytest.raises(InputError, match=r"chat.reset\(\)"):
        chat.ask("what ?")
    with pytest.raises(InputError, match="at least one token"):
        chat.ask("what ?", max_new_tokens=0)


# ---- how words are chosen


def by_hand(chat: Chat, **options: object) -> str:
    """What transformers' generate makes of the same prompt."""
    model = chat.model
    ids = chat._prepare(QUESTIONS[0], 8).ids
    return model.read(model.generate(ids, chat._soft, 8, **options))


def test_beams_are_those_of_transformers(chat: Chat) -> None:
    expected = by_hand(chat, num_beams=4)
    assert chat.ask(QUESTIONS[0], max_new_tokens=8, num_beams=4) == expected
    assert expected != by_hand(chat), "for this model the best beam is another answer than the greedy one"


def test_the_cache_outlives_an_answer_with_beams(chat: Chat, model: VideoLlama) -> None:
    fresh = Chat(model)
    fresh.watch(SAMPLES / "bell.mp4")
    for each in (chat, fresh):
        each.ask(QUESTIONS[0], max_new_tokens=8)
        each.ask(QUESTIONS[1], max_new_tokens=8, num_beams=3)
    fresh._cache = None
    assert chat.ask(QUESTIONS[2], max_new_tokens=8) == fresh.ask(QUESTIONS[2], max_new_tokens=8)


def test_chance_comes_from_the_seed_alone(chat: Chat) -> None:
    def drawn(seed: int, **options: float) -> str:
        chat.reset()
        return chat.ask(QUESTIONS[0], max_new_tokens=8, temperature=1.5, seed=seed, **options)

    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    answers = [drawn(seed) for seed in (1, 2, 3, 4)]
    assert torch.equal(torch.rand(3), untouched), "the random numbers of others went on as if nothing had been"
    assert [drawn(seed) for seed in (1, 2, 3, 4)] == answers and len(set(answers)) > 1
    chat.reset()
    greedy = chat.ask(QUESTIONS[0], max_new_tokens=8)
    assert {drawn(seed, top_p=1e-6) for seed in (1, 2)} == {greedy}, "of the likeliest token alone"


def test_all_tokens_can_be_drawn(chat: Chat) -> None:
    """transformers by itself draws from the 50 likeliest only; this model has 31, so its settings are looked at."""
    assert Sampling(temperature=0.7, top_p=0.9).options() == {
        "do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0, "num_beams": 1,
    }  # fmt: skip
    assert Sampling(top_p=0.5).options() == {"num_beams": 1}, "without a temperature it is greedy"


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"temperature": -0.1}, "temperature is -0.1: give 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"top_p": 0.0}, "top_p is 0.0: give a share above 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"num_beams": 0}, "num_beams is 0: give 1"),
        ({"max_new_tokens": 0}, "at least one token"),
    ],
)
def test_numbers_that_mean_nothing(chat: Chat, numbers: dict[str, float], sentence: str) -> None:
    chat.ask(QUESTIONS[0], max_new_tokens=2)
    for ask in (chat.ask, chat.ask_stream):
        with pytest.raises(InputError, match=sentence):
            ask(QUESTIONS[1], **numbers)
    with pytest.raises(InputError, match=sentence):
        chat.ask_again(**numbers)
    assert len(chat.history) == 1


# ---- the same question again, and less to perceive


def test_asking_again_replaces_the_last_answer(chat: Chat, model: VideoLlama) -> None:
    with pytest.raises(InputError, match="ask one first"):
        chat.ask_again()
    first = chat.ask(QUESTIONS[0], max_new_tokens=8)
    second = chat.ask(QUESTIONS[1], max_new_tokens=8)
    assert chat.ask_again(max_new_tokens=8) == second
    shorter = chat.ask_again(max_new_tokens=1)
    assert chat.history == [(QUESTIONS[0], first), (QUESTIONS[1], shorter)]
    fresh = Chat(model)
    fresh.watch(SAMPLES / "bell.mp4")
    fresh.ask(QUESTIONS[0], max_new_tokens=8)
    fresh.ask(QUESTIONS[1], max_new_tokens=1)
    assert chat.ask(QUESTIONS[2], max_new_tokens=8) == fresh.ask(QUESTIONS[2], max_new_tokens=8)


def test_what_was_watched_can_be_perceived_with_a_sense_less(chat: Chat, model: VideoLlama) -> None:
    assert chat.perceived is not None
    for fewer, senses in (
        (chat.perceived.muted(), {"hearing": False}),
        (chat.perceived.blindfolded(), {"sight": False}),
    ):
        other, watched = Chat(model), Chat(model)
        other.start(fewer)
        watched.watch(SAMPLES / "bell.mp4", **senses)
        assert other.prompt == watched.prompt and (other.clip is None, other.sound is None) == (
            watched.clip is None, watched.sound is None,
        )  # fmt: skip
        assert other.ask(QUESTIONS[0], max_new_tokens=8) == watched.ask(QUESTIONS[0], max_new_tokens=8)
    with pytest.raises(InputError, match="nothing is left"):
        chat.perceived.muted().blindfolded()
