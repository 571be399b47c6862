"""Training the runs of ablations.py: each once, in an order that they need, on all cores, kept in a folder.

A step of the tiny model is too small for two cores: two runs at a time, with one thread each, are half as fast again
as one run with two threads. A trained branch is a file of 2 MB; a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from minivl import atomic
from minivl.claims.ablations import RUNS, start
from minivl.claims.settings import Settings
from minivl.errors import WeightsError
from minivl.model import VideoLlama
from minivl.recipes import toy_recipe
from minivl.toyworld.features import Features, cached_features, fingerprint
from minivl.toyworld.lessons import Teacher
from minivl.training import train

# (work, tasks) → the result of work(*task) for each task
Workers = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[Any]]


@lru_cache(maxsize=1)
def load(settings: Settings) -> tuple[VideoLlama, Features, Path]:
    """The model, the features of the training clips, and the folder of the trained branches; once per process."""
    model = VideoLlama.from_pretrained(settings.model, parts=("vision", "audio", "image_trunk"))
    features = cached_features(model, settings.training_clips, 0, settings.cache)
    digest = hashlib.sha256(fingerprint(model, features.scenes).encode())
    for tensor in model.llm.state_dict().values():
        digest.update(tensor.half().numpy().tobytes())
    return model, features, settings.cache / f"{settings.folder}-{digest.hexdigest()[:12]}"


def train_all(settings: Settings, do: Workers) -> dict[str, float]:
    """Train what is not yet there; returns the seconds of each run, "seed 0, vision" → seconds, whenever it was made.

    do: see `workers`. It gets those runs together that do not wait for each other.
    """
    seconds: dict[str, float] = {}
    for names in levels():
        tasks = [(settings, name, seed) for name in names for seed in settings.seeds]
        for (_, name, seed), found in zip(tasks, do(train_one, tasks), strict=True):
            seconds[f"seed {seed}, {name}"] = found
            print(f"seed {seed}: {name} is trained ({found:.0f} s)", flush=True)
    return seconds


def levels() -> list[list[str]]:
    """Names of RUNS in groups: a run needs those of earlier groups only. The longest come first in their group."""
    depth: dict[str, int] = {}
    for name, run in RUNS.items():  # the table names what is needed before what needs it
        depth[name] = 1 + max((depth[needed] for needed in (run.after, run.beside) if needed), default=-1)
    order = sorted(RUNS, key=lambda name: -RUNS[name].longer)
    return [[name for name in order if depth[name] == d] for d in range(max(depth.values()) + 1)]


def train_one(settings: Settings, name: str, seed: int) -> float:
    """Train one run and keep its branch; returns its seconds. Only reads what is there already."""
    model, features, folder = load(settings)
    run, file = RUNS[name], branch_file(folder, name, seed)
    if file.is_file():
        return _seconds(file)
    branch = start(model, run, seed)
    for needed in (run.after, run.beside):
        if needed:
            put(model, folder, needed, seed)
    if run.after:
        branch = getattr(model, f"{run.branch}_branch")
    recipe = toy_recipe(settings.steps(run.branch, run.stage) * run.longer, batch=settings.batch, seed=seed)
    teacher = Teacher(model, features, run.branch, run.stage, seed, settings.batch, settings.count, **run.taught)
    state = file.with_suffix("")
    told = train(model, run.branch, recipe, teacher, state, name=f"seed {seed}: {name}")
    metadata = {"seconds": str(told["seconds"]), "loss": json.dumps(told["loss"])}
    tensors = {key: tensor.detach().contiguous() for key, tensor in branch.state_dict().items()}
    atomic.replace(file, lambda path: save_file(tensors, path, metadata))
    shutil.rmtree(state)
    return float(told["seconds"])


def put(model: VideoLlama, folder: Path, name: str, seed: int) -> None:
    """Put a trained branch into the model. Raises WeightsError if its file is missing or damaged."""
    file = branch_file(folder, name, seed)
    branch = start(model, RUNS[name], seed)
    try:
        with safe_open(file, framework="pt") as opened:
            branch.load_state_dict({key: opened.get_tensor(key) for key in opened.keys()})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is missing or damaged: delete it, and run `minivl claims` again.") from error
    model.eval()


def branch_file(folder: Path, name: str, seed: int) -> Path:
    """Where a trained branch is kept."""
    return folder / f"seed{seed}" / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors"


def _seconds(file: Path) -> float:
    try:
        with safe_open(file, framework="pt") as opened:
            return float(opened.metadata()["seconds"])
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file} is damaged: delete it, and run `minivl claims` again.") from error


@contextmanager
def workers(jobs: int) -> Iterator[Workers]:
    """A function that does work(*task) for many tasks, `jobs` at a time with one thread each; results in order.

    With one job no process is started. Ctrl-C ends all of them; trainings keep their state.
    """
    if jobs == 1:
        yield _in_turn
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin) as pool:

        def at_once(work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
            for future in [pool.submit(work, *task) for task in tasks]:
                yield future.result()

        try:
            yield at_once
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin() -> None:
    """In each process: one thread, and an end when the process that started it was killed."""
    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _in_turn(work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
    for task in tasks:
        with _one_thread():
            result = work(*task)
        yield result


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, however many cores there are: the same numbers as in processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
