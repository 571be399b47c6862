"""Clips written to files come back as they were, and the sample clips are what their list says."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from minivl.errors import InputError
from minivl.toyworld.mp4 import render_mp4, write_mp4, write_wav
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import Scene, Sound, Thing
from minivl.toyworld.sounds import render_sound

RATE = 16_000
SAMPLES = Path(__file__).parent.parent / "data_samples"


def test_mp4_comes_back_through_decord(tmp_path: Path) -> None:
    decord = pytest.importorskip("decord")
    scene = Scene(55, (Thing("bell", "large"),), sounds=(Sound("bell", "small"),))
    render_mp4(tmp_path / "bell.mp4", scene)
    reader = decord.VideoReader(str(tmp_path / "bell.mp4"))
    back = reader.get_batch(range(len(reader))).asnumpy()
    assert back.shape == (32, 128, 128, 3) and reader.get_avg_fps() == 8
    assert np.abs(back.astype(int) - render_frames(scene, 32, 128)).mean() < 5
    track = decord.AudioReader(str(tmp_path / "bell.mp4"), sample_rate=RATE, mono=True)[:].asnumpy()[0]
    sound = render_sound(scene)
    assert abs(len(track) - len(sound)) < 3000  # AAC pads by some blocks of 1024
    match = np.fft.irfft(np.fft.rfft(track, 1 << 18) * np.conj(np.fft.rfft(sound, 1 << 18)))
    assert match.max() / (np.linalg.norm(track) * np.linalg.norm(sound)) > 0.97


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 160, 60), (40, 80, 220)])
def test_flat_colours_survive_the_file(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    decord = pytest.importorskip("decord")
    write_mp4(tmp_path / "flat.mp4", np.full((3, 64, 64, 3), colour, np.uint8), fps=8)
    back = decord.VideoReader(str(tmp_path / "flat.mp4"))[1].asnumpy().reshape(-1, 3).mean(0)
    assert np.abs(back - colour).max() < 6


def test_no_file_is_left_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="even height and width"):
        write_mp4(tmp_path / "odd.mp4", np.zeros((2, 63, 64, 3), np.uint8), fps=8)
    with pytest.raises(InputError, match="uint8"):
        write_mp4(tmp_path / "float.mp4", np.zeros((2, 64, 64, 3), np.float32), fps=8)
    with pytest.raises(InputError, match="mono"):
        write_wav(tmp_path / "stereo.wav", np.zeros((2, 100), np.float32))
    with pytest.raises(ValueError):  # fails when half of the file is written
        write_mp4(tmp_path / "words.mp4", np.zeros((2, 64, 64, 3), np.uint8), 8, np.array(["loud"]))
    assert list(tmp_path.iterdir()) == []


def test_wav_has_16_bits(tmp_path: Path) -> None:
    write_wav(tmp_path / "ramp.wav", np.linspace(-1, 1, 101, dtype=np.float32))
    with wave.open(str(tmp_path / "ramp.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        levels = np.frombuffer(file.readframes(101), "<i2")
    assert (levels[0], levels[50], levels[-1]) == (-32767, 0, 32767)


def test_sample_clips_are_what_truths_json_says() -> None:
    truths = json.loads((SAMPLES / "truths.json").read_text(encoding="utf-8"))
    media = {p.name for p in SAMPLES.iterdir() if p.suffix in (".mp4", ".wav", ".png")}
    assert media == set(truths)
    for file, truth in truths.items():
        assert len(truth["seen"]) == len(truth["scene"]["things"]), file
        assert truth["questions"] and truth["description"], file
    decord = pytest.importorskip("decord")
    frames = decord.VideoReader(str(SAMPLES / "bell.mp4"))
    scene = Scene(truths["bell.mp4"]["scene"]["seed"], (Thing("bell", "large"),))
    assert np.abs(frames[4].asnumpy().astype(int) - render_frames(scene, 32, 256)[4]).mean() < 4
