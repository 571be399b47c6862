"""The frozen image encoder: ViT, LayerNorm, Q-Former, for each frame on its own.

    frame_t -> ViT -> LN -> Q-Former -> K query vectors

Section 2.1.1 of the paper: BLIP-2's image encoder and Q-Former, both frozen, turn each frame into K
vectors. They know nothing about time: eight frames are eight images. In the original: the first half of
`encode_videoQformer_visual` in `video_llama.py`.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.config import QFormerConfig, ViTConfig
from minivl.errors import InputError
from minivl.imagebind import ImageTrunk
from minivl.qformer import QFormer
from minivl.vit import ViT


class ImageEncoder(nn.Module):
    """BLIP-2's image encoder: frames to K vectors each."""

    def __init__(self, vit: ViTConfig, qformer: QFormerConfig) -> None:
        super().__init__()
        self.vit = ViT(vit)
        self.norm = nn.LayerNorm(vit.width, eps=1e-5)  # `ln_vision`
        self.qformer = QFormer(qformer)

    def features(self, pixels: Tensor) -> Tensor:
        """Images [N, 3, H, W] -> normalised ViT states [N, P, vit width], what the Q-Former reads."""
        states = self.vit(pixels)  # [N, P, width]
        # The original normalises in fp32 also where the rest runs in half precision.
        weight, bias = self.norm.weight.float(), self.norm.bias.float()
        return F.layer_norm(states.float(), weight.shape, weight, bias, self.norm.eps).to(states.dtype)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames [B, T, 3, H, W], float -> frame tokens [B, T, K, width].

        Raises InputError if `frames` has another number of dimensions or another image size.
        """
        if frames.ndim != 5:
            raise InputError(f"Frames must be [B, T, 3, H, W] (an image: T = 1), not {list(frames.shape)}.")
        pixels = rearrange(frames, "b t c h w -> (b t) c h w")
        tokens = self.qformer(self.features(pixels))  # [B * T, K, width]
        return rearrange(tokens, "(b t) k width -> b t k width", b=len(frames))


def vit_from_image_trunk(config: ViTConfig, trunk: ImageTrunk) -> ViT:
    """A ViT whose blocks compute exactly what the image trunk's compute on a still image.

    As BLIP-2 starts from EVA-CLIP, the tiny ViT starts from the contrastively trained trunk. Nothing is lost:
    for a repeated frame the conv3d kernel acts as its sum over time, and a key bias has no effect on softmax.

    Raises InputError if the two differ in size, or the trunk has `pre_norm` or `bias_kv`: a ViT has neither.
    """
    sizes = ("image_size", "patch_size", "width", "depth", "heads", "mlp_hidden", "eps")
    differing = [name for name in sizes if getattr(config, name) != getattr(trunk.config, name)]
    differing += [name for name in ("pre_norm", "bias_kv") if getattr(trunk.config, name)]
    if differing:
        raise InputError(f"A ViT cannot start from this image trunk: they differ in {', '.join(differing)}.")
    vit = ViT(config)
    shared = vit.state_dict().keys() & trunk.state_dict().keys()
    state = {name: tensor for name, tensor in trunk.state_dict().items() if name in shared}
    state["patch.weight"] = trunk.stem.weight.sum(dim=2)  # [width, 3, frames, p, p] -> [width, 3, p, p]
    state["patch.bias"] = torch.zeros(config.width)
    vit.load_state_dict(state)
    return vit
