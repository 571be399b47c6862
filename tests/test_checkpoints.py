"""A model as a folder: what is written, what is read back, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_model import CONFIG, small_model

from minivl.errors import InputError, WeightsError
from minivl.model import VideoLlama
from minivl.soft_prompt import VIDEO_SLOT

FRAMES = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8, generator=torch.manual_seed(1))
MEL = torch.randn(2, 2, 1, 128, 204, generator=torch.manual_seed(2))


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return small_model()


@pytest.fixture(scope="module")
def folder(model: VideoLlama, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def damaged(model: VideoLlama, tmp_path: Path) -> Path:
    """A saved model that a test may spoil."""
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_is_the_same_model(model: VideoLlama, folder: Path) -> None:
    loaded = VideoLlama.from_pretrained(folder, parts=("vision", "audio", "image_trunk"))
    assert loaded.config == model.config
    assert sorted(path.name for path in folder.iterdir()) == [
        "audio_branch.safetensors", "config.json", "image_encoder.safetensors", "imagebind.safetensors",
        "llm", "vision_branch.safetensors",
    ]  # fmt: skip
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, weight in model.state_dict().items():
        assert state[key].dtype == weight.dtype
        assert torch.equal(state[key], weight.half().float()), key
    assert loaded.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    for slot, vectors in model.soft_prompts(FRAMES, MEL).items():  # half precision costs little
        assert (loaded.soft_prompts(FRAMES, MEL)[slot] - vectors).abs().max() < 1e-2


def test_half_precision_on_disk_and_on_request_in_memory(folder: Path) -> None:
    assert {t.dtype for t in load_file(folder / "vision_branch.safetensors").values()} == {torch.float16}
    loaded = VideoLlama.from_pretrained(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    assert loaded.soft_prompts(FRAMES, MEL)[VIDEO_SLOT].dtype == torch.bfloat16


def test_only_the_wanted_parts_are_loaded(folder: Path) -> None:
    eyes = VideoLlama.from_pretrained(folder, parts=("vision",))
    assert eyes.can_see and not eyes.can_hear and eyes.imagebind is None
    ears = VideoLlama.from_pretrained(folder, parts=("audio",))
    assert ears.can_hear and ears.imagebind is not None and ears.imagebind.image is None
    with pytest.raises(InputError, match="'image_trunk'"):
        ears.encode_frames_as_segments(FRAMES)
    with pytest.raises(InputError, match="'vision'"):
        ears.encode_frames(FRAMES)
    with pytest.raises(InputError, match="there is no part touch"):
        VideoLlama.from_pretrained(folder, parts=("touch",))


def test_a_name_that_is_no_model() -> None:
    with pytest.raises(WeightsError, match=r"no-such-model is no model"):
        VideoLlama.from_pretrained("no-such-model")


@pytest.mark.parametrize("name", ["vision_branch.safetensors", "imagebind.safetensors", "llm"])
def test_a_missing_file(damaged: Path, name: str) -> None:
    (damaged / name).rename(damaged / "elsewhere")
    with pytest.raises(WeightsError, match=name):
        VideoLlama.from_pretrained(damaged)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit(damaged: Path, change: str) -> None:
    file, key = damaged / "vision_branch.safetensors", "to_llm.bias"
    state = load_file(file)
    if change == "missing":
        del state[key]
    else:
        state[key if change == "shape" else f"{key}.old"] = torch.zeros(5)
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"vision_branch.safetensors does not fit .* to_llm.bias"):
        VideoLlama.from_pretrained(damaged)


def test_a_file_that_is_no_safetensors(damaged: Path) -> None:
    (damaged / "image_encoder.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"image_encoder.safetensors is missing or no safetensors file"):
        VideoLlama.from_pretrained(damaged)


@pytest.mark.parametrize("text", ["{", json.dumps({"llm_width": 24}), json.dumps(CONFIG.to_dict() | {"new": 1})])
def test_a_config_that_cannot_be_read(damaged: Path, text: str) -> None:
    (damaged / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config.json is no configuration"):
        VideoLlama.from_pretrained(damaged)


def test_an_interrupted_save_leaves_the_old_model(
    model: VideoLlama, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()}

    def full_disk(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr("minivl.checkpoints.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(damaged)
    assert {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()} == before


def test_saving_over_a_saved_model(model: VideoLlama, damaged: Path) -> None:
    model.save_pretrained(damaged)
    assert VideoLlama.from_pretrained(damaged).config == model.config
