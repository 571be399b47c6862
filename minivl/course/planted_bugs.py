"""A small honest training of the vision branch, and eight ways to get it wrong: what does each look like from outside?

    healthy    frame tokens -> fresh branch -> soft prompt -> frozen language model -> loss on the answers -> AdamW

A bug of a training raises no error. The loss falls somehow, and the answers are somehow wrong. What gives a bug away
is the pattern: where the curve starts and where it stops, whether the answers have the right form, whether they change
with the clip, whether a gradient arrives and the weights move. Each cause below is one changed line, marked "planted".

Notebook 10 shows five of them under the letters of PLANTED: read this file when you have made up your mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.errors import InputError
from minivl.hardware import best_precision, plain_attention_on_cpu
from minivl.model import VideoLlama
from minivl.new_branch import fresh_branch
from minivl.recipes import toy_recipe
from minivl.soft_prompt import IGNORE, VIDEO_SLOT, pad
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.exam import prompt_ids
from minivl.toyworld.questions import Question, ask
from minivl.toyworld.render import DIRECTIONS, render_frames
from minivl.toyworld.scenes import Scene, sample_scene
from minivl.training import adamw

CAUSES = (
    "labels shifted twice",
    "loss on the prompt too",
    "padding not masked",
    "branch not in the optimiser",
    "soft prompt detached",
    "positions forgotten",
    "learning rate 100 times too high",
    "frames of the wrong clip",
)
PLANTED = dict(zip("ABCDE", (CAUSES[7], CAUSES[4], CAUSES[0], CAUSES[6], CAUSES[5]), strict=True))
KINDS = ("colour", "motion", "first", "last")
FRAMES, BATCH, STEPS = 4, 24, 120


@dataclass(frozen=True)
class Clips:
    """N clips of two sorts, one shape that moves and one thing after another, with their frozen features."""

    scenes: list[Scene]
    frame_tokens: Tensor  # [N, T, K, width]


@dataclass(frozen=True)
class Trained:
    """A branch after its training, and what a log of it holds."""

    branch: nn.Module
    loss: list[float]  # of each step
    gradient: list[float]  # the norm of the branch's gradient in each step
    moved: float  # |weights after - weights before| / |weights before|


@dataclass(frozen=True)
class Asked:
    """One question about one clip, with the model's answer and the true one."""

    clip: int
    question: Question
    answer: str

    @property
    def right(self) -> bool:
        """Whether the answer is the true one, as a string."""
        return self.answer == self.question.answer


def simple_clips(model: VideoLlama, count: int, first_seed: int) -> Clips:
    """The first `count` suitable clips from `first_seed` on, in four frames; a hundred take about two seconds."""
    scenes, seed = list[Scene](), first_seed
    while len(scenes) < count:
        scene = sample_scene(seed)
        if scene.events or (len(scene.things) == len(scene.shapes) == 1 and scene.motion in DIRECTIONS):
            scenes.append(scene)
        seed += 1
    frames = torch.stack([torch.from_numpy(render_frames(scene, FRAMES)) for scene in scenes])
    parts = frames.permute(0, 1, 4, 2, 3).split(32)  # [32, T, 3, H, W] each
    return Clips(scenes, torch.cat([model.encode_frames(part) for part in parts]))


def train(
    model: VideoLlama, clips: Clips, cause: str = "", branch: nn.Module | None = None, steps: int = STEPS, seed: int = 0
) -> Trained:
    """Train a fresh vision branch (or `branch`) on questions about the clips, with one of CAUSES or without.

    The model itself is not changed. The same seed draws the same batches, whatever the cause. Raises InputError for a
    cause that is not in CAUSES.
    """
    if cause and cause not in CAUSES:
        raise InputError(f"there is no cause {cause!r}: choose one of {', '.join(CAUSES)}")
    branch = branch or new_vision_branch(model, seed)
    if cause == "positions forgotten":
        branch.positions = nn.Identity()  # planted
    recipe = toy_recipe(steps, seed=seed, batch=BATCH)
    optimiser = adamw(branch, recipe)
    if cause == "branch not in the optimiser":
        optimiser = adamw(nn.Linear(1, 1), recipe)  # planted
    before, losses, gradients = _weights(branch), [], []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step) * (100 if cause == "learning rate 100 times too high" else 1)  # planted
        loss = _loss(model, branch, clips, cause, np.random.default_rng((seed, 21, step)))
        loss.backward()
        gradients.append(float(nn.utils.clip_grad_norm_(branch.parameters(), recipe.clip)))
        optimiser.step()
        branch.zero_grad()
        losses.append(float(loss.detach()))
    moved = float((_weights(branch) - before).norm() / before.norm())
    return Trained(branch.eval(), losses, gradients, moved)


