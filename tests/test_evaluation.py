"""The table of accuracies: what is counted, under which prompt, beside which baseline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_model import TOY_CONFIG, toy_model

from minivl.chat import Chat
from minivl.conversation import TINY
from minivl.errors import InputError
from minivl.evaluation import (
    Case,
    answer_all,
    as_text,
    evaluate,
    frequent_answers,
    make_cases,
    prompt_ids,
    tabulate,
    unseen_cases,
    watch_files,
    watch_rendered,
)
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.toyworld.captions import matches
from minivl.toyworld.phrasings import AUDIO_VISUAL, AUDITORY, VISUAL
from minivl.toyworld.questions import Question, questions
from minivl.toyworld.scenes import REPORTING_SEED, UNSEEN_PAIRS, Scene, Sound, Thing, sample_scene

SAMPLES = Path(__file__).parent.parent / "data_samples"
SENSES = (("sight",), ("hearing",), ("sight", "hearing"))


@pytest.fixture(scope="module")
def model() -> VideoLlama:
    return toy_model()


def case(kind: str, answer: str, *rows: str) -> Case:
    return Case(0, Question(kind, f"a question of type {kind}", answer), ("sight",), rows)


# ---- counting


def test_the_table_counts_right_answers_by_row() -> None:
    cases = [
        case("colour", "red", "sight/colour", "sight/all visual"),
        case("colour", "blue", "sight/colour", "sight/all visual"),
        case("shape", "a star", "sight/shape", "sight/all visual"),
    ]
    table = tabulate(cases, ["red", "red", "a star"], {"colour": "blue", "shape": "a cross"}.__getitem__)
    assert table == {
        "sight/all visual": {"accuracy": 0.6667, "count": 3, "blind": 0.3333},
        "sight/colour": {"accuracy": 0.5, "count": 2, "blind": 0.5},
        "sight/shape": {"accuracy": 1.0, "count": 1, "blind": 0.0},
    }
    assert "sight/shape" in as_text(table) and len(as_text(table).splitlines()) == 4


@pytest.mark.parametrize("answer", ["a star", "a  red star", "red star", "a red star moves", "A red star", ""])
def test_an_answer_is_right_only_if_it_is_the_same_string(answer: str) -> None:
    (row,) = tabulate([case("see", "a red star", "row")], [answer], lambda kind: "").values()
    assert row["accuracy"] == 0.0


def test_every_case_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="zip"):
        tabulate([case("see", "a red star", "row")], [], lambda kind: "")


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
        assert row.keys() == {"accuracy", "count", "blind"} and row["count"] > 0
        assert 0 <= row["accuracy"] <= 1 and 0 <= row["blind"] <= 1
    with pytest.raises(InputError, match="at least one clip"):
        evaluate(model, clips=0)


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
