"""The published weights: what `minivl download`, `convert` and `memory` do."""

from __future__ import annotations

import argparse
import json
from typing import Any


def download(options: argparse.Namespace) -> None:
    """Fetch the original's published files."""
    from minivl.published.download import download_official

    folder = download_official(options.what, options.to, tuple(options.files))
    print(f"{folder} has them; next: minivl convert {folder} OUT_DIR")


def convert(options: argparse.Namespace) -> None:
    """Write a folder of ours from the original's files."""
    from minivl.published.convert import convert as write_ours
    from minivl.published.files import KINDS

    files = {kind: getattr(options, kind) for kind in KINDS if getattr(options, kind)}
    print(write_ours(options.official, options.out, llm=options.llm, conversation=options.conversation, **files))
    print(f"wrote {options.out}; next: minivl ask CLIP QUESTION --model {options.out}")


def memory(options: argparse.Namespace) -> None:
    """Print what a model needs, part by part."""
    from minivl.atomic import write_text
    from minivl.planning.memory import plan_memory

    named = ("preset", "dtype", "mode", "branch", "batch", "frames", "tokens", "checkpointing", "cached")
    wanted = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    if options.measure:
        from minivl.planning.measured import measure

        plan: Any = measure(**wanted)
    else:
        plan = plan_memory(**wanted)
    print(plan)
    if options.json:
        write_text(options.json, json.dumps(plan.to_dict(), indent=1) + "\n")
        print(f"wrote {options.json}")
