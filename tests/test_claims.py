"""The claims of the paper: what is trained for them, how numbers become verdicts, and the page that tells it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from toy_model import TOY_CONFIG, numbered_features, toy_model

from minivl.branches import VisionLanguageBranch
from minivl.claims import runs
from minivl.claims.ablations import ALONE, RUNS, WITH_TEXT, MeanPooling, start
from minivl.claims.command import as_json, run_claims
from minivl.claims.exam import unordered
from minivl.claims.measures import louder
from minivl.claims.page import CLAIMS, write_page
from minivl.claims.pictures import bars
from minivl.claims.runs import branch_file, levels, load, put, train_one, workers
from minivl.claims.settings import STEPS, Settings, quick_settings
from minivl.claims.table import claim_table, number, with_range
from minivl.claims.verdicts import HOLDS, NOT, PART, Claim, as_good, at_least, better, judge
from minivl.errors import InputError, WeightsError
from minivl.image_encoder import ImageEncoder
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.toyworld.exam import Case, make_cases
from minivl.toyworld.lessons import Teacher
from minivl.toyworld.phrasings import STILL
from minivl.toyworld.questions import Question
from minivl.toyworld.scenes import sample_scene

CONFIG = replace(  # mean pooling needs as many tokens in a frame as in a soft prompt; positions for 16 frames
    TOY_CONFIG,
    image_qformer=replace(TOY_CONFIG.image_qformer, num_queries=3),
    vision_branch=replace(TOY_CONFIG.vision_branch, max_positions=16),
)


def even_model() -> VideoLlama:
    """The toy model with these sizes."""
    toy = toy_model()
    eyes, seen = ImageEncoder(CONFIG.vit, CONFIG.image_qformer), VisionLanguageBranch(CONFIG.vision_branch, 24)
    return VideoLlama(CONFIG, toy.llm, toy.tokenizer, eyes, toy.imagebind, seen, toy.audio_branch)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A few steps on a few clips."""
    folder = tmp_path_factory.mktemp("claims")
    even_model().save_pretrained(folder / "model")
    return Settings(
        folder / "cache", seeds=(0,), clips=8, first_clip=500_000, training_clips=40, shorter=150, batch=4, count=1,
        model=str(folder / "model"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(settings: Settings) -> dict[str, Any]:
    """All of the command, once: 17 trainings, all measurements, the page."""
    out = settings.cache.parent / "docs"
    return run_claims(out, settings.cache, jobs=1, settings=settings, results=out / "claims.json")


# ---- the command


def test_the_page_has_every_claim_with_its_verdict_and_picture(settings: Settings, results: dict[str, Any]) -> None:
    docs, seeds = settings.cache.parent / "docs", list(results["seeds"].values())
    page = (docs / "claims.md").read_text()
    for claim in CLAIMS:
        section = page.split(f"\n## ({claim.letter}) ")[1].split("\n## ")[0]
        verdict, checks = judge(claim, seeds)
        passed = sum(check.passed for check in checks)
        assert f"**Verdict: {verdict}**, {passed} of {len(checks)} checks pass." in section
        assert claim_table(claim, seeds) in section and all(check.text in section for check in checks)
        assert (docs / "claims" / f"{claim.letter}.png").read_bytes()[:4] == b"\x89PNG"
    assert [claim.letter for claim in CLAIMS] == ["a", "b", "c", "d", "d2", "e", "f", "g", "h", "i", "j", "k"]
    assert "minivl claims --seeds 0 --clips 8" in page


def test_every_cell_of_every_table_is_measured(results: dict[str, Any]) -> None:
    """A misspelt column or row would be a dash for ever. Eight clips do not have all rows, three hundred do."""
    scenes = [sample_scene(seed) for seed in range(300)]
    known = {row for case in make_cases(scenes, 0) for row in case.rows} | {"unseen pairs/colour", "unseen pairs/shape"}
    known |= {"sight/looks", "sight/order", "sight/form", "hearing/heard order", "image/all visual"}
    known |= {f"image/{kind}" for kind in STILL} | {
        f"sight/{kind} (as altered)" for kind in ("motion", "first", "last")
    }
    for claim in CLAIMS:
        for column, row in _cells(claim):
            assert row in known, (claim.letter, row)
            assert all(column in measured for measured in results["seeds"].values()), (claim.letter, column)
    for measured in results["seeds"].values():
        assert all(0 <= row["accuracy"] <= 1 for table in measured.values() for row in table.values())


def test_the_page_is_made_of_the_file_alone(settings: Settings, results: dict[str, Any], tmp_path: Path) -> None:
    docs = settings.cache.parent / "docs"
    write_page(json.loads((docs / "claims.json").read_text()), tmp_path)
    assert (tmp_path / "claims.md").read_text() == (docs / "claims.md").read_text()
    assert json.loads(as_json(results)) == results


def test_a_second_call_trains_nothing(
    settings: Settings, results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained again"))
    again = run_claims(tmp_path, settings.cache, jobs=1, settings=settings)
    assert again["seeds"] == results["seeds"] and again["made"]["read"] == len(RUNS)
    assert results["made"]["read"] == 0


def test_settings_that_differ_do_not_share_branches(settings: Settings) -> None:
    _, _, folder = load(settings)
    for other in (replace(settings, shorter=75), replace(settings, training_clips=41), replace(settings, batch=5)):
        assert other.folder != settings.folder
    assert folder.name.startswith(settings.folder)
    assert quick_settings(Settings(settings.cache)).steps("vision", 2) == STEPS["vision", 2] // 10


def test_wrong_arguments_are_one_sentence(tmp_path: Path) -> None:
    for wrong in ({"seeds": ()}, {"clips": 1}, {"jobs": 0}):
        with pytest.raises(InputError, match="one job at least"):
            run_claims(tmp_path, tmp_path, **wrong)  # type: ignore[arg-type]


# ---- the trainings


def test_what_a_run_needs_is_trained_before_it() -> None:
    done: set[str] = set()
    for names in levels():
        for name in names:
            assert {RUNS[name].after, RUNS[name].beside} <= done | {""}, name
        done |= set(names)
    assert done == set(RUNS)


def test_a_branch_goes_on_from_its_stage_1(settings: Settings, results: dict[str, Any]) -> None:
    """One step with a small learning rate moves it a little away from there, and not from elsewhere."""
    model, _, folder = load(settings)

    def weights(name: str) -> torch.Tensor:
        put(model, folder, name, 0)
        branch = getattr(model, f"{RUNS[name].branch}_branch")
        return torch.cat([w.detach().flatten() for w in branch.parameters()])

    for name, run in RUNS.items():
        if run.after:
            other = weights("no positions, captions" if run.without != "no positions" else "vision captions")
            moved, start_of = weights(name), weights(run.after)
            assert not torch.equal(moved, start_of)
            if other.shape == moved.shape:
                assert (moved - start_of).norm() < 0.5 * (moved - other).norm()


def test_a_damaged_branch_is_named(settings: Settings, results: dict[str, Any]) -> None:
    model, _, folder = load(settings)
    file = branch_file(folder, "audio", 0)
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    try:
        with pytest.raises(WeightsError, match=r"audio\.safetensors is missing or damaged"):
            put(model, folder, "audio", 0)
        with pytest.raises(WeightsError, match=r"audio\.safetensors is damaged"):
            train_one(settings, "audio", 0)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize(("name", "blind"), [("vision", False), ("no positions", True), ("mean pooling", True)])
def test_what_an_ablation_can_not_know(name: str, blind: bool) -> None:
    """Shuffled frames give the same soft prompt without positions, and with mean pooling; otherwise they do not."""
    branch = start(even_model(), RUNS[name], seed=0)
    frames = torch.randn(2, 8, 3, 16)  # [B, T, K, width]
    prompts, shuffled = branch(frames), branch(frames[:, torch.randperm(8)])
    assert prompts.shape == (2, 3, 24) and not torch.allclose(*prompts)
    assert torch.allclose(prompts, shuffled, atol=1e-5) == blind


def test_mean_pooling_needs_as_many_tokens_as_queries() -> None:
    with pytest.raises(InputError, match="soft prompt of 2 vectors"):
        start(toy_model(), RUNS["mean pooling"], seed=0)
    assert isinstance(start(even_model(), RUNS["mean pooling"], seed=0), MeanPooling)


def test_longer_vectors_are_what_a_larger_logit_scale_gives() -> None:
    """... and match_norms takes it back."""
    model, features = toy_model(), numbered_features(4)
    mel = torch.randn(4, 2, 1, 128, TOY_CONFIG.imagebind.audio.mel_frames)
    sounds = model.encode_segments(mel)  # [N, M, E], norm 1
    assert model.imagebind and model.imagebind.audio
    model.imagebind.audio.log_logit_scale.fill_(math.log(20))
    loud = louder(replace(features, sounds=sounds), 20).sounds
    assert torch.allclose(loud, model.encode_segments(mel), rtol=1e-4)
    assert torch.allclose(F.normalize(loud, dim=-1), sounds, atol=1e-6)


# ---- what the ingredients of joint hearing and seeing teach


def batches(model: VideoLlama, branch: str, **options: Any) -> list[Any]:
    teacher = Teacher(model, numbered_features(), branch, 2, batch_size=6, **options)
    return [teacher(step) for step in range(30)]


def test_alone_leaves_the_other_place_empty() -> None:
    model = toy_model()
    marks = model.tokenizer.convert_tokens_to_ids(["<Video>", "<Audio>"])
    for branch, mark in (("vision", marks[1]), ("audio", marks[0])):
        assert not any((batch.ids == mark).any() for batch in batches(model, branch, shares=ALONE))
        assert any((batch.ids == mark).any() for batch in batches(model, branch))


def test_with_text_has_no_second_soft_prompt() -> None:
    model = toy_model()
    beside = [(b.ids == VIDEO_SLOT).any() for b in batches(model, "audio", shares=WITH_TEXT)]
    assert not any(beside) and any((b.ids == VIDEO_SLOT).any() for b in batches(model, "audio"))


@pytest.mark.parametrize("stage", [1, 2])
def test_picture_words_never_speak_of_sound(stage: int) -> None:
    """The audio branch learns from image vectors as the paper does it: about pictures, in the words of pictures."""
    model = toy_model()
    teacher = Teacher(model, numbered_features(), "audio", stage, batch_size=6, picture_worded=True)
    text = " ".join(model.tokenizer.decode(i) for b in map(teacher, range(30)) for i in b.ids.clamp(min=0).tolist())
    assert "circle" in text and not {"hear", "heard", "sound", "sounds", "silence"} & set(text.split())
    assert all((b.ids == AUDIO_SLOT).any() and b.segments is not None for b in map(teacher, range(3)))


# ---- from numbers to verdicts


def measured(**accuracies: float) -> dict[str, Any]:
    return {"recipe": {name: {"accuracy": a, "count": 50, "blind": 0.25} for name, a in accuracies.items()}}


CLAIM = Claim(
    "x", "X", "It says so.", "So.", ("recipe",), {"seeing": (("recipe", "sight"),), "hearing": (None,)},
    (at_least("seeing", ("recipe", "sight"), 0.8), better("hearing", ("recipe", "sight"), ("recipe", "sound"), 0.1)),
    pictured=("seeing",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("seeds", "verdict"),
    [
        ([measured(sight=0.9, sound=0.8), measured(sight=0.8, sound=0.7)], HOLDS),  # on the limit is enough
        ([measured(sight=0.9, sound=0.8), measured(sight=0.9, sound=0.85)], PART),  # not in every seed
        ([measured(sight=0.7, sound=0.5)], PART),
        ([measured(sight=0.7, sound=0.7)], NOT),
        ([measured()], NOT),  # nothing was measured
    ],
)
def test_a_claim_holds_if_all_checks_pass_in_all_seeds(seeds: list[Any], verdict: str) -> None:
    assert judge(CLAIM, seeds)[0] == verdict


def test_as_good_allows_a_little_less_and_any_more() -> None:
    check = as_good("both", ("recipe", "both"), ("recipe", "one"), 0.05)
    for both, passes in ((0.85, True), (0.84, False), (1.0, True)):
        assert judge(replace(CLAIM, checks=(check,)), [measured(both=both, one=0.9)])[0] == (HOLDS if passes else NOT)


def test_a_table_shows_mean_range_baseline_and_count() -> None:
    table = claim_table(CLAIM, [measured(sight=0.9), measured(sight=0.7)])
    assert "| seeing | .800 (.700 to .900) | .250 | 50 |" in table and "| hearing | – | – |  |" in table
    assert [number(v) for v in (1.0, 0.0495, -0.2, -0.0001, math.nan)] == ["1.000", ".050", "−.200", ".000", "–"]
    assert with_range(0.5, 0.5, 0.5) == ".500"


def test_a_picture_has_a_bar_for_each_cell_that_the_table_fills() -> None:
    for claim in CLAIMS:
        measured: dict[str, Any] = {}
        for column, row in _cells(claim):
            measured.setdefault(column, {})[row] = {"accuracy": 0.5, "blind": 0.1, "count": 3}
        figure = bars(claim, [measured])
        (axes,) = figure.axes
        assert len(axes.patches) == sum(cell is not None for label in claim.pictured for cell in claim.lines[label])
        assert {bar.get_height() for bar in axes.patches} == {0.5}  # none of height 0, which would be an accuracy
        shown = [text.get_text() for text in figure.legends[0].get_texts()]
        assert set(claim.columns) <= set(shown)


def _cells(claim: Claim) -> list[tuple[str, str]]:
    return [cell for cells in claim.lines.values() for cell in cells if cell]


def test_order_unknown_is_a_coin_except_for_what_stands_still() -> None:
    def case(kind: str, answer: str) -> Case:
        return Case(0, Question(kind, "?", answer), ("sight",), (f"sight/{kind}", "sight/order", "sight/all visual"))

    table = unordered([case("motion", "it stays still"), case("motion", "it moves left"), case("first", "a dog")])
    assert {row: values["accuracy"] for row, values in table.items()} == {
        "sight/motion": 0.75, "sight/first": 0.5, "sight/order": round(2 / 3, 4),
    }  # fmt: skip


# ---- processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_in_processes_keeps_its_order_and_its_errors(jobs: int) -> None:
    work: Callable[..., float] = math.sqrt
    with workers(jobs) as do:
        assert list(do(work, [(16,), (9,), (4,)])) == [4, 3, 2]
    with pytest.raises(ValueError), workers(jobs) as do:
        list(do(work, [(16,), (-1,)]))


def test_one_job_computes_as_a_process_of_its_own_would() -> None:
    """With one thread, whatever the caller has: sums in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with workers(1) as do:
            assert list(do(torch.get_num_threads, [()])) == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
