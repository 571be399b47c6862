"""What a training run costs, told before it starts: trained parameters, steps, arithmetic, hours, memory.

    hours = FLOPs of a sample · samples / (GPUs · peak FLOP/s · UTILISATION) / 3600

FLOPs and memory are counted, not guessed (planning/flops.py, memory.py); the peak is the maker's, the utilisation an
assumption. The default is the paper's own run (section 2.2, and `train_configs` of the original): two stages for each
of two branches, so four plans.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from minivl.checkpoints import empty_parts
from minivl.errors import InputError
from minivl.planning.flops import Work, count_work
from minivl.planning.memory import MemoryPlan, plan_memory
from minivl.planning.workload import Workload, llm_config, workload
from minivl.recipes import PAPER, PAPER_DATA, PAPER_TOKENS, Recipe

FRAMES = 8  # of a video; an image has one
VIDEOS = ("webvid", "videochat")  # of the paper's data sets; the others are images
DIALOGUE = 512  # tokens at which the original cuts a dialogue of stage 2, soft prompt included
UTILISATION = 0.35  # share of the peak that we assume, not measured: PyTorch in half precision reaches .3 to .5


@dataclass(frozen=True)
class Gpu:
    """A card: its peak in half precision without sparsity, and its memory (the smaller, where it is sold in two)."""

    peak: float  # FLOP/s
    memory: float  # bytes that a program can use
    dtype: str


GPUS = {
    "T4": Gpu(65e12, 15e9, "fp16"),  # the free one on Colab
    "V100": Gpu(125e12, 16e9, "fp16"),
    "L4": Gpu(121e12, 23e9, "bf16"),
    "RTX4090": Gpu(165e12, 24e9, "bf16"),
    "A100": Gpu(312e12, 40e9, "bf16"),
    "H100": Gpu(989e12, 80e9, "bf16"),
}


@dataclass(frozen=True)
class TrainingPlan:
    """One stage of one branch; `print(plan)` shows it."""

    preset: str
    branch: str
    stage: int
    gpu: str
    gpus: int
    cached: bool
    recipe: Recipe
    tokens: int  # L of a sample, at most
    videos: float  # share of the samples that have FRAMES frames
    trained: int  # parameters
    work: tuple[Work, Work, Work]  # of one sample, the mean over videos and images: eyes, branch, language model
    pieces: int  # that each GPU computes its share of a step's batch in
    memory: MemoryPlan  # of one GPU, with one piece

    @property
    def samples(self) -> int:
        """Chats seen in the whole run; one that is seen twice counts twice."""
        return self.recipe.steps * self.recipe.batch

    @property
    def once(self) -> float:
        """FLOPs for the features of one sample where they are cached: no part of a step then."""
        return self.work[0].forward if self.cached else 0.0

    @property
    def flops(self) -> float:
        """Of the whole run, on all GPUs together; without the making of a cache."""
        return self.samples * (sum(work.forward + work.backward for work in self.work) - self.once)

    @property
    def fits(self) -> bool:
        """Whether one piece fits the memory of one GPU."""
        return self.memory.total <= GPUS[self.gpu].memory

    def hours(self, gpu: str | None = None, utilisation: float = UTILISATION) -> float:
        """Hours of the run on `gpus` cards of this kind (default: the plan's). Decoding of files is not counted."""
        return self.flops / (self.gpus * GPUS[gpu or self.gpu].peak * utilisation) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for a JSON file."""
        hours = {name: self.hours(name) for name in GPUS}
        made = {**asdict(self), "memory": self.memory.to_dict(), "fits": self.fits}
        return {**made, "samples": self.samples, "flops": self.flops, "utilisation": UTILISATION, "hours": hours}

    def __str__(self) -> str:
        recipe, card = self.recipe, GPUS[self.gpu]
        pictures = f"{FRAMES} frames ({self.videos:.0%}) or 1 ({1 - self.videos:.0%})"
        facts = {
            "trained parameters": f"{self.trained:,}",
            "steps": f"{recipe.steps:,} of {_count(recipe.batch, 'chat')}: {_count(self.samples, 'sample')}",
            "a sample": f"{self.tokens:,} tokens at the most; {pictures}",
            "the whole run": f"{self.flops:.2e} FLOPs",
            f"hours on {_count(self.gpus, 'GPU')}": ", ".join(f"{name} {_round(self.hours(name))}" for name in GPUS),
        }
        if self.cached:
            rate = self.gpus * card.peak * UTILISATION / self.once
            facts["before that"] = f"features, once for each clip: {rate:,.0f} clips a second on {self.gpus} {self.gpu}"
        share = -(-recipe.batch // self.gpus)
        split = f"{_count(self.pieces, 'piece')} of {_count(-(-share // self.pieces), 'chat')}"
        verdict = "" if self.fits else f": TOO MUCH for the {card.memory / 1e9:.0f} GB of one {self.gpu}"
        width = max(map(len, facts))
        return "\n".join([
            f"{self.preset}: {self.branch} branch, stage {self.stage}, on {self.gpus} {self.gpu}",
            "",
            *(f"{name:<{width}}  {value}" for name, value in facts.items()),
            "",
            *self._table(),
            "",
            f"hours: at {UTILISATION:.0%} of the peak, which is an assumption; reading and decoding files not counted",
            f"memory: each GPU computes a step in {split}{verdict}",
            "",
            str(self.memory),
        ])  # fmt: skip

    def _table(self) -> list[str]:
        """GFLOPs of a sample, part by part."""
        eyes, *learning = self.work
        rows = [("GFLOPs of a sample", "forward", "backward")]
        for work in (Work(eyes.part + (" (once)" if self.cached else ""), eyes.forward, 0), *learning):
            rows.append(
                (work.part, f"{work.forward / 1e9:,.1f}", f"{work.backward / 1e9:,.1f}" if work.backward else "")
            )
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]


def plan_training(
    branch: str,
    stage: int,
    preset: str = "video_llama_7b",
    gpu: str = "A100",
    gpus: int = 8,
    cached: bool = False,
    recipe: Recipe | None = None,
    tokens: int | None = None,
    videos: float | None = None,
    checkpointing: bool = False,
    dtype: str | None = None,
) -> TrainingPlan:
    """Plan one stage of one branch, without a GPU and without weights.

    Args:
        branch, stage: "vision" or "audio"; 1 or 2.
        preset: one of `config.PRESETS`. gpu, gpus: one of GPUS, and how many.
        cached: what the frozen eyes see was written down before, and they are not on the GPU.
        recipe: steps and batch size over all GPUs; by default the paper's of this branch and stage.
        tokens: L of a sample. Default: the longest that the original lets pass.
        videos: share of samples that are videos of 8 frames, the rest being images. Default: the paper's data sets'.
        checkpointing, dtype: see `workload.workload`. Default: not; "fp16" or "bf16", what the GPU is fast in.

    Raises InputError for an argument that is unknown or does not fit the preset.
    """
    if (branch, stage) not in PAPER:
        raise InputError(f"there is no stage {stage!r} of a branch {branch!r}: choose vision or audio, and 1 or 2")
    if gpu not in GPUS or gpus < 1:
        raise InputError(f"{gpus} GPUs {gpu!r} cannot be planned: choose at least 1 of {', '.join(GPUS)}")
    videos = _share_of_videos(stage) if videos is None else videos
    if not 0 <= videos <= 1:
        raise InputError(f"videos is {videos}: give the share of samples that are videos, 0 to 1")
    recipe = recipe or PAPER[branch, stage]
    options: dict[str, Any] = {"preset": preset, "dtype": dtype or GPUS[gpu].dtype, "mode": "train", "branch": branch}
    options |= {"frames": FRAMES if videos else 1, "checkpointing": checkpointing}
    load = workload(**options)
    tokens = longest_sample(load, stage) if tokens is None else tokens
    load = workload(**options, tokens=tokens)
    video, image = count_work(load, (FRAMES, 1))
    work = (_mean(video[0], image[0], videos), _mean(video[1], image[1], videos), video[2])
    trained = empty_parts(load.config, load.parts)[f"{branch}_branch"]
    count = sum(weight.numel() for weight in trained.parameters())
    pieces, memory = _fewest_pieces(-(-recipe.batch // gpus), GPUS[gpu].memory, **options, tokens=tokens, cached=cached)
    return TrainingPlan(preset, branch, stage, gpu, gpus, cached, recipe, tokens, videos, count, work, pieces, memory)


def longest_sample(load: Workload, stage: int) -> int:
    """Tokens of the longest sample of a stage: <s>, soft prompt and caption, or a whole dialogue in stage 2."""
    branch = load.config.vision_branch if load.branch == "vision" else load.config.audio_branch
    caption = 1 + branch.qformer.num_queries + PAPER_TOKENS[load.branch, 1]
    return min(caption if stage == 1 else DIALOGUE, llm_config(load.preset).max_position_embeddings)


def _mean(video: Work, image: Work, videos: float) -> Work:
    """The work of a sample that is a video with the probability `videos`, otherwise an image."""
    rest = 1 - videos
    forward = videos * video.forward + rest * image.forward
    return Work(video.part, forward, videos * video.backward + rest * image.backward)


def _share_of_videos(stage: int) -> float:
    shares = PAPER_DATA[stage]
    return sum(share for name, share in shares.items() if name in VIDEOS) / sum(shares.values())


def _fewest_pieces(batch: int, memory: float, **options: Any) -> tuple[int, MemoryPlan]:
    """(pieces, memory of one), doubling the pieces until one fits or is a single chat."""
    pieces = 1
    while True:
        size = -(-batch // pieces)
        plan = plan_memory(batch=size, **options)
        if plan.total <= memory or size == 1:
            return pieces, plan
        pieces *= 2


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _round(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"
