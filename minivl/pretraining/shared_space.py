"""The ImageBind analog: one space in which a picture of a bell and the sound of a bell are neighbours.

First the image trunk, as CLIP: a picture attracts the words for what it shows and repels those of other pictures,

    loss = cross-entropy(v_image · v_words / tau, which words belong to which picture)      in both directions,

then the audio trunk, as ImageBind: the image vectors stay as they are, and each sound is drawn to a picture of the
thing that makes it. Silence is drawn to the empty picture: without this pair no vector would mean silence.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from minivl.imagebind import AudioTrunk, ImageTrunk
from minivl.mel import spectrogram
from minivl.pretraining.pictures import WORD_ID, Pictures
from minivl.toyworld.scenes import sample_scene
from minivl.toyworld.sounds import render_sound
from minivl.training_loop import fit
from minivl.video import normalise

TEMPERATURE = 0.1
SEGMENT = 32_000  # samples: 2 seconds


class BagOfWords(nn.Module):
    """The text side of the contrastive training, thrown away afterwards: a set of words to a unit vector."""

    def __init__(self, embed_dim: int, width: int = 128) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(len(WORD_ID), width, mode="sum")
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, embed_dim))

    def forward(self, bags: list[frozenset[str]]) -> Tensor:
        """N sets of words -> [N, E]."""
        ids = torch.tensor([WORD_ID[w] for bag in bags for w in sorted(bag)], dtype=torch.long)
        starts = torch.tensor([0, *np.cumsum([len(bag) for bag in bags])[:-1]], dtype=torch.long)
        return F.normalize(self.mix(self.words(ids, starts)), dim=-1)


def contrastive_loss(a: Tensor, b: Tensor, same: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE in both directions between unit vectors a, b [N, E]; same [N, N]: which pairs belong together.

    Pairs that belong together share the target evenly: two bells in one batch are no negatives of each other.
    """
    logits = a.float() @ b.float().T / temperature  # [N, N]
    target = same / same.sum(-1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def start_positions(positions: Tensor, scale: float = 0.5) -> None:
    """Fill a trunk's learned positions [P, width] with sines and cosines of row and column; the class token has none.

    From the usual start (noise of 0.02) a trunk that only names things never learns where they are: the image encoder
    that started from it told positions at chance, and motion with them.
    """
    side, quarter = math.isqrt(len(positions) - 1), positions.shape[1] // 4
    frequencies = torch.pi / side * 2 ** torch.linspace(-1, math.log2(side), quarter)  # half a wave to one a patch
    angles = torch.arange(side)[:, None] * frequencies  # [side, quarter]
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # [side, 2 * quarter]
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    positions[1:] = scale * torch.cat([rows, columns], dim=-1).flatten(0, 1)


def train_image_trunk(
    trunk: ImageTrunk, pictures: Pictures, steps: int = 900, batch_size: int = 64, learning_rate: float = 1.5e-3,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Teach the image trunk what pictures show; returns the loss curve and times."""
    torch.manual_seed(seed)
    start_positions(trunk.positions)
    words, rng = BagOfWords(trunk.projection.out_features), np.random.default_rng((seed, 4))

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pictures.shown), batch_size, replace=False)
        bags = [pictures.shown[i] for i in rows]
        same = torch.tensor([[x == y for y in bags] for x in bags], dtype=torch.float)
        return contrastive_loss(trunk(normalise(pictures.pixels[rows])), words(bags), same)

    return {"steps": steps, **fit(nn.ModuleList([trunk, words]), loss, steps, learning_rate, "image trunk")}


@torch.no_grad()
def image_vectors(trunk: ImageTrunk, pixels: Tensor, batch_size: int = 256) -> Tensor:
    """Pictures [N, 3, H, W] uint8 -> unit vectors [N, E]."""
    return torch.cat([trunk(normalise(part)) for part in pixels.split(batch_size)])


def record(scenes: int, first_seed: int) -> tuple[Tensor, list[str]]:
    """2-second segments of clips: log-mels [N, 1, 128, 204] float16, and the class of each: "large bell"."""
    mels, classes = [], []
    for seed in tqdm(range(first_seed, first_seed + scenes), desc="sounds", mininterval=1.0):
        scene = sample_scene(seed)
        wave = torch.from_numpy(render_sound(scene)).unfold(0, SEGMENT, SEGMENT)  # [2, SEGMENT]
        mels.append(spectrogram(wave).half())
        for start in (0.0, 2.0):
            heard = [s for s in scene.sounds if s.start <= start < s.end]
            classes.append(f"{heard[0].size} {heard[0].name}" if heard else "silence")
    return torch.cat(mels), classes


def train_audio_trunk(
    trunk: AudioTrunk, mels: Tensor, classes: list[str], pictures: dict[str, Tensor], steps: int = 800,
    batch_size: int = 64, learning_rate: float = 1.5e-3, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Pull sounds to the frozen image vectors; `pictures`: class -> image vectors [n, E], one drawn anew each step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 5))

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(classes), batch_size, replace=False)
        names = [classes[i] for i in rows]
        targets = torch.stack([pictures[n][rng.integers(len(pictures[n]))] for n in names])
        same = torch.tensor([[x == y for y in names] for x in names], dtype=torch.float)
        heard = F.normalize(trunk(_disturbed(mels[rows].float(), rng)), dim=-1)
        # InfoNCE alone only ranks; the second term also draws each sound near its picture
        return contrastive_loss(heard, targets, same) + (1 - (heard * targets).sum(-1)).mean()

    return {"steps": steps, **fit(trunk, loss, steps, learning_rate, "audio trunk")}


def _disturbed(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted in time and loudness, as another recording of the same thing would be: [N, 1, 128, 204]."""
    sounding = 198  # the last 6 frames are padding and stay where they are
    shifted = torch.roll(mel[..., :sounding], int(rng.integers(sounding)), dims=-1)
    louder = torch.from_numpy(rng.uniform(-0.15, 0.15, (len(mel), 1, 1, 1))).float()
    return torch.cat([shifted + louder, mel[..., sounding:]], dim=-1)


def by_class(vectors: Tensor, classes: list[str]) -> dict[str, Tensor]:
    """Vectors [N, E] by their class, those without a class left out."""
    found = {name: [i for i, c in enumerate(classes) if c == name] for name in set(classes) - {""}}
    return {name: vectors[rows] for name, rows in sorted(found.items())}


def retrieval(vectors: Tensor, classes: list[str], gallery: dict[str, Tensor]) -> float:
    """How often the nearest mean image vector is that of the vector's own class."""
    names = list(gallery)
    means = F.normalize(torch.stack([gallery[n].mean(0) for n in names]), dim=-1)  # [classes, E]
    cases = [(v, c) for v, c in zip(vectors, classes, strict=True) if c]
    nearest = (torch.stack([v for v, _ in cases]) @ means.T).argmax(-1)
    return round(float(np.mean([names[i] == c for i, (_, c) in zip(nearest, cases, strict=True)])), 4)


@torch.no_grad()
def sound_vectors(trunk: AudioTrunk, mels: Tensor, batch_size: int = 128) -> Tensor:
    """Log-mels [N, 1, 128, 204] -> vectors [N, E]."""
    return torch.cat([trunk(part.float()) for part in mels.split(batch_size)])
