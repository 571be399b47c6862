"""Looking and listening: what `minivl demo`, `ask` and `chat` do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minivl.errors import InputError, MinivlError

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
