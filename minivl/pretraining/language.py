"""The tiny language model: it learns to answer questions about scenes that are *described in words*.

A text that describes the picture stands between <Video> and </Video>, one that describes the sound between <Audio> and
</Audio>: the places where the soft prompts will stand. The model never sees or hears anything. Gaussian noise on the
embeddings of these texts prepares it for inputs that are no word exactly.

What the language model cannot answer about a text, no branch can answer about a video: this is the ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from minivl.toyworld.captions import picture_text, sound_text
from minivl.toyworld.dialogue import IGNORE, Dialogue, DialogueWriter
from minivl.toyworld.questions import Question, blind_question, questions
from minivl.toyworld.scenes import CHOOSING_SEED, Scene, sample_scene
from minivl.training_loop import fit

# Comparing two things is learned later than copying one: such questions are asked more often.
SEVERAL = 0.3  # the share of scenes that are drawn again until they hold several shapes
RELATIONS = {
    "before": 2.0,
    "hear_before": 2.0,
    "exist": 3.0,
    "hear_exist": 2.0,
    "colour_of": 3.5,
    "match": 4.0,
}


@dataclass(frozen=True)
class LanguageTraining:
    """Numbers of this training; the defaults made the shipped model."""

    steps: int = 4500
    batch_size: int = 64
    learning_rate: float = 2e-3
    questions: int = 4  # per scene
    noise: float = 0.4  # the largest noise, relative to the size of the embeddings
    width: int = 192
    depth: int = 4
    heads: int = 4
    mlp_hidden: int = 512
    max_tokens: int = 512
    weights: dict[str, float] = field(default_factory=lambda: dict(RELATIONS))


def new_language_model(tokenizer: PreTrainedTokenizerFast, numbers: LanguageTraining) -> LlamaForCausalLM:
    """A LLaMA of 1.8 million parameters."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=numbers.width,
        intermediate_size=numbers.mlp_hidden,
        num_hidden_layers=numbers.depth,
        num_attention_heads=numbers.heads,
        max_position_embeddings=numbers.max_tokens,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def described_dialogue(
    seed: int,
    rng: np.random.Generator,
    writer: DialogueWriter,
    count: int = 4,
    weights: dict[str, float] | None = None,
) -> Dialogue:
    """A chat about a scene that both places describe in words: sight only, hearing only, or both."""
    scene = sample_scene(seed)
    if rng.random() < SEVERAL and len(scene.shapes) < 2:  # the hardest texts to put in order
        candidates = (sample_scene((seed + 1 + i) % CHOOSING_SEED) for i in range(60))
        scene = next((s for s in candidates if len(s.shapes) > 1), scene)
    still = bool(rng.random() < 0.12 and scene.motion not in ("grow", "shrink"))
    if still:
        seen = scene.at(rng.uniform(0, 4))
        scene = Scene(seed, seen.things, "still", scene.sounds)
    draw = rng.random()
    sight, hearing = bool(draw < 0.8), bool(draw > 0.35)
    asked = questions(scene, rng, count, sight, hearing, still=still, weights=weights)
    if sight != hearing and rng.random() < 0.25:
        asked.insert(int(rng.integers(len(asked) + 1)), blind_question(rng, hearing=sight))
    picture = writer.encode(picture_text(scene, rng)) if sight else None
    sound = writer.encode(sound_text(scene, rng)) if hearing else None
    return writer.write(picture, sound, asked, still)


def pad_dialogues(dialogues: list[Dialogue], pad_id: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids [B, L], attention mask [B, L], labels [B, L], described [B, L], padded on the right."""
    length = max(len(d.ids) for d in dialogues)

    def rows(values: list[list[Any]], fill: int) -> Tensor:
        return torch.tensor([v + [fill] * (length - len(v)) for v in values])

    ids = rows([d.ids for d in dialogues], pad_id)
    labels = rows([d.labels for d in dialogues], IGNORE)
    described = rows([d.described for d in dialogues], False).bool()
    mask = rows([[1] * len(d.ids) for d in dialogues], 0)
    return ids, mask, labels, described


def add_noise(embeds: Tensor, described: Tensor, largest: float, scale: float) -> Tensor:
    """Noise on the described positions of embeds [B, L, D], with a strength of its own for each sequence."""
    strength = torch.rand(len(embeds), 1, 1) * largest * scale
    return embeds + described[..., None] * strength * torch.randn_like(embeds)


def train_language_model(
    tokenizer: PreTrainedTokenizerFast, numbers: LanguageTraining | None = None, seed: int = 0
) -> tuple[LlamaForCausalLM, dict[str, Any]]:
    """Train the tiny language model on text alone; returns it in eval mode with its report."""
    numbers = numbers or LanguageTraining()
    torch.manual_seed(seed)
    llm, writer = new_language_model(tokenizer, numbers), DialogueWriter(tokenizer)
    rng = np.random.default_rng((seed, 1))

    def loss(step: int) -> Tensor:
        batch = [
            described_dialogue(int(rng.integers(CHOOSING_SEED)), rng, writer, numbers.questions, numbers.weights)
            for _ in range(numbers.batch_size)
        ]
        ids, mask, labels, described = pad_dialogues(batch, tokenizer.pad_token_id)
        table: Tensor = llm.model.embed_tokens.weight
        embeds = add_noise(table[ids], described, numbers.noise, float(table.detach().std()))
        return llm(inputs_embeds=embeds, attention_mask=mask, labels=labels).loss

    curve = fit(llm, loss, numbers.steps, numbers.learning_rate, "language model")
    return llm.eval(), {"steps": numbers.steps, "seed": seed, **curve, "text": text_accuracy(llm, tokenizer)}


@torch.no_grad()
def text_accuracy(
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    scenes: int = 300,
    held_out: bool = False,
    noise: float = 0.2,
    first_seed: int = CHOOSING_SEED,
) -> dict[str, float]:
    """Share of answers that are right to the last word, by question type, when the scene is described in words.

    Every answer token must be the most likely one given the true tokens before it, which equals greedy decoding.
    """
    writer, rng = DialogueWriter(tokenizer), np.random.default_rng((first_seed, 2))
    cases: list[tuple[Question, Dialogue]] = []
    for index in range(scenes):
        scene = sample_scene(first_seed + index)
        picture, sound = writer.encode(picture_text(scene, rng)), writer.encode(sound_text(scene, rng))
        cases += [(q, writer.write(picture, sound, [q])) for q in questions(scene, rng, held_out=held_out)]
    right: dict[str, list[bool]] = {}
    table: Tensor = llm.model.embed_tokens.weight
    for start in range(0, len(cases), 256):
        part = cases[start : start + 256]
        ids, mask, labels, described = pad_dialogues([d for _, d in part], tokenizer.pad_token_id)
        embeds = add_noise(table[ids], described, noise, float(table.std()))
        guess = llm(inputs_embeds=embeds, attention_mask=mask).logits.argmax(-1)[:, :-1]  # [B, L - 1]
        wrong = ((guess != labels[:, 1:]) & (labels[:, 1:] != IGNORE)).any(-1)
        for (question, _), failed in zip(part, wrong.tolist(), strict=True):
            right.setdefault(question.kind, []).append(not failed)
    return {kind: round(float(np.mean(v)), 4) for kind, v in sorted(right.items())}
