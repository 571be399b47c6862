"""The command line: `minivl demo | ask | chat | pretrain | train | evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.errors import MinivlError

if TYPE_CHECKING:
    from minivl.chat import Chat

WRONG_INPUT = 2  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a mistake of the user's is one sentence on stderr and exit code 2."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except MinivlError as error:
        print(f"minivl: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:
        print(f"minivl: {error.filename or 'a file'}: {error.strerror}: choose another path", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("\nminivl: stopped", file=sys.stderr)
        return 130
    return 0


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
        options.steps, options.clips, options.from_sound,
    )  # fmt: skip
    sense = "hearing" if options.branch == "audio" else "sight"
    for row, values in report["held out"].items():
        if row.startswith(sense):
            print(f"{row:28} {values['accuracy']:.3f}   (blind {values['blind']:.3f}, {values['count']} questions)")
    print(f"{report['steps']} steps in {report['seconds']:.0f} s; wrote the model and its report to {options.out}")


def evaluate(options: argparse.Namespace) -> None:
    """Print the table of accuracies, and write it as JSON."""
    from minivl.checkpoints import write_text
    from minivl.evaluation import as_text
    from minivl.evaluation import evaluate as measure
    from minivl.model import VideoLlama

    table = measure(VideoLlama.from_pretrained(options.model), options.clips, options.seed)
    print(as_text(table))
    if options.json:
        write_text(options.json, json.dumps(table, indent=1) + "\n")
        print(f"wrote {options.json}")


def _watch(options: argparse.Namespace) -> Chat:
    from minivl.chat import Chat
    from minivl.model import VideoLlama

    talk = Chat(VideoLlama.from_pretrained(options.model))
    talk.watch(options.clip, sight=not options.no_sight, hearing=not options.no_hearing)
    for note in talk.notes:
        print(f"minivl: {note}", file=sys.stderr)
    return talk


def _read_line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="minivl", description="A small Video-LLaMA that watches and hears.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    made = command("demo", demo, "watch the shipped clips, answer questions, save one picture")
    made.add_argument("--out", type=Path, default=Path("minivl_demo.png"), help="where the picture goes")
    for name, run, help in (
        ("ask", ask, "answer questions about a video, image or sound file"),
        ("chat", chat, "talk about a video, image or sound file"),
    ):
        made = command(name, run, help)
        made.add_argument("clip", help="a video, image or sound file")
        if name == "ask":
            made.add_argument("question", nargs="+", help='each in quotes: "what do you see?"')
        made.add_argument("--model", default="tiny", help="a shipped model's name or a folder")
        made.add_argument("--no-sight", action="store_true", help="listen only")
        made.add_argument("--no-hearing", action="store_true", help="look only")
    made = command("pretrain", pretrain, "train the frozen parts of the tiny model from nothing")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--scale", type=float, default=1.0, help="0.01: a rehearsal of a minute")
    made = command("train", train, "train one branch for one stage")
    made.add_argument("--branch", choices=("vision", "audio"), required=True)
    made.add_argument("--stage", type=int, choices=(1, 2), required=True, help="1: captions, 2: questions")
    made.add_argument("--model", default="tiny", help="the model to start from")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where frozen features are kept")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--steps", type=int, help="default: what made the shipped model")
    made.add_argument("--clips", type=int, default=6000, help="training clips")
    made.add_argument("--from-sound", action="store_true", help="train the audio branch on sound, to compare")
    made = command("evaluate", evaluate, "measure accuracy by question type on clips decoded from mp4")
    made.add_argument("--model", default="tiny")
    made.add_argument("--clips", type=int, default=400)
    made.add_argument("--seed", type=int, default=1_000_000, help="the first clip; 1,000,000 on is never trained on")
    made.add_argument("--json", type=Path, help="write the table to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
