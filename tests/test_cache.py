"""The feature cache keeps what the encoder gives, for this content and these weights, whatever happens to writers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_model import toy_model

from minivl.data.cache import FeatureCache
from minivl.data.content import ContentHashes
from minivl.data.decode import decode
from minivl.data.frozen import encode, fingerprint
from minivl.data.samples import Sample
from minivl.errors import InputError, MediaError

MODEL = toy_model()
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
# In a process of its own: fills the cache with all images of a folder, and writes a shard for every two of them.
WRITER = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import minivl
from toy_model import toy_model
from minivl.data import cache, shards
cache.AT_ONCE, shards.SHARD_BYTES = 2, 1
media = sorted(Path(sys.argv[1]).glob("*.png"))
print(cache.FeatureCache(Path(sys.argv[2]), toy_model(), "audio").fill(media, readers=1, progress=False).added)
"""


def images(folder: Path, count: int) -> list[Path]:
    """Pictures of noise, each with other pixels."""
    folder.mkdir(exist_ok=True)
    made = []
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        made.append(folder / f"{n:04d}.png")
        Image.fromarray(pixels).save(made[-1])
    return made


def writer(media: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(media), str(cache)], env=ONE_THREAD, stdout=subprocess.PIPE, text=True
    )


def computed(media: Path, branch: str) -> torch.Tensor:
    return encode(MODEL, branch, decode(Sample(media, (), ""), MODEL.config, branch).frames[None])[0]


@pytest.fixture
def media(tmp_path: Path, write_media: Callable[..., Path]) -> list[Path]:
    """A video, a short one, and more images than are encoded at once."""
    random = np.random.default_rng(1)
    long, short = (random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (20, 3))
    videos = [write_media("long.mp4", frames=long), write_media("short.mp4", frames=short)]
    return [*videos, *images(tmp_path / "images", 19)]


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_what_is_kept_is_what_the_encoder_gives_to_the_last_bit(tmp_path: Path, media: list[Path], branch: str) -> None:
    cache = FeatureCache(tmp_path / "cache", MODEL, branch)
    assert cache.get(media[0]) is None
    report = cache.fill(media, progress=False)
    assert (report.added, report.present, report.broken) == (21, 0, []) and len(cache) == 21
    for reader in (cache, FeatureCache(tmp_path / "cache", MODEL, branch)):
        for path in media:
            kept = reader.get(path)
            assert kept and torch.equal(kept.features, computed(path, branch))
            assert bool(kept.message) == (path.suffix == ".mp4")
        kept = reader.get(media[1])
        assert kept and kept.message == "The video contains 3 frames sampled at 0.0, 0.1, 0.2 seconds. "
    assert report.bytes == sum(computed(path, branch).nbytes for path in media)
    assert (
        report.bytes
        < cache.expected_bytes(videos=2, images=19)
        == cache.expected_bytes(2) + cache.expected_bytes(0, 19)
    )


def test_filling_again_computes_only_what_is_new(tmp_path: Path, media: list[Path]) -> None:
    cache = FeatureCache(tmp_path / "cache", MODEL, "audio")
    assert cache.fill(media[:5], progress=False).added == 5
    report = cache.fill([*media, media[0]], progress=False)  # named twice
    assert (report.added, report.present) == (16, 5)
    copy = shutil.copy(media[0], tmp_path / "copy.mp4")
    assert cache.fill([Path(copy)], progress=False).present == 1  # the same content under another name


def test_the_half_precision_of_an_encoder_is_kept(tmp_path: Path, media: list[Path]) -> None:
    model = toy_model()
    assert model.image_encoder is not None
    model.image_encoder.bfloat16()
    cache = FeatureCache(tmp_path / "cache", model, "vision")
    cache.fill(media[:1], progress=False)
    kept = cache.get(media[0])
    assert kept and kept.features.dtype == torch.bfloat16
    assert fingerprint(model, "vision") != fingerprint(MODEL, "vision")


def test_another_file_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    first, second = images(tmp_path / "images", 2)
    cache = FeatureCache(tmp_path / "cache", MODEL, "vision")
    cache.fill([first], progress=False)
    before = first.stat()
    shutil.copyfile(second, first)
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))  # as old as the other
    assert cache.get(first) is None
    assert cache.fill([first], progress=False).added == 1
    kept = cache.get(first)
    assert kept and torch.equal(kept.features, computed(second, "vision"))


def test_other_weights_read_nothing_of_it(tmp_path: Path) -> None:
    (picture,) = images(tmp_path / "images", 1)
    FeatureCache(tmp_path / "cache", MODEL, "vision").fill([picture], progress=False)
    changed = toy_model()
    assert changed.image_encoder is not None
    changed.image_encoder.vit.patch.weight.data[0, 0, 0, 0] += 1e-3  # one number of one tensor
    assert FeatureCache(tmp_path / "cache", changed, "vision").get(picture) is None
    assert FeatureCache(tmp_path / "cache", MODEL, "audio").get(picture) is None
    assert FeatureCache(tmp_path / "cache", toy_model(), "vision").get(picture) is not None


def test_training_a_branch_does_not_change_the_fingerprint() -> None:
    model = toy_model()
    before = fingerprint(model, "vision"), fingerprint(model, "audio")
    assert model.vision_branch is not None
    model.vision_branch.to_llm.weight.data += 1
    assert (fingerprint(model, "vision"), fingerprint(model, "audio")) == before


