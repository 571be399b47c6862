"""The memory table: sizes that are known from elsewhere, and an estimator that agrees with real tensors."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from minivl.errors import DeviceMemoryError, InputError
from minivl.planning import measured as memory_measure
from minivl.planning.measured import chat_speed, measure, quantised, random_model, training_speed
from minivl.planning.memory import CONTEXT, MemoryPlan, Row, llm_config, plan_memory, quantised_bytes
from minivl.planning.peak_memory import PeakBytes, chat_peaks, training_peak
from minivl.planning.workload import workload

plan = cache(plan_memory)


def parameters(made: MemoryPlan) -> dict[str, int]:
    """part -> parameters, without the rows that have none and without what is said in brackets."""
    return {row.part.split(" (")[0]: row.parameters for row in made.rows if row.parameters}


def size(made: MemoryPlan, part: str) -> int:
    """Bytes of the one row whose name begins with `part`."""
    [row] = [row for row in made.rows if row.part.startswith(part)]
    return row.bytes


# The table


def test_the_7b_model_fits_where_the_original_does_not() -> None:
    """Its README asks for about 40 GB, and says that sound does not run on a card of 24 GB."""
    assert plan(dtype="bf16").total <= 18e9
    assert plan(dtype="4bit").total <= 8.5e9


def test_a_chat_holds_eyes_and_ears_and_no_image_trunk() -> None:
    """The numbers are those of the original's modules."""
    assert parameters(plan()) == {
        "ViT": 985_894_528,
        "image Q-Former with ln_vision": 105_137_664 + 24_576 + 2_816,
        "ImageBind audio trunk": 86_235_648,
        "vision branch": 22_104_064,
        "audio branch": 22_855_680,
        "language model": 6_738_415_616,
    }


def test_training_the_vision_branch_holds_no_ears() -> None:
    assert parameters(plan(mode="train")) == {
        "ViT": 985_894_528,
        "image Q-Former with ln_vision": 105_165_056,
        "vision branch": 22_104_064,
        "language model": 6_738_415_616,
    }


def test_training_the_audio_branch_holds_no_eyes_but_imagebinds() -> None:
    """It learns from pictures alone, so the audio trunk is not there either."""
    assert parameters(plan(mode="train", branch="audio")) == {
        "ImageBind image trunk": 632_829_440,
        "audio branch": 22_855_680,
        "language model": 6_738_415_616,
    }


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_training_from_cached_features_holds_no_eyes(branch: str) -> None:
    live, cached = plan("tiny", mode="train", branch=branch), plan("tiny", mode="train", branch=branch, cached=True)
    assert set(parameters(cached)) == {f"{branch} branch", "language model"} < set(parameters(live))
    assert cached.total < live.total


def test_the_13b_model_is_larger_where_the_language_model_is_concerned() -> None:
    large = plan("video_llama_13b")
    assert large.total > plan().total + 12e9
    assert parameters(large)["vision branch"] == 22_891_520
    assert parameters(large)["audio branch"] == 23_643_136
    assert parameters(large)["language model"] == 13_015_864_320
    assert parameters(large)["ViT"] == parameters(plan())["ViT"]


def test_bytes_of_half_precision_and_of_the_kv_cache() -> None:
    chat = plan()
    assert size(chat, "language model") == 2 * 6_738_415_616
    assert size(chat, "KV cache") == 2 * 32 * 2048 * 4096 * 2  # keys and values, layers, tokens, width, bf16
    assert size(plan("tiny", "fp32"), "ViT") == 2 * size(plan("tiny", "bf16"), "ViT")


def test_only_the_linear_layers_of_the_language_model_are_quantised() -> None:
    linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    others = 6_738_415_616 - linear
    assert size(plan(dtype="4bit"), "language model") == pytest.approx(0.516 * linear + 2 * others, rel=1e-3)
    assert size(plan(dtype="8bit"), "language model") == pytest.approx(1.001 * linear + 2 * others, rel=1e-3)
    assert size(plan(dtype="4bit"), "ViT") == size(plan(dtype="8bit"), "ViT") == size(plan(), "ViT")


@pytest.mark.parametrize("dtype", ["bf16", "4bit"])
def test_the_trained_branch_and_its_optimizer_are_fp32(dtype: str) -> None:
    made = plan("tiny", dtype, mode="train")
    assert size(made, "vision branch") == size(made, "gradients") == 4 * parameters(made)["vision branch"]
    assert size(made, "AdamW") == 2 * size(made, "gradients")


def test_activations_grow_with_the_batch() -> None:
    one, three = plan(mode="train"), plan(mode="train", batch=3)
    assert size(three, "activations") == pytest.approx(3 * size(one, "activations"), rel=0.05)
    assert parameters(one) == parameters(three)
    assert size(plan("tiny", batch=4), "KV cache") == 4 * size(plan("tiny"), "KV cache")


