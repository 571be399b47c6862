"""Files to a trained branch: the shipped model on a dozen rendered clips, with and without the feature cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_model import toy_model

from minivl.batch import Batch
from minivl.data.batches import FileBatches
from minivl.data.cache import FeatureCache
from minivl.data.captions import captioned_folder
from minivl.data.mixture import Mixture
from minivl.data.samples import Sample, SampleSet
from minivl.errors import InputError, WeightsError
from minivl.file_training import encoder_aside, load_branch, train_on_files
from minivl.model import VideoLlama
from minivl.recipes import Recipe, toy_recipe
from minivl.toyworld.captions import picture_caption
from minivl.toyworld.mp4 import render_mp4
from minivl.toyworld.scenes import sample_scene

CLIPS, BATCH = 12, 6


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4 and clip.txt side by side."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(CLIPS):
        scene = sample_scene(seed)
        render_mp4(folder / f"{seed:02d}.mp4", scene)
        (folder / f"{seed:02d}.txt").write_text(picture_caption(scene))
    return folder


def tiny() -> VideoLlama:
    return VideoLlama.from_pretrained("tiny", parts=("vision", "audio", "image_trunk"))


def recipe(steps: int = 20) -> Recipe:
    return toy_recipe(steps, 1.5e-3, BATCH)


def losses(folder: Path) -> list[float]:
    return [float(line.split(",")[1]) for line in (folder / "loss.csv").read_text().splitlines()[1:]]


def weights(folder: Path, branch: str = "vision") -> dict[str, torch.Tensor]:
    return load_file(folder / f"{branch}_branch.safetensors")


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_the_loss_falls_and_the_cache_changes_no_digit_of_it(tmp_path: Path, clips: Path, branch: str) -> None:
    data = [(captioned_folder(clips), 1.0)]
    cached = train_on_files(
        tiny(), branch, 1, data, tmp_path / "cached", recipe(), tmp_path / "cache", fresh=True, precision="no"
    )
    plain = train_on_files(
        tiny(), branch, 1, data, tmp_path / "plain", recipe(), fresh=True, augment=False, precision="no"
    )
    loss = losses(tmp_path / "cached" / f"{branch}_stage1")
    assert len(loss) == 20 and sum(loss[-4:]) < 0.7 * sum(loss[:4])
    assert losses(tmp_path / "plain" / f"{branch}_stage1") == loss
    assert equal(weights(tmp_path / "cached", branch), weights(tmp_path / "plain", branch))
    assert cached["loss"] == plain["loss"] and cached["random crops"] is plain["random crops"] is False


def test_what_a_run_leaves_behind(tmp_path: Path, clips: Path) -> None:
    model, data = tiny(), captioned_folder(clips)
    report = train_on_files(model, "vision", 2, [(data, 1.0)], tmp_path, recipe(2))
    assert json.loads((tmp_path / "reports" / "vision_stage2.json").read_text()) == report
    assert (tmp_path / "reports" / "vision_stage2.png").read_bytes().startswith(b"\x89PNG")
    assert report["data"] == [{"name": data.name, "samples": CLIPS, "ratio": 1.0}]
    assert report["steps"] == 2 and report["samples left out"] == 0 and report["random crops"] is True
    assert {file.name for file in tmp_path.iterdir()} == {"vision_branch.safetensors", "vision_stage2", "reports"}

    other = tiny()
    assert other.vision_branch is not None and model.vision_branch is not None
    load_branch(other, "vision", tmp_path / "vision_branch.safetensors")
    trained = model.vision_branch.state_dict()
    assert all(torch.equal(t, trained[name].half().float()) for name, t in other.vision_branch.state_dict().items())
    assert not torch.equal(other.vision_branch.to_llm.weight, tiny().vision_branch.to_llm.weight)  # type: ignore[union-attr]


def test_an_epoch_from_the_cache_is_ten_times_faster(tmp_path: Path, clips: Path) -> None:
    model, data = tiny(), captioned_folder(clips)
    mixture, steps = Mixture([data], [1.0], BATCH, 0), CLIPS // BATCH
    cache = FeatureCache(tmp_path, model, "vision")
    cache.fill((data[row].media for row in range(CLIPS)), progress=False)

    def seconds(draw: FileBatches, epochs: int) -> float:
        draw(0)  # the first batch also starts threads
        begin = time.perf_counter()
        for step in range(1, 1 + epochs * steps):
            draw(step)
        return (time.perf_counter() - begin) / epochs

    with FileBatches(model, "vision", mixture, 1, augment=False) as plain:
        slow = seconds(plain, 2)
    with FileBatches(model, "vision", mixture, 1, cache) as cached:
        fast = seconds(cached, 10)
    assert fast < slow / 10


def test_a_run_that_is_stopped_goes_on(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = [(captioned_folder(clips), 1.0)]
    train_on_files(toy_model(), "vision", 1, data, tmp_path / "whole", recipe(8), fresh=True, precision="no")
    draw = FileBatches.__call__

    def stopped(self: FileBatches, step: int, part: int = 0, parts: int = 1) -> Batch:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, step, part, parts)

    arguments = ("vision", 1, data, tmp_path / "stopped", recipe(8))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(FileBatches, "__call__", stopped)
        train_on_files(toy_model(), *arguments, fresh=True, precision="no")
    assert len(losses(tmp_path / "stopped" / "vision_stage1")) == 4
    assert not (tmp_path / "stopped" / "vision_branch.safetensors").exists()
    train_on_files(toy_model(), *arguments, fresh=True, precision="no")
    assert equal(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


def test_broken_clips_are_counted_in_the_report(tmp_path: Path, clips: Path) -> None:
    for file in clips.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "03.mp4").write_bytes(b"no video " * 50)
    (tmp_path / "05.txt").write_text("")
    data = [(captioned_folder(tmp_path), 1.0)]
    for cache in (None, tmp_path / "cache"):
        out = tmp_path / f"out-{cache is None}"
        report = train_on_files(toy_model(), "vision", 1, data, out, recipe(4), cache)
        assert report["samples left out"] == 2
        assert ["03.mp4" in line or "05.txt" in line for line in
                (out / "vision_stage1" / "broken.log").read_text().splitlines()] == [True] * 2  # fmt: skip


def test_only_what_the_run_will_draw_is_encoded(tmp_path: Path, clips: Path) -> None:
    data = [(captioned_folder(clips), 1.0)]
    train_on_files(toy_model(), "audio", 1, data, tmp_path, recipe(1), tmp_path / "cache")
    assert len(FeatureCache(tmp_path / "cache", toy_model(), "audio")) == BATCH


TWO_PROCESSES = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import minivl
from test_file_training import recipe
from toy_model import toy_model
from minivl.data.captions import captioned_folder
from minivl.file_training import train_on_files
clips, out = map(Path, sys.argv[1:])
report = train_on_files(toy_model(), "vision", 1, [(captioned_folder(clips), 1.0)], out, recipe(4), out / "cache",
                        fresh=True, precision="no")
print("report:", bool(report))
"""


