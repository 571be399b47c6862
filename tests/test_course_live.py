"""The live curve: it sees every loss, draws seldom, and works without a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_model import numbered_features, toy_model

from minivl.course import live
from minivl.course.live import LiveCurve, running_mean
from minivl.recipes import toy_recipe
from minivl.toyworld.lessons import Teacher
from minivl.training import BranchLearner, train


class Squares(nn.Module):
    """A module whose output is a loss."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square().sum()


class Screen:
    """Stands for the notebook: remembers what was displayed and what was replaced."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def display(self, data: dict[str, Any], **options: Any) -> Screen:
        assert options["display_id"] is True and options["metadata"]["image/png"]["alt"]
        self.shown.append("new")
        return self

    def update(self, data: dict[str, Any], **options: Any) -> None:
        assert data["image/png"].startswith(b"\x89PNG") and data["text/plain"]
        self.shown.append("replaced")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(live, "get_ipython", lambda: "a notebook")
    monkeypatch.setattr(live, "display", made.display)
    return made


def test_it_sees_the_loss_of_every_step_of_a_training(tmp_path: Path) -> None:
    model = toy_model()
    teacher = Teacher(model, numbered_features(20), "vision", 2, batch_size=4)
    curve = LiveCurve("a training")
    with curve.watching(BranchLearner):
        told = train(model, "vision", toy_recipe(3, batch=4), teacher, precision="no")
    steps, losses = zip(*curve.curves["training"], strict=True)
    assert steps == (1, 2, 3)
    assert sum(losses) / 3 == pytest.approx(told["loss"][0], abs=1e-4)


def test_nothing_is_watched_after_the_block_even_if_it_failed() -> None:
    curve, module = LiveCurve("broken"), Squares()
    with pytest.raises(KeyboardInterrupt), curve.watching(Squares):
        module(torch.ones(2))
        raise KeyboardInterrupt
    module(torch.ones(2))
    assert curve.curves["training"] == [(1, 2.0)]


def test_other_modules_are_not_counted() -> None:
    curve = LiveCurve("one of two")
    with curve.watching(Squares):
        nn.Linear(2, 1)(torch.ones(2))
        Squares()(torch.ones(3))
    assert curve.curves["training"] == [(1, 3.0)]


def test_measured_values_stand_at_the_step_after_which_they_were_measured() -> None:
    curve, graphs = LiveCurve("measured"), []

    def measure() -> dict[str, float]:
        graphs.append(torch.is_grad_enabled())
        return {"held out": 10.0 - len(graphs)}

    with curve.watching(Squares, every=2, measure=measure):
        for _ in range(5):
            Squares()(torch.ones(1))
    assert curve.curves["held out"] == [(0, 9.0), (2, 8.0), (4, 7.0), (5, 6.0)]
    assert not any(graphs), "measuring needs no gradients"
    assert len(curve.curves["training"]) == 5


def test_one_picture_is_replaced_at_most_once_a_second(screen: Screen) -> None:
    now = [0.0]
    curve = LiveCurve("fast steps", clock=lambda: now[0])
    for _ in range(100):
        curve.add(1.0)
        now[0] += 0.05
    assert screen.shown == ["new"] + ["replaced"] * 4  # five seconds


def test_the_last_picture_has_all_steps(screen: Screen) -> None:
    curve = LiveCurve("two steps", seconds=60)
    with curve.watching(Squares):
        Squares()(torch.ones(1))
        Squares()(torch.ones(1))
    assert screen.shown == ["new", "replaced"]  # the second when the block ends
    assert list(curve.figure().axes[0].lines[0].get_xdata()) == [1, 2]


def test_without_a_notebook_nothing_is_displayed(capsys: pytest.CaptureFixture[str]) -> None:
    curve = LiveCurve("a script")
    curve.add(2.0)
    curve.draw()
    assert curve.pictures == 0 and capsys.readouterr().out == ""
    assert curve.curves["training"] == [(1, 2.0)]


def test_a_curve_without_a_step_is_an_empty_picture() -> None:
    assert len(LiveCurve("loaded, not trained").figure().axes) == 1


def test_the_running_mean_looks_back_only() -> None:
    values = [4.0, 2.0, 0.0, 6.0]
    assert running_mean(values, over=2) == [4.0, 3.0, 1.0, 3.0]
    assert running_mean(values, over=100)[-1] == 3.0
    assert running_mean([]) == []