def test_half_the_tokens_halve_cache_and_activations() -> None:
    assert size(plan("tiny", tokens=256), "KV cache") == size(plan("tiny", tokens=512), "KV cache") / 2
    half, whole = (plan("tiny", mode="train", batch=8, tokens=tokens) for tokens in (256, 512))
    assert size(half, "activations") < 0.6 * size(whole, "activations")


def test_checkpointing_takes_a_fraction_of_the_activations() -> None:
    kept, computed_twice = plan(mode="train"), plan(mode="train", checkpointing=True)
    assert size(computed_twice, "activations") < size(kept, "activations") / 4
    assert size(computed_twice, "language model") == size(kept, "language model")


def test_many_frames_make_seeing_the_largest_stage() -> None:
    assert any("reading" in row.part for row in plan("tiny", frames=8, tokens=512).rows)
    assert any("seeing" in row.part for row in plan("tiny", frames=32, tokens=64).rows)


def test_the_table_can_be_read() -> None:
    text = str(plan())
    title, _, header, *_ = text.splitlines()
    rows = [line for line in text.splitlines() if " " in line and line[-3:-2] == "."]
    assert title == "video_llama_7b in bf16, chat: batch 1, 8 frames, 8 segments of sound, 2,048 tokens with the answer"
    assert header.split() == ["part", "parameters", "GB"]
    assert len(rows) == len(plan().rows) + 1 and rows[-1].startswith("sum")
    assert {len(line) for line in (header, *rows)} == {len(header)}  # right edges are in line
    assert f"{plan().total / 1e9:.2f}" in rows[-1] and "6,738,415,616" in text
    assert text.endswith("1 GB = 10**9 bytes")
    assert "MB" in str(plan("tiny")) and "checkpointing" in str(plan("tiny", mode="train", checkpointing=True))


def test_the_table_as_json() -> None:
    made = json.loads(json.dumps(plan().to_dict()))
    assert made["total_bytes"] == sum(row["bytes"] for row in made["rows"]) == plan().total
    assert made["workload"]["preset"] == "video_llama_7b" and made["title"] == plan().title
    assert made["rows"][0] == {"part": "ViT", "parameters": 985_894_528, "bytes": 2 * 985_894_528}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"preset": "video_llama_70b"}, "video_llama_13b"),
        ({"dtype": "int4"}, "4bit"),
        ({"mode": "test"}, "train"),
        ({"branch": "both"}, "vision, audio"),
        ({"batch": 0}, "batch is 0"),
        ({"frames": 33}, "1 to 32"),
        ({"frames": 0}, "1 to 32"),
        ({"segments": 9}, "1 to 8"),
        ({"frames": 9, "mode": "train", "branch": "audio"}, "1 to 8"),  # the audio branch has 8 positions
        ({"tokens": 40}, "tokens is 40"),  # the soft prompts alone
        ({"tokens": 5000}, "4,096"),
        ({"checkpointing": True}, "training only"),
        ({"cached": True}, "training only"),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_memory(**wrong)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_the_language_models_sizes() -> None:
    assert llm_config("video_llama_13b").num_key_value_heads == 40
    assert llm_config("tiny").vocab_size < 1000
    with pytest.raises(InputError, match="video_llama_7b"):
        llm_config("7b")


# The estimator


def test_peak_bytes_of_a_calculation_that_can_be_done_by_hand() -> None:
    before = torch.zeros(1000)
    with PeakBytes() as counted:
        a = before + 1  # 4000 bytes
        b = a.view(10, 100)[3:]  # no new bytes
        del a
        c = before * 2  # 8000 alive
        del b  # 4000 alive: the view held all of a
        d = c.double()  # 12000 alive
        before.add_(1)
    assert counted.peak == counted.now == 12_000
    del c, d
    assert counted.now == 0


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_chat_on_real_tensors_takes_what_was_estimated(dtype: str, batch: int) -> None:
    load = workload("tiny", dtype, batch=batch, tokens=200)
    peaks, kept = chat_peaks(random_model(load, "cpu"), load)
    estimate = plan("tiny", dtype, batch=batch, tokens=200)
    assert size(estimate, "KV cache") == kept
    assert size(estimate, "activations") == max(peaks.values())


@pytest.mark.parametrize(
    ("dtype", "branch", "checkpointing"),
    [
        ("fp32", "vision", False),
        ("bf16", "vision", True),
        ("bf16", "audio", False),
        ("8bit", "vision", False),
        ("8bit", "vision", True),
        ("4bit", "audio", False),
        ("4bit", "vision", True),
    ],
)
def test_training_on_real_tensors_takes_what_was_estimated(dtype: str, branch: str, checkpointing: bool) -> None:
    """With bitsandbytes' own layers where the language model is quantised."""
    options: dict[str, Any] = {"mode": "train", "branch": branch, "tokens": 200, "checkpointing": checkpointing}
    load = workload("tiny", dtype, **options)
    measured = training_peak(random_model(load, "cpu"), load)
    one_weight = (
        512 * 192 * 2 if dtype in ("8bit", "4bit") else 0
    )  # the estimate has one in bf16, for the GPU's kernels
    assert measured <= size(plan("tiny", dtype, **options), "activations") <= measured + one_weight