def new_vision_branch(model: VideoLlama, seed: int) -> nn.Module:
    """A vision branch with fresh weights that fits the model, and is not put into it."""
    words = float(model.llm.get_input_embeddings().weight.std())
    return fresh_branch(model.config, "vision", words, seed)


def _loss(model: VideoLlama, branch: nn.Module, clips: Clips, cause: str, rng: np.random.Generator) -> Tensor:
    """The loss of one batch: two questions about each of BATCH clips."""
    rows = rng.choice(len(clips.scenes), min(BATCH, len(clips.scenes)), replace=False)
    slots, writer = [VIDEO_SLOT] * model.config.vision_branch.qformer.num_queries, DialogueWriter(model.tokenizer)
    chats = [writer.write(slots, None, _two_questions(clips.scenes[row], rng)) for row in rows]
    ids, mask, labels = pad([c.ids for c in chats], [c.labels for c in chats], model.pad_id)  # [B, L] each
    tokens = clips.frame_tokens[rows]  # [B, T, K, width]
    if cause == "frames of the wrong clip":
        tokens = tokens.roll(1, dims=0)  # planted
    with torch.autocast("cpu", torch.bfloat16, best_precision() == "bf16"), plain_attention_on_cpu(tokens.device):
        soft = branch(tokens)  # [B, Qv, D]
        if cause == "soft prompt detached":
            soft = soft.detach().requires_grad_()  # planted; so that there is something to differentiate
        return model.loss(ids, mask, _labels(cause, ids, mask, labels), {VIDEO_SLOT: soft})


def _labels(cause: str, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """The labels as they are, or as three mistakes make them: [B, L]."""
    if cause == "labels shifted twice":
        return F.pad(labels[:, 1:], (0, 1), value=IGNORE)  # planted: model.loss shifts them as well
    if cause == "loss on the prompt too":
        return torch.where((mask == 1) & (ids >= 0), ids, IGNORE)  # planted
    if cause == "padding not masked":
        return torch.where(mask == 1, labels, ids)  # planted
    return labels


def _two_questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    asked = (ask(scene, str(kind), rng) for kind in rng.permutation(KINDS))
    return [question for question in asked if question is not None]


def _weights(branch: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in branch.parameters()])


# ---- probes


@torch.no_grad()
def answers(
    model: VideoLlama, branch: nn.Module, clips: Clips, frame_tokens: Tensor | None = None, seed: int = 0
) -> list[Asked]:
    """The model's greedy answers about the clips, seen through `branch`; two for each clip.

    frame_tokens: of the clips altered (frames shuffled, of another clip ...). seed: of how the questions are worded.
    """
    rng = np.random.default_rng((seed, 22))
    cases = [(n, question) for n, scene in enumerate(clips.scenes) for question in _two_questions(scene, rng)]
    cases.sort(key=lambda case: KINDS.index(case[1].kind))  # answers of one kind are about equally long
    soft = branch(clips.frame_tokens if frame_tokens is None else frame_tokens)  # [N, Qv, D]
    found: list[Asked] = []
    for start in range(0, len(cases), 64):
        part = cases[start : start + 64]
        prompts = [prompt_ids(model, question.text, ("sight",)) for _, question in part]
        said = model.answer_batch(prompts, {VIDEO_SLOT: soft[[n for n, _ in part]]}, max_new_tokens=12)
        found += [Asked(n, question, answer) for (n, question), answer in zip(part, said, strict=True)]
    return found


def accuracy(asked: Sequence[Asked]) -> dict[str, float]:
    """The share of right answers of each kind of question."""
    return {
        kind: sum(one.right for one in asked if one.question.kind == kind) / count
        for kind in KINDS
        if (count := sum(one.question.kind == kind for one in asked))
    }


@torch.no_grad()
def spread(branch: nn.Module, clips: Clips) -> float:
    """How much the soft prompt changes with the clip: its deviation over the clips, relative to its size."""
    soft = branch(clips.frame_tokens)  # [N, Qv, D]
    return float((soft - soft.mean(dim=0)).norm() / soft.norm())
