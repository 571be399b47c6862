"""The image encoder: ViT and Q-Former learn to say what a picture shows and where.

As BLIP-2 starts from EVA-CLIP, the ViT starts from the contrastively trained trunk. Then ViT and Q-Former are trained
together by captioning: a small decoder, thrown away afterwards, reads the K query vectors and nothing else, and says
"red circle radius2 column3 row4, ...". What the decoder can say must be in the K vectors.

Where a thing is, is learned last: names and colours drown it. Three remedies, each measured: pictures of a single thing
come first, the Q-Former starts with larger weights, and a map of places is read off the K vectors beside the caption.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.image_encoder import ImageEncoder
from minivl.new_branch import start_large
from minivl.pretraining.pictures import CELLS, WORD_ID, WORDS, Pictures
from minivl.pretraining.shared_space import BagOfWords, contrastive_loss
from minivl.toyworld.scenes import SHAPES
from minivl.training_loop import fit
from minivl.video import normalise

CONTRAST, PLACES = 0.2, 8.0  # weights of the contrastive term and of the map of places
SINGLES = 0.1  # the part of the training that shows one thing at a time
SHAPE_WEIGHT = 3.0  # a shape's name counts for so many words: edges are learned slowly


class Captioner(nn.Module):
    """A two-layer decoder from K query vectors to caption words."""

    def __init__(self, width: int, longest: int = 24, heads: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), width)
        self.positions = nn.Parameter(0.02 * torch.randn(longest, width))
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerDecoder(layer, num_layers=2)
        self.to_words = nn.Linear(width, len(WORDS))

    def forward(self, words: Tensor, queries: Tensor) -> Tensor:
        """Words so far [N, L], queries [N, K, width] -> logits of the next word [N, L, words]."""
        length = words.shape[1]
        causal = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.words(words) + self.positions[:length]
        return self.to_words(self.layers(x, queries, tgt_mask=causal, tgt_is_causal=True))


def place_map(captions: list[list[str]]) -> Tensor:
    """Where the middle of a thing is: [N, CELLS * CELLS], 1 or 0."""
    places = torch.zeros(len(captions), CELLS, CELLS)
    for n, words in enumerate(captions):
        for column, row in pairwise(words):
            if column.startswith("column"):
                places[n, int(row.removeprefix("row")), int(column.removeprefix("column"))] = 1
    return places.flatten(1)


def caption_ids(captions: list[list[str]]) -> Tensor:
    """<start> words <end> <pad> ...: [N, L] int64."""
    rows = [[WORD_ID["<start>"], *(WORD_ID[w] for w in words), WORD_ID["<end>"]] for words in captions]
    longest = max(map(len, rows))
    return torch.tensor([row + [WORD_ID["<pad>"]] * (longest - len(row)) for row in rows])


def train_image_encoder(
    encoder: ImageEncoder, pictures: Pictures, steps: int = 7500, batch_size: int = 64,
    learning_rate: float = 1e-3, seed: int = 0,
) -> tuple[Captioner, dict[str, Any]]:  # fmt: skip
    """Train ViT and Q-Former by captioning; returns the decoder (for `word_accuracy`) and the report."""
    torch.manual_seed(seed)
    width = encoder.qformer.queries.shape[-1]
    decoder, words, pooled = Captioner(width), BagOfWords(64), nn.Linear(width, 64)
    places = nn.Linear(len(encoder.qformer.queries) * width, CELLS * CELLS)
    start_large(encoder.qformer)
    rng, everything = np.random.default_rng((seed, 6)), np.arange(len(pictures.captions))
    weights = torch.tensor([SHAPE_WEIGHT if word in SHAPES else 1.0 for word in WORDS])
    single = np.array([i for i, said in enumerate(pictures.captions) if len(said) <= 5])

    def loss(step: int) -> Tensor:
        rows = rng.choice(single if step < SINGLES * steps else everything, batch_size, replace=False)
        queries = encoder(normalise(pictures.pixels[rows])[None])[0]  # [N, K, width]
        captions = [pictures.captions[i] for i in rows]
        ids = caption_ids(captions)
        logits = decoder(ids[:, :-1], queries).float()
        caption = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), weights, ignore_index=0)
        bags = [pictures.shown[i] for i in rows]
        same = torch.tensor([[x == y for y in bags] for x in bags], dtype=torch.float)
        image = F.normalize(pooled(queries.mean(1)), dim=-1)
        where = places(queries.flatten(1)).float() - 4  # most places are empty
        place = F.binary_cross_entropy_with_logits(where, place_map(captions))
        return caption + CONTRAST * contrastive_loss(image, words(bags), same) + PLACES * place

    parts = nn.ModuleList([encoder, decoder, words, pooled, places])
    return decoder, {"steps": steps, **fit(parts, loss, steps, learning_rate, "image encoder")}


@torch.no_grad()
def word_accuracy(encoder: ImageEncoder, decoder: Captioner, pictures: Pictures) -> dict[str, float]:
    """Share of caption words that the decoder would say, given the true words before, by the kind of word."""
    right: dict[str, list[bool]] = {}
    kinds = {w: w.rstrip("0123456789") if w[-1].isdigit() else "name or colour" for w in WORDS}
    for start in range(0, len(pictures.shown), 256):
        queries = encoder(normalise(pictures.pixels[start : start + 256])[None])[0]
        ids = caption_ids(pictures.captions[start : start + 256])
        guess = decoder(ids[:, :-1], queries).argmax(-1)
        for target, said in zip(ids[:, 1:].flatten().tolist(), guess.flatten().tolist(), strict=True):
            if target:
                right.setdefault(kinds[WORDS[target]], []).append(target == said)
    return {kind: round(float(np.mean(v)), 4) for kind, v in sorted(right.items())}
