"""Both branches, both stages, several training seeds, measured on reporting clips decoded from mp4.

    python benchmarks/three_seeds.py --out runs/seeds --clips 400 --json benchmarks/results/three_seeds.json

For each seed: vision branch (stages 1 and 2), then the audio branch (stages 1 and 2, pictures only), then `minivl
evaluate`; and an audio branch that was trained on sound, to compare. Writes each seed's table, times, mean and range.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from minivl import VideoLlama
from minivl.atomic import write_text
from minivl.evaluation import Row, as_text, evaluate
from minivl.stages import run_stage

PARTS = ("vision", "audio", "image_trunk")


def train_seed(start: str, folder: Path, cache: Path, seed: int) -> tuple[VideoLlama, dict[str, float]]:
    """Both branches from fresh weights; returns the model and the seconds of each stage."""
    model = VideoLlama.from_pretrained(start, parts=PARTS)
    seconds = {}
    for branch in ("vision", "audio"):
        for stage in (1, 2):
            report = run_stage(model, branch, stage, folder, cache, seed, test_clips=0)
            seconds[f"{branch} stage {stage}"] = report["seconds"]
    return model, seconds


def train_on_sound(model: VideoLlama, folder: Path, cache: Path, seed: int) -> None:
    """The comparison: the same audio branch, trained on sound itself."""
    for stage in (1, 2):
        run_stage(model, "audio", stage, folder, cache, seed, from_sound=True, test_clips=0)


def summary(tables: list[dict[str, Row]]) -> dict[str, Any]:
    """row → mean, lowest and highest accuracy over the seeds, count and blind baseline."""
    rows = {}
    for row, values in tables[0].items():
        found = [table[row]["accuracy"] for table in tables]
        mean = round(statistics.mean(found), 4)
        rows[row] = {**values, "accuracy": mean, "low": min(found), "high": max(found)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="where the frozen parts come from")
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--first", type=int, default=1_000_000, help="the first clip's seed")
    parser.add_argument("--no-sound", action="store_true", help="leave out the branch that is trained on sound")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "seeds": {}}
    for seed in options.seeds:
        folder = options.out / f"seed{seed}"
        model, seconds = train_seed(options.model, folder, options.cache, seed)
        entry = {"seconds": seconds, "table": evaluate(model, options.clips, options.first)}
        if not options.no_sound:
            train_on_sound(model, options.out / f"seed{seed}-sound", options.cache, seed)
            table = evaluate(model, options.clips, options.first)
            entry["table, trained on sound"] = {k: v for k, v in table.items() if k.startswith("hearing")}
        result["seeds"][seed] = entry
        print(as_text(entry["table"]), flush=True)
        for name in ("table", "table, trained on sound"):
            tables = [e[name] for e in result["seeds"].values() if name in e]
            result[f"{name}: mean and range"] = summary(tables) if tables else {}
        write_text(options.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
