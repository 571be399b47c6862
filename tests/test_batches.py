"""From files to training batches: what is in them, that they repeat, and what happens to unusable samples."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_model import toy_model

from minivl.batch import Batch
from minivl.conversation import TINY, VICUNA
from minivl.data.batches import FileBatches
from minivl.data.cache import FeatureCache
from minivl.data.decode import decode
from minivl.data.frozen import encode
from minivl.data.mixture import Mixture
from minivl.data.samples import Sample, SampleSet
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import IGNORE, VIDEO_SLOT
from minivl.supervision import CAPTION_PROMPTS, caption_example, caption_prompt, conversation_example, first_question
from minivl.training import BranchLearner

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple")
TURNS = (("what do you see?", "a red circle"), ("is there a dog?", "no"))
MODEL = toy_model()


@dataclass(frozen=True)
class Listed:
    """A set of samples; a row that is a text is broken, and the text says how."""

    name: str
    rows: Sequence[Sample | str]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int, /) -> Sample:
        row = self.rows[i]
        if isinstance(row, str):
            raise InputError(row)
        return row


def captions(name: str, files: Sequence[Path]) -> Listed:
    """Each file with a caption of its own colour."""
    return Listed(
        name, [Sample(f, (("", f"a {COLOURS[k % 6]} circle"),), f"{name}/{f.name}") for k, f in enumerate(files)]
    )


def conversations(name: str, files: Sequence[Path], turns: tuple[tuple[str, str], ...] = TURNS) -> Listed:
    return Listed(name, [Sample(file, turns, f"{name}/{file.name}") for file in files])


@pytest.fixture
def videos(write_media: Callable[..., Path]) -> list[Path]:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 32, 32, 3), dtype=np.uint8)
    return [write_media(f"{n}.mp4", frames=frames) for n, frames in enumerate(noise)]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    noise = np.random.default_rng(1).integers(0, 256, (6, 30, 40, 3), dtype=np.uint8)
    for n, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    return [tmp_path / f"{n}.png" for n in range(6)]


def batches(sets: SampleSet | Sequence[SampleSet], stage: int = 1, batch: int = 6, **options: object) -> FileBatches:
    sets = [sets] if isinstance(sets, Listed) else list(sets)  # type: ignore[arg-type]
    seed, branch, model = (
        options.pop(name, value) for name, value in (("seed", 0), ("branch", "vision"), ("model", MODEL))
    )
    mixture = Mixture(sets, [1.0] * len(sets), batch, seed)  # type: ignore[arg-type]
    return FileBatches(model, branch, mixture, stage, **options)  # type: ignore[arg-type]


def same(first: Batch, second: Batch) -> bool:
    features = [one.frame_tokens if one.segments is None else one.segments for one in (first, second)]
    assert features[0] is not None and features[1] is not None
    return (
        first.origins == second.origins
        and torch.equal(first.ids, second.ids)
        and torch.equal(first.labels, second.labels)
        and torch.equal(features[0], features[1])
    )


def words(ids: Sequence[int], model: VideoLlama = MODEL) -> str:
    return model.tokenizer.decode([i for i in ids if i >= 0 and i != model.pad_id])


# ---- what is in a batch


def test_stage_1_is_the_soft_prompt_and_the_caption(videos: list[Path]) -> None:
    with batches(captions("clips", videos), augment=False) as draw:
        batch = draw(0)
    assert batch.frame_tokens is not None and batch.segments is None
    assert batch.frame_tokens.shape == (6, 8, 2, 16)  # [B, T, K, width]
    for row, origin in enumerate(batch.origins):
        number = int(origin[len("clips/")])
        expected = caption_example(MODEL.tokenizer, f"a {COLOURS[number]} circle", VIDEO_SLOT, 3)
        length = len(expected.ids)
        assert batch.ids[row, :length].tolist() == expected.ids and not batch.mask[row, length:].any()
        assert batch.labels[row, :length].tolist() == expected.labels
        frames = decode(Sample(videos[number], (), ""), MODEL.config, "vision").frames
        assert torch.equal(batch.frame_tokens[row], encode(MODEL, "vision", frames[None])[0])


def test_the_audio_branch_gets_image_vectors(videos: list[Path], pictures: list[Path]) -> None:
    for files, length in ((videos, 8), (pictures, 1)):
        with batches(captions("clips", files), branch="audio") as draw:
            batch = draw(0)
        assert batch.frame_tokens is None and batch.segments is not None
        assert batch.segments.shape == (6, length, 12)  # [B, M, E]
        assert (batch.ids == -202).sum(dim=1).tolist() == [2] * 6


def test_stage_2_asks_for_captions_with_one_of_four_prompts_a_batch(pictures: list[Path]) -> None:
    model = toy_model()
    model.style = VICUNA
    drawn = set()
    with batches(captions("pictures", pictures), stage=2, model=model) as draw:
        for step in range(12):
            batch = draw(step)
            expected = [
                [
                    caption_example(
                        model.tokenizer, f"a {COLOURS[int(origin[len('pictures/')])]} circle", VIDEO_SLOT, 3,
                        caption_prompt(VICUNA, line), VICUNA.stop, 320,
                    ).ids
                    for origin in batch.origins
                ]
                for line in CAPTION_PROMPTS
            ]  # fmt: skip
            rows = [row[mask > 0].tolist() for row, mask in zip(batch.ids, batch.mask, strict=True)]
            (number,) = [k for k, batch_ids in enumerate(expected) if batch_ids == rows]
            drawn.add(number)
    assert len(drawn) > 1


def test_a_conversation_says_when_a_videos_frames_were_taken(videos: list[Path], pictures: list[Path]) -> None:
    model = toy_model()
    model.style = VICUNA
    times = "The video contains 8 frames sampled at 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7 seconds. "
    llava = (("what is this? <image>", "a red circle"), TURNS[1])
    for files, turns, first in (
        (videos, TURNS, first_question("video", TURNS[0][0], times)),
        (pictures, llava, first_question("image", llava[0][0])),
        (pictures, TURNS, first_question("image", f"<image> {TURNS[0][0]}")),
        (videos, llava, first_question("video", "what is this?", times)),
    ):
        said = [(first, turns[0][1]), turns[1]]
        expected = conversation_example(model.tokenizer, VICUNA, said, VIDEO_SLOT, 3)
        with batches(conversations("chats", files, turns), stage=2, model=model) as draw:
            batch = draw(0)
        assert all(row == expected.ids for row in batch.ids.tolist())
        assert all(row == expected.labels for row in batch.labels.tolist())


def test_the_tiny_model_is_asked_as_in_its_chats(videos: list[Path]) -> None:
    assert MODEL.style is TINY
    for branch, tag in (("vision", "Video"), ("audio", "Audio")):
        with batches(conversations("chats", videos), stage=2, branch=branch) as draw:
            ids = draw(0).ids[0].tolist()
        assert words(ids) == words(
            MODEL.tokenizer.encode(
                f"###Human:<{tag}></{tag}> what do you see?###Assistant: a red circle###Human: is there a dog?"
                "###Assistant: no###"
            )
        )


def test_a_long_caption_is_cut(pictures: list[Path]) -> None:
    long = Listed("long", [Sample(file, (("", "a red circle " * 30),), "") for file in pictures])
    for max_tokens, length in ((None, 32), (5, 5)):
        with batches(long, max_tokens=max_tokens) as draw:
            assert (draw(0).labels != IGNORE).sum(dim=1).tolist() == [length] * 6


# ---- the same batches again


def test_a_batch_depends_on_seed_and_step_alone(videos: list[Path], pictures: list[Path]) -> None:
    sets = [captions("videos", videos), captions("pictures", pictures)]
    with batches(sets, batch=3) as first, batches(sets, batch=3) as second, batches(sets, batch=3, seed=1) as other:
        in_order = [first(step) for step in range(6)]
        assert len({batch.origins[0].split("/")[0] for batch in in_order}) == 2
        for step in (4, 1, 5, 5, 0):  # as after a resumed run
            assert same(second(step), in_order[step])
        assert not same(other(0), in_order[0])


def test_another_process_draws_the_same(videos: list[Path]) -> None:
    program = f"""
