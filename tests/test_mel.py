"""The log-mel spectrogram equals torchaudio's Kaldi filter bank and what the original computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minivl.mel import log_mel, spectrogram
from minivl.torchaudio_shim import ensure_importable

GOLDENS = load_file(Path(__file__).parent / "goldens" / "mel.safetensors")


def kaldi(segments: torch.Tensor) -> torch.Tensor:
    from torchaudio.compliance.kaldi import fbank

    def one(segment: torch.Tensor) -> torch.Tensor:
        return fbank(
            segment[None], htk_compat=True, sample_frequency=16_000, use_energy=False, window_type="hanning",
            num_mel_bins=128, dither=0.0, frame_length=25, frame_shift=10,
        ).T  # fmt: skip

    return torch.stack([one(segment) for segment in segments])


@pytest.mark.parametrize("loudness", [1e-4, 1e-2, 1.0])
def test_equals_torchaudio_on_noise(loudness: float) -> None:
    segments = torch.randn(3, 32_000) * loudness
    assert log_mel(segments).shape == (3, 128, 198)
    assert (log_mel(segments) - kaldi(segments)).abs().max() < 1e-4


@pytest.mark.parametrize("samples", [400, 559, 560, 20_800, 32_000])
def test_equals_torchaudio_at_any_length(samples: int) -> None:
    tone = 0.5 * torch.sin(torch.arange(samples) * 2 * torch.pi * 440 / 16_000)[None] + 0.1
    ours, theirs = log_mel(tone), kaldi(tone)
    assert ours.shape == theirs.shape == (1, 128, 1 + (samples - 400) // 160)
    assert (ours - theirs).abs().max() < 1e-4


def test_mel_bank_and_window_are_those_of_the_original() -> None:
    from minivl.mel import _mel_bank, _window

    bank = _mel_bank()
    assert (bank[:256].T - GOLDENS["debug.mel_banks"]).abs().max() < 1e-6
    assert bank[256].abs().max() == 0  # half the sampling rate itself belongs to no band
    assert (_window() - GOLDENS["debug.window"]).abs().max() < 1e-6


def test_a_higher_tone_lights_a_higher_bin() -> None:
    time = torch.arange(32_000) / 16_000
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (200, 800, 3200)])
    loudest = log_mel(tones).mean(dim=-1).argmax(dim=-1).tolist()
    assert loudest == sorted(loudest) and len(set(loudest)) == 3


def test_segments_of_a_batch_do_not_influence_each_other() -> None:
    segments = torch.randn(4, 32_000)
    alone = torch.cat([spectrogram(segment[None]) for segment in segments])
    assert (spectrogram(segments) - alone).abs().max() < 1e-5
    untouched = segments.clone()
    log_mel(segments)
    assert torch.equal(segments, untouched)


def test_padding_comes_before_normalisation() -> None:
    mel = spectrogram(torch.randn(2, 32_000))
    assert mel.shape == (2, 1, 128, 204) and mel.dtype == torch.float32
    assert torch.allclose(mel[..., 198:], torch.tensor(0.0 + 4.268) / 9.138)


def test_silence_is_finite_and_less_than_one_frame_is_only_padding() -> None:
    assert spectrogram(torch.zeros(1, 32_000)).isfinite().all()
    assert log_mel(torch.zeros(2, 399)).shape == (2, 128, 0)


def test_llama_imports_after_torchaudio_has_failed_to() -> None:
    """In a fresh Python: the state that a notebook is in whose reader tried torchaudio first."""
    code = (
        "try:\n    import torchaudio\nexcept (OSError, RuntimeError):\n    pass\n"
        "import minivl.torchaudio_shim as shim\n"
        "shim.ensure_importable()\n"
        "shim.ensure_importable()  # a second call changes nothing\n"
        "import torch, torchaudio.functional, torchaudio.compliance.kaldi\n"
        "assert torchaudio.functional.resample(torch.zeros(1, 441), 44100, 16000).shape == (1, 160)\n"
        "from transformers import LlamaForCausalLM\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_shim_touches_nothing_but_the_extension() -> None:
    ensure_importable()
    finders = [finder for finder in sys.meta_path if type(finder).__name__ == "_ExtensionFinder"]
    assert len(finders) == 1
    assert finders[0].find_spec("torchaudio", None) is None and finders[0].find_spec("json", None) is None
