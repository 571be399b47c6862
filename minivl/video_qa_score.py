"""A model's score on a public video question answering set, in measures that need no other model.

    exact      the normalised prediction equals the normalised answer
    contains   the answer's words stand in the prediction, one after the other

Normalised as in VQA's evaluation: lower case, without punctuation and articles, numbers up to ten as digits. *Exact* is
how MSVD-QA, MSRVTT-QA and ActivityNet-QA were meant: the models of their papers, and later Just Ask or FrozenBiLM,
choose one of the frequent answers, and a string is right or wrong. A chat model answers in sentences, and scores near 0
unless told to answer in a word (`instruction`). *Contains* forgives sentences, and too much: "there is no dog" contains
the answer "no", a list of all colours the answer "red". It can be compared with no paper's number.

What Video-ChatGPT and its followers print (Video-LLaMA: MSVD-QA 51.6, MSRVTT-QA 29.6, ActivityNet-QA 12.4) is neither:
GPT-3.5 was asked whether prediction and answer match, in the first two sets on the validation questions.
Video-ChatGPT's own questions, with sentences for answers, can only be judged so: `score` writes the predictions as its
scripts read them.
"""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from minivl import atomic
from minivl.chat import Chat
from minivl.confidence import wilson_of_groups
from minivl.errors import DeviceMemoryError, InputError, MinivlError
from minivl.model import VideoLlama
from minivl.predictions import Said, append_prediction, for_judge, open_predictions
from minivl.video_qa import CONSISTENCY, FREE_FORM, VideoQuestion, find_video

Shares = dict[str, float | int]

DIGITS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}
ARTICLES = ("a", "an", "the")
SHOWN = 10  # so many names of videos in the printed table; all of them are in VideoScore
NO_PUNCTUATION = str.maketrans({**dict.fromkeys(string.punctuation, " "), "'": "", "\u2019": ""})


@dataclass
class VideoScore:
    """What `score` found: shares by question type, and whatever is not as it should be."""

    rows: dict[str, Shares] = field(default_factory=dict)  # see `tabulate`
    missing: list[str] = field(default_factory=list)  # videos that are not there
    broken: dict[str, str] = field(default_factory=dict)  # videos, or questions, that failed → why
    one_sense: dict[str, str] = field(default_factory=dict)  # videos without picture or sound, if both were wanted


def normalised(text: str) -> str:
    """ "A red circle." → "red circle", "Two" → "2"."""
    words = text.lower().translate(NO_PUNCTUATION).split()
    return " ".join(DIGITS.get(word, word) for word in words if word not in ARTICLES)


def exact_match(prediction: str, answer: str) -> bool:
    """Whether they are the same but for case, punctuation, articles and the spelling of small numbers."""
    return normalised(prediction) == normalised(answer) != ""


def contains_answer(prediction: str, answer: str) -> bool:
    """Whether the answer stands in the prediction as whole words: "man" is in "a man sings", not in "a woman"."""
    wanted = normalised(answer)
    return wanted != "" and f" {wanted} " in f" {normalised(prediction)} "


def score(
    model: VideoLlama, questions: Sequence[VideoQuestion], folder: Path, out: Path, name: str = "",
    annotations: Path | None = None, sight: bool = True, hearing: bool = False, instruction: str = "",
    max_new_tokens: int = 64,
) -> VideoScore:  # fmt: skip
    """Ask all questions, each as the first of its chat, and count the answers.

    folder: where the videos are. annotations: the file of the questions; MSVD's youtube_mapping.txt may lie beside it.
    name: of the model. instruction: put behind each question, such as "Answer with one word." hearing: off by default,
    since the sets ask about pictures, and MSVD's videos have no sound.

    Each prediction is written to `out` at once, a line of JSON; the same call later asks only what is not there.
    At the end all of them are written to OUT.judge.json, too (see `for_judge`). A video that is missing or cannot be
    watched is named in the result, and its questions count as wrong.
    Raises InputError if there is no question, or `out` was written with other settings.
    """
    if not questions:
        raise InputError("there is no question to score: give at least one")
    settings = {"model": name, "sight": sight, "hearing": hearing, "after question": instruction,
                "max_new_tokens": max_new_tokens}  # fmt: skip
    said, result, chat = open_predictions(out, settings), VideoScore(), Chat(model)
    waiting: dict[str, dict[str, VideoQuestion]] = {}
    for q in questions:
        if (q.video, q.question) not in said:
            waiting.setdefault(q.video, {})[q.question] = q
    for video, asked in tqdm(waiting.items(), desc="videos", mininterval=1.0):
        path = find_video(Path(folder), video, annotations)
        if path is None:
            result.missing.append(video)
            continue
        try:
            chat.watch(path, sight, hearing)
        except DeviceMemoryError:
            raise  # not the video's fault
        except MinivlError as error:
            result.broken[video] = str(error)
            continue
        if chat.notes:
            result.one_sense[video] = "; ".join(chat.notes)
        for q in asked.values():
            chat.reset()
            try:
                said[q.video, q.question] = chat.ask(f"{q.question} {instruction}", max_new_tokens=max_new_tokens)
            except InputError as error:  # a question that is too long
                result.broken[f"{video}: {q.question}"] = str(error)
                continue
            append_prediction(out, q, said[q.video, q.question])
    result.rows = tabulate(questions, said)
    judged = json.dumps(for_judge(questions, said), indent=1)
    atomic.write_text(out.with_suffix(".judge.json"), judged + "\n")
    return result


