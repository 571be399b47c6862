"""The one training loop of all small trainings: AdamW, linear warm-up, cosine decay, a progress bar."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.02) -> float:
    """The learning rate's factor: 0 → 1 over `warmup` steps, then half a cosine down to `floor`."""
    warmup = min(warmup, max(1, steps // 5))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


@contextmanager
def fast_on_cpu() -> Iterator[None]:
    """bfloat16 matrix products where the CPU has them in hardware, and attention as plain matrix products.

    Twice as fast at these sizes: the CPU's fused attention has a slow backward pass.
    """
    bfloat16 = torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())
    with bfloat16, sdpa_kernel(SDPBackend.MATH):
        yield


def fit(
    module: nn.Module,
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
    name: str,
    weight_decay: float = 0.05,
) -> dict[str, Any]:
    """Train the parameters of `module` that require a gradient for `steps` steps.

    `loss_of_step(step)` draws a batch and returns its loss. Returns {"seconds", "loss"}: a mean of every 25 steps.
    As in the original, vectors (biases, norms) are not decayed.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)
    start, losses = time.time(), []
    module.train()
    with tqdm(range(steps), desc=name, mininterval=1.0, smoothing=0.05) as bar:
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * cosine(step, steps)
            with fast_on_cpu():
                loss = loss_of_step(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 25 == 0:
                bar.set_postfix(loss=f"{sum(losses[-25:]) / len(losses[-25:]):.3f}")
    module.eval()
    curve = [round(sum(losses[i : i + 25]) / len(losses[i : i + 25]), 4) for i in range(0, steps, 25)]
    return {"seconds": round(time.time() - start, 1), "loss": curve}
