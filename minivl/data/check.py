"""Is a data set what it says it is? `minivl data check DIR`, before a training of days.

Every row is parsed and its file looked for; some files, evenly spread over the set, are decoded as training decodes
them. What that takes is what a training spends on reading, and a training waits for the slower of the two:

    seconds = max(steps * time of a step, steps * batch * time to decode a sample / readers)
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable
from textwrap import shorten

import numpy as np
from tqdm.auto import tqdm

from minivl.audio import load_audio
from minivl.data.report import Plan, Report
from minivl.data.samples import Sample, SampleSet
from minivl.errors import InputError, MinivlError
from minivl.video import load_video


def check(
    samples: SampleSet,
    decode: int | None = 200,
    plan: Plan | None = None,
    num_frames: int = 8,
    size: int = 224,
    progress: bool = True,
) -> Report:
    """Read all rows of a set, decode at most `decode` of its media (None: all), and count what is found.

    Media are decoded one at a time, to `num_frames` frames of `size` pixels a side; `plan` is the training whose time
    is estimated. `progress` shows bars. Raises InputError for a negative `decode`; what is wrong with the set itself
    raises nothing, and is in the report.
    """
    if decode is not None and decode < 0:
        raise InputError(f"decode is {decode}: give the number of media to decode, 0 or more")
    report = Report(samples.name, len(samples), plan or Plan())
    present = _read_rows(samples, report, progress)
    report.usable = len(present)
    number = len(present) if decode is None else min(decode, len(present))
    if present:
        report.first_good = _in_words(samples[present[0]])  # until one has been decoded
    if number:
        chosen = np.unique(np.linspace(0, len(present) - 1, number).round().astype(np.int64))
        _decode(samples, (present[k] for k in tqdm(chosen, "decoding", disable=not progress)), report, num_frames, size)
    return report


def _read_rows(samples: SampleSet, report: Report, progress: bool) -> array[int]:
    """Parse all rows and look for their files; returns the indices of the usable ones."""
    present, media, whole = array("q"), array("q"), array("q")
    questions, answers = array("i"), array("i")
    for i in tqdm(range(len(samples)), "reading rows", disable=not progress):
        try:
            sample = samples[i]
        except MinivlError as error:
            report.broken_rows.add(str(error))
            continue
        path = str(sample.media)
        media.append(hash(path))
        whole.append(hash((path, sample.turns)))
        if sample.is_caption:
            report.captions += 1
        else:
            report.conversations += 1
            report.turns += len(sample.turns)
            questions.extend(len(question.split()) for question, _ in sample.turns)
        answers.extend(len(answer.split()) for _, answer in sample.turns)
        if os.path.isfile(path):
            present.append(i)
        else:
            report.missing_media.add(f"{sample.origin}: {path}")
    # hashes, not texts: ten million rows take 80 MB each
    report.repeated_media = len(media) - len(np.unique(np.frombuffer(media, np.int64)))
    report.repeated_samples = len(whole) - len(np.unique(np.frombuffer(whole, np.int64)))
    report.question_words, report.answer_words = _lengths(questions), _lengths(answers)
    return present


def _lengths(words: array[int]) -> tuple[int, float, int] | None:
    """Shortest, median, longest."""
    return (min(words), float(np.median(np.frombuffer(words, np.int32))), max(words)) if words else None


def _decode(samples: SampleSet, chosen: Iterable[int], report: Report, num_frames: int, size: int) -> None:
    """Decode frames and sound of the chosen samples, and time them."""
    pictures, sounds = list[float](), list[float]()
    report.first_good = ""
    for i in chosen:
        report.decoded += 1
        sample = samples[i]
        begin = time.perf_counter()
        try:
            clip = load_video(sample.media, num_frames, size)
        except (MinivlError, OSError) as error:
            report.broken_media.add(f"{sample.origin}: {error}")
            continue
        pictures.append(time.perf_counter() - begin)
        report.first_good = report.first_good or _in_words(sample)
        if clip.is_image:
            report.images += 1
            continue
        begin = time.perf_counter()
        try:
            report.without_sound += load_audio(sample.media) is None
        except (MinivlError, OSError) as error:
            report.broken_sound.add(f"{sample.origin}: {error}")
            continue
        sounds.append(time.perf_counter() - begin)
    # the first decoding of all also loads the decoder, which is not a time that is spent again
    report.picture_seconds = float(np.mean(pictures[1:] or pictures or 0.0))
    report.sound_seconds = float(np.mean(sounds[1:] or sounds or 0.0))


def _in_words(sample: Sample) -> str:
    said = [repr(shorten(text, 100)) for text in sample.turns[0] if text]
    return f"{sample.origin}, {sample.media}: {' '.join(said)}"
