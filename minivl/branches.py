"""The two trained branches: from frozen features to a soft prompt for the language model.

Vision (section 2.1.1): K tokens x_{t,1} ... x_{t,K} of each of T frames

    v_{t,k} = x_{t,k} + p_t    V = QFormer([v_{1,1}, ..., v_{1,K}, v_{2,1}, ..., v_{T,K}])   prompt = V W + b

Audio (section 2.1.2): one ImageBind vector a_m of each of M two-second segments

    u_m = a_m + p_m            A = QFormer([u_1, ..., u_M])                                  prompt = A W + b

The two differ only in what a time step holds: K tokens of a frame, or one vector of a segment. Each soft
prompt has as many vectors as its Q-Former has queries, whatever T or M is. In the original: the second
half of `encode_videoQformer_visual`, and `encode_audioQformer`, in `video_llama.py`.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from minivl.config import BranchConfig
from minivl.positions import TemporalPositionEmbedding
from minivl.qformer import QFormer
from minivl.transformer import init_weights


class VisionLanguageBranch(nn.Module):
    """Frame tokens to the video soft prompt: frame positions, Video Q-Former, linear layer."""

    def __init__(self, config: BranchConfig, llm_width: int) -> None:
        super().__init__()
        self.positions = TemporalPositionEmbedding(config.max_positions, config.qformer.encoder_width)
        self.qformer = QFormer(config.qformer)
        self.to_llm = nn.Linear(config.qformer.width, llm_width).apply(init_weights)

    def forward(self, frame_tokens: Tensor) -> Tensor:
        """Frame tokens [B, T, K, width], float -> video soft prompt [B, Qv, D].

        Raises InputError if T exceeds config.max_positions or the width is not the Q-Former's encoder_width.
        """
        timed = self.positions(frame_tokens)  # [B, T, K, width]
        tokens = rearrange(timed, "b t k width -> b (t k) width")
        return self.to_llm(self.qformer(tokens))  # [B, Qv, D]


class AudioLanguageBranch(nn.Module):
    """ImageBind vectors to the audio soft prompt: segment positions, Audio Q-Former, linear layer.

    The vector of a frame may stand in a segment's place: this is how the branch is trained without any sound.
    """

    def __init__(self, config: BranchConfig, llm_width: int) -> None:
        super().__init__()
        self.positions = TemporalPositionEmbedding(config.max_positions, config.qformer.encoder_width)
        self.qformer = QFormer(config.qformer)
        self.to_llm = nn.Linear(config.qformer.width, llm_width).apply(init_weights)

    def forward(self, segments: Tensor) -> Tensor:
        """ImageBind vectors [B, M, E], float -> audio soft prompt [B, Qa, D].

        Raises InputError if M exceeds config.max_positions or E is not the Q-Former's encoder_width.
        """
        timed = self.positions(segments)  # [B, M, E]
        return self.to_llm(self.qformer(timed))  # [B, Qa, D]
