"""The middle size for a free Colab GPU: the published eyes and ears, a small chat model, branches trained anew.

Sizes and memory at true size; from files to answers at tiny size, with random weights of the same layout.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import GOLDENS
from official_layout import TINY, write_folder
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from minivl import Chat, VideoLlama, load_video
from minivl.config import video_llama_1b, video_llama_7b
from minivl.conversation import STYLES
from minivl.errors import InputError, WeightsError
from minivl.new_branch import new_branch
from minivl.planning.memory import MemoryPlan, llm_config, plan_memory
from minivl.published.convert import convert
from minivl.published.weights import guess_style
from minivl.recipes import Recipe
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, pad
from minivl.supervision import caption_example, conversation_example, first_question
from minivl.training import train

COLAB = 15e9  # bytes of the free GPU, a T4
CLIP = Path(__file__).parent.parent / "data_samples" / "bell.mp4"
SMALL = replace(TINY, conversation="zephyr", original_quirks=False, match_norms=True)
BRANCHES = ("vision", "audio")
EVERYTHING = ("vision", "audio", "image_trunk")

plan = cache(plan_memory)


def training(branch: str, batch: int, tokens: int = 512, cached: bool = False) -> MemoryPlan:
    return plan("video_llama_1b", dtype="fp16", mode="train", branch=branch, batch=batch, tokens=tokens, cached=cached)


def parameters(made: MemoryPlan) -> dict[str, int]:
    return {row.part.split(" (")[0]: row.parameters for row in made.rows if row.parameters}


# At true size


def test_the_7b_models_senses_before_tinyllama() -> None:
    small, large = video_llama_1b(), video_llama_7b()
    assert (small.vit, small.image_qformer, small.imagebind) == (large.vit, large.image_qformer, large.imagebind)
    assert (small.vision_branch, small.audio_branch) == (large.vision_branch, large.audio_branch)
    llm = llm_config("video_llama_1b")
    assert small.llm_width == llm.hidden_size == 2048
    assert (llm.num_hidden_layers, llm.num_attention_heads, llm.num_key_value_heads) == (22, 32, 4)
    assert (llm.intermediate_size, llm.vocab_size, llm.max_position_embeddings) == (5632, 32000, 2048)


def test_branches_trained_anew_repeat_no_bugs_of_the_original() -> None:
    config = video_llama_1b()
    assert not config.original_quirks
    assert config.match_norms  # the audio branch hears vectors of the norm that it was trained on


def test_a_chat_fits_colab() -> None:
    chat = plan("video_llama_1b", "fp16")
    assert parameters(chat)["language model"] == 1_100_048_384
    assert parameters(chat)["ViT"] == 985_894_528
    assert parameters(chat)["vision branch"] == 22_104_064 - (4096 - 2048) * 769
    assert chat.total < COLAB / 2


@pytest.mark.parametrize("branch", BRANCHES)
def test_training_fits_colab_with_the_eyes_on_the_gpu(branch: str) -> None:
    """The longest samples of stage 2, without checkpointing."""
    assert training(branch, batch=4).total < COLAB


@pytest.mark.parametrize("branch", BRANCHES)
def test_more_fits_with_cached_features(branch: str) -> None:
    assert training(branch, batch=10, cached=True).total < COLAB
    assert training(branch, batch=64, tokens=65, cached=True).total < COLAB  # stage 1


@pytest.mark.parametrize(("branch", "eyes"), [("vision", 985_894_528 + 105_165_056), ("audio", 632_829_440)])
def test_the_eyes_leave_the_gpu(branch: str, eyes: int) -> None:
    live, cached = training(branch, batch=4), training(branch, batch=4, cached=True)
    assert set(parameters(cached)) == {f"{branch} branch", "language model"}
    assert sum(parameters(live).values()) - sum(parameters(cached).values()) == eyes
    assert live.total - cached.total == pytest.approx(2 * eyes, rel=0.01)
    assert "8 frames from a cache" in cached.title and "cache" not in live.title


def test_a_chat_has_new_clips_so_it_needs_eyes() -> None:
    with pytest.raises(InputError, match="cached saves memory in training only"):
        plan_memory("video_llama_1b", cached=True)


# The prompt format


def test_a_chat_in_zephyrs_format(model: VideoLlama) -> None:
    """As on TinyLlama's model card."""
    chat = Chat(model)
    chat.watch(CLIP, hearing=False)
    chat.ask("What is it?", max_new_tokens=3)
    first = chat.prompt
    assert first.startswith("<|system|>\n</s>\n<|user|>\n<Video><ImageHere></Video> The video contains 8 frames")
    assert "What is it?</s>\n<|assistant|>\n" in first and first.endswith("</s>\n")
    chat.ask("And now?", max_new_tokens=3)
    assert chat.prompt.startswith(first + "<|user|>\nAnd now?</s>\n<|assistant|>\n")


