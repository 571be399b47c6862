"""The tensor passport draws every stage of a trace, with its numbers, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from small_model import small_model

from minivl.audio import Sound, load_audio
from minivl.course.passport import lanes, show_passport
from minivl.trace import Trace, trace
from minivl.video import Clip, load_video


def clip() -> Clip:
    return load_video(np.zeros((4, 16, 16, 3), np.uint8), 4, size=16)


def sound() -> Sound:
    made = load_audio(torch.randn(64_000) * 0.1)
    assert made is not None
    return made


def texts(figure: Figure) -> list[str]:
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


@pytest.fixture(scope="module")
def both() -> Trace:
    return trace(small_model(), clip(), sound())


def test_the_lanes_are_the_trace_in_order(both: Trace) -> None:
    sight, hearing, words = lanes(both)
    assert (*sight, *hearing, *words) == both.stages
    assert [lane[0].name for lane in (sight, hearing, words)] == ["frames", "waveform", "token ids, slots included"]


def test_each_stage_has_a_card_with_its_shape_and_size(both: Trace) -> None:
    written = texts(show_passport(both))
    for stage in both.stages:
        assert stage.name in written and stage.shape in written
        assert any(text.startswith(f"{stage.dtype}, {stage.megabytes:.3f} MB") for text in written)
    made = [text for text in written if text.startswith(("* frozen: ", "+ trained: "))]
    learned = [stage for stage in both.stages if stage.parameters]
    assert len(made) == len(learned)
    assert f"* frozen: {learned[0].parameters:,} parameters" in made
    assert f"* {both.parameters('frozen'):,} frozen" in written


def test_the_bar_is_as_long_as_the_tensor_is_large(both: Trace) -> None:
    bars = [patch.get_width() for patch in show_passport(both).axes[0].patches if isinstance(patch, Rectangle)]
    sizes = [stage.megabytes for stage in both.stages]
    assert bars == pytest.approx([size * max(bars) / max(sizes) for size in sizes])


@pytest.mark.parametrize(
    ("seen", "heard", "there", "absent"), [(True, False, "sight", "hearing"), (False, True, "hearing", "sight")]
)
def test_a_sense_that_was_not_traced_has_no_lane(seen: bool, heard: bool, there: str, absent: str) -> None:
    written = texts(show_passport(trace(small_model(), clip() if seen else None, sound() if heard else None)))
    assert there in written and absent not in written


def test_no_card_lies_on_another_and_no_text_leaves_its_card(both: Trace) -> None:
    figure = show_passport(both)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes, renderer = figure.axes[0], canvas.get_renderer()
    cards = [p.get_window_extent(renderer) for p in axes.patches if type(p).__name__ == "FancyBboxPatch"]
    assert len(cards) == len(both.stages)
    assert not any(a.overlaps(b) for n, a in enumerate(cards) for b in cards[:n])
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        inside = [card for card in cards if card.y0 <= box.y0 and box.y1 <= card.y1 and card.x0 <= box.x0 < card.x1]
        assert all(box.x1 <= card.x1 for card in inside), text.get_text()
