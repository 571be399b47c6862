"""The whole model at toy size: what is frozen, what the loss counts, how it generates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_model import CONFIG, small_model
from torch import Tensor
from torch.nn import functional as F

from minivl.conversation import Conversation, upload_message, upload_slots
from minivl.errors import InputError
from minivl.generation import StopAt, cut, stop_sequences
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, pad, tokenize
from minivl.video import normalise

FRAMES = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8, generator=torch.manual_seed(1))
MEL = torch.randn(2, 2, 1, 128, 204, generator=torch.manual_seed(2))


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return small_model()


@pytest.fixture(scope="module")
def soft(model: VideoLlama) -> dict[int, Tensor]:
    with torch.no_grad():
        return model.soft_prompts(FRAMES, MEL)


def prompt(model: VideoLlama, question: str) -> list[int]:
    """Token ids of a question about a video with sound."""
    conversation = Conversation(model.style)
    conversation.add("Human", upload_message(model.style, True, False, True))
    conversation.add("Human", question)
    return tokenize(model.tokenizer, conversation.prompt(), upload_slots(model.style, 3, 2))


def test_shapes_from_pixels_and_sound_to_soft_prompts(model: VideoLlama) -> None:
    assert model.encode_frames(FRAMES).shape == (2, 4, 2, 16)  # [B, T, K, width]
    assert model.encode_segments(MEL).shape == (2, 2, 12)  # [B, M, E]
    assert model.encode_frames_as_segments(FRAMES).shape == (2, 4, 12)  # [B, M, E]
    soft = model.soft_prompts(FRAMES, MEL)
    assert soft[VIDEO_SLOT].shape == (2, 3, 24)  # [B, Qv, D]
    assert soft[AUDIO_SLOT].shape == (2, 2, 24)  # [B, Qa, D]


def test_uint8_frames_are_normalised(model: VideoLlama) -> None:
    assert torch.equal(model.encode_frames(FRAMES), model.encode_frames(normalise(FRAMES)))


def test_only_the_branches_are_trained(model: VideoLlama) -> None:
    trained = {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"vision_branch", "audio_branch"}
    model.train()
    assert model.vision_branch is not None and model.vision_branch.training
    assert not any(module.training for part in model.frozen_parts() for module in part.modules())
    model.eval()


def test_the_loss_is_the_mean_over_all_answer_tokens(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    """Against transformers' own loss on one row at a time: rows count by their number of answer tokens."""
    rows = [prompt(model, "what do you see ?"), prompt(model, "what ?")]
    answers = [model.tokenizer.encode(text) for text in ("a red circle", "a bell")]
    labels = [[IGNORE] * len(row) + answer for row, answer in zip(rows, answers, strict=True)]
    ids, mask, targets = pad([r + a for r, a in zip(rows, answers, strict=True)], labels, model.pad_id)
    loss = model.loss(ids, mask, targets, soft)
    total = 0.0
    for b, answer in enumerate(answers):
        row = torch.tensor([rows[b] + answer])
        embedded = model.embed(row, {slot: vectors[b : b + 1] for slot, vectors in soft.items()})
        mean = model.llm(inputs_embeds=embedded, labels=torch.tensor([labels[b]])).loss
        total += mean.item() * len(answer)
    assert loss.item() == pytest.approx(total / sum(map(len, answers)), abs=1e-5)


def test_gradients_pass_through_the_frozen_parts_into_the_branches(model: VideoLlama) -> None:
    model.zero_grad()
    row = prompt(model, "what do you see ?")
    ids, mask, labels = pad([[*row, 5, 6]] * 2, [[IGNORE] * len(row) + [5, 6]] * 2, model.pad_id)
    model.loss(ids, mask, labels, model.soft_prompts(FRAMES, MEL)).backward()
    for name, weight in model.named_parameters():
        learns = name.startswith(("vision_branch", "audio_branch"))
        assert (weight.grad is not None) == learns, name
    position = model.get_parameter("vision_branch.positions.weight").grad
    assert position is not None
    assert position[:4].abs().sum() > 0 and position[4:].abs().sum() == 0  # four frames were seen


