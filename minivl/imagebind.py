"""ImageBind: an image trunk and an audio trunk whose vectors live in one shared space.

    image:  v = u / |u|                u = W LN(trunk(pixels))_class
    audio:  v = s u / |u|              u = W LN(trunk(log-mel))_class,    s = min(exp(log_logit_scale), 100)

Section 2.1.2 of the paper uses it as the audio encoder: since the space is shared, the audio branch can
be trained on image vectors and then listen. Note s: in the original an audio vector has norm 20, an image
vector norm 1. Both trunks are pre-norm ViTs (`imagebind_model.py` of the original). ImageBind's other
four senses are left out, and so is the audio trunk's drop path, which acts in training only: here the
trunk is frozen.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.config import AudioTrunkConfig, ImageBindConfig, ImageTrunkConfig
from minivl.errors import InputError
from minivl.transformer import Block, init_weights, learned

STEM_EPS = 1e-5
MAX_SCALE = 100.0


def make_blocks(config: ImageTrunkConfig | AudioTrunkConfig) -> nn.ModuleList:
    """The blocks of one trunk."""
    return nn.ModuleList(
        Block(config.width, config.heads, config.mlp_hidden, config.eps, bias_kv=config.bias_kv)
        for _ in range(config.depth)
    )


class ImageTrunk(nn.Module):
    """An image, or a clip of `frames` frames, to a unit vector."""

    def __init__(self, config: ImageTrunkConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        kernel = (config.frames, config.patch_size, config.patch_size)
        patches = (config.image_size // config.patch_size) ** 2
        self.stem = nn.Conv3d(3, config.width, kernel, stride=kernel, bias=False)
        self.class_token = learned(config.width)  # [width]
        self.positions = learned(1 + patches, config.width)  # [P, width]
        self.pre_norm = nn.LayerNorm(config.width, eps=config.eps) if config.pre_norm else nn.Identity()
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.projection = nn.Linear(config.width, embed_dim, bias=False)
        self.apply(init_weights)

    def embed(self, pixels: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] or [N, 3, frames, H, W] -> what enters the trunk [N, P, width]."""
        side, frames = self.config.image_size, self.config.frames
        if pixels.ndim == 4:
            pixels = repeat(pixels, "n c h w -> n c frames h w", frames=frames)
        if pixels.shape[1:] != (3, frames, side, side):
            raise InputError(
                f"The image trunk reads [N, 3, {side}, {side}] or [N, 3, {frames}, {side}, {side}], "
                f"not {list(pixels.shape)}: resize the images first."
            )
        patches = rearrange(self.stem(pixels), "n width 1 h w -> n (h w) width")  # [N, P - 1, width]
        class_token = repeat(self.class_token, "width -> n 1 width", n=len(pixels))  # [N, 1, width]
        return torch.cat([class_token, patches], dim=1) + self.positions  # [N, P, width]

    def states(self, pixels: Tensor) -> Tensor:
        """Pixels -> all token states after the last block [N, P, width], not normalised."""
        x = self.pre_norm(self.embed(pixels))  # [N, P, width]
        for block in self.blocks:
            x = block(x)
        return x

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels -> the normalised class token, before the projection [N, width]."""
        return self.norm(self.states(pixels)[:, 0])

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, H, W] or [N, 3, frames, H, W], float -> vectors of norm 1 [N, E].

        Raises InputError if the image size is not config.image_size.
        """
        return F.normalize(self.projection(self.features(pixels)), dim=-1)


class AudioTrunk(nn.Module):
    """A log-mel spectrogram of two seconds, read as a picture, to a vector of norm `logit_scale`."""

    log_logit_scale: Tensor

    def __init__(self, config: AudioTrunkConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        rows = (config.mel_bins - config.kernel) // config.stride + 1
        columns = (config.mel_frames - config.kernel) // config.stride + 1
        self.stem = nn.Conv2d(1, config.width, config.kernel, stride=config.stride, bias=False)
        self.stem_norm = nn.LayerNorm(config.width, eps=STEM_EPS)
        self.class_token = learned(config.width)  # [width]
        self.positions = learned(1 + rows * columns, config.width)  # [P, width]
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.projection = nn.Linear(config.width, embed_dim, bias=False)
        self.register_buffer("log_logit_scale", torch.tensor(math.log(config.logit_scale)))
        self.apply(init_weights)

    def embed(self, mel: Tensor) -> Tensor:
        """Log-mel [N, 1, mel_bins, mel_frames] -> what enters the trunk [N, P, width]."""
        bins, frames = self.config.mel_bins, self.config.mel_frames
        if mel.shape[1:] != (1, bins, frames):
            raise InputError(f"The audio trunk reads log-mels [N, 1, {bins}, {frames}], not {list(mel.shape)}.")
        patches = rearrange(self.stem(mel), "n width f t -> n (f t) width")  # [N, P - 1, width]
        class_token = repeat(self.class_token, "width -> n 1 width", n=len(mel))  # [N, 1, width]
        return torch.cat([class_token, self.stem_norm(patches)], dim=1) + self.positions  # [N, P, width]

    def features(self, mel: Tensor) -> Tensor:
        """Log-mel -> the normalised class token, before the projection [N, width]."""
        x = self.embed(mel)  # [N, P, width]
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])

    def forward(self, mel: Tensor) -> Tensor:
        """Normalised log-mel [N, 1, mel_bins, mel_frames], float -> vectors of norm `logit_scale` [N, E].

        Raises InputError if the spectrogram has another shape.
        """
        unit = F.normalize(self.projection(self.features(mel)), dim=-1)  # [N, E]
        return unit * self.log_logit_scale.exp().clamp(max=MAX_SCALE)


class ImageBind(nn.Module):
    """The two trunks. A trunk that a task does not use is left out and is None: answering needs only `audio`,
    training the audio branch only `image`."""

    def __init__(self, config: ImageBindConfig, with_image: bool = True, with_audio: bool = True) -> None:
        super().__init__()
        self.image = ImageTrunk(config.image, config.embed_dim) if with_image else None
        self.audio = AudioTrunk(config.audio, config.embed_dim) if with_audio else None
