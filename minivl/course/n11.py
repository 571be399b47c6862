"""Checkers of notebook 11, the real thing."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivl.chat import Chat
from minivl.course.checking import Wrong
from minivl.course.profile import tiny_model
from minivl.demo import CLIPS
from minivl.planning.memory import quantised_bytes
from minivl.planning.workload import llm_config

BLOCK, LEVELS = 64, 7  # numbers that share a scale; steps on either side of zero

Account = Callable[[list[str], set[str], dict[str, str]], tuple[set[str], dict[str, str]]]


def thirteen(answer: float) -> str:
    """GB of the 13B language model's weights, its linear layers in 4 bits."""
    config = llm_config("video_llama_13b")
    width, hidden, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    linear = layers * (4 * width**2 + 3 * width * hidden)
    words = 2 * config.vocab_size * width  # embeddings and lm_head
    norms = (2 * layers + 1) * width
    share = quantised_bytes(torch.empty(64, 256, device="meta"), "4bit") / (64 * 256)
    right = (linear * share + 2 * (words + norms)) / 1e9
    near = {
        2 * (linear + words) / 1e9: "that is 2 bytes for every number: most of them have half a byte",
        share * (linear + words) / 1e9: "are the word embeddings and lm_head in 4 bits too?",
        (linear / 2 + 2 * words) / 1e9: "half a byte for each number, and what about the scales of the blocks?",
        (linear + words) / 2e9: "that is half a byte for everything: what of the scales, the word embeddings, lm_head?",
        share * linear / 1e9: "only the layers are counted: the word embeddings and lm_head are weights too",
    }
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise Wrong(f"a number of GB is wanted, not a {type(answer).__name__}")
    if math.isclose(answer, right, rel_tol=0.01):
        return f"{right:.1f} GB, where 2 bytes for every number would be {2 * (linear + words) / 1e9:.1f} GB"
    for value, hint in near.items():
        if math.isclose(answer, value, rel_tol=0.004):
            raise Wrong(hint)
    if answer > 1e6:
        raise Wrong("that looks like bytes: 1 GB is 10**9 of them")
    raise Wrong("a layer has 4 matrices of width x width and 3 of width x hidden: are there 40 layers of both?")


def account(answer: Account) -> str:
    """Which names of a file are used, which are left out and why; an error for all else."""
    expected = {"vit.patch.weight", "vit.norm.bias"}
    reasons = {r"head\.": "not run", r"temp$": "of a training"}
    found = answer(["vit.patch.weight", "head.weight", "vit.norm.bias", "temp"], expected, reasons)
    if not isinstance(found, tuple) or len(found) != 2:
        raise Wrong("two things are wanted, (used, left_out): is one of them not returned?")
    used, left_out = found
    if set(used) != expected:
        raise Wrong(f"used should be the two names that the model needs, and is {sorted(used)}")
    if dict(left_out) != {"head.weight": "not run", "temp": "of a training"}:
        raise Wrong("left_out should map each name to the text of its reason: is it the pattern's value?")
    if not _raises(answer, ["vit.patch.weight", "vit.norm.bias", "module.vit.patch.weight"], expected, reasons):
        raise Wrong("a name that nobody knows went through: that is strict=False, and a wrong prefix stays unseen")
    if not _raises(answer, ["vit.patch.weight", "vit.head.bias", "vit.norm.bias"], expected, reasons):
        raise Wrong("vit.head.bias passed as a head: does the pattern count anywhere in a name, not at its beginning?")
    if not _raises(answer, ["vit.patch.weight"], expected, reasons):
        raise Wrong("the file lacks vit.norm.bias, and nobody says so: compare used with expected at the end")
    return "used, left out for a reason, or an error that names it"


def _raises(answer: Account, names: list[str], expected: set[str], reasons: dict[str, str]) -> bool:
    try:
        answer(names, expected, reasons)
    except NotImplementedError:
        raise
    except Exception:
        return True
    return False


