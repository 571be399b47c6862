"""Pictures show what they should, and leave nothing behind; the demo's clips are those of data_samples."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from small_model import small_model
from toy_model import toy_model

from minivl import demo, plots
from minivl.audio import Sound, load_audio
from minivl.mel import hz_to_mel
from minivl.video import Clip, load_video

SAMPLES = Path(__file__).parent.parent / "data_samples"


def clip(frames: int = 4) -> Clip:
    pixels = np.arange(frames * 16 * 16 * 3).reshape(frames, 16, 16, 3) % 256
    return load_video(pixels.astype(np.uint8), frames, size=16)


def sound(seconds: float = 5.0) -> Sound:
    made = load_audio(torch.randn(int(seconds * 16_000)) * 0.1)
    assert made is not None
    return made


def texts(figure: Figure) -> list[str]:
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_frames_stand_under_their_times() -> None:
    figure = plots.show_frames(clip())
    assert [axes.get_title() for axes in figure.axes] == ["0.0 s", "0.5 s", "1.0 s", "1.5 s"]
    drawn = figure.axes[2].images[0].get_array()
    assert np.array_equal(drawn, clip().frames[2].permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("frames", "rows"), [(1, 1), (8, 1), (11, 2)])
def test_more_than_eight_frames_take_a_second_line(frames: int, rows: int) -> None:
    figure = plots.show_frames(clip(frames))
    figure.canvas.draw()
    assert len(figure.axes) == frames
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == rows


def test_mel_segments_stand_at_their_seconds() -> None:
    heard = sound()
    figure = plots.show_mel(heard)
    segments = figure.axes[1:]
    assert [axes.images[0].get_extent()[0] for axes in segments] == heard.starts.tolist()
    assert np.array_equal(segments[1].images[0].get_array(), heard.mel[1, 0].numpy())


def test_frequencies_stand_at_their_rows() -> None:
    low, high, middle = (float(hz_to_mel(torch.tensor(hz))) for hz in (20.0, 8000.0, 1000.0))
    assert plots._mel_bin(1000) == pytest.approx(128 * (middle - low) / (high - low), abs=1e-3)


def test_parts_are_drawn_with_their_numbers_of_parameters() -> None:
    model = small_model()
    model.audio_branch = None
    said = texts(plots.show_parts(model))
    size = sum(p.numel() for p in model.vision_branch.parameters()) / 1e6
    assert f"{size:.2f} M parameters" in said
    assert said.count("not loaded") == 1
    assert "[T, 2, 16]" in said and "[Qv, D] = [3, 24]" in said


def test_answers_are_green_or_red_and_saved(tmp_path: Path) -> None:
    asked = {"visual": [("q ?", "a dog", "a dog"), ("r ?", "a cat", "a bell")], "other": [("s ?", "rain", "")]}
    path = tmp_path / "picture.png"
    figure = plots.show_answers([plots.Watched("x.mp4", clip(), sound(), asked)], path)
    colours = {text.get_text(): text.get_color() for axes in figure.axes for text in axes.texts}
    assert colours["a dog"] == plots.RIGHT
    assert colours["a cat (true: a bell)"] == plots.WRONG
    assert colours["rain"] == plots.GREY
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_answer_of_a_paragraph_does_not_push_the_frames_away(tmp_path: Path) -> None:
    asked = {"visual": [("describe the video", "a dog and then a train " * 20, "")]}
    figure = plots.show_answers([plots.Watched("x.mp4", clip(), sound(), asked)], tmp_path / "picture.png")
    assert figure.axes[0].get_position().width > 0.04


def test_figures_show_themselves_and_pyplot_knows_none() -> None:
    figure = plots.show_frames(clip())
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert plt.get_fignums() == []


# ---- demo.py


def test_the_demo_asks_about_every_clip_and_returns_its_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = demo.run(tmp_path, toy_model())
    said = capsys.readouterr().out
    assert picture.parent == tmp_path and picture.stat().st_size > 10_000
    assert str(picture.resolve()) in said
    assert all(name in said for name in demo.QUESTIONS)


def test_the_truths_of_the_demo_are_those_of_the_samples() -> None:
    truths = json.loads((SAMPLES / "truths.json").read_text(encoding="utf-8"))
    for name, by_kind in demo.QUESTIONS.items():
        known = {tuple(pair) for pair in truths[name]["questions"]}
        assert {pair for pairs in by_kind.values() for pair in pairs} <= known


@pytest.mark.parametrize("path", sorted(demo.CLIPS.iterdir()), ids=lambda p: p.name)
def test_packaged_clips_are_copies_of_the_samples(path: Path) -> None:
    assert path.read_bytes() == (SAMPLES / path.name).read_bytes()
