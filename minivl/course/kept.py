"""What one notebook leaves for the next: a trained branch in a folder for temporary files.

The file's name holds a fingerprint of everything that is frozen, since a branch is worth nothing behind other eyes or
in front of another language model. A smoke test has a folder of its own, so that no half-trained branch is taken
for a trained one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from minivl.course.profile import SMOKE
from minivl.model import VideoLlama


def kept(model: VideoLlama, name: str) -> Path:
    """The file for a branch of this model, such as "vision_stage1"; whether it is there or not. Makes its folder."""
    user = getattr(os, "getuid", lambda: 0)()  # a folder of another user cannot be written to
    folder = Path(tempfile.gettempdir()) / f"minivl-course-{user}{'-smoke' if SMOKE else ''}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name}-{frozen_digest(model)}.safetensors"


def frozen_digest(model: VideoLlama) -> str:
    """Twelve hexadecimal digits that change when a number in one of the frozen parts does."""
    digest = hashlib.sha256()
    for part in model.frozen_parts():
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
