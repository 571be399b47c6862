"""Whatever is wrong with the input: one sentence that names it and the way out, exit code 2, no traceback.

Through the command line, as a reader meets it, with clips that are damaged here and now.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_model import toy_model

import minivl
from minivl import cli
from minivl.errors import InputError, MediaError, MinivlError, WeightsError

SAMPLES = Path(__file__).parent.parent / "data_samples"
BELL = SAMPLES / "bell.mp4"
FRAMES = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
TONE = 0.3 * np.sin(np.arange(32_000, dtype=np.float32)[None] / 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "toy"
    toy_model().save_pretrained(folder)
    return folder


@pytest.fixture
def refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """refused(file, *options): asks about the file, checks exit code 2 and one line on stderr; returns the line."""

    def ask(file: Path, *options: str, question: str = "what do you see?", model: Path | str = folder) -> str:
        assert cli.main(["ask", str(file), question, "--model", str(model), *options]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("minivl: ") and err.endswith("\n") and err.count("\n") == 1, err
        assert "Traceback" not in err and len(err) < 600
        return err

    return ask


@pytest.fixture
def answered(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """answered(file, *options): asks about the file, checks exit code 0 and an answer; returns stderr."""

    def ask(file: Path, *options: str) -> str:
        assert cli.main(["ask", str(file), "what do you see?", "--model", str(folder), *options]) == 0
        out, err = capfd.readouterr()
        assert out.count("\n") == 1
        return err

    return ask


# ---- files that are no clips


def _text(path: Path) -> None:
    path.write_text("this is a shopping list: milk, bread\n" * 40)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _empty(path: Path) -> None:
    path.touch()


def _folder(path: Path) -> None:
    path.mkdir()


def _missing(path: Path) -> None:
    pass


def _truncated(path: Path) -> None:
    data = BELL.read_bytes()
    path.write_bytes(data[: data.index(b"moov") + 300])  # within the index, which stands at the file's front


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_text, "is not a video, image or sound file"),
        (_noise, "is not a video, image or sound file"),
        (_empty, "is empty (0 bytes)"),
        (_folder, "is a folder: give the path of one"),
        (_missing, "does not exist: check the path"),
        (_truncated, "has no "),  # FFmpeg takes it for an mp4 of no tracks
    ],
)
@pytest.mark.parametrize("option", [[], ["--no-hearing"], ["--no-sight"]])
def test_no_clip_at_all(
    refused: Callable[..., str], tmp_path: Path, spoil: Callable[[Path], None], sentence: str, option: list[str]
) -> None:
    path = tmp_path / "holiday.mp4"
    spoil(path)
    message = refused(path, *option)
    assert path.name in message and sentence in message


@pytest.mark.parametrize("option", [[], ["--no-hearing"], ["--no-sight"]])
def test_an_mp4_whose_end_is_missing(
    refused: Callable[..., str], write_media: Callable[..., Path], option: list[str]
) -> None:
    """A camera writes the index last: without it nothing can be read."""
    path = write_media("cut.mp4", frames=FRAMES, sound=TONE)
    data = path.read_bytes()
    assert data.index(b"moov") > data.index(b"mdat")
    path.write_bytes(data[: len(data) * 4 // 5])
    message = refused(path, *option)
    assert str(path) in message and "cut short" in message


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_mp4_that_ends_in_the_middle(refused: Callable[..., str], tmp_path: Path, share: float) -> None:
    """Its index is whole, and some of its sound can still be read: it is not taken for a sound file."""
    path = tmp_path / "half.mp4"
    path.write_bytes(BELL.read_bytes()[: int(share * BELL.stat().st_size)])
    message = refused(path)
    assert str(path) in message and "cut short" in message


def test_a_damaged_image(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes((SAMPLES / "blue_square_and_phone.png").read_bytes()[:9000])
    assert f"{path} is a damaged image" in refused(path)


# ---- clips that lack a sense


def test_sound_alone_is_heard(answered: Callable[..., str], refused: Callable[..., str]) -> None:
    note = answered(SAMPLES / "bird.wav")
    assert note == "minivl: bird.wav has no picture: going on with hearing alone\n"
    assert "bird.wav has no picture that can be decoded" in refused(SAMPLES / "bird.wav", "--no-hearing")


def test_pictures_alone_are_seen(answered: Callable[..., str], refused: Callable[..., str]) -> None:
    note = answered(SAMPLES / "no_sound_track.mp4")
    assert note == "minivl: no_sound_track.mp4 has no audio track: going on with sight alone\n"
    assert answered(SAMPLES / "no_sound_track.mp4", "--no-hearing") == ""  # nothing was asked for that is not there
    message = refused(SAMPLES / "no_sound_track.mp4", "--no-sight")
    assert "no_sound_track.mp4 has no audio track" in message


def test_an_image_has_no_sound(answered: Callable[..., str]) -> None:
    note = answered(SAMPLES / "blue_square_and_phone.png")
    assert note == "minivl: blue_square_and_phone.png has no audio track: going on with sight alone\n"


def test_both_senses_off(refused: Callable[..., str]) -> None:
    assert "switch one of them on" in refused(BELL, "--no-sight", "--no-hearing")


def test_a_clip_of_one_frame_and_a_short_sound(answered: Callable[..., str], write_media: Callable[..., Path]) -> None:
    assert answered(write_media("blink.mp4", frames=FRAMES[:1], sound=TONE[:, :3000])) == ""


# ---- sound


def test_a_wav_without_a_sample(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"")
    assert str(path) in refused(path)


def test_a_sound_file_of_nan(refused: Callable[..., str], write_media: Callable[..., Path]) -> None:
    sound = TONE.copy()
    sound[0, 100] = np.nan
    path = write_media("nan.wav", sound=sound, codec="pcm_f32le")
    message = refused(path)
    assert str(path) in message and "NaN" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers(value: float) -> None:
    waveform = torch.zeros(32_000)
    waveform[7] = value
    with pytest.raises(InputError, match="not numbers"):
        minivl.load_audio(waveform)


@pytest.mark.parametrize("waveform", [torch.zeros(0), torch.zeros(2, 0), torch.zeros(2, 2, 100), torch.zeros(99).int()])
def test_waveforms_of_no_use(waveform: torch.Tensor) -> None:
    with pytest.raises(InputError, match="floating-point samples"):
        minivl.load_audio(waveform)


def test_frames_of_no_use() -> None:
    for frames in (torch.zeros(0, 3, 8, 8).byte(), torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8).byte()):
        with pytest.raises(InputError, match="give uint8"):
            minivl.load_video(frames)


# ---- questions


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("", "the question is empty: ask something like"),
        (" \n ", "the question is empty"),
        ("what " * 600, "ask a shorter question"),
        ("what is <ImageHere>?", "write none in a question"),
    ],
)
def test_questions_that_cannot_be_asked(refused: Callable[..., str], question: str, sentence: str) -> None:
    assert sentence in refused(BELL, question=question)


# ---- checkpoints


def _without(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return spoil


def _cut(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return spoil


def _other_sizes(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"image_size": 64', '"image_size": 96'))


def _swapped(folder: Path) -> None:
    shutil.copy(folder / "audio_branch.safetensors", folder / "vision_branch.safetensors")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_without("config.json"), "is no model"),
        (_cut("config.json"), "config.json"),
        (_without("vision_branch.safetensors"), "vision_branch.safetensors"),
        (_without("llm"), "llm"),
        (_without("llm/tokenizer.json"), "llm"),
        (_without("llm/model.safetensors"), "llm"),
        (_without("llm/config.json"), "llm"),
        (_cut("imagebind.safetensors"), "imagebind.safetensors"),
        (_cut("llm/model.safetensors"), "llm"),
        (_cut("llm/tokenizer.json"), "llm"),
        (_cut("llm/config.json"), "llm"),
        (_other_sizes, "image_encoder.safetensors does not fit"),
        (_swapped, "vision_branch.safetensors does not fit"),
    ],
)
def test_a_wrong_checkpoint(
    refused: Callable[..., str], folder: Path, tmp_path: Path, spoil: Callable[[Path], None], named: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spoil(copy)
    message = refused(BELL, model=copy)
    assert str(copy) in message and named in message


def test_no_checkpoint_at_all(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "give a folder that save_pretrained wrote" in refused(BELL, model=tmp_path)
    assert "give a folder that save_pretrained wrote" in refused(BELL, model="huge")
    assert "give a folder that save_pretrained wrote" in refused(BELL, model=BELL)


def test_every_error_is_a_minivl_error() -> None:
    assert all(issubclass(error, MinivlError) for error in (InputError, MediaError, WeightsError))


def test_in_a_process_of_its_own(tmp_path: Path, folder: Path) -> None:
    """As typed into a terminal: nothing but the sentence reaches it, not even from FFmpeg."""
    path = tmp_path / "holiday.mp4"
    _truncated(path)
    command = [sys.executable, "-m", "minivl.cli", "ask", str(path), "what?", "--model", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SAMPLES.parent)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"minivl: {path} ") and done.stderr.count("\n") == 1