def test_training_and_chat_write_the_same_text(model: VideoLlama) -> None:
    """So the branch is asked as it was taught. Answers and their </s> are learned, nothing else."""
    words, style = model.tokenizer, STYLES["zephyr"]
    turns = [(first_question("video", "What?"), "A bell."), ("Loud?", "Yes.")]
    example = conversation_example(words, style, turns, VIDEO_SLOT, 4)
    read = [i for i in example.ids if i >= 0]
    assert words.decode(read, skip_special_tokens=False).replace(" ", "") == (
        "<s><|system|>\n</s>\n<|user|>\n<Video></Video>What?</s>\n<|assistant|>\nA bell.</s>\n"
        "<|user|>\nLoud?</s>\n<|assistant|>\nYes.</s>"
    ).replace(" ", "")
    learned = words.decode([i for i in example.labels if i != IGNORE], skip_special_tokens=False)
    assert learned.replace(" ", "") == "Abell.</s>Yes.</s>"


@pytest.mark.parametrize("name", ["TinyLlama/TinyLlama-1.1B-Chat-v1.0", "models/zephyr-small"])
def test_the_format_is_known_by_the_models_name(name: str) -> None:
    assert guess_style(name, {}) == "zephyr"


# From files to answers, at tiny size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published eyes and ears, no branches, and a TinyLlama of random weights: 4 heads share 2 keys and values."""
    folder = write_folder(tmp_path_factory.mktemp("1b") / "official")
    for file in folder.glob("[VA]L_*.pth"):
        file.unlink()
    shutil.rmtree(folder / "llama-2-7b-chat-hf")
    sizes = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, initializer_range=0.3,
    )  # fmt: skip
    save(LlamaForCausalLM(sizes), folder / "TinyLlama-1.1B-Chat-v1.0")
    return folder


def save(llm: Any, folder: Path) -> Path:
    """A language model and a tokenizer as they are published."""
    llm.save_pretrained(folder)
    shutil.copy(GOLDENS / "tiny_llama_tokenizer.model", folder / "tokenizer.model")
    words = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    settings = {"tokenizer_class": "LlamaTokenizer", "model_max_length": 2048, "legacy": False, **words}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def load(folder: Path, **options: Any) -> VideoLlama:
    return VideoLlama.from_official(folder, **{"config": SMALL, "branches": "new", "device": "cpu", **options})


@pytest.fixture
def model(folder: Path) -> VideoLlama:
    return load(folder, parts=EVERYTHING)


def weights(model: VideoLlama, branch: str) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in getattr(model, f"{branch}_branch").state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_eyes_and_ears_are_the_published_ones(folder: Path, tmp_path: Path) -> None:
    """The same as with the original's branches beside them."""
    whole = write_folder(tmp_path / "whole")
    official = VideoLlama.from_official(whole, device="cpu", config=TINY, parts=EVERYTHING).state_dict()
    new = load(folder, parts=EVERYTHING).state_dict()
    senses = [name for name in new if name.startswith(("image_encoder.", "imagebind."))]
    # the file of the original's audio branch holds a scale that was trained with it
    differ = [name for name in senses if not torch.equal(new[name], official[name])]
    assert len(senses) > 100 and differ == ["imagebind.audio.log_logit_scale"]