import sys, hashlib
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import minivl
from test_batches import batches, captions
with batches(captions("videos", [Path(name) for name in sys.argv[1:]]), batch=3) as draw:
    draw(0)
    print(hashlib.sha256(draw(1).frame_tokens.numpy().tobytes()).hexdigest())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    printed = subprocess.run(
        [sys.executable, "-c", program, *map(str, videos)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    with batches(captions("videos", videos), batch=3) as draw:
        tokens = draw(1).frame_tokens
    assert tokens is not None
    assert printed.stdout.split()[-1] == hashlib.sha256(tokens.numpy().tobytes()).hexdigest()


def test_training_sees_other_pixels_of_a_file_each_time(videos: list[Path]) -> None:
    one = captions("one", videos[:1])
    with batches(one, batch=1) as draw, batches(one, batch=1, augment=False) as plain:
        assert not same(draw(0), draw(1)) and same(draw(0), draw(0))
        assert same(plain(0), plain(1))


@pytest.mark.parametrize("parts", [2, 4])
def test_the_parts_of_a_step_are_the_whole(videos: list[Path], parts: int) -> None:
    with batches(captions("videos", videos)) as draw, batches(captions("videos", videos)) as alone:
        for step in range(2):
            whole = alone(step)
            cut = [draw(step, part, parts) for part in range(parts)]
            assert whole.frame_tokens is not None
            for part, batch in enumerate(cut):
                assert batch.origins == whole.origins[part::parts]
                assert batch.frame_tokens is not None
                assert torch.equal(batch.frame_tokens, whole.frame_tokens[part::parts])
            assert sum(int((batch.labels != IGNORE).sum()) for batch in cut) == int((whole.labels != IGNORE).sum())


# ---- with a cache


@pytest.mark.parametrize("branch", ["vision", "audio"])
def test_training_from_the_cache_equals_training_without_it(
    tmp_path: Path, videos: list[Path], pictures: list[Path], branch: str
) -> None:
    sets = [captions("videos", videos), captions("pictures", pictures)]
    cache = FeatureCache(tmp_path / "cache", MODEL, branch)
    cache.fill([*videos[:4], *pictures[::2]], progress=False)  # what is not there is computed
    learner = BranchLearner(MODEL, branch)
    with (
        batches(sets, batch=5, branch=branch, augment=False) as plain,
        batches(sets, batch=5, branch=branch, cache=cache) as cached,
    ):
        for step in range(5):
            assert same(plain(step), cached(step))
            assert torch.equal(learner(plain(step)), learner(cached(step)))


# ---- samples that cannot be used


def test_a_broken_sample_is_logged_counted_and_left_out(
    tmp_path: Path, videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    videos[2].write_bytes(b"no video " * 50)
    whole = captions("clips", videos)
    unknown = Sample(videos[5], (("", "zyxwv"),), "clips/unknown")  # no word that the model knows
    rows = [
        *whole.rows[:3],
        "clips.csv, line 5, has an empty 'caption': mend the row or delete it",
        whole.rows[4],
        unknown,
    ]
    log = tmp_path / "run" / "broken.log"
    with batches(Listed("clips", rows), log=log) as draw:
        for step in range(2):
            assert sorted(draw(step).origins) == ["clips/0.mp4", "clips/1.mp4", "clips/4.mp4"]  # nothing in their place
        lines = sorted(log.read_text().splitlines())
        assert [line.split(":")[0] for line in lines] == [f"clips/unknown, {videos[5]}", "clips", "clips"]
        assert f"{videos[2]} is not a video" in lines[1] and "clips.csv, line 5" in lines[2]
        assert sorted(draw.left_out.times.values()) == [2, 2, 2]
    assert capsys.readouterr().out.count("left out:") == 3


def test_clips_of_another_length_are_left_out(
    videos: list[Path], pictures: list[Path], write_media: Callable[..., Path]
) -> None:
    short = write_media("short.mp4", frames=np.zeros((5, 32, 32, 3), dtype=np.uint8))
    for files, left, told in (
        (
            [*videos[:4], pictures[0], short],
            {"0.mp4", "1.mp4", "2.mp4", "3.mp4"},
            {"0.png: number of frames 1, which is 8", "short.mp4: number of frames 4, which is 8"},
        ),
        (
            [*pictures[:4], videos[0], videos[1]],
            {"0.png", "1.png", "2.png", "3.png"},
            {"0.mp4: number of frames 8, which is 1"},
        ),
    ):
        with batches(captions("mixed", files)) as draw:
            assert set(draw(0).origins) == {f"mixed/{name}" for name in left}
            assert all(any(words in line for line in draw.left_out.times) for words in told)


def test_a_lost_batch_is_replaced_by_the_next_sets(tmp_path: Path, videos: list[Path], pictures: list[Path]) -> None:
    lost = captions("lost", [tmp_path / "lost" / f"{n}.mp4" for n in range(6)])
    sets = [lost, captions("pictures", pictures)]
    with batches(sets, batch=3) as draw, batches(sets, batch=3) as again:
        step = next(step for step in range(20) if draw.mixture.batch(step)[0] is lost)
        batch = draw(step)
        assert len(batch.origins) == 3 and all(origin.startswith("pictures/") for origin in batch.origins)
        assert len(draw.left_out.times) == 3
        assert same(batch, again(step))
        halves = [again(step, part, 2) for part in range(2)]
    assert sorted(halves[0].origins + halves[1].origins) == sorted(batch.origins)


def test_a_lost_part_learns_nothing_and_the_others_go_on(tmp_path: Path, videos: list[Path]) -> None:
    files = [videos[0], *(tmp_path / f"missing{n}.mp4" for n in range(5))]
    with batches(captions("clips", files)) as draw:
        parts = [draw(0, part, 6) for part in range(6)]
        learning = [part for part in parts if (part.labels != IGNORE).any()]
        assert [part.origins for part in learning] == [("clips/0.mp4",)]
        assert list(draw.left_out.times.values()) == [1] * 5  # each by the part whose sample it is
        empty = next(part for part in parts if not (part.labels != IGNORE).any())
        loss = BranchLearner(MODEL, "vision")(empty, torch.tensor(10))
    loss.backward()
    assert float(loss.detach()) == 0


def test_a_set_of_which_nothing_can_be_used(tmp_path: Path) -> None:
    lost = captions("lost", [tmp_path / "lost" / f"{n}.mp4" for n in range(6)])
    with (
        batches(lost, batch=3) as draw,
        pytest.raises(InputError, match=r"3 batches in a row .* because lost: .*mp4 does not exist"),
    ):
        draw(0)


# ---- wrong arguments


def test_what_does_not_fit(tmp_path: Path, videos: list[Path]) -> None:
    clips = captions("clips", videos)
    cache = FeatureCache(tmp_path / "cache", MODEL, "vision")
    with pytest.raises(InputError, match="no random crops"):
        batches(clips, cache=cache, augment=True)
    with pytest.raises(InputError, match="no stage 3"):
        batches(clips, stage=3)
    blind = toy_model()
    blind.image_encoder = None
    with pytest.raises(InputError, match=r"parts=\(\.\.\., 'vision'\)"):
        batches(clips, model=blind)
