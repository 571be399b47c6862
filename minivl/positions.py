"""The temporal position embedding: what tells a branch that frame 3 comes after frame 2.

    y_{t,k} = x_{t,k} + p_t          one learned row p_t per time step, the same for all k tokens of the step

Section 2.1.1 of the paper: the frozen image encoder looks at each frame alone and knows nothing of time,
so time is added to what it says. The audio branch does the same with its 2-second segments (section
2.1.2). In the original: `video_frame_position_embedding` and `audio_position_embedding` of
`video_llama.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from minivl.errors import InputError

# A Q-Former's output has components of size 1: positions of the usual 0.02 would be lost in it, and motion
# with them. The original starts from 1.0, the default of nn.Embedding.
INIT_STD = 0.5


class TemporalPositionEmbedding(nn.Module):
    """A learned row of `width` numbers for each of `max_positions` time steps."""

    def __init__(self, max_positions: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(max_positions, width), std=INIT_STD))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, ..., width] -> the same shape, row t added to every token of step t.

        Raises InputError if T exceeds max_positions.
        """
        steps, limit = x.shape[1], len(self.weight)
        if steps > limit:
            raise InputError(
                f"Got {steps} time steps, but there are learned positions for {limit} only: "
                f"sample at most {limit} frames or segments."
            )
        ones = [1] * (x.ndim - 3)
        return x + self.weight[:steps].reshape(steps, *ones, -1)  # [B, T, ..., width] + [T, 1..., width]
