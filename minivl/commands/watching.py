"""Looking and listening: what `minivl demo`, `ask` and `chat` do."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minivl.errors import InputError

if TYPE_CHECKING:
    from minivl.chat import Chat


def demo(options: argparse.Namespace) -> None:
    """Watch the shipped clips, answer questions, save one picture."""
    from minivl.demo import run

    run(options.out)


def ask(options: argparse.Namespace) -> None:
    """Answer one or more questions about a file, one answer a line."""
    settings = _settings(options)
    chat = _watch(options)
    told = len(chat.notes)
    for question in options.question:
        print(chat.ask(question, **settings))
        for note in chat.notes[told:]:
            print(f"minivl: {note}", file=sys.stderr)
        told = len(chat.notes)


def chat(options: argparse.Namespace) -> None:
    """Questions and commands from the keyboard until an empty line."""
    from minivl.commands.talking import Terminal

    settings = _settings(options)
    terminal = Terminal(_watch(options), Path(options.clip).name, settings)
    print("Ask about it. /help tells more; an empty line ends the chat.")
    while (line := _read_line("you> ")) and terminal.line(line):
        pass


def sampling_options(made: argparse.ArgumentParser) -> None:
    """The options of a command that answers; what they do is in sampling.py."""
    made.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest word; default 0")
    made.add_argument("--top-p", type=float, default=1.0, help="draw from the likeliest words of this share; default 1")
    made.add_argument("--beams", type=int, default=1, help="unfinished answers kept side by side; default 1")
    made.add_argument("--length", type=int, default=64, help="the most tokens of an answer; default 64")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """As Chat.ask names them. Raises InputError for a value that means nothing, before anything is loaded."""
    from minivl.sampling import Sampling

    names = {"length": "max_new_tokens", "temperature": "temperature", "top_p": "top_p", "beams": "num_beams"}
    given = {names[name]: value for name, value in vars(options).items() if name in names}
    chosen = asdict(Sampling(**given))
    return {name: chosen[name] for name in ("max_new_tokens", "temperature", "top_p", "num_beams")}


def _watch(options: argparse.Namespace) -> Chat:
    from minivl.chat import Chat
    from minivl.file_training import load_branch
    from minivl.hardware import best_device
    from minivl.model import VideoLlama

    # The shipped model is as fast on a CPU, and its published scores were measured there.
    device = options.device or (best_device() if Path(options.model).is_dir() else "cpu")
    model = VideoLlama.from_pretrained(options.model, device=device, quantization=options.quantization)
    for file in options.branch_file:
        load_branch(model, _branch_named(file), file)
    talk = Chat(model)
    talk.watch(options.clip, sight=not options.no_sight, hearing=not options.no_hearing)
    for note in talk.notes:
        print(f"minivl: {note}", file=sys.stderr)
    return talk


def _read_line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


def _branch_named(file: Path) -> str:
    """ "vision" for vision_branch.safetensors."""
    for branch in ("vision", "audio"):
        if file.name.startswith(branch):
            return branch
    raise InputError(f"{file} may be a vision or an audio branch: its name must begin with one of the two words")
