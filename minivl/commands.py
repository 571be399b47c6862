"""What each command of the command line does (cli.py has their options)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.errors import MinivlError

if TYPE_CHECKING:
    from minivl.chat import Chat


def demo(options: argparse.Namespace) -> None:
    """Watch the shipped clips, answer questions, save one picture."""
    from minivl.demo import run

    run(options.out)


def ask(options: argparse.Namespace) -> None:
    """Answer one or more questions about a file, one answer a line."""
    chat = _watch(options)
    told = len(chat.notes)
    for question in options.question:
        print(chat.ask(question))
        for note in chat.notes[told:]:
            print(f"minivl: {note}", file=sys.stderr)
        told = len(chat.notes)


def chat(options: argparse.Namespace) -> None:
    """Questions from the keyboard until an empty line."""
    talk = _watch(options)
    print("Ask about it. An empty line ends the chat.")
    while question := _read_line("you> "):
        print("minivl> ", end="", flush=True)
        try:
            for piece in talk.ask_stream(question):
                print(piece, end="", flush=True)
            print()
        except MinivlError as error:
            print(error)


def pretrain(options: argparse.Namespace) -> None:
    """Train all frozen parts from nothing."""
    from minivl.pretraining.pipeline import pretrain as train_frozen_parts

    train_frozen_parts(options.out, options.seed, options.scale)
    print(f"wrote the frozen parts and their reports to {options.out}")


def train(options: argparse.Namespace) -> None:
    """Train one branch for one stage."""
    from minivl.model import VideoLlama
    from minivl.stages import run_stage

    model = VideoLlama.from_pretrained(options.model, parts=("vision", "audio", "image_trunk"))
    report = run_stage(
        model, options.branch, options.stage, options.out, options.cache, options.seed,
        options.steps, options.clips, options.from_sound, pieces=options.pieces, precision=options.precision,
    )  # fmt: skip
    if not report:  # another of several processes writes
        return
    sense = "hearing" if options.branch == "audio" else "sight"
    for row, values in report["held out"].items():
        if row.startswith(sense):
            print(f"{row:28} {values['accuracy']:.3f}   (blind {values['blind']:.3f}, {values['count']} questions)")
    print(f"{report['steps']} steps in {report['seconds']:.0f} s; wrote the model and its report to {options.out}")


def evaluate(options: argparse.Namespace) -> None:
    """Print the table of accuracies, and write it as JSON."""
    from minivl.atomic import write_text
    from minivl.evaluation import as_text
    from minivl.evaluation import evaluate as measure
    from minivl.model import VideoLlama

    table = measure(VideoLlama.from_pretrained(options.model), options.clips, options.seed)
    print(as_text(table))
    if options.json:
        write_text(options.json, json.dumps(table, indent=1) + "\n")
        print(f"wrote {options.json}")


def download(options: argparse.Namespace) -> None:
    """Fetch the original's published files."""
    from minivl.download import download_official

    folder = download_official(options.what, options.to, tuple(options.files))
    print(f"{folder} has them; next: minivl convert {folder} OUT_DIR")


def convert(options: argparse.Namespace) -> None:
    """Write a folder of ours from the original's files."""
    from minivl.convert import convert as write_ours
    from minivl.official_files import KINDS

    files = {kind: getattr(options, kind) for kind in KINDS if getattr(options, kind)}
    print(write_ours(options.official, options.out, llm=options.llm, conversation=options.conversation, **files))
    print(f"wrote {options.out}; next: minivl ask CLIP QUESTION --model {options.out}")


def memory(options: argparse.Namespace) -> None:
    """Print what a model needs, part by part."""
    from minivl.atomic import write_text
    from minivl.memory import plan_memory

    named = ("preset", "dtype", "mode", "branch", "batch", "frames", "tokens", "checkpointing")
    wanted = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    if options.measure:
        from minivl.memory_measure import measure

        plan: Any = measure(**wanted)
    else:
        plan = plan_memory(**wanted)
    print(plan)
    if options.json:
        write_text(options.json, json.dumps(plan.to_dict(), indent=1) + "\n")
        print(f"wrote {options.json}")


def data_check(options: argparse.Namespace) -> None:
    """Read a data set, decode a part of it, and say what is wrong."""
    from minivl.atomic import write_text
    from minivl.data.check import Plan, check
    from minivl.data.detect import detect

    samples = detect(options.folder, options.format, options.media)
    report = check(samples, decode=options.decode, plan=Plan(options.batch, options.steps))
    print(report)
    if options.json:
        write_text(options.json, json.dumps(report.to_dict(), indent=1) + "\n")
        print(f"wrote {options.json}")


def _watch(options: argparse.Namespace) -> Chat:
    from minivl.chat import Chat
    from minivl.hardware import best_device
    from minivl.model import VideoLlama

    # The shipped model is as fast on a CPU, and its published scores were measured there.
    device = options.device or (best_device() if Path(options.model).is_dir() else "cpu")
    talk = Chat(VideoLlama.from_pretrained(options.model, device=device, quantization=options.quantization))
    talk.watch(options.clip, sight=not options.no_sight, hearing=not options.no_hearing)
    for note in talk.notes:
        print(f"minivl: {note}", file=sys.stderr)
    return talk


def _read_line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""
