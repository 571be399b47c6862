"""Files become 2-second segments: where they are cut, what they hold, and what is said about bad files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from minivl.audio import load_audio, place_segments, place_segments_original
from minivl.errors import InputError, MediaError
from minivl.mel import spectrogram

GOLDENS = Path(__file__).parent / "goldens"
MEL, CASES = load_file(GOLDENS / "mel.safetensors"), json.loads((GOLDENS / "mel.json").read_text())["cases"]
PLACES = json.loads((GOLDENS / "audio_clips.json").read_text())
Write = Callable[..., Path]


def tone(seconds: float, hz: float = 440.0, rate: int = 16_000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)[None]


@pytest.mark.parametrize(
    ("duration", "starts"),
    [
        (0.3, [0]),
        (2.0, [0]),
        (3.0, [0]),
        (3.9, [0, 1.9]),
        (4.0, [0, 2]),
        (4.02, [0, 2.02]),  # AAC pads a track of 4 s
        (16.0, [0, 2, 4, 6, 8, 10, 12, 14]),
        (30.0, [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_segments_do_not_overlap_and_reach_the_end(duration: float, starts: list[float]) -> None:
    assert place_segments(duration, 8).tolist() == pytest.approx(starts)


@pytest.mark.parametrize("duration", PLACES["durations"])
def test_original_places_segments_where_the_original_did(duration: str) -> None:
    expected = [tuple(ends) for ends in PLACES["durations"][duration]["sample_ranges"]]
    assert place_segments_original(float(duration), 8) == expected


@pytest.mark.parametrize("case", [name for name in CASES if f"{name}.mel" in MEL])
def test_original_spectrograms_are_those_of_the_original(case: str) -> None:
    sound = load_audio(MEL[f"{case}.waveform"], original=True, rate=CASES[case]["sr"])
    assert sound is not None and sound.mel.shape == (8, 1, 128, 204)
    saved = sound.mel[CASES[case]["clips_saved"]]
    assert (saved - MEL[f"{case}.mel"][0]).abs().max() < 5e-4
    assert sound.mel.double().sum(dim=(1, 2, 3)).tolist() == pytest.approx(CASES[case]["clip_sums"], abs=0.5)


def test_by_default_segments_are_cut_from_an_untouched_waveform() -> None:
    waveform = torch.randn(8 * 16_000) * 0.1 + 0.3
    sound = load_audio(waveform)
    assert sound is not None and torch.equal(sound.waveform, waveform) and sound.duration == 8.0
    assert sound.starts.tolist() == [0, 2, 4, 6]
    third = waveform[4 * 16_000 : 6 * 16_000]
    assert torch.allclose(sound.mel[2:3], spectrogram((third - third.mean())[None]), atol=1e-5)


def test_a_short_sound_is_followed_by_silence() -> None:
    sound = load_audio(tone(1.0)[0])
    assert sound is not None and sound.mel.shape == (1, 1, 128, 204)
    loudness = sound.mel[0, 0].mean(dim=0)
    assert loudness[:95].min() > loudness[105:195].max() + 0.2


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp4", "aac", 44_100),
        ("a.m4a", "aac", 16_000),
        ("a.wav", "pcm_s16le", 44_100),
        ("a.wav", "pcm_f32le", 8_000),
        ("a.flac", "flac", 48_000),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.mkv", "libopus", 48_000),
    ],
)
def test_every_container_gives_the_same_tone(write_media: Write, name: str, codec: str, rate: int) -> None:
    frames = np.zeros((8, 32, 32, 3), np.uint8) if name.endswith(("mp4", "mkv")) else None
    sound = load_audio(write_media(name, frames, fps=2, sound=tone(4.0, 440, rate), rate=rate, codec=codec))
    assert sound is not None and sound.waveform.dtype == torch.float32 and sound.rate == 16_000
    assert len(sound.starts) == 2 and sound.mel.shape == (2, 1, 128, 204)
    assert sound.duration == pytest.approx(4.0, abs=0.1)
    middle = sound.waveform[16_000:32_000]
    assert middle.abs().max() == pytest.approx(0.5, abs=0.05)
    assert torch.fft.rfft(middle).abs().argmax().item() == pytest.approx(440, abs=1)


@pytest.mark.parametrize(("name", "codec"), [("a.wav", "pcm_s16le"), ("a.mp4", "aac"), ("a.flac", "flac")])
def test_both_channels_of_a_stereo_file_are_heard(write_media: Write, name: str, codec: str) -> None:
    stereo = np.concatenate([tone(2.0, 440), tone(2.0, 1000)])
    sound = load_audio(write_media(name, sound=stereo, codec=codec))
    assert sound is not None and sound.waveform.abs().max() <= 1
    spectrum = torch.fft.rfft(sound.waveform[8_000:24_000]).abs()
    assert sorted(spectrum.topk(2).indices.tolist()) == [440, 1000]
    assert spectrum[440] == pytest.approx(spectrum[1000].item(), rel=0.05)


def test_an_array_of_two_channels_is_averaged_and_the_original_hears_the_first() -> None:
    stereo = torch.from_numpy(np.concatenate([tone(2.0), 0 * tone(2.0)]))
    both, first = load_audio(stereo), load_audio(stereo, original=True)
    assert both is not None and torch.allclose(both.waveform * 2, stereo[0])
    assert first is not None and torch.equal(first.waveform, stereo[0])


def test_two_events_stay_in_their_segments(write_media: Write) -> None:
    events = np.concatenate([tone(2.0, 300), tone(2.0, 3000)], axis=1)
    sound = load_audio(write_media("a.mp4", sound=events))
    assert sound is not None
    low, high = sound.mel[:, 0, :, 20:180].mean(dim=-1).argmax(dim=-1).tolist()
    assert low < 40 and high > 75


def test_no_sound_track_is_none(write_media: Write) -> None:
    assert load_audio(write_media("a.mp4", np.zeros((3, 32, 32, 3), np.uint8))) is None


def test_a_16_khz_waveform_may_have_channels_and_another_rate() -> None:
    sound = load_audio(torch.from_numpy(tone(2.0, rate=48_000)).repeat(2, 1), rate=48_000)
    assert sound is not None and sound.waveform.shape == (32_000,)
    assert (sound.waveform[800:-800] - torch.from_numpy(tone(2.0))[0, 800:-800]).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_segments": 0}, "num_segments is 0"),
        ({"source": torch.zeros(0)}, "give floating-point samples"),
        ({"source": torch.zeros(5, dtype=torch.int16)}, "int16"),
        ({"source": torch.tensor([0.1, float("nan")])}, "NaN"),
        ({"rate": 0}, "rate is 0"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_audio(**{"source": torch.zeros(16_000), **arguments})


def test_bad_files_are_named_with_the_way_out(
    tmp_path: Path, write_media: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    wav = write_media("whole.wav", sound=tone(1.0), codec="pcm_s16le").read_bytes()
    nan = write_media("nan.wav", sound=tone(1.0) * np.float32("nan"), codec="pcm_f32le").read_bytes()
    bad = {
        "missing.wav": (None, "does not exist"),
        "empty.wav": (b"", "empty"),
        "text.wav": (b"this is no sound" * 50, "not a video, image or sound file"),
        "no_samples.wav": (wav[: wav.index(b"data") + 4] + bytes(4), "has nothing in it"),
        "not_numbers.wav": (nan, "NaN"),
    }
    for name, (contents, words) in bad.items():
        if contents is not None:
            (tmp_path / name).write_bytes(contents)
        with pytest.raises(MediaError, match=words) as caught:
            load_audio(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="folder"):
        load_audio(tmp_path)
    with pytest.raises(MediaError, match="less than 25 ms"):
        load_audio(torch.zeros(399), original=True)
    assert capfd.readouterr().err == ""
