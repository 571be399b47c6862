"""Clips whose questions need the order of frames, what is taught about them, and how many are answered right.

    colour                  any single frame tells it
    motion, first, last     no frame tells them, nor all frames in a heap

Only these four kinds of question, and only clips that have them: one coloured shape, or two things one after the other.
So a vision branch learns in two minutes what positions are for. `claims` asks the same with all kinds of question.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from minivl.batch import Batch
from minivl.model import VideoLlama
from minivl.soft_prompt import VIDEO_SLOT, pad
from minivl.toyworld.captions import MOTION_WORDS
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.exam import prompt_ids
from minivl.toyworld.features import BATCH, Features
from minivl.toyworld.questions import Question, ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import Scene, sample_scene

KINDS = ("colour", "motion", "first", "last")
STILL = f"it {MOTION_WORDS['still'][0]}"


def find_scenes(count: int, first_seed: int) -> list[Scene]:
    """The first `count` scenes from a seed on that show one coloured shape, or two things one after the other."""
    found: list[Scene] = []
    seed = first_seed
    while len(found) < count:
        scene = sample_scene(seed)
        if scene.events or (len(scene.things) == 1 and scene.shapes):
            found.append(scene)
        seed += 1
    return found


def watch(model: VideoLlama, scenes: list[Scene], num_frames: int = 8) -> Features:
    """What the frozen eyes see of the scenes: frame_tokens [N, T, K, width]; nothing is heard."""
    tokens: list[Tensor] = []
    for start in range(0, len(scenes), BATCH):
        part = [torch.from_numpy(render_frames(s, num_frames)) for s in scenes[start : start + BATCH]]
        tokens.append(model.encode_frames(torch.stack(part).permute(0, 1, 4, 2, 3)))  # [B, T, 3, H, W]
    return Features(scenes, torch.cat(tokens), torch.empty(0), torch.empty(0))


def questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """One question of each of KINDS that has an answer, in random order."""
    asked = [question for kind in KINDS if (question := ask(scene, kind, rng))]
    return [asked[i] for i in rng.permutation(len(asked))]


def lessons(
    model: VideoLlama, features: Features, batch: int = 24, seed: int = 0
) -> Callable[[int, int, int], Batch]:  # fmt: skip
    """(step, part, parts) -> the chats of a training step: `batch` clips, and the questions about each of them."""
    writer, slots = DialogueWriter(model.tokenizer), [VIDEO_SLOT] * model.config.vision_branch.qformer.num_queries

    def draw(step: int, part: int = 0, parts: int = 1) -> Batch:
        rng = np.random.default_rng((seed, step))
        rows = rng.choice(len(features.scenes), min(batch, len(features.scenes)), replace=False)
        chats = [writer.write(slots, None, questions(features.scenes[row], rng)) for row in rows]
        ids, mask, labels = pad([c.ids for c in chats], [c.labels for c in chats], model.pad_id)
        return Batch(ids, mask, labels, features.frame_tokens[rows]).part(part, parts)

    return draw


@torch.no_grad()
def accuracy(model: VideoLlama, features: Features, seed: int = 0) -> dict[str, float]:
    """The share of right answers by kind of question; greedy answers, compared as strings.

    The true answers are those about features.scenes; put in other scenes to ask about an altered clip. The seed words
    the questions.
    """
    rng = np.random.default_rng((seed, 1))
    cases = [(clip, q) for clip, scene in enumerate(features.scenes) for q in questions(scene, rng)]
    video = model.video_prompt(features.frame_tokens)  # [N, Qv, D]
    shares: dict[str, float] = {}
    for kind in KINDS:
        asked = [(clip, q) for clip, q in cases if q.kind == kind]
        prompts = [prompt_ids(model, q.text, ("sight",)) for _, q in asked]
        soft = {VIDEO_SLOT: video[[clip for clip, _ in asked]]}
        answers = model.answer_batch(prompts, soft, max_new_tokens=8) if asked else []
        right = [answer == q.answer for answer, (_, q) in zip(answers, asked, strict=True)]
        shares[kind] = sum(right) / max(len(right), 1)
    return shares


def in_a_heap(scenes: list[Scene]) -> dict[str, float]:
    """What is reached, on average, by who sees all frames in a heap: what stands still is known, the rest is a coin."""
    rng, chances = np.random.default_rng(0), dict[str, list[float]]()
    for scene in scenes:
        for q in questions(scene, rng):
            chances.setdefault(q.kind, []).append(1.0 if q.kind == "colour" or q.answer == STILL else 0.5)
    return {kind: sum(values) / len(values) for kind, values in chances.items()}
