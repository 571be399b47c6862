"""The original's published layout at tiny size: loaded, talked to, converted, loaded again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from golden import GOLDENS, golden
from official_layout import TINY, write_folder, write_llm
from safetensors import safe_open
from test_parity_model import CHATS
from transformers import logging as transformers_logging

from minivl import Chat, VideoLlama, WeightsError
from minivl.cli import main
from minivl.errors import InputError
from minivl.language_model import load_tokenizer
from minivl.published.convert import convert
from minivl.published.keys import convert_official
from minivl.published.weights import read_weights
from minivl.vit import resize_positions

CLIP = Path(__file__).parent.parent / "data_samples" / "bell.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("official") / "Video-LLaMA-2-7B-Finetuned")


def load(folder: Path, **options: object) -> VideoLlama:
    return VideoLlama.from_official(folder, device="cpu", **{"config": TINY, **options})


def new_tokens(model: VideoLlama, clip: Path = CLIP) -> list[list[int]]:
    """What the model writes in two turns about a real video, as token ids."""
    chat = Chat(model)
    chat.watch(clip)
    for question in ("What is happening?", "And what do you hear?"):
        chat.ask(question, max_new_tokens=12)
    assert chat.notes == []
    return [list(turn.new) for turn in chat.turns]


def test_load_chat_convert_reload(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load(folder)
    said = new_tokens(model)
    assert len(said) == 2 and all(len(ids) == 12 for ids in said)
    convert(folder, tmp_path / "ours", config=TINY)
    again = VideoLlama.from_pretrained(tmp_path / "ours")
    assert new_tokens(again) == said
    ours, original = again.state_dict(), model.state_dict()
    assert ours.keys() == original.keys()
    assert all(torch.equal(ours[key], original[key]) for key in ours)
    assert not [file for file in (tmp_path / "ours").rglob("*") if file.suffix in (".pth", ".bin")]


def test_nothing_that_is_not_needed_is_held(folder: Path) -> None:
    model = load(folder)
    assert model.imagebind is not None and model.imagebind.image is None
    assert not [name for name in model.state_dict() if "text" in name or "thermal" in name]
    assert load(folder, parts=("vision",)).imagebind is None
    trainer = load(folder, parts=("image_trunk",)).imagebind
    assert trainer is not None and trainer.audio is None and trainer.image is not None


def test_the_branches_are_the_original_s_own(folder: Path) -> None:
    model = load(folder)
    _, weights = golden("full_model")
    for name, tensor in model.state_dict().items():
        if name.startswith(("vision_branch.", "audio_branch.", "imagebind.audio.log_logit_scale")):
            assert torch.equal(tensor, weights[name]), name
    assert model.imagebind is not None and model.imagebind.audio is not None
    # the scale saved with the audio branch wins over the one in imagebind_huge.pth, as in the original
    assert model.imagebind.audio.log_logit_scale.exp().item() == pytest.approx(9.0)


def test_the_summary_accounts_for_every_tensor(folder: Path) -> None:
    weights = read_weights(folder, config=TINY)
    for file in weights.files.values():
        loaded = torch.load(file, weights_only=True)
        used = {official for origin, official in weights.source.values() if origin == file}
        assert len(used) + weights.left_out[file].total() == len(loaded.get("model", loaded))
    text = weights.summary()
    assert "eva_vit_g.pth: 43 tensors used\n    13 not: the released ViT-g file has 40 blocks" in text
    assert "88 not: a sense that Video-LLaMA does not use" in text


def test_half_precision_straight_from_the_files(folder: Path) -> None:
    model = load(folder, dtype=torch.bfloat16)
    dtypes = {tensor.dtype for name, tensor in model.state_dict().items() if "log_logit_scale" not in name}
    assert dtypes == {torch.bfloat16}
    assert all(len(ids) == 12 for ids in new_tokens(model))


def test_quantized_language_model(folder: Path) -> None:
    model, whole = load(folder, quantization="8bit"), load(folder)
    layer, full = model.llm.model.layers[0].mlp.up_proj, whole.llm.model.layers[0].mlp.up_proj
    assert layer.weight.dtype == torch.int8 and 4 * layer.weight.nbytes == full.weight.nbytes
    assert model.image_encoder is not None and model.image_encoder.norm.weight.dtype == torch.float32
    assert len(new_tokens(model)) == 2


def test_the_shipped_model_still_answers_with_4_bits() -> None:
    model = VideoLlama.from_pretrained("tiny", quantization="4bit")
    layer = model.llm.model.layers[0].mlp.up_proj
    assert layer.weight.dtype == torch.uint8 and 2 * layer.weight.nbytes == layer.in_features * layer.out_features
    chat = Chat(model)
    chat.watch(CLIP)
    assert "bell" in chat.ask("what do you hear ?")


def test_a_vicuna_folder_and_a_safetensors_llm(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "series")
    shutil.rmtree(folder / "llama-2-7b-chat-hf")
    write_llm(folder / "vicuna-7b", pickled=False)
    (folder / "VL_LLaMA_2_7B_Finetuned.pth").rename(folder / "finetune-vicuna7b-v2.pth")
    (folder / "AL_LLaMA_2_7B_Finetuned.pth").rename(folder / "finetune_vicuna7b_audiobranch.pth")
    model = load(folder, conversation="vicuna")
    assert model.style.name == "vicuna"
    chat = Chat(model)
    chat.watch(CLIP)
    assert chat.prompt.startswith("###Human: Close your eyes, open your ears")
    convert(folder, tmp_path / "ours", config=TINY, conversation="vicuna")
    assert new_tokens(VideoLlama.from_pretrained(tmp_path / "ours")) == new_tokens(model)


def test_the_format_is_guessed_from_names(folder: Path, tmp_path: Path) -> None:
    from minivl.published.weights import guess_style

    files = {"vision_branch": Path("VL_LLaMA_2_7B_Finetuned.pth")}
    assert guess_style("llama-2-7b-chat-hf", files) == guess_style("x/llm", files) == "llama2"
    assert (
        guess_style("vicuna-13b", {})
        == guess_style("llm", {"vision_branch": Path("pretrain-vicuna7b.pth")})
        == "vicuna"
    )
    with pytest.raises(WeightsError, match="conversation='vicuna'"):
        guess_style("llm", {})


def test_the_tokenizer_splits_as_the_original_s(tmp_path: Path) -> None:
    write_llm(tmp_path / "llm", pickled=False)  # its settings say legacy=False, as some later folders do
    tokenizer = load_tokenizer(tmp_path / "llm", legacy=True)
    turns = [turn for chat in CHATS.values() for turn in chat["turns"]]
    for turn in turns:
        pieces = turn["prompt"].split("<ImageHere>")
        ids = [tokenizer.encode(piece, add_special_tokens=False) for piece in pieces]
        assert [[1, *ids[0]], *ids[1:]] == turn["segment_ids"]
    assert tokenizer.encode(" x", add_special_tokens=False) == [344, 270]  # transformers 4.28's ids; 5.23 gives [270]
    tokenizer.save_pretrained(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again", legacy=True)
    assert again.encode(" x") == tokenizer.encode(" x")
    assert all(again.encode(turn["prompt"]) == tokenizer.encode(turn["prompt"]) for turn in turns)


def test_older_files_without_zip_are_read_too(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "eva_vit_g_old.pth"
    torch.save(torch.load(folder / "eva_vit_g.pth"), old, _use_new_zipfile_serialization=False)
    model = load(folder, vit=old)
    assert torch.equal(
        model.state_dict()["image_encoder.vit.patch.weight"], load(folder).image_encoder.vit.patch.weight
    )


def test_another_image_size_stretches_the_positions(folder: Path) -> None:
    config = replace(TINY, vit=replace(TINY.vit, image_size=42))
    model, small = load(folder, config=config, parts=("vision",)), load(folder, parts=("vision",))
    assert model.image_encoder is not None and small.image_encoder is not None
    positions, known = model.image_encoder.vit.positions, small.image_encoder.vit.positions
    assert positions.shape == (10, 32)
    assert torch.equal(positions[0], known[0])
    corners = positions[1:][[0, 2, 6, 8]]  # of a 3x3 grid, from a 2x2 one
    assert torch.allclose(corners, known[1:], atol=0.1)
    imagebind = replace(TINY.imagebind, image=replace(TINY.imagebind.image, image_size=42))
    with pytest.raises(WeightsError, match=r"imagebind_huge.pth: .*pos_embed gives .* \[5, 16\], but .* \[10, 16\]"):
        load(folder, config=replace(TINY, imagebind=imagebind), parts=("image_trunk",))


def test_stretching_keeps_a_flat_grid_flat_and_refuses_what_is_no_square() -> None:
    flat = torch.ones(17, 3)
    assert torch.allclose(resize_positions(flat, 26), torch.ones(26, 3), atol=1e-6)
    with pytest.raises(WeightsError, match="16 tokens cannot be stretched to 26"):
        resize_positions(torch.ones(16, 3), 26)


def test_audio_vectors_can_be_brought_to_the_norm_of_image_vectors(folder: Path) -> None:
    mel = torch.randn(1, 3, 1, 128, 204)
    gap, matched = (load(folder, config=replace(TINY, match_norms=flag)) for flag in (False, True))
    assert torch.allclose(gap.encode_segments(mel).norm(dim=-1), torch.tensor(9.0))
    assert torch.allclose(matched.encode_segments(mel).norm(dim=-1), torch.tensor(1.0))
    assert torch.allclose(gap.encode_segments(mel) / 9, matched.encode_segments(mel), atol=1e-6)


def test_convert_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # the sizes on the command line are the published ones: a tiny file is refused, and nothing is left behind
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 2
    assert "eva_vit_g.pth" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pickled_llm_becomes_safetensors_without_stray_buffers(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "ours", config=TINY)
    files = sorted((tmp_path / "ours" / "llm").glob("*.safetensors"))
    assert [file.name for file in files] == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    keys = [key for file in files for key in safe_open(file, "pt").keys()]
    assert len(keys) == len(set(keys)) and not [key for key in keys if "inv_freq" in key]
    transformers_logging.set_verbosity_warning()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "x"}, "no argument weights: files are given as vit, blip2"),
        ({"quantization": "2bit"}, "no quantization '2bit'"),
    ],
)
def test_wrong_arguments(folder: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(folder, **options)


def test_the_original_s_names_convert_back(folder: Path) -> None:
    """Every tensor of the two branch files lands in the model, bit for bit."""
    state = load(folder).state_dict()
    for part in ("vl", "al"):
        for key, tensor in convert_official(torch.load(GOLDENS / f"tiny_branch_{part}.pth")["model"]).items():
            assert torch.equal(state[key], tensor)


def test_a_name_on_the_hub_is_downloaded_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(name: str, to: Path) -> Path:
        asked.append(name)
        return Path(shutil.copytree(folder, to, dirs_exist_ok=True))

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("minivl.published.download.download_official", download)
    name = "DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned"
    for _ in range(2):
        weights = read_weights(name, config=TINY)
    assert asked == [name] and all(tmp_path in file.parents for file in weights.files.values())


def test_a_file_by_url_is_downloaded_into_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(shutil.copytree(folder, tmp_path / "mine"))
    elsewhere = Path((mine / "eva_vit_g.pth").rename(tmp_path / "vit.pth"))
    url = "https://example.org/models/eva.pth"
    monkeypatch.setattr("minivl.published.download.download_file", lambda given, to: shutil.copy(elsewhere, to) and to)
    assert load(mine, vit=url).can_see and (mine / "eva.pth").is_file()
