"""Attention, feed-forward and the pre-norm block: what every encoder of the model is made of.

    Attention(x, c) = softmax(Q K^T / sqrt(head width)) V        Q = x Wq,  K = c Wk,  V = c Wv
    Block:   x <- x + Attention(LN(x), LN(x))        x <- x + FeedForward(LN(x))

Self-attention is the case c = x; cross-attention reads another sequence c, whose width may differ. The
paper takes these parts over from EVA-CLIP, BLIP-2 and ImageBind (section 2.1); this file is what the
three have in common. Letters: N sequences, Q tokens that ask, S tokens that are read, h heads.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

INIT_STD = 0.02


def init_weights(module: nn.Module) -> None:
    """The usual ViT start: matrices and kernels truncated normal, std 0.02; biases 0. For `Module.apply`."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def learned(*shape: int) -> nn.Parameter:
    """A free parameter (class token, positions, queries): truncated normal with std 0.02."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=INIT_STD))


class Attention(nn.Module):
    """Multi-head attention, self or cross.

    Args:
        width: width of the tokens that ask, and of the output. Must be a multiple of `heads`.
        context_width: width of the tokens that are read, if it is not `width`.
        key_bias: False as in EVA's ViT. A key bias adds one q.b to a whole row of scores: softmax ignores it.
        bias_kv: True as in ImageBind's audio trunk: one learned key and value, appended to those read from
            the input (`add_bias_kv` of nn.MultiheadAttention). With it a token can attend to nothing.
        dropout: share of attention weights dropped in training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        context_width: int | None = None,
        key_bias: bool = True,
        bias_kv: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        context_width = context_width or width
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width, bias=key_bias)
        self.value = nn.Linear(context_width, width)
        self.out = nn.Linear(width, width)
        self.extra_key = learned(width) if bias_kv else None
        self.extra_value = learned(width) if bias_kv else None

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x [N, Q, width], context [N, S, context_width] (default: x), mask [N, S] bool -> [N, Q, width].

        A token whose mask is False is not read.
        """
        context = x if context is None else context
        query, key, value = self.query(x), self.key(context), self.value(context)  # [N, Q | S | S, width]
        if self.extra_key is not None and self.extra_value is not None:
            key = torch.cat([key, repeat(self.extra_key, "w -> n 1 w", n=len(key))], dim=1)  # [N, S + 1, width]
            value = torch.cat([value, repeat(self.extra_value, "w -> n 1 w", n=len(value))], dim=1)
            mask = None if mask is None else F.pad(mask, (0, 1), value=True)  # [N, S + 1]
        out = F.scaled_dot_product_attention(
            rearrange(query, "n q (h c) -> n h q c", h=self.heads),
            rearrange(key, "n s (h c) -> n h s c", h=self.heads),
            rearrange(value, "n s (h c) -> n h s c", h=self.heads),
            attn_mask=None if mask is None else rearrange(mask, "n s -> n 1 1 s"),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(rearrange(out, "n h q c -> n q (h c)"))


class FeedForward(nn.Module):
    """Linear, exact (erf) GELU, Linear, for each token on its own: [..., width] -> [..., width]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """A pre-norm block, as in EVA's ViT and ImageBind's trunks: [N, P, width] -> [N, P, width]."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_hidden: int,
        eps: float,
        *,
        key_bias: bool = True,
        bias_kv: bool = False,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads, key_bias=key_bias, bias_kv=bias_kv)
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward = FeedForward(width, mlp_hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))