def test_broken_media_are_listed_and_the_rest_is_kept(tmp_path: Path) -> None:
    good = images(tmp_path / "images", 3)
    empty, noise = tmp_path / "empty.mp4", tmp_path / "noise.mp4"
    empty.touch()
    noise.write_bytes(b"no video " * 100)
    cache = FeatureCache(tmp_path / "cache", MODEL, "audio")
    report = cache.fill([good[0], empty, good[1], noise, tmp_path / "missing.mp4", good[2]], progress=False)
    assert report.added == 3
    assert [next(n for n in ("empty", "noise", "missing") if n in words) for words in report.broken] == [
        "empty", "noise", "missing"
    ]  # fmt: skip
    with pytest.raises(MediaError, match="missing"):
        cache.get(tmp_path / "missing.mp4")


# ---- accidents, and several writers


def test_a_killed_writer_leaves_a_cache_that_opens_and_goes_on(tmp_path: Path) -> None:
    media, folder = images(tmp_path / "images", 200), tmp_path / "cache"
    process = writer(tmp_path / "images", folder)
    deadline = time.time() + 120
    while not list(folder.glob("*/shard-*")):
        assert process.poll() is None and time.time() < deadline, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    cache = FeatureCache(folder, MODEL, "audio")
    survived = len(cache)
    assert 0 < survived < 200
    report = cache.fill(media, progress=False)
    assert (report.added, report.present, report.broken) == (200 - survived, survived, [])
    for path in media[::20]:
        kept = cache.get(path)
        assert kept and torch.equal(kept.features, computed(path, "audio"))


def test_two_processes_fill_at_once(tmp_path: Path) -> None:
    media, folder = images(tmp_path / "images", 40), tmp_path / "cache"
    both = [writer(tmp_path / "images", folder) for _ in range(2)]
    added = [int(process.communicate(timeout=120)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0] and sum(added) >= 40
    cache = FeatureCache(folder, MODEL, "audio")
    assert len(cache) == 40
    assert all(torch.equal(cache.get(path).features, computed(path, "audio")) for path in media)  # type: ignore[union-attr]


def test_processes_that_know_of_each_other_share_the_work(tmp_path: Path) -> None:
    media = images(tmp_path / "images", 7)
    halves = [FeatureCache(tmp_path / "cache", MODEL, "audio") for _ in range(2)]
    assert [cache.fill(media, rank, 2, progress=False).added for rank, cache in enumerate(halves)] == [4, 3]
    halves[0].shards.refresh()
    assert all(halves[0].get(path) for path in media)


def test_what_a_killed_writer_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    (picture,) = images(tmp_path / "images", 1)
    cache = FeatureCache(tmp_path / "cache", MODEL, "audio")
    old, new = cache.folder / ".saving-old", cache.folder / ".saving-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "shard-0.safetensors").write_bytes(b"half a sha")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.fill([picture], progress=False)
    assert not old.exists() and new.exists()  # the new one may be another writer's


def test_a_damaged_shard_is_named_and_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media = images(tmp_path / "images", 3)
    cache = FeatureCache(tmp_path / "cache", MODEL, "audio")
    cache.fill(media, progress=False)
    (shard,) = cache.folder.glob("shard-*")
    shard.write_bytes(shard.read_bytes()[:-20])
    again = FeatureCache(tmp_path / "cache", MODEL, "audio")
    assert f"{shard} is damaged" in capsys.readouterr().out
    assert again.get(media[0]) is None and again.fill(media, progress=False).added == 3


def test_a_disk_without_room_is_refused_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = images(tmp_path / "images", 3)
    cache = FeatureCache(tmp_path / "cache", MODEL, "audio")
    cache.fill(media[:1], progress=False)
    needed = cache.expected_bytes(videos=0, images=2)  # one of three is there
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, needed - 1))
    with pytest.raises(InputError, match=r"the features of 2 files take up to .* give a cache folder on a larger disk"):
        cache.fill(media, progress=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, needed))
    assert cache.fill(media, progress=False).added == 2


def test_the_size_is_shown_beforehand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = FeatureCache(tmp_path / "cache", MODEL, "vision")
    cache.fill(images(tmp_path / "images", 2))
    assert "the features of 2 files take up to 0.0 MB" in capsys.readouterr().out


def test_a_model_without_the_encoder(tmp_path: Path) -> None:
    model = toy_model()
    assert model.imagebind is not None
    model.imagebind.image = None
    with pytest.raises(InputError, match=r"parts=\(\.\.\., 'image_trunk'\)"):
        FeatureCache(tmp_path, model, "audio")
    with pytest.raises(InputError, match="there is no branch 'smell'"):
        FeatureCache(tmp_path, model, "smell")


# ---- the hashes of files


def test_a_file_is_read_again_only_if_it_has_changed(tmp_path: Path) -> None:
    first, second = images(tmp_path / "images", 2)
    hashes = ContentHashes(tmp_path / "hashes.sqlite")
    assert hashes.known(first) is None
    found = hashes.of(first)
    assert hashes.known(first) == found == ContentHashes(tmp_path / "hashes.sqlite").known(first)
    assert hashes.of(second) != found
    shutil.copyfile(second, first)
    assert hashes.known(first) is None and hashes.of(first) == hashes.of(second)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "hashes.sqlite").write_bytes(b"not a table at all, but long enough to look like a file" * 40)
    with pytest.raises(InputError, match=r"hashes\.sqlite cannot be used .*: delete it"):
        ContentHashes(tmp_path / "hashes.sqlite")
