"""Everything that is frozen later, trained from nothing, in the order in which it learns best.

1. ImageBind analog: image trunk (contrastive), then the audio trunk, drawn to the image vectors   (shared_space.py)
2. image encoder: ViT started from the image trunk, and Q-Former, by captioning                    (captioning.py)
3. language model: text only                                                                       (language.py)
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from minivl.atomic import write_text
from minivl.config import VideoLlamaConfig, tiny
from minivl.image_encoder import ImageEncoder, vit_from_image_trunk
from minivl.imagebind import ImageBind
from minivl.model import VideoLlama
from minivl.new_branch import new_branch
from minivl.pretraining.captioning import train_image_encoder, word_accuracy
from minivl.pretraining.language import LanguageTraining, text_accuracy, train_language_model
from minivl.pretraining.pictures import Pictures, paint
from minivl.pretraining.shared_space import (
    by_class,
    image_vectors,
    record,
    retrieval,
    sound_vectors,
    train_audio_trunk,
    train_image_trunk,
)  # fmt: skip
from minivl.pretraining.tokenizer import build_tokenizer
from minivl.toyworld.questions import vocabulary
from minivl.toyworld.scenes import CHOOSING_SEED

HELD_OUT = CHOOSING_SEED  # the seeds on which the reports' qualities are measured


def pretrain(folder: Path, seed: int = 0, scale: float = 1.0) -> VideoLlama:
    """Train all frozen parts and write a model with fresh branches to `folder`, with a report for each part.

    `scale` multiplies all numbers of steps and pictures: 0.01 is a rehearsal of a minute.
    """
    start, config = time.time(), tiny()

    def some(number: int) -> int:
        return max(200, int(number * scale)) if scale < 1 else int(number * scale)

    pictures, unseen = paint(some(20_000), 0), paint(some(1_500), HELD_OUT)
    imagebind, report = _shared_space(config, pictures, unseen, seed, scale, some)
    reports: dict[str, Any] = {"imagebind": report}
    torch.manual_seed(seed)
    encoder = ImageEncoder(config.vit, config.image_qformer)
    encoder.vit = vit_from_image_trunk(config.vit, imagebind.image)  # type: ignore[arg-type]
    pictures = paint(some(36_000), 0, shapes=0.7)
    decoder, report = train_image_encoder(encoder, pictures, steps=_steps(7500, scale), seed=seed)
    reports["image_encoder"] = {**report, "caption_words": word_accuracy(encoder, decoder, unseen)}
    del pictures
    tokenizer = build_tokenizer(vocabulary())
    llm, report = train_language_model(tokenizer, LanguageTraining(steps=_steps(LanguageTraining.steps, scale)), seed)
    reports["llm"] = {**report, "text_held_out_phrasings": text_accuracy(llm, tokenizer, held_out=True)}
    model = VideoLlama(config, llm, tokenizer, encoder, imagebind)
    for branch in ("vision", "audio"):
        new_branch(model, branch, seed)
    model.save_pretrained(folder)
    reports["all"] = {
        "seed": seed,
        "seconds": round(time.time() - start, 1),
        "threads": torch.get_num_threads(),
    }
    for name, values in reports.items():
        write_report(folder, f"pretrain_{name}", {"seed": seed, **values})
    return model


def _shared_space(
    config: VideoLlamaConfig, pictures: Pictures, unseen: Pictures, seed: int, scale: float, some: Any
) -> tuple[ImageBind, dict[str, Any]]:
    torch.manual_seed(seed)
    imagebind = ImageBind(config.imagebind)
    assert imagebind.image is not None and imagebind.audio is not None
    image = train_image_trunk(imagebind.image, pictures, steps=_steps(900, scale), seed=seed)
    gallery = by_class(image_vectors(imagebind.image, pictures.pixels), pictures.classes)
    image["retrieval"] = retrieval(image_vectors(imagebind.image, unseen.pixels), unseen.classes, gallery)
    mels, classes = record(some(3000), 100_000)
    if scale < 1:  # a rehearsal may not have painted every class
        classes_there = [i for i, c in enumerate(classes) if c in gallery]
        mels, classes = mels[classes_there], [classes[i] for i in classes_there]
    audio = train_audio_trunk(imagebind.audio, mels, classes, gallery, steps=_steps(800, scale), seed=seed)
    mels, classes = record(some(300), HELD_OUT)
    audio["retrieval"] = retrieval(sound_vectors(imagebind.audio, mels), classes, gallery)
    return imagebind, {"image_trunk": image, "audio_trunk": audio}


def _steps(steps: int, scale: float) -> int:
    return max(2, int(steps * scale))


def write_report(folder: Path, name: str, values: dict[str, Any]) -> None:
    """folder/reports/NAME.json: seed, steps, seconds, loss curve, held-out quality."""
    write_text(folder / "reports" / f"{name}.json", json.dumps(values, indent=1) + "\n")
