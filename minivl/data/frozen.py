"""What a branch reads in training: frames through its frozen encoder, and which encoder that was.

    vision   frames -> ViT, image Q-Former        -> frame tokens [B, T, K, width]
    audio    frames -> ImageBind's image trunk    -> vectors [B, T, E], each standing for a segment of sound

Both give the same numbers at every step, so they may be kept (cache.py). "The same" is meant to the last bit, which
takes care: a matrix product of another shape may be summed in another order. So frames always pass through in groups
of one size.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from minivl.data.decode import view
from minivl.errors import InputError
from minivl.hardware import plain_attention_on_cpu
from minivl.model import VideoLlama

BRANCHES = ("vision", "audio")
FORMAT = 1  # of what is kept; a change of `encode` that changes its numbers has to raise it


def frozen_encoder(model: VideoLlama, branch: str) -> nn.Module:
    """The encoder whose outputs the branch is trained on.

    Raises InputError for an unknown branch, or if the model was loaded without it.
    """
    if branch not in BRANCHES:
        raise InputError(f"there is no branch {branch!r}: choose one of {', '.join(BRANCHES)}")
    found = model.image_encoder if branch == "vision" else model.imagebind and model.imagebind.image
    if found is None:
        part = "vision" if branch == "vision" else "image_trunk"
        raise InputError(
            f"the model has no encoder of frames for its {branch} branch: load it with parts=(..., {part!r})"
        )
    return found


@torch.no_grad()
def encode(model: VideoLlama, branch: str, frames: Tensor) -> Tensor:
    """Frames [B, T, 3, S, S] uint8 -> [B, T, K, width] (vision) or [B, T, E] (audio), on the encoder's device.

    A clip's numbers do not depend on the clips beside it. Raises InputError as `frozen_encoder` does.
    """
    device = next(frozen_encoder(model, branch).parameters()).device
    run = model.encode_frames if branch == "vision" else model.encode_frames_as_segments
    size = max(
        1, view(model.config, branch)[0] // frames.shape[1]
    )  # clips: one video, or as many images as it has frames
    encoded = []
    # which attention is computed must not depend on who asks: training changes it
    with plain_attention_on_cpu(device):
        for some in frames.split(size):
            filled = torch.cat([some, some[-1:].expand(size - len(some), -1, -1, -1, -1)])  # [size, T, 3, S, S]
            encoded.append(run(filled.to(device))[: len(some)])
    return torch.cat(encoded)


def fingerprint(model: VideoLlama, branch: str) -> str:
    """Sixteen hexadecimal digits that change with the encoder's weights or precision, and with what it is shown.

    All bytes of all weights, one tensor after the other: about two seconds for 10^9 weights.
    """
    config, encoder = model.config, frozen_encoder(model, branch)
    sizes = (config.vit, config.image_qformer) if branch == "vision" else (config.imagebind.image,)
    digest = hashlib.sha256(repr((FORMAT, branch, view(config, branch), sizes)).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
