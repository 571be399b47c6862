"""Sound as a picture: the log-mel spectrogram that the audio trunk reads (section 2.1.2 of the paper).

The recipe is Kaldi's filter bank, as in the original's `ImageBind/data.py`. A frame is 25 ms of sound,
and one starts every 10 ms:

    frame -> minus its mean -> pre-emphasis -> Hann window -> |FFT|^2 -> mel bank -> log

A 2-second segment has 198 frames. ImageBind was trained on 204, so six frames of zeros follow, and then
everything is shifted and scaled by the mean and deviation of the data ImageBind was trained on.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

RATE = 16_000  # samples per second
SEGMENT_SECONDS = 2
FRAME, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms, the next power of two
MEL_BINS, LOWEST_HZ = 128, 20.0
PRE_EMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps  # the logarithm of silence stays finite
MEL_FRAMES = 204
MEAN, STD = -4.268, 9.138


def spectrogram(segments: Tensor, mel_frames: int = MEL_FRAMES) -> Tensor:
    """What the audio trunk sees: segments [M, samples] float32 at 16 kHz -> [M, 1, 128, mel_frames] float32.

    Too few frames are padded with zeros BEFORE the normalisation, so padding is 0.467 in the result, not 0.
    """
    mel = log_mel(segments)[..., :mel_frames]  # [M, 128, F]
    mel = F.pad(mel, (0, mel_frames - mel.shape[-1]))
    return rearrange((mel - MEAN) / STD, "m bins f -> m 1 bins f")


def log_mel(segments: Tensor) -> Tensor:
    """Kaldi's log filter bank of all segments at once: [M, samples] float32 -> [M, 128, F] float32.

    F = 1 + (samples - 400) // 160, or 0 below 400 samples. Equals, bit for bit on one machine,
    torchaudio.compliance.kaldi.fbank(htk_compat=True, use_energy=False, window_type="hanning",
    num_mel_bins=128, dither=0.0) of each segment.
    """
    if segments.shape[-1] < FRAME:
        return segments.new_zeros(segments.shape[0], MEL_BINS, 0)
    frames = segments.unfold(-1, FRAME, HOP)  # [M, F, 400]
    frames = frames - frames.mean(dim=-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    # two steps, not sub_(alpha=...): a fused multiply-add moves the quietest bins by up to 0.002
    frames = frames.sub_(before.mul_(PRE_EMPHASIS)).mul_(_window().to(frames.device))
    waves = torch.fft.rfft(frames, n=FFT)  # [M, F, 257] complex
    power = waves.abs().square()
    energies = power @ _mel_bank().to(frames.device)  # [M, F, 128]
    return rearrange(energies.clamp_min(FLOOR).log(), "m f bins -> m bins f")


def hz_to_mel(hz: Tensor) -> Tensor:
    """Pitch as it is heard: equal steps in mel sound equally far apart."""
    return 1127.0 * torch.log(1.0 + hz / 700.0)


@lru_cache(maxsize=1)
def _window() -> Tensor:
    """Fades both ends of a frame to zero, so that cutting it out adds no clicks: [400]."""
    return torch.hann_window(FRAME, periodic=False)


@lru_cache(maxsize=1)
def _mel_bank() -> Tensor:
    """128 overlapping triangles, equally wide in mel from 20 Hz to 8 kHz: [257 FFT bins, 128]."""
    low, high = hz_to_mel(torch.tensor([LOWEST_HZ, RATE / 2], dtype=torch.float64)).tolist()
    width = (high - low) / (MEL_BINS + 1)
    bins = torch.arange(MEL_BINS)
    left, centre, right = (low + (bins + k) * width for k in (0.0, 1.0, 2.0))
    mel = rearrange(hz_to_mel(torch.arange(FFT // 2 + 1) * RATE / FFT), "n -> n 1")
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0)
