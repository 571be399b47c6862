"""The trace says of every stage what it is, and sums up to the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_model import small_model

import minivl
from minivl.audio import Sound, load_audio
from minivl.errors import InputError
from minivl.trace import Trace, trace
from minivl.video import Clip, load_video


def clip(frames: int = 4) -> Clip:
    return load_video(np.zeros((frames, 16, 16, 3), np.uint8), frames, size=16)


def sound(seconds: float = 4.0) -> Sound:
    made = load_audio(torch.randn(int(seconds * 16_000)) * 0.1)
    assert made is not None
    return made


def shapes(traced: Trace) -> dict[str, str]:
    return {stage.name: stage.shape for stage in traced.stages}


def test_every_stage_has_its_shape_with_letters() -> None:
    found = shapes(trace(small_model(), clip(), sound(), "what do you see ?"))
    assert found == {
        "frames": "[B=1, T=4, 3, H=16, W=16]",
        "ViT patches": "[B·T=4, P=5, 16]",
        "image Q-Former: frame tokens": "[B=1, T=4, K=2, 16]",
        "+ frame positions": "[B=1, T=4, K=2, 16]",
        "Video Q-Former": "[B=1, Qv=3, 16]",
        "linear: video soft prompt": "[B=1, Qv=3, D=24]",
        "waveform": "[64000]",
        "log-mel segments": "[B=1, M=2, 1, 128, F=204]",
        "ImageBind vectors": "[B·M=2, E=12]",
        "+ segment positions": "[B=1, M=2, E=12]",
        "Audio Q-Former": "[B=1, Qa=2, 16]",
        "linear: audio soft prompt": "[B=1, Qa=2, D=24]",
        "token ids, slots included": "[B=1, L=18]",
        "words and soft prompts": "[B=1, L=18, D=24]",
        "logits of the next token": "[B=1, L=18, 31]",
    }


def test_the_language_model_sees_as_many_vectors_for_four_frames_as_for_two() -> None:
    four, two = (shapes(trace(small_model(), clip(frames))) for frames in (4, 2))
    assert four["ViT patches"] != two["ViT patches"]
    assert four["words and soft prompts"] == two["words and soft prompts"]


def test_every_parameter_is_counted_once_as_frozen_or_trained() -> None:
    model = small_model()
    traced = trace(model, clip(), sound())
    branches = sum(p.numel() for part in (model.vision_branch, model.audio_branch) for p in part.parameters())
    assert traced.parameters("trained") == branches
    image_trunk = sum(p.numel() for p in model.imagebind.image.parameters())  # only training runs it
    everything = sum(p.numel() for p in model.parameters())
    assert traced.parameters("frozen") == everything - branches - image_trunk


def test_only_the_senses_that_are_given_appear() -> None:
    assert not any("ImageBind" in name for name in shapes(trace(small_model(), clip())))
    assert not any("ViT" in name for name in shapes(trace(small_model(), sound=sound())))


def test_the_trace_leaves_no_hooks_behind() -> None:
    model = small_model()
    trace(model, clip(), sound())
    assert not [name for name, module in model.named_modules() if module._forward_hooks]


def test_it_prints_as_an_aligned_table() -> None:
    lines = str(trace(small_model(), clip())).splitlines()
    column = lines[0].index("shape")
    assert all(line[column] == "[" and line[column - 2 : column] == "  " for line in lines[2:-2])
    assert "frozen" in lines[-1] and "trained" in lines[-1]
    assert trace(small_model(), clip())._repr_html_().startswith("<table>")


def test_nothing_to_trace_is_said_in_one_sentence() -> None:
    with pytest.raises(InputError, match="give a clip"):
        trace(small_model())
    model = small_model()
    model.audio_branch = None
    with pytest.raises(InputError, match="no ears"):
        minivl.trace(model, clip(), sound())


def test_the_norms_show_how_long_the_vectors_are() -> None:
    model = small_model()
    trunk = model.imagebind.audio
    for scale in (1.0, 20.0):
        trunk.log_logit_scale.fill_(scale).log_()
        norms = {stage.name: stage.norm for stage in trace(model, clip(), sound()).stages}
        assert norms["ImageBind vectors"] == pytest.approx(scale, rel=1e-4)
        assert norms["frames"] is None and norms["token ids, slots included"] is None
