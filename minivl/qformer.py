"""The Q-Former: a fixed number of learned queries that read a sequence of any length.

    x <- LN(x + SelfAttention(x))                    the queries agree on who looks for what
    x <- LN(x + CrossAttention(x, states))           each reads the states (only in every n-th layer)
    x <- LN(x + FeedForward(x))

Q queries in, Q vectors out, however long the input is: this is how a video becomes a short prompt.
Section 2.1.1 of the paper uses it twice: BLIP-2's, twelve layers on the patches of one frame, and the
two-layer Video Q-Former on the tokens of all frames; section 2.1.2 once more, for sound. In the original:
`Qformer.py`, a BERT encoder, hence the norm *after* each residual sum (post-norm).
"""

from __future__ import annotations

from einops import repeat
from torch import Tensor, nn

from minivl.config import QFormerConfig
from minivl.errors import InputError
from minivl.transformer import Attention, FeedForward, init_weights, learned


class QFormerLayer(nn.Module):
    """One post-norm layer. Without `reads_states` it has self-attention and feed-forward only."""

    def __init__(self, config: QFormerConfig, reads_states: bool) -> None:
        super().__init__()
        width, eps = config.width, config.eps
        self.attention = Attention(width, config.heads, dropout=config.dropout)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        if reads_states:
            self.cross_attention: Attention | None = Attention(
                width, config.heads, context_width=config.encoder_width, dropout=config.dropout
            )
            self.cross_attention_norm: nn.LayerNorm | None = nn.LayerNorm(width, eps=eps)
        else:
            self.cross_attention = None
            self.cross_attention_norm = None
        self.feed_forward = FeedForward(width, config.mlp_hidden)
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [N, Q, width], states [N, S, encoder_width], mask [N, S] bool -> [N, Q, width]."""
        x = self.attention_norm(x + self.dropout(self.attention(x)))
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            x = self.cross_attention_norm(x + self.dropout(self.cross_attention(x, states, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class QFormer(nn.Module):
    """Learned queries and the layers that let them read."""

    def __init__(self, config: QFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.queries = learned(config.num_queries, config.width)  # [Q, width]
        self.queries_norm = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            QFormerLayer(config, reads_states=layer % config.cross_attention_every == 0)
            for layer in range(config.depth)
        )
        self.apply(init_weights)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the queries have read, [N, Q, width].

        Args:
            states: [N, S, encoder_width], float; S is free.
            mask: [N, S], bool or 0/1 integers; a state with 0 is not read. Default: all are read.

        Raises InputError if the states' width is not config.encoder_width.
        """
        if states.shape[-1] != self.config.encoder_width:
            raise InputError(
                f"This Q-Former reads states of width {self.config.encoder_width}, not {states.shape[-1]}."
            )
        mask = None if mask is None else mask.bool()
        x = repeat(self.queries_norm(self.queries), "q width -> n q width", n=len(states))  # [N, Q, width]
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, states, mask)
        return x
