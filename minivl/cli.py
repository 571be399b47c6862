"""The command line: `minivl demo | ask | chat | pretrain | train | evaluate | download | convert | memory`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from minivl import commands
from minivl.config import PRESETS
from minivl.data.detect import LAYOUTS
from minivl.errors import MinivlError
from minivl.official_files import WHAT

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


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="minivl", description="A small Video-LLaMA that watches and hears.")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    made = command("demo", commands.demo, "watch the shipped clips, answer questions, save one picture")
    made.add_argument("--out", type=Path, default=Path("minivl_demo.png"), help="where the picture goes")
    for name, run, help in (
        ("ask", commands.ask, "answer questions about a video, image or sound file"),
        ("chat", commands.chat, "talk about a video, image or sound file"),
    ):
        made = command(name, run, help)
        made.add_argument("clip", help="a video, image or sound file")
        if name == "ask":
            made.add_argument("question", nargs="+", help='each in quotes: "what do you see?"')
        made.add_argument("--model", default="tiny", help="a shipped model's name or a folder")
        made.add_argument("--no-sight", action="store_true", help="listen only")
        made.add_argument("--no-hearing", action="store_true", help="look only")
        made.add_argument(
            "--device", help='"cuda", "mps" or "cpu"; default: the best at hand, for the shipped model cpu'
        )
        made.add_argument("--quantization", choices=("4bit", "8bit"), help="smaller weights for the language model")
    made = command("pretrain", commands.pretrain, "train the frozen parts of the tiny model from nothing")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--scale", type=float, default=1.0, help="0.01: a rehearsal of a minute")
    made = command("train", commands.train, "train one branch for one stage")
    made.add_argument("--branch", choices=("vision", "audio"), required=True)
    made.add_argument("--stage", type=int, choices=(1, 2), required=True, help="1: captions, 2: questions")
    made.add_argument("--model", default="tiny", help="the model to start from")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where frozen features are kept")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--steps", type=int, help="default: what made the shipped model")
    made.add_argument("--clips", type=int, default=6000, help="training clips")
    made.add_argument("--pieces", type=int, default=1, help="compute a batch in so many pieces, for less memory")
    made.add_argument("--precision", choices=("no", "bf16", "fp16"), help="default: what the device is fast in")
    made.add_argument("--from-sound", action="store_true", help="train the audio branch on sound, to compare")
    made = command("evaluate", commands.evaluate, "measure accuracy by question type on clips decoded from mp4")
    made.add_argument("--model", default="tiny")
    made.add_argument("--clips", type=int, default=400)
    made.add_argument("--seed", type=int, default=1_000_000, help="the first clip; 1,000,000 on is never trained on")
    made.add_argument("--json", type=Path, help="write the table to this file")
    _official_commands(command)
    _data_commands(command)
    return parser


def _official_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands around the original's published weights."""
    made = command("download", commands.download, "fetch the original's published files; goes on where it stopped")
    made.add_argument("what", help='"7b", "13b", or a repository on the hub as "owner/name"')
    made.add_argument("--to", type=Path, required=True, help="the folder to write")
    made.add_argument("--files", nargs="+", default=(), metavar="PATTERN", help='only these: "VL_*.pth" "eva*"')
    made = command("convert", commands.convert, "write a folder of ours from the original's files, once")
    made.add_argument("official", help="the folder with the original's files, or its name on the hub")
    made.add_argument("out", type=Path, help="the folder to write")
    made.add_argument("--llm", help="the language model's folder, if it is not in there")
    made.add_argument("--conversation", choices=("llama2", "vicuna"), help="the prompt format, if names do not tell")
    for kind, what in WHAT.items():
        made.add_argument(f"--{kind.replace('_', '-')}", dest=kind, help=f"path or URL of {what}")
    made = command("memory", commands.memory, "what a model needs, part by part, before you load it")
    made.add_argument("--preset", choices=PRESETS)
    made.add_argument("--dtype", choices=("fp32", "bf16", "fp16", "8bit", "4bit"))
    made.add_argument("--mode", choices=("chat", "train"))
    made.add_argument("--branch", choices=("vision", "audio"), help="the branch to train")
    for name in ("batch", "frames", "tokens"):
        made.add_argument(f"--{name}", type=int)
    made.add_argument("--checkpointing", action="store_true", help="train slower in less memory")
    made.add_argument("--measure", action="store_true", help="also run it with random weights on the GPU at hand")
    made.add_argument("--json", type=Path, help="write the table to this file")


def _data_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What looks at data sets."""
    made = command("data", commands.data_check, "look through a data set before training on it")
    made.add_argument("what", choices=("check",))
    made.add_argument("folder", type=Path, help="the folder, or the file with its annotations")
    made.add_argument("--format", choices=tuple(LAYOUTS), help="default: found out")
    made.add_argument("--media", type=Path, help="where its videos or images are, if they are elsewhere")
    made.add_argument("--decode", type=int, default=200, help="how many files to decode; 0: none")
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--steps", type=int, default=2500, help="of the training whose time is estimated")
    made.add_argument("--json", type=Path, help="write the report to this file")


if __name__ == "__main__":
    sys.exit(main())