def tabulate(questions: Sequence[VideoQuestion], said: Said) -> dict[str, Shares]:
    """Rows "all" and each question type: {"count", "answered"} and, unless the answers are sentences,

    exact, contains: shares of all questions; low, high: the 95 % interval of exact;
    exact of answered, contains of answered: shares of the questions that have a prediction;
    frequent: exact of who gives each type's most frequent answer in this very file, without looking.
    """
    groups: dict[str, list[VideoQuestion]] = {"all": list(questions)}
    for q in questions:
        if q.kind:
            groups.setdefault(q.kind, []).append(q)
    table: dict[str, Shares] = {}
    for kind, group in groups.items():
        answered = [q for q in group if (q.video, q.question) in said]
        table[kind] = {"count": len(group), "answered": len(answered)}
        if any(q.kind in (FREE_FORM, CONSISTENCY) for q in group):
            continue
        exact, contains = Counter[str](), 0
        for q in answered:
            exact[q.video] += exact_match(said[q.video, q.question], q.answer)
            contains += contains_answer(said[q.video, q.question], q.answer)
        low, high = wilson_of_groups((exact[video], n) for video, n in Counter(q.video for q in group).items())
        n, right = max(1, len(answered)), exact.total()
        shares = {
            "exact": right / len(group), "low": low, "high": high, "contains": contains / len(group),
            "exact of answered": right / n, "contains of answered": contains / n,
        }  # fmt: skip
        table[kind].update({key: round(share, 4) for key, share in shares.items()})
        table[kind]["frequent"] = _frequent(group)
    return table


def _frequent(questions: Sequence[VideoQuestion]) -> float:
    kinds: dict[str, Counter[str]] = {}
    for q in questions:
        kinds.setdefault(q.kind, Counter())[normalised(q.answer)] += 1
    return round(sum(answers.most_common(1)[0][1] for answers in kinds.values()) / len(questions), 4)


def as_text(result: VideoScore) -> str:
    """The table for a terminal, and what is missing."""
    lines = [f"{'question type':20} exact   95 % interval   contains   frequent   exact of answered   answered   count"]
    for kind, v in result.rows.items():
        shares = " " * 71
        if "exact" in v:
            shares = (
                f"{v['exact']:5.3f}   {v['low']:.3f} to {v['high']:.3f}   {v['contains']:7.3f}   {v['frequent']:8.3f}"
                f"   {v['exact of answered']:17.3f}"
            )
        lines.append(f"{kind:20} {shares:70} {v['answered']:10} {v['count']:7}")
    if {FREE_FORM, CONSISTENCY} & result.rows.keys():
        lines.append("Answers of whole sentences are not matched: their papers have a language model judge them.")
    for what, videos in (("missing", result.missing), ("broken", result.broken), ("of one sense", result.one_sense)):
        if videos:
            named = list(videos.items() if isinstance(videos, dict) else videos)
            lines.append(f"{len(named)} {what}:")
            lines += [f"  {': '.join(x) if isinstance(x, tuple) else x}" for x in named[:SHOWN]]
            lines += [f"  ... and {len(named) - SHOWN} more"] if len(named) > SHOWN else []
    return "\n".join(lines)
