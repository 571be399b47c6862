"""One wrong detail of the architecture at a time: the 24 changes that goldens/sensitivity.json measured.

A change is made in memory, to modules of minivl that have just loaded their weights. `install` puts it into
the class, so that it also reaches modules that a test builds for itself; monkeypatch takes it out again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import AudioTrunk, ImageBind, ImageTrunk
from minivl.positions import TemporalPositionEmbedding
from minivl.qformer import QFormer
from minivl.transformer import FeedForward
from minivl.vit import ViT

Change = Callable[[Any], None]


def install(owner: type[nn.Module], change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `owner` that is built from now on gets the change as soon as its weights are loaded."""
    build = owner.__init__

    def build_and_wait(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.register_load_state_dict_post_hook(lambda module, _: change(module))

    monkeypatch.setattr(owner, "__init__", build_and_wait)


def part(path: str, change: Change) -> Change:
    """The change, made to a part of the module: part("qformer", change)."""
    return lambda module: change(module.get_submodule(path))


def several(*changes: Change) -> Change:
    def change(module: Any) -> None:
        for one in changes:
            one(module)

    return change


def eps(value: float) -> Change:
    """Every LayerNorm inside (or the module itself, if it is one) gets this eps."""

    def change(module: nn.Module) -> None:
        for norm in module.modules():
            if isinstance(norm, nn.LayerNorm):
                norm.eps = value

    return change


def activation(function: Callable[[Tensor], Tensor]) -> Change:
    """Another function than the exact GELU in every feed-forward inside."""

    def change(module: nn.Module) -> None:
        for layer in module.modules():
            if isinstance(layer, FeedForward):
                layer.forward = lambda x, layer=layer: layer.down(function(layer.up(x)))

    return change


def left_out(name: str) -> Change:
    return lambda module: setattr(module, name, nn.Identity())


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    return x * (1.702 * x).sigmoid()


def skip_last_block(vit: ViT) -> None:
    vit.blocks = vit.blocks[:-1]


def skip_ln_vision(encoder: ImageEncoder) -> None:
    encoder.features = encoder.vit.forward


def swap_query_and_value_bias(vit: ViT) -> None:
    for block in vit.blocks:
        query, value = block.attention.query, block.attention.value
        query.bias, value.bias = value.bias, query.bias


def drop_bias_kv(trunk: AudioTrunk) -> None:
    for block in trunk.blocks:
        block.attention.extra_key = block.attention.extra_value = None


def forget_the_scale(trunk: AudioTrunk) -> None:
    trunk.log_logit_scale.zero_()


def scale_images_too(bind: ImageBind) -> None:
    unit = bind.image.forward
    bind.image.forward = lambda pixels: unit(pixels) * bind.audio.log_logit_scale.exp()


# The names of sensitivity.json -> the class that is changed, and how.
RECORDED: dict[str, tuple[type[nn.Module], Change]] = {
    "vit block LN eps 1e-5": (ViT, eps(1e-5)),
    "ln_vision eps 1e-6": (ImageEncoder, part("norm", eps(1e-6))),
    "BLIP-2 Q-Former LN eps 1e-5": (ImageEncoder, part("qformer", eps(1e-5))),
    "video Q-Former LN eps 1e-5": (VisionLanguageBranch, eps(1e-5)),
    "audio Q-Former LN eps 1e-5": (AudioLanguageBranch, eps(1e-5)),
    # both trunks' blocks, and the norm before the image trunk's
    "imagebind block LN eps 1e-5": (
        ImageBind,
        several(part("image.blocks", eps(1e-5)), part("image.pre_norm", eps(1e-5)), part("audio.blocks", eps(1e-5))),
    ),
    "imagebind head LN eps 1e-5": (ImageBind, several(part("image.norm", eps(1e-5)), part("audio.norm", eps(1e-5)))),
    "imagebind stem LN eps 1e-6": (AudioTrunk, part("stem_norm", eps(1e-6))),
    "vit gelu tanh": (ViT, activation(tanh_gelu)),
    "Q-Former gelu tanh": (ImageEncoder, part("qformer", activation(tanh_gelu))),
    "video Q-Former gelu tanh": (VisionLanguageBranch, activation(tanh_gelu)),
    "imagebind gelu tanh": (ImageBind, activation(tanh_gelu)),
    "imagebind quick gelu": (ImageBind, activation(quick_gelu)),
    "last vit block skipped": (ViT, skip_last_block),
    "no ln_vision": (ImageEncoder, skip_ln_vision),
    "q_bias and v_bias swapped": (ViT, swap_query_and_value_bias),
    "audio trunk without bias_k/bias_v": (AudioTrunk, drop_bias_kv),
    "audio logit scale left out": (AudioTrunk, forget_the_scale),
    "audio scale also applied to vision": (ImageBind, scale_images_too),
    "vision pre-transformer LN left out": (ImageTrunk, left_out("pre_norm")),
    "Q-Former embedding LN left out": (ImageEncoder, part("qformer", left_out("queries_norm"))),
    "video Q-Former embedding LN left out": (VisionLanguageBranch, part("qformer", left_out("queries_norm"))),
    "audio Q-Former embedding LN left out": (AudioLanguageBranch, part("qformer", left_out("queries_norm"))),
    "audio stem LN left out": (AudioTrunk, left_out("stem_norm")),
}

# What small_scale.json calls the same changes.
SMALL_SCALE_NAMES = {
    "vit blocks eps 1e-5": "vit block LN eps 1e-5",
    "ln_vision eps 1e-6": "ln_vision eps 1e-6",
    "BLIP-2 Q-Former eps 1e-5": "BLIP-2 Q-Former LN eps 1e-5",
    "video Q-Former eps 1e-5": "video Q-Former LN eps 1e-5",
    "audio Q-Former eps 1e-5": "audio Q-Former LN eps 1e-5",
    "imagebind trunks eps 1e-5": "imagebind block LN eps 1e-5",
    "imagebind heads eps 1e-5": "imagebind head LN eps 1e-5",
    "imagebind audio stem eps 1e-6": "imagebind stem LN eps 1e-6",
}


def ignore_the_mask(qformer: QFormer) -> None:
    read = qformer.forward
    qformer.forward = lambda states, mask=None: read(states)


def forget_time(positions: TemporalPositionEmbedding) -> None:
    positions.weight.data.zero_()


def count_time_from_one(positions: TemporalPositionEmbedding) -> None:
    positions.weight.data = positions.weight.data.roll(-1, dims=0)


# More of the kind, which sensitivity.json does not have.
OURS: dict[str, tuple[type[nn.Module], Change]] = {
    "any Q-Former with tanh gelu": (QFormer, activation(tanh_gelu)),
    "any Q-Former without embedding LN": (QFormer, left_out("queries_norm")),
    "Q-Former mask ignored": (QFormer, ignore_the_mask),
    "time positions left out": (TemporalPositionEmbedding, forget_time),
    "time positions from one": (TemporalPositionEmbedding, count_time_from_one),
}
