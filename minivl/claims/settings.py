"""What all runs of the claims share: how long they train, on how many clips, and where they are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

# Fewer steps than our recipe (stages.py), so that 17 trainings for each of three seeds end in 40 minutes. The same for
# all: what a table compares was trained alike. Numbers of the full recipe are in benchmarks/results/three_seeds.json.
STEPS = {("vision", 1): 300, ("vision", 2): 500, ("audio", 1): 150, ("audio", 2): 300}
TRAINING_CLIPS = 3000
FIRST_CLIP = 1_100_000  # of the reporting range (scenes.py), and none that three_seeds.py has used


@dataclass(frozen=True)
class Settings:
    """One set of numbers for all runs."""

    cache: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    clips: int = 250  # asked about
    first_clip: int = FIRST_CLIP
    training_clips: int = TRAINING_CLIPS
    shorter: int = 1  # so many times fewer steps than STEPS
    batch: int = 32  # chats a step
    count: int = 4  # questions a chat in stage 2
    model: str = "tiny"  # whose frozen parts

    def steps(self, branch: str, stage: int) -> int:
        """Steps of one stage of one branch; at least one."""
        return max(1, STEPS[branch, stage] // self.shorter)

    @property
    def folder(self) -> str:
        """A folder's name that tells apart runs that must not be mixed, except those of other frozen parts."""
        steps = "-".join(str(self.steps(*stage)) for stage in STEPS)
        return f"steps-{steps}-batch-{self.batch}x{self.count}-clips-{self.training_clips}"


def quick_settings(settings: Settings) -> Settings:
    """One seed, a tenth of the steps: shows that everything runs, and nothing else."""
    return replace(
        settings, seeds=settings.seeds[:1], shorter=10, training_clips=500, clips=min(settings.clips, 40)
    )  # fmt: skip
