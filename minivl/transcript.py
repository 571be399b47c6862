"""A conversation as plain data, and as text for a person to read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minivl import atomic
from minivl.chat import Chat
from minivl.errors import InputError


def as_dict(chat: Chat, name: str) -> dict[str, Any]:
    """What was watched (`name`), with which senses, notes, and each question with its answer and settings."""
    return {
        "clip": name,
        "sight": chat.clip is not None,
        "hearing": chat.sound is not None,
        "notes": list(chat.notes),
        "turns": [
            {"question": turn.question, "answer": turn.answer, "settings": asdict(turn.sampling)} for turn in chat.turns
        ],
    }


def as_text(conversation: dict[str, Any]) -> str:
    """What `as_dict` gives, for a person to read."""
    senses = " and ".join(sense for sense in ("sight", "hearing") if conversation[sense])
    lines = [f"A conversation about {conversation['clip']}, with {senses}", ""]
    lines += [f"({note})" for note in conversation["notes"]]
    for turn in conversation["turns"]:
        lines += [f"you:    {turn['question']}", f"minivl: {turn['answer']}", ""]
    return "\n".join(lines).rstrip() + "\n"


def as_json(conversation: dict[str, Any]) -> str:
    """What `as_dict` gives, as JSON."""
    return json.dumps(conversation, indent=1, ensure_ascii=False) + "\n"


def save(conversation: dict[str, Any], file: Path) -> None:
    """Write a conversation as JSON, or as text into a file whose name ends in .txt; whole or not at all.

    Raises InputError if the file is there already.
    """
    if file.exists():
        raise InputError(f"{file} is there already: give another name, such as conversation.txt")
    text = (as_text if file.suffix == ".txt" else as_json)(conversation)
    atomic.replace(file, lambda path: path.write_text(text, encoding="utf-8"))
