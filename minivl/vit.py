"""The image encoder: a Vision Transformer that reads a frame as a sequence of patches.

    x_0 = [class, patch_1 E, ..., patch_n E] + positions        x_{l+1} = Block_l(x_l)

Section 2.1.1 of the paper takes over EVA-CLIP's ViT-g/14 in the form in which BLIP-2 uses it
(`eva_vit.py` of the original). It differs from a textbook ViT in three traits: attention has a query and
a value bias but no key bias, there is no norm after the last block, and all tokens go on, not only the
class token.
"""

from __future__ import annotations

import math

from einops import rearrange, repeat
from torch import Tensor, cat, nn
from torch.nn import functional as F

from minivl.config import ViTConfig
from minivl.errors import InputError, WeightsError
from minivl.transformer import Block, init_weights, learned


class ViT(nn.Module):
    """EVA-CLIP's image encoder. The last layer's states are meant for `ln_vision` and the Q-Former."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        patches = (config.image_size // config.patch_size) ** 2
        self.patch = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)
        self.class_token = learned(config.width)  # [width]
        self.positions = learned(1 + patches, config.width)  # [P, width]
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.mlp_hidden, config.eps, key_bias=False)
            for _ in range(config.depth)
        )
        self.apply(init_weights)

    def embed(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] -> what enters the first block [N, P, width], class token first."""
        side = self.config.image_size
        if pixels.shape[1:] != (3, side, side):
            raise InputError(
                f"The ViT reads images [N, 3, {side}, {side}], not {list(pixels.shape)}: resize them first."
            )
        patches = rearrange(self.patch(pixels), "n width h w -> n (h w) width")  # [N, P - 1, width]
        class_token = repeat(self.class_token, "width -> n 1 width", n=len(pixels))  # [N, 1, width]
        return cat([class_token, patches], dim=1) + self.positions  # [N, P, width]

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W], float -> all token states [N, P, width], not normalised.

        Raises InputError if the image is not config.image_size pixels square.
        """
        x = self.embed(pixels)  # [N, P, width]
        for block in self.blocks:
            x = block(x)
        return x


def resize_positions(positions: Tensor, tokens: int) -> Tensor:
    """The positions [P, width] of one image size, stretched for another with `tokens` tokens: [tokens, width].

    The class token's row stays, the grid of the patches is interpolated (bicubic, as in the original's
    `interpolate_pos_embed`). Raises WeightsError if one of the two grids is not square.
    """
    old, new = (math.isqrt(max(n - 1, 0)) for n in (len(positions), tokens))
    if old * old + 1 != len(positions) or new * new + 1 != tokens or old == 0:
        raise WeightsError(
            f"position embeddings of {len(positions)} tokens cannot be stretched to {tokens}: both must be a square "
            "grid of patches and a class token"
        )
    grid = rearrange(positions[1:].float(), "(h w) width -> 1 width h w", h=old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    patches = rearrange(grid, "1 width h w -> (h w) width").to(positions)
    return cat([positions[:1], patches])
