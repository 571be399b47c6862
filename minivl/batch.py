"""The chats of one training step, and the frozen features that stand in their slots."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What `training.train` learns from in a step, or in a part of one. A feature that the chats do not use is None."""

    ids: Tensor  # [B, L] token ids, with slots
    mask: Tensor  # [B, L]
    labels: Tensor  # [B, L]
    frame_tokens: Tensor | None = None  # [B, T, K, width]
    segments: Tensor | None = None  # [B, M, E]
    origins: tuple[str, ...] = ()  # [B] the samples' names, where they come from files

    def part(self, part: int, parts: int) -> Batch:
        """Every `parts`-th chat, from number `part` on."""
        mine = slice(part, None, parts)
        frame_tokens, segments = (None if x is None else x[mine] for x in (self.frame_tokens, self.segments))
        ids, mask, labels = self.ids[mine], self.mask[mine], self.labels[mine]
        return Batch(ids, mask, labels, frame_tokens, segments, self.origins[mine])
