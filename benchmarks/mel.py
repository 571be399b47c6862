"""Milliseconds for the log-mel spectrogram of one 2-second segment, ours and torchaudio's, on one core.

python benchmarks/mel.py --segments 8 --rounds 20
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from minivl.mel import log_mel
from minivl.torchaudio_shim import ensure_importable


def kaldi(segments: Tensor) -> Tensor:
    """torchaudio's filter bank, which takes one segment at a time: [M, samples] -> [M, 128, F]."""
    from torchaudio.compliance.kaldi import fbank

    def one(segment: Tensor) -> Tensor:
        return fbank(segment[None], htk_compat=True, window_type="hanning", num_mel_bins=128, dither=0.0).T

    return torch.stack([one(segment) for segment in segments])


def milliseconds(function: Callable[[Tensor], Tensor], segments: Tensor, rounds: int) -> float:
    """The fastest of `rounds` calls, per segment."""
    function(segments)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(segments)
        times.append(time.perf_counter() - start)
    return min(times) / len(segments) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ensure_importable()
    segments = torch.randn(options.segments, 32_000)
    print(f"minivl      {milliseconds(log_mel, segments, options.rounds):6.2f} ms a segment")
    print(f"torchaudio  {milliseconds(kaldi, segments, options.rounds):6.2f} ms a segment")
    print(f"largest difference {(log_mel(segments) - kaldi(segments)).abs().max():.1e}")


if __name__ == "__main__":
    main()
