"""How long, how fast, how large: the numbers of a training run, and those of the paper.

The paper trains each branch in two stages (section 2.2): on short captions of many videos and images, then on few
instructions of good quality. PAPER holds the numbers of the original's four settings files (`train_configs/*.yaml`).
"""

from __future__ import annotations

from dataclasses import dataclass

from minivl.schedule import original_schedule, warmup_cosine


@dataclass(frozen=True)
class Recipe:
    """One run of one stage."""

    steps: int
    batch: int  # chats a step, over all processes and all pieces of a step
    learning_rate: float  # the highest
    floor: float  # the last
    warmup: int  # steps
    start: float = 0.0  # the learning rate at step 0
    epoch: int = 0  # steps an epoch in the original's schedule; 0: the plain one
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0  # largest norm of the gradient; 0: any
    seed: int = 42

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        numbers = (step, self.steps, self.learning_rate, self.floor, self.warmup, self.start)
        return original_schedule(*numbers, self.epoch) if self.epoch else warmup_cosine(*numbers)


def toy_recipe(steps: int, learning_rate: float = 1.5e-3, batch: int = 32, seed: int = 0) -> Recipe:
    """For a branch of the tiny model: a high rate, a short warm-up, down to a fiftieth."""
    warmup = min(100, max(1, steps // 5))
    return Recipe(
        steps, batch, learning_rate, learning_rate / 50, warmup, betas=(0.9, 0.98), clip=1.0, seed=seed
    )  # fmt: skip


PROCESSES = 8  # GPUs of the original's runs; batch sizes in its files are for each of them

PAPER = {
    ("vision", 1): Recipe(5 * 2500, 32 * PROCESSES, 1e-4, 8e-5, 2500, 1e-6, epoch=2500),
    ("vision", 2): Recipe(3 * 1000, 4 * PROCESSES, 3e-5, 1e-5, 1000, 1e-6, epoch=1000),
    ("audio", 1): Recipe(5 * 5000, 32 * PROCESSES, 1e-4, 8e-5, 5000, 1e-6, epoch=5000),
    ("audio", 2): Recipe(3 * 1000, 4 * PROCESSES, 3e-5, 1e-5, 400, 1e-6, epoch=1000),
}
# Data set -> share, by stage; the audio branch is trained on the same pictures as the vision branch.
PAPER_DATA = {
    1: {"webvid": 100.0, "llava_cc3m": 24.0},
    2: {"minigpt4_cc_sbu": 1.0, "llava_instruct": 1.0, "videochat": 1.0},
}
PAPER_TOKENS = {("vision", 1): 32, ("vision", 2): 320, ("audio", 1): 32, ("audio", 2): 512}  # of a caption, at most
