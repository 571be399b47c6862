"""The toy world: its pictures and sounds show what the scene says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from minivl.toyworld.render import PALETTE, render_frames, render_still
from minivl.toyworld.scenes import (
    COLOURS,
    HALF,
    SHAPES,
    SIZES,
    THINGS,
    UNSEEN_PAIRS,
    Scene,
    Sound,
    Thing,
    sample_scene,
)
from minivl.toyworld.sounds import render_events, render_sound

RATE = 16_000


def mask(scene: Scene, frame: np.ndarray) -> np.ndarray:
    """Where a frame differs from the same seed's empty picture: [H, W] bool."""
    empty = render_still(Scene(scene.seed, ()), 0.0, frame.shape[0])
    return np.abs(frame.astype(int) - empty).sum(-1) > 60


def middle(scene: Scene, frame: np.ndarray) -> tuple[float, float]:
    """(x, y) of the middle of all that is drawn, 0..1."""
    rows, columns = np.nonzero(mask(scene, frame))
    return float((columns.mean() + 0.5) / frame.shape[1]), float((rows.mean() + 0.5) / frame.shape[0])


def centroid(waveform: np.ndarray) -> float:
    """The mean frequency of the power spectrum, Hz."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float((power * np.fft.rfftfreq(len(waveform), 1 / RATE)).sum() / power.sum())


# ---- pictures


@pytest.mark.parametrize("seed", range(5))
def test_same_scene_same_clip(seed: int) -> None:
    scene = sample_scene(seed)
    frames, sound = render_frames(scene), render_sound(scene)
    assert frames.shape == (8, 64, 64, 3) and frames.dtype == np.uint8
    assert sound.shape == (4 * RATE,) and sound.dtype == np.float32
    assert np.array_equal(frames, render_frames(scene))
    assert np.array_equal(sound, render_sound(scene))
    assert not np.array_equal(frames, render_frames(Scene(seed + 1, scene.things, scene.motion)))


@pytest.mark.parametrize("seed", range(5))
def test_more_frames_show_the_same_clip(seed: int) -> None:
    scene = sample_scene(seed)
    frames = render_frames(scene)
    assert np.array_equal(render_frames(scene, num_frames=32)[::4], frames)
    assert np.array_equal(render_still(scene, 1.5), frames[3])


def test_a_larger_picture_shows_the_same() -> None:
    for seed in range(6):
        small, large = render_frames(sample_scene(seed)), render_frames(sample_scene(seed), size=128)
        reduced = large.reshape(8, 64, 2, 64, 2, 3).mean(axis=(2, 4))
        assert np.abs(reduced - small).mean() < 5


def test_a_still_of_the_clip_shows_the_same_thing() -> None:
    scene = Scene(4, (Thing("dog", "small", end=HALF, x=0.4), Thing("car", "large", start=HALF, x=0.6)))
    assert np.abs(render_still(scene.at(3.0), 3.0).astype(int) - render_still(scene, 3.0)).mean() < 1


@pytest.mark.parametrize(("motion", "step"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))])
def test_motion_goes_the_named_way_and_is_centred(motion: str, step: tuple[int, int]) -> None:
    scene = Scene(3, (Thing("circle", "small", "red", x=0.45, y=0.55),), motion)
    path = np.array([middle(scene, f) for f in render_frames(scene)])  # [T, 2]
    assert path.mean(0) == pytest.approx([0.45, 0.55], abs=0.01)
    travelled = (path[-1] - path[0]) @ step
    assert travelled == pytest.approx(0.4, abs=0.03)
    assert np.abs((path - path.mean(0)) @ (step[1], step[0])).max() < 0.01  # a straight line


def test_growing_and_shrinking_average_to_the_size() -> None:
    def widths(motion: str) -> np.ndarray:
        scene = Scene(3, (Thing("square", "small", "blue"),), motion)
        return np.sqrt([mask(scene, f).sum() for f in render_frames(scene)])

    grow, shrink, still = widths("grow"), widths("shrink"), widths("still")
    assert (np.diff(grow) > 0).all() and (np.diff(shrink) < 0).all()
    assert grow[-1] / grow[0] > 2
    assert grow.mean() == pytest.approx(still.mean(), rel=0.05)
    assert shrink.mean() == pytest.approx(still.mean(), rel=0.05)


def test_still_things_move_less_than_half_a_pixel() -> None:
    scene = Scene(3, (Thing("cross", "large", "purple"),))
    path = 64 * np.array([middle(scene, f) for f in render_frames(scene)])
    assert np.abs(path - path.mean(0)).max() < 0.5


@pytest.mark.parametrize("name", (*SHAPES, *THINGS))
def test_large_is_larger_than_small(name: str) -> None:
    def width(size: str, seed: int) -> float:
        scene = Scene(seed, (Thing(name, size, "green" if name in SHAPES else ""),))
        rows, columns = np.nonzero(mask(scene, render_still(scene, 0.0)))
        return float(np.ptp(rows) + np.ptp(columns))

    small, large = ([width(size, seed) for seed in range(8)] for size in SIZES)
    assert np.mean(large) / np.mean(small) > 1.5
    assert min(large) > 1.25 * max(small)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_shape_has_the_nearest_colour_of_the_palette(shape: str, colour: str) -> None:
    frame = render_still(Scene(9, (Thing(shape, "large", colour),)), 0.0)
    seen = frame[30:34, 30:34].reshape(-1, 3).mean(0)
    assert min(PALETTE, key=lambda c: float(np.abs(seen - PALETTE[c]).sum())) == colour


def test_backgrounds_are_muted() -> None:
    for seed in range(60):
        corner = render_still(Scene(seed, ()), 0.0).reshape(-1, 3).astype(float).mean(0)
        assert corner.max() - corner.min() < 40  # the six colours: over 100


@pytest.mark.parametrize("turn", np.linspace(0, 2, 9))
def test_three_large_things_do_not_touch(turn: float) -> None:
    places = [(0.5 + 0.25 * np.cos(turn + a), 0.5 + 0.25 * np.sin(turn + a)) for a in 2 * np.pi / 3 * np.arange(3)]
    for shape in SHAPES:
        things = tuple(Thing(shape, "large", "red", x=x, y=y) for x, y in places)
        together = mask(Scene(2, things), render_still(Scene(2, things), 0.0, 128)).sum()
        lone = [render_still(Scene(2, (t, Thing("circle", "small", "red", x=9.0))), 0.0, 128) for t in things]
        apart = sum(mask(Scene(2, ()), frame).sum() for frame in lone)
        assert together == pytest.approx(apart, abs=8)  # pixels: an overlap would be counted twice


def test_events_are_shown_one_after_the_other() -> None:
    scene = Scene(5, (Thing("bell", "large", end=HALF), Thing("cat", "small", start=HALF)))
    areas = [mask(scene, f).sum() for f in render_frames(scene)]
    assert min(areas[:4]) > 2 * max(areas[4:]) > 0


def test_unseen_pairs_are_never_sampled_for_training() -> None:
    pairs = {(t.colour, t.name) for seed in range(2000) for t in sample_scene(seed).shapes}
    assert len(pairs) == len(COLOURS) * len(SHAPES) - len(UNSEEN_PAIRS)
    assert not pairs & set(UNSEEN_PAIRS)
    for seed in range(50):
        (thing,) = sample_scene(seed, unseen_pairs=True).things
        assert (thing.colour, thing.name) in UNSEEN_PAIRS


# ---- sounds


@pytest.mark.parametrize("name", THINGS)
def test_a_large_thing_sounds_lower(name: str) -> None:
    for seed in range(5):
        small, large = (centroid(render_events((Sound(name, size),), seed)) for size in SIZES)
        assert large < 0.75 * small


@pytest.mark.parametrize("name", THINGS)
def test_both_halves_hold_the_sound(name: str) -> None:
    for seed in range(10):
        first, last = render_events((Sound(name, "small"),), seed).reshape(2, -1).std(1)
        assert 0.6 < first / last < 1.6


def test_two_events_stay_in_their_halves() -> None:
    drum, bird = Sound("drum", "large", 0.0, HALF), Sound("bird", "small", HALF, 4.0)
    both, silence = render_events((drum, bird), 3), render_events((), 3)
    first, last = (both - silence).reshape(2, -1)
    assert centroid(first) < 400 and centroid(last) > 2500
    assert np.abs(render_events((drum,), 3) - silence)[2 * RATE :].max() == 0
    assert np.abs([first[0], first[-1], last[0], last[-1]]).max() < 0.01  # faded: no clicks


def test_silence_is_quiet_and_sounds_are_not() -> None:
    for seed in range(30):
        level = 20 * np.log10(render_events((), seed).std())
        assert -61 < level < -34
        peak = np.abs(render_events((Sound("phone", "small"),), seed)).max()
        assert 0.09 < peak <= 1.0
