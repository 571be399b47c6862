"""minivl's ViT and Q-Former beside transformers' Blip2 classes of the same size, forward and backward.

    python benchmarks/components.py            small sizes, seconds
    python benchmarks/components.py --paper    the width of EVA-CLIP ViT-g and BLIP-2, two layers deep

The two take turns within one run, so that whatever else the machine does hits both alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from minivl.atomic import write_text
from minivl.config import QFormerConfig, ViTConfig
from minivl.qformer import QFormer
from minivl.torchaudio_shim import ensure_importable
from minivl.vit import ViT

ensure_importable()

from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel  # noqa: E402

SMALL = (
    ViTConfig(image_size=64, patch_size=8, width=128, depth=4, heads=4, mlp_hidden=384),
    QFormerConfig(num_queries=8, encoder_width=128, width=128, depth=2, heads=4, mlp_hidden=384, dropout=0.0),
)
PAPER = (ViTConfig(depth=2), QFormerConfig(depth=2, dropout=0.0))


def blip2_vit(config: ViTConfig) -> nn.Module:
    """transformers' EVA-CLIP ViT; it has one LayerNorm more than ours, after the last block."""
    settings = Blip2VisionConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_hidden,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_act="gelu",
        layer_norm_eps=config.eps,
        attn_implementation="sdpa",
    )
    return Blip2VisionModel(settings).eval()


def blip2_qformer(config: QFormerConfig) -> nn.Module:
    """transformers' BLIP-2 Q-Former; its queries are an input, not weights."""
    settings = Blip2QFormerConfig(
        hidden_size=config.width,
        intermediate_size=config.mlp_hidden,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        encoder_hidden_size=config.encoder_width,
        cross_attention_frequency=config.cross_attention_every,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        layer_norm_eps=config.eps,
    )
    return Blip2QFormerModel(settings).eval()


def millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M"


def timed(run: Callable[[], Tensor], backward: bool) -> float:
    """Milliseconds of one forward pass, or of a forward and a backward pass."""
    start = time.perf_counter()
    with torch.set_grad_enabled(backward):
        output = run()
    if backward:
        output.square().mean().backward()
    return 1000 * (time.perf_counter() - start)


def compare(name: str, ours: Callable[[], Tensor], theirs: Callable[[], Tensor], rounds: int) -> dict[str, list[float]]:
    """Medians over `rounds` pairs, and the median of the pairs' ratios."""
    rows = {}
    for direction, backward in (("forward", False), ("forward + backward", True)):
        timed(ours, backward), timed(theirs, backward)  # memory is allocated, kernels are chosen
        pairs = [(timed(ours, backward), timed(theirs, backward)) for _ in range(rounds)]
        ours_ms, theirs_ms = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{name:10}{direction:20}{ours_ms:9.1f} ms {theirs_ms:9.1f} ms {ratio:8.2f}")
        rows[f"{name}, {direction}"] = [round(x, 3) for x in (ours_ms, theirs_ms, ratio)]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="width of the 7B model, two layers")
    parser.add_argument("--batch", type=int, help="images; default 32, or 2 with --paper")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the table to this file")
    options = parser.parse_args()
    torch.manual_seed(0)
    vit, qformer = PAPER if options.paper else SMALL
    batch = options.batch or (2 if options.paper else 32)
    patches = (vit.image_size // vit.patch_size) ** 2 + 1
    pixels = torch.randn(batch, 3, vit.image_size, vit.image_size)
    states = torch.randn(batch, patches, qformer.encoder_width)
    our_vit, their_vit = ViT(vit).eval(), blip2_vit(vit)
    our_qformer, their_qformer = QFormer(qformer).eval(), blip2_qformer(qformer)
    queries = torch.randn(1, qformer.num_queries, qformer.width).expand(batch, -1, -1)

    print(f"batch {batch}, {patches} patches, {torch.get_num_threads()} threads")
    print(f"parameters: ViT {millions(our_vit)} ({millions(their_vit)} in transformers),")
    print(f"            Q-Former {millions(our_qformer)} ({millions(their_qformer)})")
    print(f"{'':30}{'minivl':>12} {'transformers':>12} {'ratio':>8}")
    rows = compare("ViT", lambda: our_vit(pixels), lambda: their_vit(pixels).last_hidden_state, options.rounds)
    rows |= compare(
        "Q-Former",
        lambda: our_qformer(states),
        lambda: their_qformer(query_embeds=queries, encoder_hidden_states=states).last_hidden_state,
        options.rounds,
    )
    if options.json:
        facts = {"batch": batch, "patches": patches, "threads": torch.get_num_threads(), "rounds": options.rounds}
        write_text(options.json, json.dumps({**facts, "[minivl ms, transformers ms, ratio]": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
