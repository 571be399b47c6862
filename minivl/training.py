"""Training one branch while everything else is frozen (section 2.2 of the paper).

    loss = cross-entropy of the answers' tokens, given the soft prompt:  the gradient passes through the frozen language
           model, and only the branch moves.

Stage 1 learns from captions, stage 2 from questions and answers; the code is the same, the batches differ. Hugging Face
accelerate makes it run on one CPU core, one GPU, or many on several machines: `accelerate launch -m minivl train ...`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from tqdm.auto import tqdm

from minivl.batch import Batch
from minivl.curves import save_loss
from minivl.errors import InputError
from minivl.hardware import best_precision, enough_memory, plain_attention_on_cpu
from minivl.model import VideoLlama
from minivl.recipes import Recipe
from minivl.run_state import Progress, load_state, save_state
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT
from minivl.stop_signal import StopSignal

# The chats of one step, or of one of its `parts` equal parts: (step, part, parts) -> chats. Nothing else may decide
# what they are, so that a run can go on at any step, on any number of processes.
Draw = Callable[[int, int, int], Batch]


class BranchLearner(nn.Module):
    """What a step computes: the loss of one batch. No gradient enters the branch that is not being trained."""

    def __init__(self, model: VideoLlama, branch: str) -> None:
        super().__init__()
        self.model, self.branch = model, branch
        trained = self.trained()
        model.requires_grad_(False)
        trained.float().requires_grad_(True)

    def trained(self) -> nn.Module:
        """The branch. Raises InputError if the model has none of this name."""
        found = {"vision": self.model.vision_branch, "audio": self.model.audio_branch}.get(self.branch)
        if found is None:
            raise InputError(
                f"the model has no {self.branch!r} branch to train: load it with parts=({self.branch!r}, ...)"
            )
        return found

    def forward(self, batch: Batch, total: Tensor | None = None) -> Tensor:
        """The sum over the batch's labels divided by `total` (default: by their number); a scalar."""
        soft: dict[int, Tensor] = {}
        if batch.frame_tokens is not None:
            with torch.set_grad_enabled(self.branch == "vision"):
                soft[VIDEO_SLOT] = self.model.video_prompt(batch.frame_tokens)  # [B, Qv, D]
        if batch.segments is not None:
            with torch.set_grad_enabled(self.branch == "audio"):
                soft[AUDIO_SLOT] = self.model.audio_prompt(batch.segments)  # [B, Qa, D]
        return self.model.loss(batch.ids, batch.mask, batch.labels, soft, total)


def train(
    model: VideoLlama,
    branch: str,
    recipe: Recipe,
    draw: Draw,
    folder: Path | None = None,
    pieces: int = 1,
    save_every: int = 250,
    checkpointing: bool = False,
    precision: str | None = None,
    tracker: str | None = None,
    name: str = "",
) -> dict[str, Any]:
    """Train "vision" or "audio"; returns {"steps", "seconds", "loss": the curve}.

    folder: where the state is kept, every `save_every` steps and at the end, with loss.csv and loss.png; a run that it
        holds goes on. None keeps nothing.
    pieces: a step's batch is computed in so many pieces one after another: the same numbers in less memory.
    checkpointing: forget the language model's activations and compute them again: less memory, a third more time.
    precision: "no", "bf16" or "fp16"; by default what the device is fast in. tracker: "tensorboard", "trackio", ...

    Ctrl-C or SIGTERM saves the state and ends. Raises InputError, WeightsError (see run_state.py), DeviceMemoryError.
    """
    AcceleratorState._reset_state()  # an earlier run of this process may have had another precision
    accelerator = Accelerator(mixed_precision=precision or best_precision(), log_with=tracker, project_dir=folder)
    learner = BranchLearner(model, branch)
    optimizer: Any = adamw(learner.trained(), recipe)
    learner.train()
    if checkpointing:
        model.llm.train()  # transformers forgets activations in training mode only; LLaMA has no dropout
        model.llm.gradient_checkpointing_enable({"use_reentrant": False})
    wrapped, optimizer = accelerator.prepare(learner, optimizer)
    progress = load_state(accelerator, learner.trained(), optimizer, recipe, folder) if folder else Progress()
    if tracker:
        accelerator.init_trackers("minivl")
    bar = tqdm(
        total=recipe.steps, initial=progress.step, desc=name or f"{branch} branch", mininterval=1.0, smoothing=0.05,
        disable=not accelerator.is_main_process,
    )  # fmt: skip
    with StopSignal() as stop, bar, plain_attention_on_cpu(accelerator.device), enough_memory("training"):
        while progress.step < recipe.steps and not stop.asked(accelerator):
            started = time.perf_counter()
            loss = take_step(accelerator, wrapped, optimizer, recipe, draw, progress.step, pieces)
            progress.loss = torch.cat([progress.loss, torch.tensor([loss])])
            progress.step += 1
            progress.seconds += time.perf_counter() - started
            bar.update()
            if progress.step % 25 == 0:
                bar.set_postfix(loss=f"{progress.loss[-25:].mean():.3f}")
                accelerator.log({"loss": loss, "learning rate": recipe.rate(progress.step - 1)}, step=progress.step)
            if folder and (progress.step % save_every == 0 or progress.step == recipe.steps):
                _keep(accelerator, learner.trained(), optimizer, progress, recipe, folder)
        if folder and stop.received:
            _keep(accelerator, learner.trained(), optimizer, progress, recipe, folder)
    accelerator.end_training()
    model.eval()
    if stop.received:
        raise KeyboardInterrupt
    curve = [round(float(part.mean()), 4) for part in progress.loss.split(25)]
    return {"steps": progress.step, "seconds": round(progress.seconds, 1), "loss": curve}


def take_step(
    accelerator: Accelerator, learner: nn.Module, optimizer: Any, recipe: Recipe, draw: Draw, step: int, pieces: int
) -> float:
    """One step on all processes together; returns the mean loss over all of its labels.

    The sum over all labels is divided by their number in the whole step. The mean of the processes' means, as usual
    (and in the original), would weigh a label by how few others its process happened to draw.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    chats = [draw(step, piece * world + rank, pieces * world) for piece in range(pieces)]
    labels = torch.tensor(sum(int((c.labels[:, 1:] != IGNORE).sum()) for c in chats), device=accelerator.device)
    total = accelerator.reduce(labels, "sum") / world  # DDP averages the gradients over the processes
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(step)
    summed = torch.zeros((), device=accelerator.device)
    for piece, batch in enumerate(chats):
        torch.manual_seed(hash((recipe.seed, step, piece, rank)))  # dropout
        last = piece == pieces - 1
        with nullcontext() if last else accelerator.no_sync(learner):
            loss = learner(batch, total)
            accelerator.backward(loss)
        summed += loss.detach()
        del loss  # and its graph with it, before the next forward pass needs the memory
    if recipe.clip:
        accelerator.clip_grad_norm_(learner.parameters(), recipe.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(accelerator.reduce(summed, "mean"))


def adamw(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW on what requires a gradient. As in the original, vectors (biases, norms) are not decayed."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)


def _keep(
    accelerator: Accelerator, trained: nn.Module, optimizer: Any, progress: Progress, recipe: Recipe, folder: Path
) -> None:
    save_state(accelerator, trained, optimizer, progress, recipe, folder)
    if accelerator.is_main_process:
        save_loss(progress.loss, recipe.rate, folder)