def test_the_summary_says_that_branches_are_new(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(folder, seed=3)
    printed = capsys.readouterr().out
    assert "branches: new, seed 3; train them before you ask" in printed
    assert "imagebind_huge.pth" in printed and "VL_" not in printed


def test_new_branches_come_from_the_seed(folder: Path) -> None:
    first, again, other = (load(folder, seed=seed) for seed in (1, 1, 2))
    for branch in BRANCHES:
        assert same(weights(first, branch), weights(again, branch))
        assert not same(weights(first, branch), weights(other, branch))
        new_branch(other, branch, seed=1)  # what the first stage of a training would begin with
        assert same(weights(first, branch), weights(other, branch))


def test_branches_to_be_trained_are_not_in_half_precision(folder: Path) -> None:
    model = load(folder, dtype=torch.float16)
    assert {tensor.dtype for branch in BRANCHES for tensor in weights(model, branch).values()} == {torch.float32}
    assert model.image_encoder is not None and model.image_encoder.norm.weight.dtype == torch.float16
    assert model.llm.dtype == torch.float16


def test_only_the_wanted_branch_is_made(folder: Path) -> None:
    eyes = load(folder, parts=("vision",))
    assert eyes.can_see and eyes.audio_branch is None
    trainer = load(folder, parts=("image_trunk",))
    assert trainer.vision_branch is None and trainer.audio_branch is not None


def test_sound_is_heard_at_the_norm_of_pictures(model: VideoLlama) -> None:
    mel, frames = torch.randn(1, 3, 1, 128, 204), torch.randn(1, 3, 3, 28, 28)
    ones = torch.ones(1, 3)
    assert torch.allclose(model.encode_segments(mel).norm(dim=-1), ones)
    assert torch.allclose(model.encode_frames_as_segments(frames).norm(dim=-1), ones)


class Lesson:
    """One clip, said as a caption in stage 1 and as a question in stage 2; its features were computed once."""

    def __init__(self, model: VideoLlama, branch: str, stage: int) -> None:
        frames = load_video(CLIP, 8, size=28).frames[None]  # [B, T, 3, H, W]
        self.frame_tokens = model.encode_frames(frames).half() if branch == "vision" else None
        self.segments = model.encode_frames_as_segments(frames).half() if branch == "audio" else None
        slot, length = (VIDEO_SLOT, 4) if branch == "vision" else (AUDIO_SLOT, 3)
        if stage == 1:
            example = caption_example(model.tokenizer, "a bell", slot, length)
        else:
            turns = [(first_question("video", "What is it?"), "A bell.")]
            example = conversation_example(model.tokenizer, model.style, turns, slot, length)
        self.ids, self.mask, self.labels = pad([example.ids], [example.labels], 0)


@pytest.mark.parametrize("branch", BRANCHES)
def test_two_stages_from_cached_features_without_eyes(model: VideoLlama, branch: str) -> None:
    lessons = {stage: Lesson(model, branch, stage) for stage in (1, 2)}
    model.image_encoder = model.imagebind = None
    other = "audio" if branch == "vision" else "vision"
    llm, untrained = model.llm.lm_head.weight.clone(), weights(model, other)
    recipe = Recipe(30, 1, 1e-2, 1e-3, warmup=3)
    for stage, lesson in lessons.items():
        before = weights(model, branch)
        report = train(model, branch, recipe, lambda *_, lesson=lesson: lesson, precision="no")
        assert report["loss"][-1] < report["loss"][0], stage
        assert not same(weights(model, branch), before)
    assert torch.equal(model.llm.lm_head.weight, llm) and same(weights(model, other), untrained)


def answers(model: VideoLlama) -> list[str]:
    chat = Chat(model)
    chat.watch(CLIP)
    assert chat.notes == []
    return [chat.ask(question, max_new_tokens=10) for question in ("What do you see?", "And hear?")]


def test_see_hear_answer_save_and_load_again(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    for tensor in model.state_dict().values():  # files hold half precision, of single numbers all digits
        if tensor.is_floating_point() and tensor.ndim:
            tensor.copy_(tensor.half())
    model.save_pretrained(tmp_path / "mine")
    assert answers(VideoLlama.from_pretrained(tmp_path / "mine")) == answers(model)


def test_any_language_model_of_transformers(folder: Path, tmp_path: Path) -> None:
    """GPT-2 has another architecture and width; its prompt format has to be chosen."""
    sizes = GPT2Config(vocab_size=400, n_embd=48, n_layer=2, n_head=4, n_positions=512)
    other = save(GPT2LMHeadModel(sizes), tmp_path / "some-model")
    config = replace(SMALL, llm_width=48, conversation="vicuna")
    assert len(answers(load(folder, llm=other, config=config))) == 2
    with pytest.raises(WeightsError, match="say which format it takes with conversation="):
        VideoLlama.from_official(folder, llm=other, branches="new")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda folder: load(folder, branches="old"), "branches='old'"),
        (lambda folder: load(folder, vision_branch=GOLDENS / "tiny_branch_vl.pth"), "leave out vision_branch"),
        (lambda folder: convert(folder, folder / "out", branches="new", config=SMALL), "save_pretrained"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(folder: Path, call: Callable[[Path], Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        call(folder)
    assert "\n" not in str(caught.value) and not (folder / "out").exists()


def test_without_asking_for_new_branches_their_files_are_missed(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"no file of the vision branch"):
        VideoLlama.from_official(folder, device="cpu", config=TINY)
