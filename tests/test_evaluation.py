"""The table of accuracies: what is counted, how sure it is, under which prompt, beside which baselines."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_model import TOY_CONFIG, toy_model

from minivl.chat import Chat
from minivl.confidence import wilson, wilson_of_groups, wilson_of_mean
from minivl.conversation import TINY
from minivl.errors import InputError
from minivl.evaluation import (
    Case,
    answer_all,
    as_text,
    compare,
    evaluate,
    frequent_answers,
    make_cases,
    presence,
    presence_as_text,
    prompt_ids,
    tabulate,
    unseen_cases,
    watch_files,
    watch_rendered,
)
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.toyworld.captions import matches
from minivl.toyworld.features import encode_scenes
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, VISUAL
from minivl.toyworld.probes import probe
from minivl.toyworld.questions import Question, questions
from minivl.toyworld.scenes import CHOOSING_SEED, REPORTING_SEED, UNSEEN_PAIRS, Scene, Sound, Thing, sample_scene

SAMPLES = Path(__file__).parent.parent / "data_samples"
SENSES = (("sight",), ("hearing",), ("sight", "hearing"))


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


def case(kind: str, answer: str, *rows: str, clip: int = 0) -> Case:
    return Case(clip, Question(kind, f"a question of type {kind}", answer), ("sight",), rows)


# ---- counting


def test_the_table_counts_right_answers_by_row() -> None:
    cases = [
        case("colour", "red", "sight/colour", "sight/all visual", clip=0),
        case("colour", "blue", "sight/colour", "sight/all visual", clip=1),
        case("shape", "a star", "sight/shape", "sight/all visual", clip=2),
    ]
    table = tabulate(cases, ["red", "red", "a star"], {"colour": "blue", "shape": "a cross"}.__getitem__)
    assert table == {
        "sight/all visual": {"accuracy": 0.6667, "low": 0.2077, "high": 0.9385, "count": 3, "blind": 0.3333},
        "sight/colour": {"accuracy": 0.5, "low": 0.0945, "high": 0.9055, "count": 2, "blind": 0.5},
        "sight/shape": {"accuracy": 1.0, "low": 0.2065, "high": 1.0, "count": 1, "blind": 0.0},
    }
    header, *lines = as_text(table).splitlines()
    assert len(lines) == 3 and header.split() == "condition/question type accuracy 95 % interval blind count".split()
    assert lines[1].split() == ["sight/colour", "0.500", "0.095", "to", "0.905", "0.500", "2"]


@pytest.mark.parametrize("answer", ["a star", "a  red star", "red star", "a red star moves", "A red star", ""])
def test_an_answer_is_right_only_if_it_is_the_same_string(answer: str) -> None:
    (row,) = tabulate([case("see", "a red star", "row")], [answer], lambda kind: "").values()
    assert row["accuracy"] == 0.0


def test_every_case_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="zip"):
        tabulate([case("see", "a red star", "row")], [], lambda kind: "")


# ---- how sure it is


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_the_literature(right: int, count: int, low: float, high: float) -> None:
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(count - right, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("share", "count"), [(0.5, 30), (0.9, 40), (0.97, 300)])
def test_the_interval_holds_the_truth_in_95_of_100_exams(share: float, count: int) -> None:
    covered = 0.0
    for right in range(count + 1):
        low, high = wilson(right, count)
        if low <= share <= high:
            covered += math.comb(count, right) * share**right * (1 - share) ** (count - right)
    assert 0.92 < covered < 0.985


@pytest.mark.parametrize(("right", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_there_is_no_interval_without_answers(right: int, count: int) -> None:
    with pytest.raises(InputError, match="there is no interval"):
        wilson(right, count)


def test_questions_about_one_clip_count_as_far_as_they_are_independent() -> None:
    once = [(1, 1)] * 18 + [(0, 1)] * 2
    assert wilson_of_groups(once) == wilson(18, 20)
    always_together = [(3, 3)] * 18 + [(0, 3)] * 2  # three questions a clip, all right or all wrong
    assert wilson_of_groups(always_together) == pytest.approx(wilson(18, 20))
    evenly = [(2, 3)] * 20  # further apart than chance would put them: no reason to be surer
    assert wilson_of_groups(evenly) == wilson(40, 60)
    assert wilson_of_groups([(2, 2), (3, 3)]) == wilson(5, 5) and wilson_of_groups([(0, 2)]) == wilson(0, 2)


def test_the_table_knows_which_answers_are_about_one_clip() -> None:
    rows = [case("see", "yes", "row", clip=clip) for clip in range(10) for _ in range(4)]
    together = tabulate(rows, ["yes"] * 32 + ["no"] * 8, str)["row"]
    spread = tabulate(rows, ["yes", "yes", "yes", "yes", "no"] * 8, str)["row"]
    assert together["accuracy"] == spread["accuracy"] == 0.8
    assert together["high"] - together["low"] > 1.5 * (spread["high"] - spread["low"])


def test_the_interval_of_a_mean() -> None:
    """Newcombe, Interval estimation for the difference ..., 1998, table II (a): 56/70 - 48/80 is 0.0524 to 0.3339."""
    mean, low, high = wilson_of_mean((56, 70), (80 - 48, 80))
    assert (2 * mean - 1, 2 * low - 1, 2 * high - 1) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_hallucination_is_counted_on_both_sides() -> None:
    cases = [case("exist", "yes", "both/exist", "both/exist (yes)", clip=i) for i in range(10)]
    cases += [case("exist", "no", "both/exist", "both/exist (no)", clip=10 + i) for i in range(30)]
    cases.append(case("hear_exist", "no", "both/hear_exist", "both/hear_exist (no)", clip=40))
    table = tabulate(cases, ["yes"] * 9 + ["no"] + ["yes"] * 6 + ["no"] * 24 + ["no"], lambda kind: "no")
    found = presence(table)
    assert found.keys() == {"both/exist"}  # of hear_exist nothing that is there was asked for
    row = found["both/exist"]
    assert row["present"] == 10 and row["affirmed"] == 0.9 and row["absent"] == 30 and row["denied"] == 0.8
    assert row["balanced"] == 0.85 and 0.65 < row["low"] < 0.75 and 0.88 < row["high"] < 0.95
    assert presence_as_text(found).splitlines()[1].split()[:4] == ["both/exist", "0.900", "0.800", "0.850"]


# ---- what is asked


def test_every_question_type_is_asked_in_its_conditions() -> None:
    cases = make_cases([sample_scene(REPORTING_SEED + i) for i in range(60)], seed=1)
    rows = Counter(row for c in cases for row in c.rows)
    for kind in (*VISUAL, *AUDITORY, *AUDIO_VISUAL):
        assert rows[f"both/{kind}"] and rows[f"held out/{kind}"]
    assert {f"sight/{kind}" for kind in VISUAL} <= rows.keys()
    assert {f"hearing/{kind}" for kind in AUDITORY} <= rows.keys()
    assert not {f"hearing/{kind}" for kind in VISUAL} & rows.keys()
    assert {f"both/{k} ({a})" for k in ("exist", "hear_exist", "match") for a in ("yes", "no")} <= rows.keys()
    assert {"sight/thing", "hearing/hear (silence)", "sight/all visual", "both/all auditory"} <= rows.keys()
    for group, kinds in (("sight/all visual", VISUAL), ("hearing/all auditory", AUDITORY)):
        assert rows[group] == sum(rows[f"{group.split('/')[0]}/{kind}"] for kind in kinds)
    assert rows["both/exist"] == rows["both/exist (yes)"] + rows["both/exist (no)"] == rows["sight/exist"]


def test_the_hard_cases_of_absence_have_rows_of_their_own() -> None:
    """The other sense says that it is there."""
    scenes = [sample_scene(CHOOSING_SEED + i) for i in range(150)]
    found = Counter()
    for c in make_cases(scenes, seed=1):
        for row in c.rows:
            if "but" in row:
                found[row.split("/")[1]] += 1
                other = scenes[c.clip].sounds if c.question.kind == "exist" else scenes[c.clip].things
                assert c.question.answer == "no" and any(x.name in c.question.text for x in other)
    assert found["exist (no, but heard)"] > 5 and found["hear_exist (no, but seen)"] > 5


def test_a_condition_is_a_choice_of_soft_prompts() -> None:
    scenes = [sample_scene(REPORTING_SEED + i) for i in range(40)]
    for c in make_cases(scenes, seed=1):
        groups = {row.split("/")[0] for row in c.rows}
        if c.senses != ("sight", "hearing"):
            assert groups in ({c.senses[0]}, {"held out"})
            assert c.question.kind in (VISUAL if c.senses == ("sight",) else AUDITORY)
        elif groups != {"held out"}:
            disagree = matches(scenes[c.clip]) is False
            assert groups == ({"both", "disagree"} if disagree else {"both"})
        if c.question.kind == "match":
            assert c.senses == ("sight", "hearing")


def test_held_out_cases_are_worded_as_no_training_was() -> None:
    scenes, rng = [sample_scene(REPORTING_SEED + i) for i in range(5)], np.random.default_rng(0)
    trained = {q.text.rstrip("?") for s in scenes for _ in range(60) for q in questions(s, rng)}
    held_out = {c.question.text.rstrip("?") for c in make_cases(scenes, 1) if c.rows[0].startswith("held out")}
    assert held_out and not held_out & trained


def test_unseen_pairs_are_asked_for_colour_and_shape() -> None:
    scenes = [sample_scene(REPORTING_SEED + i, unseen_pairs=True) for i in range(6)]
    cases = unseen_cases(scenes, first_clip=24, seed=1)
    assert {row for c in cases for row in c.rows} == {"unseen pairs/colour", "unseen pairs/shape"}
    assert [c.clip for c in cases] == [24 + i for i in range(6) for _ in range(2)]
    for c in cases:
        assert any(c.question.answer in (colour, f"a {shape}") for colour, shape in UNSEEN_PAIRS)


def test_the_same_seed_asks_the_same() -> None:
    scenes = [sample_scene(REPORTING_SEED + i) for i in range(3)]
    assert make_cases(scenes, 1) == make_cases(scenes, 1) != make_cases(scenes, 2)


# ---- how it is asked


@pytest.mark.parametrize("senses", SENSES)
def test_prompts_are_those_of_chat(model: VideoLlama, senses: tuple[str, ...]) -> None:
    chat = Chat(model)
    chat.watch(SAMPLES / "bell.mp4", sight="sight" in senses, hearing="hearing" in senses)
    question = "please tell me, what colour is it?"
    assert prompt_ids(model, question, senses) == chat._prepare(question, 1).ids


def test_answers_are_those_of_chat(model: VideoLlama) -> None:
    """One clip, many questions: in a batch, and one after the other."""
    asked = ["what do you see?", "which way does it move", "is there a dog?"]
    cases = [Case(0, Question("see", text, ""), senses, ()) for text in asked for senses in SENSES]
    soft = {}
    for senses in SENSES:
        chat = Chat(model)
        chat.watch(SAMPLES / "bell.mp4", sight="sight" in senses, hearing="hearing" in senses)
        soft[senses] = chat
    both = soft[SENSES[2]]._soft
    answers = answer_all(model, cases, both[VIDEO_SLOT], both[AUDIO_SLOT], batch_size=4)
    for c, answer in zip(cases, answers, strict=True):
        soft[c.senses].reset()
        assert soft[c.senses].ask(c.question.text, max_new_tokens=32) == answer


class Parrot:
    """Answers with the number of the clip whose soft prompt it is shown, and with which senses."""

    def __init__(self, model: VideoLlama) -> None:
        self.style, self.config, self.tokenizer, self.batches = TINY, TOY_CONFIG, model.tokenizer, []

    def answer_batch(self, prompts: list[list[int]], soft: dict[int, Tensor], max_new_tokens: int) -> list[str]:
        self.batches.append(len(prompts))
        assert all(set(filter(lambda t: t < 0, ids)) == set(soft) for ids in prompts)
        seen, heard = soft.get(VIDEO_SLOT), soft.get(AUDIO_SLOT)
        numbers = [
            [prompt is not None and int(prompt[i, 0, 0]) for prompt in (seen, heard)] for i in range(len(prompts))
        ]
        return [f"{see} {hear}" for see, hear in numbers]


def test_every_question_gets_its_own_clip(model: VideoLlama) -> None:
    cases = make_cases([sample_scene(REPORTING_SEED + i) for i in range(4)], seed=1)
    parrot, n = Parrot(model), torch.arange(4.0)[:, None, None]
    answers = answer_all(parrot, cases, n.expand(4, 3, 24), 100 + n.expand(4, 2, 24), batch_size=16)
    for c, answer in zip(cases, answers, strict=True):
        seen, heard = ("sight" in c.senses and c.clip), ("hearing" in c.senses and 100 + c.clip)
        assert answer == f"{seen} {heard}"
    assert max(parrot.batches) == 16 and sum(parrot.batches) == len(cases)


# ---- the clips


def test_files_show_the_model_what_the_world_renders(model: VideoLlama) -> None:
    scenes = [
        Scene(1, (Thing("circle", "large", "red"),), sounds=(Sound("bell", "large"),)),
        Scene(2, (Thing("star", "large", "blue"),), "left", (Sound("rain", "small"),)),
    ]
    for files, rendered in zip(watch_files(model, scenes), watch_rendered(model, scenes), strict=True):
        assert files.shape == rendered.shape
        same, other = (files - rendered).norm(dim=-1).mean(), (files - rendered.flip(0)).norm(dim=-1).mean()
        assert same < 0.5 * other


def test_the_whole_table(model: VideoLlama) -> None:
    table = evaluate(model, clips=2, seed=REPORTING_SEED)
    assert {"both/exist", "sight/describe", "hearing/hear", "held out/see", "unseen pairs/colour"} <= table.keys()
    for row in table.values():
        assert row.keys() == {"accuracy", "low", "high", "count", "blind"} and row["count"] > 0
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1 and 0 <= row["blind"] <= 1
    with pytest.raises(InputError, match="at least one clip"):
        evaluate(model, clips=0)


def test_baselines_are_columns_beside_the_same_accuracies(model: VideoLlama) -> None:
    plain = evaluate(model, clips=2, seed=CHOOSING_SEED, from_files=False)
    table = evaluate(model, clips=2, seed=CHOOSING_SEED, from_files=False, baselines=True)
    everywhere = {"text only", "blank", "swapped"}
    for row, values in table.items():
        assert plain[row].items() <= values.items()
        assert everywhere <= values.keys() and all(0 <= values[name] <= 1 for name in everywhere)
        assert "shuffled" in values or "hear" in row or "auditory" in row  # a sound has no frames to shuffle
    features = encode_scenes(model, [sample_scene(CHOOSING_SEED + i) for i in range(2)])
    for row, values in probe(model, features, "text only", CHOOSING_SEED).items():
        assert table[row]["text only"] == values["accuracy"]
    assert "shuffled" in table["sight/see"] and "shuffled" not in table["hearing/hear"]
    header, *lines = as_text(table).splitlines()
    assert all(name in header for name in (*everywhere, "shuffled")) and "text only" not in as_text(plain)
    heard = next(line for line in lines if line.startswith("hearing/hear "))
    assert heard.split()[6] == f"{table['hearing/hear']['text only']:.3f}" and heard.split()[7] == "-"


def test_tables_side_by_side() -> None:
    left = tabulate([case("see", "a", "sight/see"), case("shape", "b", "sight/shape")], ["a", "a"], str)
    text = compare({"intact": left, "one frame": {"sight/see": left["sight/shape"]}})
    assert [line.split() for line in text.splitlines()] == [
        ["intact", "one", "frame"], ["sight/see", "1.000", "0.000"], ["sight/shape", "0.000", "-"]
    ]  # fmt: skip


def test_the_baseline_is_the_most_frequent_answer() -> None:
    rng, answers = np.random.default_rng(5), {}
    for seed in range(1500):
        for q in questions(sample_scene(seed), rng):
            answers.setdefault(q.kind, Counter())[q.answer] += 1
    blind = frequent_answers(scenes=1500)
    for kind, counter in answers.items():
        top, count = counter.most_common(1)[0]
        assert counter[blind(kind)] > 0.8 * count, (kind, blind(kind), top)  # a tie may fall either way
    assert blind("hear") == "silence" and blind("no such type") == ""


def test_a_deaf_model_is_not_asked_to_hear(model: VideoLlama) -> None:
    """A missing part is one sentence, not a wrong number."""
    deaf = VideoLlama(model.config, model.llm, model.tokenizer, model.image_encoder, vision_branch=model.vision_branch)
    with pytest.raises(InputError, match="without the part 'audio'"):
        evaluate(deaf, clips=1, from_files=False)
