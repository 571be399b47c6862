"""The official layout at tiny size: the original's names, and a model that answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from golden import GOLDENS

from minivl import Chat, VideoLlama
from minivl.checkpoints import PARTS
from minivl.config import tiny, video_llama_7b
from minivl.course import replica
from minivl.demo import CLIPS
from minivl.errors import WeightsError
from minivl.published.files import kinds, read_official
from minivl.published.keys import convert_official
from minivl.published.weights import expected_shapes, read_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replica.write_replica(tmp_path_factory.mktemp("replica") / "Video-LLaMA-2-7B-Finetuned")


@pytest.mark.parametrize(
    ("section", "recorded"),
    [(replica.WHOLE, "state_dict"), (replica.TEXT_HALF, "qformer_keys_removed_after_construction")],
)
def test_the_list_of_names_is_the_recorded_one(section: str, recorded: str) -> None:
    entries = json.loads((GOLDENS / "official_keys.json").read_text())[recorded]
    keys = list(replica.official_keys(section))
    assert [key.pattern.replace("{layer}", "{i}") for key in keys] == list(entries)
    for key, entry in zip(keys, entries.values(), strict=True):
        first, _, rest = str(entry.get("i", "0..0")).partition("..")
        last, _, step = rest.partition(" step ")
        assert key.shape == tuple(entry["shape"]), key.pattern
        assert key.layers == range(int(first), int(last) + 1, int(step or 1)), key.pattern


def test_every_name_of_the_7b_model_is_accounted_for() -> None:
    shapes = replica.official_shapes()
    assert len(shapes) == 2521
    ours = convert_official({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    assert {name: tensor.shape for name, tensor in ours.items()} == expected_shapes(video_llama_7b(), PARTS)


def test_it_is_the_tiny_model_and_answers_as_it_does(folder: Path) -> None:
    shipped = VideoLlama.from_pretrained("tiny", parts=PARTS)
    loaded = VideoLlama.from_official(folder, config=tiny(), parts=PARTS, device="cpu")
    ours, theirs = loaded.state_dict(), shipped.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    chat = Chat(loaded)
    chat.watch(CLIPS / "dog_then_train.mp4")
    assert chat.ask("what do you hear first?") == "a dog"


def test_each_file_is_known_by_what_it_holds(folder: Path) -> None:
    files = {file.name: kinds(read_official(file)) for file in folder.glob("*.pth")}
    assert files == {
        "eva_vit_g.pth": {"vit"},
        "blip2_pretrained_flant5xxl.pth": {"blip2"},
        "imagebind_huge.pth": {"imagebind"},
        replica.VISION_FILE: {"vision_branch"},
        replica.AUDIO_FILE: {"audio_branch"},
    }


def test_branch_files_hold_what_the_original_saves(folder: Path) -> None:
    """As many tensors as at 7B, stray buffers included, and two moments for each trained number."""
    for file, tensors in ((replica.VISION_FILE, 92), (replica.AUDIO_FILE, 98)):
        saved = torch.load(folder / file, weights_only=True)
        trained = [moments["exp_avg"] for moments in saved["optimizer"]["state"].values()]
        assert len(saved["model"]) == tensors and len(trained) == 58
        size = sum(tensor.nbytes for tensor in trained)
        assert (folder / file).stat().st_size == pytest.approx(3 * size, rel=0.1)


def test_most_of_it_is_left_out_for_a_reason(folder: Path) -> None:
    weights = read_weights(folder, config=tiny())
    assert "13 not: the released ViT-g file has 40 blocks" in weights.summary()
    assert "1 not: a later file has it too, and wins" in weights.summary()
    scale = weights.tensors["imagebind.audio.log_logit_scale"]
    assert scale.exp().item() == pytest.approx(tiny().imagebind.audio.logit_scale)  # not imagebind_huge.pth's 20


def test_without_branches_it_waits_for_new_ones(tmp_path: Path) -> None:
    bare = replica.write_replica(tmp_path / "bare", branches=False)
    with pytest.raises(WeightsError, match="no file of the vision branch"):
        VideoLlama.from_official(bare, config=tiny())
    model = VideoLlama.from_official(bare, config=tiny(), branches="new", parts=PARTS, device="cpu")
    mel = torch.randn(1, 2, 1, 128, 204)
    assert model.encode_segments(mel).norm(dim=-1) == pytest.approx(20.0, rel=1e-3)  # ImageBind's own scale
