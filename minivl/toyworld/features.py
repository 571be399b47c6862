"""Frozen features of toy-world clips, computed once and kept in a file.

The frozen parts give the same answer every time, so a training does not run them again at each step: it reads

    frame_tokens  [N, T, K, width]   what the image encoder sees in T = 8 frames        (vision branch)
    looks         [N, T, E]          ImageBind's image vectors of the same frames       (audio branch, training)
    sounds        [N, M, E]          ImageBind's audio vectors of M = 2 segments        (audio branch, hearing)
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from minivl.mel import RATE, spectrogram
from minivl.model import VideoLlama
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import Scene, sample_scene
from minivl.toyworld.sounds import render_sound

BATCH = 32  # clips rendered and encoded at a time
SEGMENT = 2 * RATE  # samples


@dataclass(frozen=True)
class Features:
    """Features of N clips and the scenes that they show. All tensors are float16."""

    scenes: list[Scene]
    frame_tokens: Tensor
    looks: Tensor
    sounds: Tensor


def encode_scenes(model: VideoLlama, scenes: list[Scene]) -> Features:
    """Render scenes (pictures and sound) and run all frozen encoders on them.

    `looks` is empty where the model was loaded without ImageBind's image trunk, which only training needs.
    """
    tokens, looks, sounds = [], [], []
    for start in tqdm(range(0, len(scenes), BATCH), desc="frozen features", mininterval=1.0):
        part = scenes[start : start + BATCH]
        frames = torch.stack([torch.from_numpy(render_frames(s, model.config.num_frames)) for s in part])
        frames = frames.permute(0, 1, 4, 2, 3)  # [B, T, 3, H, W]
        waves = torch.stack([torch.from_numpy(render_sound(s)) for s in part]).unfold(1, SEGMENT, SEGMENT)
        mels = spectrogram(waves.flatten(0, 1)).unflatten(0, waves.shape[:2])  # [B, M, 1, 128, F]
        tokens.append(model.encode_frames(frames).half())
        if model.imagebind is not None and model.imagebind.image is not None:
            looks.append(model.encode_frames_as_segments(frames).half())
        sounds.append(model.encode_segments(mels).half())
    return Features(scenes, torch.cat(tokens), torch.cat(looks or [torch.empty(0)]), torch.cat(sounds))


def cached_features(model: VideoLlama, clips: int, first_seed: int, folder: Path) -> Features:
    """Features of the clips first_seed, first_seed + 1, ...: read from `folder` if they are there, else computed.

    The file's name holds a fingerprint of the frozen weights: other weights never read a stale file.
    """
    scenes = [sample_scene(seed) for seed in range(first_seed, first_seed + clips)]
    file = folder / f"features-{fingerprint(model, scenes)}-{first_seed}-{clips}.safetensors"
    try:
        return Features(scenes, **load_file(file))
    except (FileNotFoundError, SafetensorError):  # not there, or cut off while it was written
        features = encode_scenes(model, scenes)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: getattr(features, name) for name in ("frame_tokens", "looks", "sounds")}
    unfinished = file.with_suffix(f".{os.getpid()}")
    save_file(tensors, unfinished)
    os.replace(unfinished, file)
    return features


def fingerprint(model: VideoLlama, scenes: list[Scene]) -> str:
    """Twelve hexadecimal digits that change when a frozen encoder's weights or the scenes do."""
    digest = hashlib.sha256(repr(scenes[:50]).encode())
    for part in (model.image_encoder, model.imagebind):
        for tensor in part.state_dict().values() if part is not None else ():
            digest.update(tensor.half().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
