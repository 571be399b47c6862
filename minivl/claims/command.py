"""`minivl claims`: train what the claims need, measure, and write docs/claims.md with its pictures."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from minivl import atomic
from minivl.claims.ablations import RUNS
from minivl.claims.measures import MEASURES, Measured, measure
from minivl.claims.page import write_page
from minivl.claims.runs import Workers, branch_file, cores, load, train_all, workers
from minivl.claims.settings import STEPS, Settings, quick_settings
from minivl.errors import InputError

KEPT = ("accuracy", "count", "blind")  # of a row, in the file of results


def run_claims(
    out: Path,
    cache: Path,
    seeds: Sequence[int] = (0, 1, 2),
    clips: int = Settings.clips,
    quick: bool = False,
    results: Path | None = None,
    jobs: int | None = None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Train, measure, and write out/claims.md and out/claims/*.png; returns what they were written from.

    {"made": how, "seconds", "seeds": {seed: {column: {row: Row}}}, "shipped": the same for the shipped model}

    cache: keeps features and trained branches; called again after an interruption, this goes on. Delete it after a
    change to what is taught or rendered. quick: one seed, a tenth of the steps. results: also write the numbers to this
    JSON file. jobs: processes (default: one for each core). settings: other sizes, in the place of seeds and clips.
    Raises InputError for no seed, no clip or no job.
    """
    if not seeds or clips < 2 or (jobs is not None and jobs < 1):
        raise InputError(f"claims need a seed, two clips and one job at least, not {list(seeds)}, {clips} and {jobs}")
    settings = settings or Settings(cache, tuple(dict.fromkeys(seeds)), clips)
    settings = quick_settings(settings) if quick else settings
    jobs, started = jobs or cores(), time.perf_counter()
    _, _, folder = load(settings)  # computes the features once, before there are several processes
    read = sum(branch_file(folder, name, seed).is_file() for name in RUNS for seed in settings.seeds)
    with workers(jobs) as do:
        training = train_all(settings, do)
        measured, shipped = measure_all(settings, do)
    found: dict[str, Any] = {
        "made": {**_made(settings, quick, jobs), "read": read, "runs": len(training)},
        "seconds": {"all": round(time.perf_counter() - started), "training": round(sum(training.values()))},
        "seeds": measured,
        "shipped": shipped,
    }
    for line in write_page(found, out):
        print(line)
    if results:
        atomic.write_text(results, as_json(found))
    return found


def measure_all(settings: Settings, do: Workers) -> tuple[dict[str, Measured], Measured]:
    """All tables of all seeds, {seed: {column: table}}, and those of the shipped model."""
    tasks = [(name, settings, seed) for name in MEASURES if name != "shipped" for seed in settings.seeds]
    tasks.append(("shipped", settings, settings.seeds[0]))
    found: dict[str, Measured] = {str(seed): {} for seed in settings.seeds}
    for (name, _, seed), tables in zip(tasks, do(measure, tasks), strict=True):
        kept = {c: {r: {k: v for k, v in row.items() if k in KEPT} for r, row in t.items()} for c, t in tables.items()}
        if name == "shipped":
            return found, kept
        found[str(seed)] |= kept
        print(f"seed {seed}: {name} is measured", flush=True)
    raise AssertionError("the last task is the shipped model")


def as_json(results: dict[str, Any]) -> str:
    """JSON with one line for each row of a table."""
    text = json.dumps(results, indent=1)
    return re.sub(r"\{([^{}]*)\}", lambda m: "{" + " ".join(m[1].split()) + "}", text) + "\n"


def _made(settings: Settings, quick: bool, jobs: int) -> dict[str, Any]:
    seeds = " ".join(map(str, settings.seeds))
    command = "minivl claims --quick" if quick else f"minivl claims --seeds {seeds}"
    if not quick and settings.clips != Settings.clips:
        command += f" --clips {settings.clips}"
    return {
        "command": command, "quick": quick, "clips": settings.clips, "first_clip": settings.first_clip,
        "training_clips": settings.training_clips, "batch": settings.batch, "model": settings.model,
        "steps": {f"{branch} {stage}": settings.steps(branch, stage) for branch, stage in STEPS},
        "cores": cores(), "jobs": jobs, "cpu": cpu(), "torch": torch.__version__,
    }  # fmt: skip


def cpu() -> str:
    """The processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:  # not Linux
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