def test_greedy_generation_is_the_argmax_step_by_step(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    ids = prompt(model, "what do you hear ?")
    first = {slot: vectors[:1] for slot, vectors in soft.items()}
    new = model.generate(ids, first, max_new_tokens=6)
    slow: list[int] = []
    while len(slow) < len(new):
        logits = model.llm(inputs_embeds=model.embed(torch.tensor([ids + slow]), first)).logits
        slow.append(int(logits[0, -1].argmax()))
    assert new == slow


def test_many_answers_at_once_are_the_single_answers(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    """Prompts of different lengths: padding on the left changes nothing."""
    prompts = [prompt(model, "what ?"), prompt(model, "what do you see first ? is it a red circle ?")]
    single = [
        model.read(model.generate(ids, {slot: vectors[b : b + 1] for slot, vectors in soft.items()}, 8))
        for b, ids in enumerate(prompts)
    ]
    assert model.answer_batch(prompts, soft, max_new_tokens=8) == single
    assert single[0] != single[1]


def test_each_row_stops_at_its_own_stop_sequence() -> None:
    new = torch.tensor([[5, 8, 9], [5, 9, 8], [5, 5, 7]])
    assert StopAt([[8, 9], [7]])(new, None).tolist() == [True, False, True]
    assert StopAt([[1, 2, 3, 4]])(new, None).tolist() == [False, False, False]
    assert cut([5, 8, 9, 0, 0], [[8, 9]]) == [5]
    assert cut([5, 9, 8], [[8, 9]]) == [5, 9, 8]


def test_stop_sequences_are_asked_of_the_tokenizer(model: VideoLlama) -> None:
    assert stop_sequences(model.tokenizer, model.style) == [[model.tokenizer.get_vocab()["###"]]]


def test_generation_ends_at_the_stop_text(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    """Make "###" by far the likeliest token: only the stop sequence is written."""
    ids = prompt(model, "what ?")
    row = {slot: vectors[:1] for slot, vectors in soft.items()}
    stop = model.stops[0][0]

    def always_stop(module: object, inputs: object, logits: Tensor) -> Tensor:
        return logits + 1e4 * F.one_hot(torch.tensor(stop), logits.shape[-1])

    hook = model.llm.lm_head.register_forward_hook(always_stop)
    try:
        assert model.generate(ids, row, max_new_tokens=5) == [stop]
        assert model.answer_batch([ids], row) == [""]
    finally:
        hook.remove()


def test_sampling_follows_the_seed(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    ids, row = prompt(model, "what ?"), {slot: vectors[:1] for slot, vectors in soft.items()}
    answers = []
    for seed in (0, 0, 1, 2):
        torch.manual_seed(seed)
        answers.append(model.generate(ids, row, max_new_tokens=12, do_sample=True, temperature=3.0))
    assert answers[0] == answers[1]
    assert len({tuple(answer) for answer in answers}) > 1


def test_a_chat_models_own_wish_to_sample_is_overruled(model: VideoLlama, soft: dict[int, Tensor]) -> None:
    ids, row = prompt(model, "what ?"), {slot: vectors[:1] for slot, vectors in soft.items()}
    greedy = model.generate(ids, row, max_new_tokens=8)
    wishes = model.llm.generation_config
    wishes.do_sample, wishes.temperature, wishes.top_p = True, 5.0, 0.9
    try:
        assert [model.generate(ids, row, max_new_tokens=8) for _ in range(3)] == [greedy] * 3
    finally:
        wishes.do_sample, wishes.temperature, wishes.top_p = None, None, None


def test_a_config_that_does_not_fit_the_language_model(model: VideoLlama) -> None:
    with pytest.raises(InputError, match="llm_width is 7"):
        VideoLlama(replace(CONFIG, llm_width=7), model.llm, model.tokenizer)
    with pytest.raises(InputError, match="'klingon'"):
        VideoLlama(replace(CONFIG, conversation="klingon"), model.llm, model.tokenizer)
