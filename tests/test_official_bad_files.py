"""Files that are damaged, foreign or dangerous: one clear sentence each, and nothing is loaded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from official_layout import TINY, write_folder

from minivl import VideoLlama, WeightsError
from minivl.published.files import read_official

VIT, VL, BIND = "eva_vit_g.pth", "VL_LLaMA_2_7B_Finetuned.pth", "imagebind_huge.pth"


class Evil:
    """A pickle that creates a file when it is read without care."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (self.trace,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "official")


def sentence(folder: Path, **options: object) -> str:
    with pytest.raises(WeightsError) as caught:
        VideoLlama.from_official(folder, device="cpu", **{"config": TINY, **options})
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def change(file: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = torch.load(file, weights_only=True)
    edit(state.get("model", state))
    torch.save(state, file)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated(folder: Path, share: float) -> None:
    data = (folder / VIT).read_bytes()
    (folder / VIT).write_bytes(data[: int(share * len(data))])
    text = sentence(folder)
    assert VIT in text and ("empty" if share == 0 else "cut short") in text and "again" in text


def test_corrupt_in_the_middle_of_the_index(folder: Path) -> None:
    data = bytearray((folder / VIT).read_bytes())
    data[-60:-20] = bytes(40)
    (folder / VIT).write_bytes(data)
    assert VIT in sentence(folder)


def test_pages_and_pointers_saved_instead_of_the_file(folder: Path) -> None:
    (folder / VIT).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2000000000\n")
    assert "Git LFS pointer" in sentence(folder)
    (folder / VIT).write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    assert "a web page, not the file itself" in sentence(folder)
    (folder / VIT).write_text("just some text")
    assert VIT in sentence(folder)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_pickle_that_runs_code_is_refused(folder: Path, tmp_path: Path, old_format: bool) -> None:
    trace = tmp_path / "trace"
    evil = {"model": {"blocks.0.attn.qkv.weight": torch.zeros(1)}, "config": Evil(str(trace))}
    torch.save(evil, folder / VIT, _use_new_zipfile_serialization=not old_format)
    text = sentence(folder)
    assert not trace.exists()
    assert "could run code" in text and VIT in text
    (folder / VIT).write_bytes(pickle.dumps(Evil(str(trace))))
    assert VIT in sentence(folder)
    assert not trace.exists()


def test_no_weights_by_name(folder: Path) -> None:
    for content in (torch.zeros(3), {"model": {"a": 1}}, [1, 2]):
        torch.save(content, folder / VIT)
        assert "no weights by name" in sentence(folder)


def test_wrong_size(folder: Path) -> None:
    text = sentence(folder, config=replace(TINY, llm_width=40))
    assert VL in text and "llama_proj.weight" in text and "[32, 24]" in text and "[40, 24]" in text
    assert "language model of another width" in text
    deeper = replace(TINY, vit=replace(TINY.vit, depth=4))
    assert "lacks the weight image_encoder.vit.blocks.3" in sentence(folder, config=deeper)
    flatter = replace(TINY, vit=replace(TINY.vit, depth=2))
    assert "one weight too many, blocks.2." in sentence(folder, config=flatter)
    wider = replace(TINY, vit=replace(TINY.vit, mlp_hidden=64))
    assert "blocks.0.mlp.fc1.weight" in sentence(folder, config=wider)


def test_missing_and_unknown_weights_are_named(folder: Path) -> None:
    change(folder / VL, lambda state: state.pop("video_query_tokens"))
    assert f"{VL} lacks the weight vision_branch.qformer.queries" in sentence(folder)
    change(folder / VL, lambda state: state.update({"video_query_tokens": torch.zeros(1, 4, 24)}))
    change(folder / BIND, lambda state: state.update({"modality_trunks.audio.blocks.0.gate": torch.zeros(1)}))
    text = sentence(folder)
    assert BIND in text and "modality_trunks.audio.blocks.0.gate" in text and "ignore=(" in text
    model = VideoLlama.from_official(folder, device="cpu", config=TINY, ignore=("modality_trunks.audio.blocks.0.gate",))
    assert model.can_hear


def test_the_file_of_another_part(folder: Path) -> None:
    text = sentence(folder, vit=folder / BIND)
    assert "is not the file of EVA-CLIP's ViT" in text and "it holds ImageBind" in text
    text = sentence(folder, vision_branch=folder / "AL_LLaMA_2_7B_Finetuned.pth")
    assert "is not the file of the vision branch" in text and "it holds the audio branch" in text


def test_missing_files(folder: Path) -> None:
    (folder / VIT).unlink()
    text = sentence(folder)
    assert "no file of EVA-CLIP's ViT (eva_vit_g.pth)" in text and "as vit=" in text
    assert "nowhere.pth is missing" in sentence(folder, vit=folder / "nowhere.pth")
    assert "no folder" in sentence(folder / "nothing")
    (folder / "llama-2-7b-chat-hf" / "config.json").unlink()
    assert "no language model in its subfolders" in sentence(folder)


def test_two_files_of_one_part(folder: Path) -> None:
    (folder / "older.pth").write_bytes((folder / VL).read_bytes())
    text = sentence(folder)
    assert f"{VL} and older.pth" in text and "choose one as vision_branch=" in text
    assert VideoLlama.from_official(folder, device="cpu", config=TINY, vision_branch=folder / VL).can_see


def test_a_language_model_without_weights(folder: Path) -> None:
    llm = folder / "llama-2-7b-chat-hf"
    shard = llm / "pytorch_model-00002-of-00002.bin"
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    assert "llama-2-7b-chat-hf holds no language model" in sentence(folder)
    shard.unlink()
    assert "llama-2-7b-chat-hf" in sentence(folder)


def test_the_tensors_are_mapped_not_read(folder: Path) -> None:
    file = folder / VL
    weights = read_official(file)
    first = weights["video_query_tokens"]
    inside = [weight.data_ptr() - first.data_ptr() for weight in weights.values()]
    # all lie within one copy of the file, in its order; read one by one they would lie anywhere
    assert max(inside) - min(inside) < file.stat().st_size and len(set(inside)) == len(inside)
