"""How good it is: what `minivl evaluate` and `claims` do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from minivl.errors import InputError


def evaluate(options: argparse.Namespace) -> None:
    """Print the table of accuracies, and write it as JSON; of a public set of questions if one is given."""
    from minivl.atomic import write_text
    from minivl.evaluation import as_text
    from minivl.evaluation import evaluate as measure
    from minivl.model import VideoLlama

    if options.video_qa:
        return evaluate_video_qa(options)
    table = measure(VideoLlama.from_pretrained(options.model), options.clips, options.seed, baselines=options.baselines)
    print(as_text(table))
    if options.json:
        write_text(options.json, json.dumps(table, indent=1) + "\n")
        print(f"wrote {options.json}")


def evaluate_video_qa(options: argparse.Namespace) -> None:
    """Answer the questions of MSVD-QA, MSRVTT-QA, ActivityNet-QA or Video-ChatGPT, and count."""
    from minivl.hardware import best_device
    from minivl.model import VideoLlama
    from minivl.video_qa import read_questions
    from minivl.video_qa_score import as_text, score

    if not options.videos or not options.out:
        raise InputError("--video-qa needs --videos FOLDER, and --out FILE for the predictions")
    questions = read_questions(options.video_qa, options.answers)
    model = VideoLlama.from_pretrained(options.model, device=best_device(), quantization=options.quantization)
    result = score(
        model, questions, options.videos, options.out, str(options.model), options.video_qa,
        hearing=options.hearing, instruction=options.instruction,
    )  # fmt: skip
    print(as_text(result))


def claims(options: argparse.Namespace) -> None:
    """Train, measure, and write the page of claims."""
    from minivl.claims.command import run_claims

    out = options.out or (options.cache / "quick" if options.quick else Path("docs"))
    run_claims(out, options.cache, options.seeds, options.clips, options.quick, options.results)
    print(f"wrote {out / 'claims.md'}")
