"""Shared by all tests: few threads, fixed seeds, and a writer of small media files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import minivl.torchaudio_shim

minivl.torchaudio_shim.ensure_importable()

import av  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(autouse=True)
def _same_random_numbers_in_every_test() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def write_media(tmp_path: Path) -> Callable[..., Path]:
    """write_media("a.mp4", frames=[T, H, W, 3] uint8, fps=10, sound=[channels, n] float32) -> its path."""

    def write(
        name: str,
        frames: np.ndarray | None = None,
        fps: int = 10,
        sound: np.ndarray | None = None,
        rate: int = 16_000,
        codec: str = "aac",
        video_codec: str = "libx264",
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options or {}) as container:
            if frames is not None:
                video = container.add_stream(video_codec, rate=fps, options={"g": "12"})
                video.bit_rate = 2_000_000
                video.height, video.width = frames.shape[1:3]
                video.pix_fmt = "yuv444p" if 1 in (video.height % 2, video.width % 2) else "yuv420p"
            if sound is not None:
                layout = "mono" if len(sound) == 1 else "stereo"
                audio = container.add_stream(codec, rate=rate, layout=layout)
            if frames is not None:
                for picture in frames:
                    container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                container.mux(video.encode())
            if sound is not None:
                _encode_sound(container, audio, sound, rate)
        return path

    return write


def _encode_sound(container, audio, sound: np.ndarray, rate: int) -> None:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(sound, dtype=np.float32), format="fltp", layout=audio.layout.name
    )
    frame.sample_rate, frame.pts = rate, 0
    container.mux(audio.encode(frame))
    container.mux(audio.encode())
