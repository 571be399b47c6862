"""minivl: Video-LLaMA (arXiv 2306.02858) from scratch, small enough to read.

clip  = minivl.load_video("clip.mp4")
sound = minivl.load_audio("clip.mp4")
model = minivl.VideoLlama.from_pretrained("tiny")
chat  = minivl.Chat(model)
minivl.trace(model, clip, sound)
"""

from __future__ import annotations

from minivl import torchaudio_shim

torchaudio_shim.ensure_importable()  # before anything imports transformers

from minivl import errors  # noqa: E402
from minivl.audio import load_audio  # noqa: E402
from minivl.chat import Chat  # noqa: E402
from minivl.config import VideoLlamaConfig, tiny, video_llama_7b, video_llama_13b  # noqa: E402
from minivl.errors import InputError, MediaError, MinivlError, WeightsError  # noqa: E402
from minivl.model import VideoLlama  # noqa: E402
from minivl.trace import trace  # noqa: E402
from minivl.video import load_video  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "Chat",
    "InputError",
    "MediaError",
    "MinivlError",
    "VideoLlama",
    "VideoLlamaConfig",
    "WeightsError",
    "__version__",
    "errors",
    "load_audio",
    "load_video",
    "tiny",
    "trace",
    "video_llama_7b",
    "video_llama_13b",
]