@pytest.mark.parametrize("dtype", ["fp32", "8bit", "4bit"])
def test_a_model_is_built_in_one_copy(dtype: str) -> None:
    with PeakBytes() as counted:
        model = random_model(workload("tiny", dtype), "cpu")
    weights = sum(row.bytes for row in plan("tiny", dtype).rows if row.parameters)
    assert counted.peak == pytest.approx(weights, rel=0.01)
    assert model.llm.lm_head.weight is model.llm.get_input_embeddings().weight  # tied in the tiny model


@pytest.mark.parametrize("dtype", ["8bit", "4bit"])
def test_bytes_of_a_quantised_layer(dtype: str) -> None:
    layer = nn.Linear(1024, 2048, bias=False)
    with PeakBytes() as counted:
        made = quantised(layer, dtype, "cpu")
    assert counted.now == pytest.approx(quantised_bytes(layer.weight, dtype), rel=0.01)
    x = torch.randn(3, 1024, dtype=torch.bfloat16)
    assert 0.1 < made(x).float().std() < 10  # weights of std 0.02 or so, for 1024 inputs


# Beside a GPU


class PretendGpu:
    """Stands in for the counters of torch.cuda: counts the bytes of tensors on the CPU."""

    def __init__(self) -> None:
        self.counted = PeakBytes()

    def reset(self, device: torch.device) -> int:
        self.counted.__enter__()
        return 0

    def read(self, device: torch.device) -> tuple[int, int]:
        self.counted.__exit__(None, None, None)
        return self.counted.peak, self.counted.peak + 1000


@pytest.fixture
def pretend_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = PretendGpu()
    monkeypatch.setattr(memory_measure, "gpu_name", lambda device: "a pretended GPU")
    monkeypatch.setattr(memory_measure, "reset_counters", gpu.reset)
    monkeypatch.setattr(memory_measure, "read_counters", gpu.read)


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": 200},
        {"tokens": 200, "batch": 2, "dtype": "4bit"},
        {"mode": "train", "batch": 2, "tokens": 200},
        {"mode": "train", "branch": "audio", "checkpointing": True},
        {"mode": "train", "dtype": "8bit", "tokens": 200},
        {"mode": "train", "batch": 4, "tokens": 200, "cached": True},
        {"mode": "train", "branch": "audio", "cached": True},
    ],
    ids=str,
)
def test_answers_and_training_steps_take_what_was_estimated(pretend_gpu: None, options: dict[str, Any]) -> None:
    """The whole way: VideoLlama.generate or loss, backward and AdamW, within 15 % of the table."""
    measured = measure("cpu", **{"preset": "tiny", "dtype": "fp32", **options})
    assert abs(measured.difference) < 0.15
    assert all(value > 0 for value in measured.speed.values())


def test_the_measured_table_shows_both_counters(pretend_gpu: None) -> None:
    measured = measure("cpu", preset="tiny", dtype="fp32", tokens=100)
    text = str(measured)
    assert str(measured.plan) in text and "a pretended GPU" in text
    assert f"{measured.estimate / 1e6:.2f} MB (measured {measured.difference:+.1%})" in text
    assert measured.estimate + size(measured.plan, CONTEXT) == measured.plan.total
    made = json.loads(json.dumps(measured.to_dict()))
    assert made["measured"]["reserved_bytes"] == made["measured"]["allocated_bytes"] + 1000
    assert set(made["measured"]["speed"]) == {"seconds to the first token", "tokens per second"}


def test_training_moves_the_branch_and_nothing_else() -> None:
    load = workload("tiny", "fp32", mode="train", tokens=100)
    model = random_model(load, "cpu")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert training_speed(model, load)["seconds per training step"] > 0
    changed = {name.split(".")[0] for name, weight in model.named_parameters() if not weight.equal(before[name])}
    assert changed == {"vision_branch"}


def test_speed_is_that_of_32_tokens() -> None:
    load = workload("tiny", "fp32", tokens=100)
    model = random_model(load, "cpu")
    lengths: list[int] = []
    model.llm.register_forward_hook(lambda *call: lengths.append(call[-1].logits.shape[1]))
    chat_speed(model, load)
    assert lengths == [1] * 64  # twice 32: one step a token, and only the last token's logits


def test_without_a_gpu_there_is_an_estimate_only() -> None:
    with pytest.raises(InputError, match="--measure needs a GPU"):
        measure("cpu", preset="tiny")


def test_a_card_that_is_too_small_is_one_sentence(pretend_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(memory_measure, "random_model", full)
    with pytest.raises(DeviceMemoryError, match="more than a pretended GPU has free") as caught:
        measure("cpu")
    assert "\n" not in str(caught.value)


def test_a_row_is_a_part() -> None:
    made = MemoryPlan(workload("tiny"), (Row("a", 1, 4), Row("b", 0, 6)))
    assert made.total == 10 and "b" in str(made)
