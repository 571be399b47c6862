"""What a run costs: the paper's four at true size, counted as the modules run, and held against formulas."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from transformers import LlamaConfig

from minivl.config import ImageTrunkConfig, QFormerConfig, ViTConfig, video_llama_7b
from minivl.errors import InputError
from minivl.planning.flops import count_work
from minivl.planning.training_plan import FRAMES, GPUS, UTILISATION, TrainingPlan, plan_training
from minivl.planning.workload import llm_config, workload
from minivl.recipes import Recipe, toy_recipe

RUNS = [("vision", 1), ("vision", 2), ("audio", 1), ("audio", 2)]
SEVEN = video_llama_7b()

plan = cache(plan_training)


def sevens(branch: str, stage: int) -> TrainingPlan:
    return plan(branch, stage)


# Formulas. A matrix product of [m, k] and [k, n] takes 2 m k n; attention is two of them.


def attention(width: int, asks: int, reads: int, context: int | None = None) -> int:
    """`asks` tokens look at `reads` tokens of width `context`."""
    linear = 2 * asks * width**2 + 2 * reads * width * (context or width)
    return 2 * linear + 2 * 2 * asks * reads * width


def feed_forward(width: int, hidden: int, tokens: int) -> int:
    return 2 * 2 * width * hidden * tokens


def trunk(size: ViTConfig | ImageTrunkConfig, channels: int) -> int:
    """A ViT on one frame."""
    patches = (size.image_size // size.patch_size) ** 2
    tokens = patches + 1
    block = attention(size.width, tokens, tokens) + feed_forward(size.width, size.mlp_hidden, tokens)
    return 2 * channels * size.patch_size**2 * size.width * patches + size.depth * block


def qformer(size: QFormerConfig, reads: int) -> int:
    asks, width = size.num_queries, size.width
    layer = attention(width, asks, asks) + feed_forward(width, size.mlp_hidden, asks)
    looks = len(range(0, size.depth, size.cross_attention_every))
    return size.depth * layer + looks * attention(width, asks, reads, size.encoder_width)


def matrices(llm: LlamaConfig) -> int:
    """N, the weights that each token is multiplied with; the word embedding is a table."""
    width = int(llm.hidden_size)
    shared = width * llm.num_key_value_heads // llm.num_attention_heads
    layer = 2 * width**2 + 2 * width * shared + 3 * width * llm.intermediate_size
    return llm.num_hidden_layers * layer + width * llm.vocab_size


def language_model(llm: LlamaConfig, tokens: int) -> int:
    return 2 * matrices(llm) * tokens + llm.num_hidden_layers * 4 * tokens**2 * llm.hidden_size


def eyes_formula(branch: str) -> int:
    """One frame."""
    if branch == "audio":
        image = SEVEN.imagebind.image
        return trunk(image, 3 * image.frames) + 2 * image.width * SEVEN.imagebind.embed_dim
    patches = (SEVEN.vit.image_size // SEVEN.vit.patch_size) ** 2
    return trunk(SEVEN.vit, 3) + qformer(SEVEN.image_qformer, patches + 1)


def branch_formula(branch: str, frames: float) -> float:
    config = SEVEN.vision_branch if branch == "vision" else SEVEN.audio_branch
    one, two = (
        qformer(config.qformer, count * (SEVEN.image_qformer.num_queries if branch == "vision" else 1))
        for count in (1, 2)
    )
    queries = one + (frames - 1) * (two - one)  # what is read grows with the frames, what is asked does not
    return queries + 2 * config.qformer.num_queries * config.qformer.width * SEVEN.llm_width


@pytest.mark.parametrize(("branch", "stage"), RUNS)
def test_what_was_counted_is_what_formulas_give(branch: str, stage: int) -> None:
    made = sevens(branch, stage)
    eyes, bridge, llm = made.work
    frames = made.videos * FRAMES + (1 - made.videos)
    assert eyes.forward == pytest.approx(frames * eyes_formula(branch), rel=0.05)
    assert eyes.backward == 0
    assert bridge.forward == pytest.approx(branch_formula(branch, frames), rel=0.05)
    assert llm.forward == pytest.approx(language_model(llm_config("video_llama_7b"), made.tokens), rel=0.05)


@pytest.mark.parametrize(("branch", "stage"), RUNS)
def test_the_rules_of_2_4_and_6_flops_a_weight(branch: str, stage: int) -> None:
    _, bridge, llm = sevens(branch, stage).work
    per_token = (llm.forward + llm.backward) / sevens(branch, stage).tokens
    assert per_token == pytest.approx(4 * matrices(llm_config("video_llama_7b")), rel=0.07)  # attention on top
    assert bridge.backward == pytest.approx(2 * bridge.forward, rel=0.05)


def test_checkpointing_runs_the_language_model_twice() -> None:
    [once], [twice] = (
        count_work(workload("tiny", "fp32", "train", tokens=400, checkpointing=option), (1,))
        for option in (False, True)
    )
    assert twice[2].forward == once[2].forward
    # the last product, with the vocabulary, lies outside the layers and is not run again
    assert twice[2].backward == pytest.approx(once[2].backward + once[2].forward, rel=0.15)
    assert twice[:2] == once[:2]


def test_eight_frames_are_eight_times_the_eyes() -> None:
    (one, _, reads), (eight, _, reads_too) = count_work(workload("tiny", "fp32", "train"), (1, 8))
    assert eight.forward == 8 * one.forward
    assert reads == reads_too  # the soft prompt is as long for an image


# The paper's four runs


@pytest.mark.parametrize(
    ("branch", "stage", "steps", "samples", "tokens"),
    [
        ("vision", 1, 12_500, 3_200_000, 1 + 32 + 32),
        ("vision", 2, 3_000, 96_000, 512),
        ("audio", 1, 25_000, 6_400_000, 1 + 8 + 32),
        ("audio", 2, 3_000, 96_000, 512),
    ],
)
def test_the_papers_runs(branch: str, stage: int, steps: int, samples: int, tokens: int) -> None:
    made = sevens(branch, stage)
    assert made.trained == {"vision": 22_104_064, "audio": 22_855_680}[branch]
    assert (made.recipe.steps, made.samples, made.tokens) == (steps, samples, tokens)
    assert made.videos == pytest.approx({1: 100 / 124, 2: 1 / 3}[stage])
    text = str(made)
    for said in (f"{made.trained:,}", f"{steps:,}", f"{samples:,} samples", f"{made.flops:.2e} FLOPs", "35%", "A100"):
        assert said in text
    assert made.fits and "TOO MUCH" not in text and made.pieces == 1  # the original's batch on each GPU, on 40 GB


def test_hours_are_flops_over_speed() -> None:
    made = sevens("vision", 1)
    sample = sum(work.forward + work.backward for work in made.work)
    assert made.flops == 3_200_000 * sample
    assert made.hours() == pytest.approx(made.flops / (8 * 312e12 * UTILISATION) / 3600)
    assert made.hours("T4") == pytest.approx(made.hours() * 312 / 65)
    assert made.hours(utilisation=2 * UTILISATION) == pytest.approx(made.hours() / 2)


def test_the_first_stage_costs_more_for_its_eyes_than_for_its_language_model() -> None:
    eyes, bridge, llm = sevens("vision", 1).work
    assert eyes.forward > llm.forward + llm.backward > 100 * (bridge.forward + bridge.backward)


def test_the_plan_as_json() -> None:
    made = json.loads(json.dumps(sevens("vision", 2).to_dict()))
    assert made["hours"].keys() == GPUS.keys() and made["hours"]["A100"] == sevens("vision", 2).hours()
    assert made["work"][0]["part"] == "ViT and image Q-Former" and made["recipe"]["steps"] == 3000
    assert made["memory"]["total_bytes"] == sevens("vision", 2).memory.total
    assert made["utilisation"] == UTILISATION and made["fits"] is True


# Other runs


def small(**options: Any) -> TrainingPlan:
    return plan_training("vision", 1, **{"preset": "tiny", "recipe": toy_recipe(100), **options})


def test_cached_features_are_computed_once_not_in_each_step() -> None:
    live, cached = small(), small(cached=True)
    assert live.once == 0 and cached.once == live.work[0].forward
    assert cached.flops == pytest.approx(live.flops - live.samples * cached.once)
    assert "(once)" in str(cached) and "clips a second on 8 A100" in str(cached)
    assert "ViT" not in str(cached.memory) and "ViT" in str(live.memory)


def test_own_data_may_be_videos_alone_or_images_alone() -> None:
    videos, images = small(videos=1.0), small(videos=0.0)
    assert videos.work[0].forward == 8 * images.work[0].forward
    assert "8 frames (100%) or 1 (0%)" in str(videos)


def test_a_batch_that_is_too_large_is_computed_in_pieces() -> None:
    """A step of 512 chats on one GPU of 15 GB."""
    recipe = Recipe(100, 512, 1e-4, 1e-5, 10)
    made = plan_training("audio", 1, "video_llama_1b", "T4", 1, cached=True, recipe=recipe)
    assert made.fits and made.memory.total <= GPUS["T4"].memory
    assert made.pieces > 1 and made.memory.workload.batch == 512 // made.pieces
    assert f"{made.pieces} pieces of {512 // made.pieces} chats" in str(made)
    assert made.memory.workload.dtype == "fp16"  # a T4 has no bf16


def test_a_model_that_is_too_large_is_said_to_be() -> None:
    made = plan_training("vision", 1, gpu="T4", gpus=1, recipe=Recipe(100, 1, 1e-4, 1e-5, 10))
    assert not made.fits and "1 piece of 1 chat: TOO MUCH for the 15 GB of one T4" in str(made)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"branch": "both", "stage": 1}, "vision or audio"),
        ({"branch": "vision", "stage": 3}, "1 or 2"),
        ({"gpu": "TPU"}, "T4, V100"),
        ({"gpus": 0}, "at least 1"),
        ({"preset": "7b"}, "video_llama_7b"),
        ({"videos": 1.5}, "0 to 1"),
        ({"tokens": 10}, "tokens is 10"),
        ({"dtype": "int3"}, "4bit"),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_training(**{"branch": "vision", "stage": 1, **wrong})
    assert says in str(caught.value) and "\n" not in str(caught.value)