def test_two_processes_share_cache_and_batches(tmp_path: Path, clips: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES.format(tests=str(Path(__file__).parent)))
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--multi_gpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(clips), str(tmp_path / "two")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert (done.stdout.count("report: True"), done.stdout.count("report: False")) == (1, 1)
    data = [(captioned_folder(clips), 1.0)]
    train_on_files(toy_model(), "vision", 1, data, tmp_path / "one", recipe(4), tmp_path / "cache", fresh=True,
                   precision="no")  # fmt: skip
    assert losses(tmp_path / "two" / "vision_stage1") == pytest.approx(
        losses(tmp_path / "one" / "vision_stage1"), abs=2e-5
    )


# ---- what does not fit


class Conversations:
    """A set whose rows are conversations."""

    name = "chats"

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int, /) -> Sample:
        if i == 0:
            raise InputError("the first row is broken")
        return Sample(Path("clip.mp4"), (("what do you see?", "a dog"),), "chats/1")


@pytest.mark.parametrize(
    ("branch", "stage", "sets", "message"),
    [
        ("smell", 1, [Conversations()], "stages are 1 and 2, branches vision and audio"),
        ("vision", 3, [Conversations()], "no stage 3"),
        ("vision", 1, [Conversations()], "chats holds conversations, and stage 1 learns captions"),
        ("vision", 2, [], "give at least one set"),
    ],
)
def test_wrong_arguments(tmp_path: Path, branch: str, stage: int, sets: list[SampleSet], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train_on_files(toy_model(), branch, stage, [(one, 1.0) for one in sets], tmp_path, recipe())


def test_a_set_smaller_than_a_batch(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(InputError, match=r"has 12 samples, and a step takes 32 .* make the batch smaller"):
        train_on_files(toy_model(), "vision", 1, [(captioned_folder(clips), 1.0)], tmp_path, toy_recipe(2))


def test_fsdp_needs_the_cache(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match=r"FSDP .* give a cache"):
        train_on_files(toy_model(), "vision", 1, [(captioned_folder(clips), 1.0)], tmp_path, recipe())


def test_a_branch_of_another_model_is_refused(tmp_path: Path) -> None:
    model, file = toy_model(), Path("minivl/weights/tiny/vision_branch.safetensors")
    assert model.vision_branch is not None
    before = model.vision_branch.to_llm.weight.clone()
    with pytest.raises(WeightsError, match=r"vision_branch\.safetensors is no vision branch of this model: positions"):
        load_branch(model, "vision", Path(__file__).parent.parent / file)
    with pytest.raises(WeightsError, match=r"missing\.safetensors is missing"):
        load_branch(model, "vision", tmp_path / "missing.safetensors")
    assert torch.equal(model.vision_branch.to_llm.weight, before)
    model.vision_branch = None
    with pytest.raises(InputError, match="no 'vision' branch"):
        load_branch(model, "vision", tmp_path / "missing.safetensors")


def test_the_encoder_leaves_the_model_while_its_features_stand_for_it() -> None:
    model = VideoLlama.from_pretrained("tiny", parts=("vision", "audio", "image_trunk"))
    eyes, trunk = model.image_encoder, model.imagebind.image
    with encoder_aside(model, "vision"), encoder_aside(model, "audio"):
        assert model.image_encoder is None and model.imagebind.image is None
        assert not [name for name in model.state_dict() if name.startswith(("image_encoder.", "imagebind.image."))]
    assert model.image_encoder is eyes and model.imagebind.image is trunk
