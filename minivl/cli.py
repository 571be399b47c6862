"""The command line: its commands and their options. What they do is in commands/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from minivl.commands import learning, measuring, published, watching
from minivl.config import PRESETS
from minivl.data.detect import LAYOUTS
from minivl.errors import MinivlError
from minivl.planning.training_plan import GPUS
from minivl.published.files import WHAT

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

    _watching(command)
    _learning(command)
    _measuring(command)
    _published(command)
    return parser


Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def _watching(command: Command) -> None:
    made = command("demo", watching.demo, "watch the shipped clips, answer questions, save one picture")
    made.add_argument("--out", type=Path, default=Path("minivl_demo.png"), help="where the picture goes")
    for name, run, help in (
        ("ask", watching.ask, "answer questions about a video, image or sound file"),
        ("chat", watching.chat, "talk about a video, image or sound file"),
    ):
        made = command(name, run, help)
        made.add_argument("clip", help="a video, image or sound file")
        if name == "ask":
            made.add_argument("question", nargs="+", help='each in quotes: "what do you see?"')
        made.add_argument("--model", default="tiny", help="a shipped model's name or a folder")
        made.add_argument(
            "--branch-file", type=Path, action="append", default=[], help="a branch that `train --data` wrote"
        )
        made.add_argument("--no-sight", action="store_true", help="listen only")
        made.add_argument("--no-hearing", action="store_true", help="look only")
        watching.sampling_options(made)
        made.add_argument("--device", help='"cuda", "mps" or "cpu"; default: the best, for the shipped model cpu')
        _quantization(made)


def _learning(command: Command) -> None:
    made = command("data", learning.data_check, "look through a data set before training on it")
    made.add_argument("what", choices=("check",))
    made.add_argument("folder", type=Path, help="the folder, or the file with its annotations")
    _layout(made)
    made.add_argument("--decode", type=int, default=200, help="how many files to decode; 0: none")
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--steps", type=int, default=2500, help="of the training whose time is estimated")
    _json(made)
    made = command("plan", learning.plan, "what a training of the paper's would cost: steps, FLOPs, hours, memory")
    _branch_and_stage(made)
    made.add_argument("--preset", choices=PRESETS, default="video_llama_7b")
    made.add_argument("--gpu", default="A100", choices=tuple(GPUS))
    made.add_argument("--gpus", type=int, default=8)
    made.add_argument("--cached", action="store_true", help="the frozen eyes have seen everything before")
    made.add_argument("--checkpointing", action="store_true", help="train slower in less memory")
    _json(made)
    made = command("pretrain", learning.pretrain, "train the frozen parts of the tiny model from nothing")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--scale", type=float, default=1.0, help="0.01: a rehearsal of a minute")
    _train(command("train", learning.train, "train one branch for one stage; goes on where it was stopped"))


def _train(made: argparse.ArgumentParser) -> None:
    _branch_and_stage(made)
    made.add_argument("--model", default="tiny", help="the model to start from")
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where frozen features are kept")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--steps", type=int, help="default: what made the shipped model; with --data 1000")
    made.add_argument("--pieces", type=int, default=1, help="compute a batch in so many pieces, for less memory")
    made.add_argument("--precision", choices=("no", "bf16", "fp16"), help="default: what the device is fast in")
    toy = made.add_argument_group("on the toy world")
    toy.add_argument("--clips", type=int, help="training clips; default 6000")
    toy.add_argument("--from-sound", action="store_true", help="train the audio branch on sound, to compare")
    files = made.add_argument_group("on files")
    files.add_argument("--data", action="append", metavar="FOLDER[:RATIO]", help="a data set; may be given again")
    _layout(files)
    files.add_argument("--branch-file", type=Path, help="stage 2: the branch that stage 1 wrote")
    files.add_argument("--no-cache", action="store_true", help="decode and encode at each step, with random crops")
    files.add_argument("--paper", action="store_true", help="the paper's numbers of this branch and stage")
    files.add_argument("--batch", type=int, help="chats a step, over all processes; default 32")
    files.add_argument("--learning-rate", type=float, help="the highest; default: the paper's")
    files.add_argument("--checkpointing", action="store_true", help="train slower in less memory")
    files.add_argument("--tracker", help='also log the loss to "tensorboard", "trackio" or another of accelerate')
    files.add_argument("--save-every", type=int, default=250, metavar="STEPS")
    _quantization(files)


def _measuring(command: Command) -> None:
    made = command("evaluate", measuring.evaluate, "measure accuracy by question type on clips decoded from mp4")
    made.add_argument("--model", default="tiny")
    made.add_argument("--clips", type=int, default=400)
    made.add_argument("--seed", type=int, default=1_000_000, help="the first clip; 1,000,000 on is never trained on")
    made.add_argument("--baselines", action="store_true", help="also without, with blank, shuffled and swapped input")
    _json(made)
    files = made.add_argument_group("on a public set of questions")
    files.add_argument(
        "--video-qa", type=Path, metavar="FILE", help="MSVD-QA, MSRVTT-QA, ActivityNet-QA, Video-ChatGPT"
    )
    files.add_argument("--answers", type=Path, metavar="FILE", help="ActivityNet-QA has them in a file of their own")
    files.add_argument("--videos", type=Path, metavar="FOLDER")
    files.add_argument("--out", type=Path, metavar="FILE", help="predictions, a line of JSON each; goes on from there")
    files.add_argument("--hearing", action="store_true", help="listen, too")
    files.add_argument("--instruction", default="", help='behind each question: "Answer with one word."')
    _quantization(files)
    made = command("claims", measuring.claims, "every claim of the paper as a number: trains, measures, writes a page")
    made.add_argument("--out", type=Path, help="the folder of claims.md and its pictures; default: docs")
    made.add_argument("--cache", type=Path, default=Path("runs/claims"), help="where trained branches are kept")
    made.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    made.add_argument("--clips", type=int, default=250, help="to ask about")
    made.add_argument("--quick", action="store_true", help="one seed, a tenth of the steps: a rehearsal")
    made.add_argument("--results", type=Path, help="also write the numbers to this file")


def _published(command: Command) -> None:
    made = command("download", published.download, "fetch the original's published files; goes on where it stopped")
    made.add_argument("what", help='"7b", "13b", or a repository on the hub as "owner/name"')
    made.add_argument("--to", type=Path, required=True, help="the folder to write")
    made.add_argument("--files", nargs="+", default=(), metavar="PATTERN", help='only these: "VL_*.pth" "eva*"')
    made = command("convert", published.convert, "write a folder of ours from the original's files, once")
    made.add_argument("official", help="the folder with the original's files, or its name on the hub")
    made.add_argument("out", type=Path, help="the folder to write")
    made.add_argument("--llm", help="the language model's folder, if it is not in there")
    made.add_argument("--conversation", choices=("llama2", "vicuna"), help="the prompt format, if names do not tell")
    for kind, what in WHAT.items():
        made.add_argument(f"--{kind.replace('_', '-')}", dest=kind, help=f"path or URL of {what}")
    made = command("memory", published.memory, "what a model needs, part by part, before you load it")
    made.add_argument("--preset", choices=PRESETS)
    made.add_argument("--dtype", choices=("fp32", "bf16", "fp16", "8bit", "4bit"))
    made.add_argument("--mode", choices=("chat", "train"))
    made.add_argument("--branch", choices=("vision", "audio"), help="the branch to train")
    for name in ("batch", "frames", "tokens"):
        made.add_argument(f"--{name}", type=int)
    made.add_argument("--checkpointing", action="store_true", help="train slower in less memory")
    made.add_argument("--cached", action="store_true", help="train from cached features, without the eyes")
    made.add_argument("--measure", action="store_true", help="also run it with random weights on the GPU at hand")
    _json(made)


# ---- options that several commands have

Options = argparse.ArgumentParser | argparse._ArgumentGroup


def _branch_and_stage(made: Options) -> None:
    made.add_argument("--branch", choices=("vision", "audio"), required=True)
    made.add_argument("--stage", type=int, choices=(1, 2), required=True, help="1: captions, 2: questions")


def _layout(made: Options) -> None:
    made.add_argument("--format", choices=tuple(LAYOUTS), help="of the annotations; default: found out")
    made.add_argument("--media", type=Path, help="where videos or images are, if not beside the annotations")


def _quantization(made: Options) -> None:
    made.add_argument("--quantization", choices=("4bit", "8bit"), help="smaller weights for the language model")


def _json(made: Options) -> None:
    made.add_argument("--json", type=Path, help="write the numbers to this file")


if __name__ == "__main__":
    sys.exit(main())
