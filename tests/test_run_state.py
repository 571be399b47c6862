"""A run that is killed and goes on ends as one that was not; several processes train as one does."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.tracking import GeneralTracker
from safetensors.torch import load_file
from toy_model import numbered_features, toy_model

from minivl import run_state
from minivl.errors import InputError, WeightsError
from minivl.recipes import Recipe, toy_recipe
from minivl.run_state import FILE
from minivl.toyworld.lessons import Teacher
from minivl.training import train

SCRIPT = Path(__file__).parent / "train_toy.py"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
STEPS = 60


def start(
    folder: Path, steps: int = STEPS, launcher: tuple[str, ...] = (), save_every: int = 2
) -> subprocess.Popen[str]:
    command = [sys.executable, *launcher, str(SCRIPT), str(folder), str(steps), str(save_every)]
    return subprocess.Popen(command, env=ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def state(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / FILE)


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((folder / "loss.csv").open())]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(folder))
    assert len(losses(folder)) == STEPS
    return folder


def assert_same_state(first: Path, second: Path) -> None:
    a, b = state(first), state(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)  # weights, both moments, the whole loss curve: every bit


def test_killed_at_three_random_moments(undisturbed: Path, tmp_path: Path) -> None:
    moment = random.Random(int(time.time()))  # another three in every run of the tests
    for kill in range(3):
        process = start(tmp_path)
        before = (tmp_path / FILE).stat().st_mtime_ns if kill else 0
        deadline = time.time() + 120
        while not (tmp_path / FILE).exists() or (tmp_path / FILE).stat().st_mtime_ns == before:
            assert process.poll() is None and time.time() < deadline, "it ended before it could be killed"
        time.sleep(moment.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (done := len(state(tmp_path)["loss"])) == STEPS:
            break  # it was too fast: the others are killed earlier or not at all
        assert done % 2 == 0
    finish(start(tmp_path))
    assert_same_state(tmp_path, undisturbed)


def test_control_c_saves_the_step_that_it_is_in(undisturbed: Path, tmp_path: Path) -> None:
    process = start(tmp_path, save_every=10)
    while not (tmp_path / FILE).exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0 and len(state(tmp_path)["loss"]) >= 10
    finish(start(tmp_path, save_every=10))
    assert_same_state(tmp_path, undisturbed)


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """The same global batch, in halves. Sums are taken in another order, so the last digits differ and slowly grow."""
    launcher = ("-m", "accelerate.commands.launch", "--num_processes", "2", "--multi_gpu")
    finish(start(tmp_path, 20, launcher))
    finish(start(tmp_path / "alone", 20))
    together, alone = losses(tmp_path), losses(tmp_path / "alone")
    assert together == pytest.approx(alone, abs=2e-5)
    weights, expected = state(tmp_path), state(tmp_path / "alone")
    assert weights.keys() == expected.keys()
    # softmax ignores a key's bias: its gradient is rounding noise, which AdamW makes large
    compared = [k for k in weights if k.startswith("weight/") and not k.endswith("key.bias")]
    assert max(float((weights[k] - expected[k]).abs().max()) for k in compared) < 1e-4


# ---- within this process


def run(folder: Path | None, recipe: Recipe, pieces: int = 1, **options: object) -> dict[str, object]:
    model = toy_model()
    teacher = Teacher(model, numbered_features(40), "vision", 2, batch_size=8)
    return train(model, "vision", recipe, teacher, folder, pieces, precision="no", **options)  # type: ignore[arg-type]


def test_a_batch_in_pieces_gives_the_same_curve(tmp_path: Path) -> None:
    for name, pieces in (("whole", 1), ("four", 4)):
        run(tmp_path / name, toy_recipe(10, 1e-2), pieces)
    assert losses(tmp_path / "four") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_forgotten_activations_give_the_same_curve(tmp_path: Path) -> None:
    for name, checkpointing in (("kept", False), ("forgotten", True)):
        run(tmp_path / name, toy_recipe(6, 1e-2), checkpointing=checkpointing)
    assert losses(tmp_path / "forgotten") == pytest.approx(losses(tmp_path / "kept"), abs=1e-5)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = run(tmp_path, toy_recipe(4))
    before = (tmp_path / FILE).stat().st_mtime_ns
    assert run(tmp_path, toy_recipe(4)) == first
    assert (tmp_path / FILE).stat().st_mtime_ns == before
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_another_recipe_or_branch_is_not_mixed_in(tmp_path: Path) -> None:
    run(tmp_path, toy_recipe(4))
    with pytest.raises(InputError, match="a run with another recipe"):
        run(tmp_path, replace(toy_recipe(4), clip=0.5))
    model = toy_model()
    with pytest.raises(InputError, match="the run of another branch"):
        train(
            model, "audio", toy_recipe(4), Teacher(model, numbered_features(40), "audio", 2), tmp_path, precision="no"
        )


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    run(tmp_path, toy_recipe(4))
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"state\.safetensors is damaged"):
        run(tmp_path, toy_recipe(4))


def test_a_full_disk_leaves_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = run_state.save_file, []

    def full_after_two(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        saved.append(len(tensors["loss"]))
        if len(saved) > 2:
            path.write_bytes(b"half a fi")
            raise OSError(28, "No space left on device", str(path))
        save(tensors, path, metadata)

    monkeypatch.setattr(run_state, "save_file", full_after_two)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, toy_recipe(10, 1e-2), save_every=3)
    assert len(state(tmp_path)["loss"]) == 6
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".saving")] == []
    monkeypatch.setattr(run_state, "save_file", save)
    run(tmp_path, toy_recipe(10, 1e-2), save_every=3)
    run(tmp_path / "undisturbed", toy_recipe(10, 1e-2))
    assert_same_state(tmp_path, tmp_path / "undisturbed")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file" / "run", toy_recipe(2))


def test_both_schedules() -> None:
    recipe = Recipe(100, 8, 1.0, 0.1, 10)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55) and rates[99] == pytest.approx(0.1, abs=1e-3)


class Notebook(GeneralTracker):
    """A tracker of accelerate's that only remembers."""

    name, requires_logging_directory = "notebook", False

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    @property
    def tracker(self) -> list[tuple[int | None, dict[str, float]]]:
        return self.lines

    def store_init_configuration(self, values: dict[str, object]) -> None:
        pass

    def log(self, values: dict[str, float], step: int | None = None, **_: object) -> None:
        self.lines.append((step, values))


def test_a_tracker_of_accelerate_is_told_the_loss() -> None:
    notebook = Notebook()
    run(None, toy_recipe(50, 1e-2), tracker=notebook)
    assert [step for step, _ in notebook.lines] == [25, 50]
    assert all(values.keys() == {"loss", "learning rate"} for _, values in notebook.lines)
