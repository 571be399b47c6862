"""What a check of a data set found, as a table to read and as JSON. Filled by check.py."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from minivl.errors import InputError

LISTED = 1000  # at most so many problems of a kind are kept word for word; all are counted
SHOWN = 3  # and so many are printed


@dataclass
class Problems:
    """How many there are of a kind, and the first of them in words."""

    count: int = 0
    listed: list[str] = field(default_factory=list)

    def add(self, words: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(words)


@dataclass
class Plan:
    """The training whose time is to be estimated."""

    batch: int = 32  # samples a step
    steps: int = 2500
    step_seconds: float = 0.0  # that the model takes for a step; 0: only the time of reading is known
    readers: int = 1  # processes that decode the next batches meanwhile

    def __post_init__(self) -> None:
        if min(self.batch, self.steps, self.readers) < 1 or not self.step_seconds >= 0:
            raise InputError(f"{self} is no plan: give positive numbers of samples, steps and readers")


@dataclass
class Report:
    """Counts of rows: broken, or their medium is missing, or usable as far as is known. Times are in seconds."""

    name: str
    rows: int
    plan: Plan = field(default_factory=Plan)
    usable: int = 0  # rows that can be read and whose file exists
    broken_rows: Problems = field(default_factory=Problems)
    missing_media: Problems = field(default_factory=Problems)
    captions: int = 0
    conversations: int = 0
    turns: int = 0
    repeated_samples: int = 0  # rows whose medium and words were in an earlier row
    repeated_media: int = 0  # rows whose medium was in an earlier row: usual for conversations
    question_words: tuple[int, float, int] | None = None  # shortest, median, longest; None without any
    answer_words: tuple[int, float, int] | None = None
    decoded: int = 0  # media tried
    broken_media: Problems = field(default_factory=Problems)
    images: int = 0  # of those decoded
    without_sound: int = 0  # videos of those decoded
    broken_sound: Problems = field(default_factory=Problems)
    picture_seconds: float = 0.0  # to decode the frames of one sample, mean
    sound_seconds: float = 0.0  # to decode its sound track, mean over videos
    first_good: str = ""

    def reading_seconds(self) -> float:
        """What the planned training spends on decoding frames. It reads no sound, as in the original."""
        return self.plan.batch * self.plan.steps * self.picture_seconds / self.plan.readers

    def training_seconds(self) -> float:
        """What the planned training takes: its steps, or the reading, whichever is slower."""
        return max(self.plan.steps * self.plan.step_seconds, self.reading_seconds())

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the estimate."""
        return {**asdict(self), "training_seconds": self.training_seconds()}

    def __str__(self) -> str:
        lines = [f"{label:<28}{value}" for label, value in (*_counts(self), *_media(self), *_times(self))]
        if self.missing_media.count and not self.usable:
            lines += ["", "No medium is where it is expected: say where they are (--media FOLDER)."]
        for title, problems in (
            ("broken rows", self.broken_rows),
            ("missing media", self.missing_media),
            ("broken media", self.broken_media),
            ("broken sound", self.broken_sound),
        ):
            if problems.count:
                more = problems.count - SHOWN
                lines += ["", f"{title}:", *(f"  {words}" for words in problems.listed[:SHOWN])]
                lines += [f"  and {more} more"] if more > 0 else []
        return "\n".join(lines)


def _counts(report: Report) -> list[tuple[str, str]]:
    return [
        ("data set", report.name),
        ("rows", f"{report.rows:,}"),
        ("  usable", _share(report.usable, report.rows)),
        ("  broken", _share(report.broken_rows.count, report.rows)),
        ("  medium missing", _share(report.missing_media.count, report.rows)),
        ("captions", f"{report.captions:,}"),
        ("conversations", f"{report.conversations:,}, with {report.turns:,} questions"),
        ("samples of an earlier row", f"{report.repeated_samples:,}"),
        ("medium of an earlier row", f"{report.repeated_media:,}"),
        ("words of an answer", _range(report.answer_words)),
        ("words of a question", _range(report.question_words)),
        ("first good sample", report.first_good or "none"),
    ]


def _media(report: Report) -> list[tuple[str, str]]:
    if not report.decoded:
        return [("decoded", "none")]
    good = report.decoded - report.broken_media.count
    return [
        ("decoded", f"{report.decoded:,} of {report.usable:,} usable, evenly spread"),
        ("  broken", _share(report.broken_media.count, report.decoded)),
        ("  images, videos", f"{report.images:,}, {good - report.images:,}"),
        ("  videos without sound", f"{report.without_sound:,}"),
        ("  videos with broken sound", f"{report.broken_sound.count:,}"),
        ("time to decode a sample", f"frames {1000 * report.picture_seconds:.1f} ms, "
                                    f"sound {1000 * report.sound_seconds:.1f} ms, one at a time"),
    ]  # fmt: skip


def _times(report: Report) -> list[tuple[str, str]]:
    plan = report.plan
    samples = plan.batch * plan.steps
    rows = [("a training", f"{plan.steps:,} steps of {plan.batch} are {samples:,} samples" + (
        f", {samples / report.usable:,.1f} times the set" if report.usable else ""))]  # fmt: skip
    if report.picture_seconds:
        rows.append(
            (
                "  reading the frames",
                f"{_duration(report.reading_seconds())}, with {plan.readers} reader{'s' * (plan.readers > 1)}",
            )
        )
    if plan.step_seconds:
        rows.append(("  the model's steps", _duration(plan.steps * plan.step_seconds)))
        rows.append(("  takes about", _duration(report.training_seconds())))
    return rows


def _share(count: int, whole: int) -> str:
    return f"{count:,}" + (f"  ({count / whole:.1%})" if whole and count else "")


def _range(words: tuple[int, float, int] | None) -> str:
    return "none" if words is None else f"{words[0]} to {words[2]}, half of them up to {words[1]:g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
