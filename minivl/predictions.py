"""A model's answers to a question set, in a file that survives an interruption.

The first line says with which settings they were made, every other line holds one question and the prediction:

    {"settings": {"model": "7b", ...}}
    {"video": "1301", "question": "who sings?", "answer": "man", "kind": "who", "id": "7", "prediction": "a man sings"}

A set has thousands of questions, and a 7B model needs hours for them. Each answer is therefore written as soon as it is
there, and who starts again goes on behind the last whole line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minivl import atomic
from minivl.errors import InputError
from minivl.video_qa import CONSISTENCY, VideoQuestion

Said = dict[tuple[str, str], str]  # (video, question) → prediction


def open_predictions(file: Path, settings: Mapping[str, Any]) -> Said:
    """What the file holds already; a file that is not there is begun.

    A last line that is cut off is removed. Raises InputError for a file that was written with other settings, or that
    is no such file.
    """
    if not file.exists():
        atomic.write_text(file, _line({"settings": dict(settings)}))
        return {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except (UnicodeDecodeError, IsADirectoryError):
        lines = []
    written = _parsed(lines[0]).get("settings") if lines else None
    if written is None:
        raise InputError(f"{file} holds no predictions: give the name of a new file")
    if written != settings:
        changed = [key for key in settings if written.get(key) != settings[key]]
        raise InputError(
            f"{file} holds predictions of other settings ({', '.join(changed) or 'of another version'}): "
            "give the name of a new file"
        )
    if not lines[-1].endswith("\n"):
        lines.pop()
        atomic.write_text(file, "".join(lines))
    said: Said = {}
    for i, line in enumerate(lines[1:], 2):
        entry = _parsed(line)
        try:
            said[entry["video"], entry["question"]] = entry["prediction"]
        except KeyError:
            raise InputError(f"{file}, line {i} is no prediction: delete that line") from None
    return said


def append_prediction(file: Path, question: VideoQuestion, prediction: str) -> None:
    """Write one more line."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(_line({**vars(question), "prediction": prediction}))


def for_judge(questions: Sequence[VideoQuestion], said: Said) -> list[dict[str, str]]:
    """The predictions as Video-ChatGPT's evaluation scripts read them, to have a language model judge them.

    {"video_name", "Q", "A", "pred"}, whatever set the questions are of, and for consistency questions, which come in
    pairs, {"video_name", "Q1", "Q2", "A", "pred1", "pred2"}. Entries without all predictions are left out.
    """
    entries: list[dict[str, str]] = []
    pairs: dict[str, dict[str, str]] = {}
    for q in questions:
        pred = said.get((q.video, q.question))
        if pred is None:
            continue
        if q.kind == CONSISTENCY:
            name, _, number = q.id.rpartition(".Q")
            if name not in pairs:
                pairs[name] = {"video_name": q.video, "A": q.answer}
                entries.append(pairs[name])
            pairs[name] |= {f"Q{number}": q.question, f"pred{number}": pred}
        else:
            entries.append({"video_name": q.video, "Q": q.question, "A": q.answer, "pred": pred})
    return [entry for entry in entries if "pred" in entry or {"pred1", "pred2"} <= entry.keys()]


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry) + "\n"


def _parsed(line: str) -> dict[str, Any]:
    """The dictionary in a line; an empty one if there is none."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}