def four_bits(answer: Callable[[Tensor], Tensor]) -> str:
    """A weight [out, in] rounded, in blocks of 64, to the 15 multiples of a seventh of the block's largest number."""
    weight = torch.randn(6, 128, generator=torch.Generator().manual_seed(3))
    weight[0, :64] = -weight[0, :64].abs()  # a block without a positive number
    weight[1] *= 100
    found = answer(weight.clone())
    if not isinstance(found, Tensor) or found.shape != weight.shape:
        raise Wrong("a tensor of the weight's own shape is wanted: are the blocks put together again?")
    blocks, rounded = weight.reshape(-1, BLOCK), found.reshape(-1, BLOCK)
    right = _rounded(weight).reshape(-1, BLOCK)
    whole = weight.abs().max() / LEVELS
    if torch.allclose(found, (weight / whole).round() * whole, atol=1e-5):
        raise Wrong("one scale for the whole matrix: the large row takes all levels, each block needs its own")
    if (rounded.abs() <= blocks.abs() + 1e-5).all():
        raise Wrong("numbers are cut off towards zero: round to the nearest level, the error is half as large")
    if not torch.allclose(rounded[0], right[0], atol=1e-5) and torch.allclose(rounded[4:], right[4:], rtol=0.2, atol=1):
        raise Wrong("a block of negative numbers comes out wrong: is the scale the largest absolute value?")
    if not torch.allclose(rounded, right, atol=1e-4):
        levels = max(len(block.unique()) for block in rounded)
        raise Wrong(f"up to {levels} levels in a block, 15 are wanted: scale = largest absolute value / 7, then round")
    error = (found - weight).norm() / weight.norm()
    return f"relative error {error:.2f}, and with such weights the tiny model hears {_heard_with(answer)}"


def _rounded(weight: Tensor) -> Tensor:
    blocks = weight.reshape(-1, BLOCK)
    scale = blocks.abs().amax(1, keepdim=True) / LEVELS
    return ((blocks / scale).round() * scale).reshape(weight.shape)


def _heard_with(answer: Callable[[Tensor], Tensor]) -> str:
    """What the tiny model hears first when its language model's linear layers are rounded by `answer`."""
    whole = tiny_model()
    model = copy.copy(whole)
    model._modules = {**whole._modules, "llm": copy.deepcopy(whole.llm)}
    for layer in model.llm.model.layers.modules():
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(answer(layer.weight.detach()), requires_grad=False)
    chat = Chat(model)
    chat.watch(CLIPS / "dog_then_train.mp4")
    return chat.ask("what do you hear first?")


def starts(answer: Callable[[float, int], list[float]]) -> str:
    """Starts of two-second segments, evenly spread from the first second of a sound to its last."""
    found = [float(s) for s in answer(10.0, 8)]
    if len(found) != 8:
        raise Wrong(f"eight segments are wanted, not {len(found)}")
    if math.isclose(found[-1], 7.0):
        raise Wrong("the last segment ends at 9 of 10 seconds: the end is never heard, how many steps lie between 8?")
    if found[-1] + 2 > 10.001:
        raise Wrong(f"the last segment ends at {found[-1] + 2:.1f} of 10 seconds: is its length of 2 s taken off?")
    if found[0] != 0 or not math.isclose(found[-1], 8.0):
        raise Wrong("the first should start at 0, and the last end with the sound")
    if any(not math.isclose(b - a, 8 / 7, rel_tol=1e-3) for a, b in itertools.pairwise(found)):
        raise Wrong("the steps from start to start should all be the same")
    if min(answer(1.0, 8)) < 0:
        raise Wrong("a sound of one second gets a start before its beginning: is the free time below zero?")
    try:
        single = list(answer(10.0, 1))
    except ZeroDivisionError:
        raise Wrong("one segment alone has no steps: a division by zero") from None
    if single != [0]:
        raise Wrong("one segment alone should start at 0")
    return "the last segment of ten seconds starts at 8.0 and hears the end"
