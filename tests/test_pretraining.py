"""The frozen parts' training: what it is taught is true, its losses mean what they say, it writes a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toy_model import TOY_CONFIG, TOY_LANGUAGE
from transformers import AutoTokenizer

from minivl.model import VideoLlama
from minivl.pretraining import pipeline
from minivl.pretraining.captioning import caption_ids
from minivl.pretraining.language import (
    LanguageTraining,
    add_noise,
    described_dialogue,
    new_language_model,
    pad_dialogues,
    text_accuracy,
)
from minivl.pretraining.pictures import WORD_ID, caption_words, paint, shown_words, sounding_class
from minivl.pretraining.shared_space import BagOfWords, by_class, contrastive_loss, record, retrieval
from minivl.pretraining.tokenizer import MARKS, build_tokenizer
from minivl.toyworld.dialogue import IGNORE, DialogueWriter
from minivl.toyworld.questions import vocabulary
from minivl.toyworld.scenes import HALF, Scene, Thing, sample_scene

# ---- the whole


@dataclass(frozen=True)
class ToyLanguageTraining(LanguageTraining):
    """Its numbers of steps are those of the real one."""

    batch_size: int = TOY_LANGUAGE.batch_size
    width: int = TOY_LANGUAGE.width
    depth: int = TOY_LANGUAGE.depth
    heads: int = TOY_LANGUAGE.heads
    mlp_hidden: int = TOY_LANGUAGE.mlp_hidden


def test_a_rehearsal_writes_a_model_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts in their order, at toy size and for two or three steps each."""
    monkeypatch.setattr(pipeline, "tiny", lambda: TOY_CONFIG)
    monkeypatch.setattr(pipeline, "LanguageTraining", ToyLanguageTraining)
    monkeypatch.setattr(pipeline, "text_accuracy", partial(text_accuracy, scenes=5))
    model = pipeline.pretrain(tmp_path / "model", seed=3, scale=0.001)
    loaded = VideoLlama.from_pretrained(tmp_path / "model", parts=("vision", "audio", "image_trunk"))
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float()), name
    reports = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "model" / "reports").iterdir()}
    assert reports.keys() == {"pretrain_imagebind", "pretrain_image_encoder", "pretrain_llm", "pretrain_all"}
    assert all(report["seed"] == 3 for report in reports.values())
    for trained in (
        reports["pretrain_imagebind"]["image_trunk"],
        reports["pretrain_imagebind"]["audio_trunk"],
        reports["pretrain_image_encoder"],
        reports["pretrain_llm"],
    ):
        assert trained["steps"] >= 2 and trained["loss"][0] > 0 and trained["seconds"] >= 0
    assert 0 <= reports["pretrain_imagebind"]["audio_trunk"]["retrieval"] <= 1
    assert {"row", "column", "radius", "name or colour"} <= reports["pretrain_image_encoder"]["caption_words"].keys()
    assert set(reports["pretrain_llm"]["text_held_out_phrasings"]) <= set(reports["pretrain_llm"]["text"])


# ---- the shared space


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def test_contrastive_loss_is_clip_s_where_every_pair_is_its_own() -> None:
    a, b = unit(6, 8), unit(6, 8)
    logits, target = a @ b.T / 0.1, torch.arange(6)
    clip = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    assert contrastive_loss(a, b, torch.eye(6), temperature=0.1) == pytest.approx(float(clip), abs=1e-5)


def test_contrastive_loss_is_least_where_pairs_agree() -> None:
    a = torch.eye(4)
    aligned = contrastive_loss(a, a, torch.eye(4))
    assert aligned < 1e-3 < 1 < contrastive_loss(a, a.roll(1, 0), torch.eye(4))
    b = unit(4, 4)
    assert contrastive_loss(a, b, torch.eye(4)) == pytest.approx(float(contrastive_loss(b, a, torch.eye(4))))


def test_two_of_a_kind_are_no_negatives() -> None:
    """Rows 0 and 1 show the same thing and have the same vector: no loss is left but the choice between the two."""
    a = torch.eye(3)[[0, 0, 1, 2]]
    same = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert contrastive_loss(a, a, same) == pytest.approx(0.5 * np.log(2), abs=2e-3)
    assert contrastive_loss(a, unit(4, 3), same) > 0.5 * np.log(2)


def test_a_bag_of_words_has_no_order() -> None:
    bags = BagOfWords(embed_dim=8)
    vectors = bags([frozenset(("red", "star")), frozenset(("star", "red")), frozenset(("bell",)), frozenset()])
    assert torch.equal(vectors[0], vectors[1]) and not torch.allclose(vectors[0], vectors[2])
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(4))


def test_retrieval_counts_the_nearest_class_mean() -> None:
    gallery = by_class(torch.eye(3)[[0, 0, 1, 2]], ["bell", "bell", "dog", ""])
    assert {name: len(vectors) for name, vectors in gallery.items()} == {"bell": 2, "dog": 1}
    heard = torch.tensor([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.9, 0.1, 0], [0, 0, 1]])
    assert retrieval(heard, ["bell", "dog", "dog", ""], gallery) == pytest.approx(2 / 3, abs=1e-4)


def test_recorded_segments_are_classed_by_what_is_heard() -> None:
    mels, classes = record(6, first_seed=40)
    assert mels.shape == (12, 1, 128, 204) and mels.dtype == torch.float16
    for index, name in enumerate(classes):
        time = 2.0 * (index % 2)
        heard = [f"{s.size} {s.name}" for s in sample_scene(40 + index // 2).sounds if s.start <= time < s.end]
        assert [name] == (heard or ["silence"])


# ---- the pictures


def test_captions_of_a_known_scene() -> None:
    scene = Scene(1, (Thing("circle", "small", "red", x=0.3, y=0.7), Thing("bell", "large", x=0.7, y=0.3)))
    words = caption_words(scene, 0.0)
    assert words[0] == "bell" and words[4:6] == ["red", "circle"]  # sounding things first
    assert words[2:4] == ["column5", "row2"] and words[7:] == ["column2", "row5"]  # 0.7 and 0.3 of 8 cells
    assert int(words[6].removeprefix("radius")) < int(words[1].removeprefix("radius"))
    assert all(word in WORD_ID for word in words)
    assert shown_words(scene, 0.0) == {"small", "red", "circle", "large", "bell"}
    assert sounding_class(scene, 0.0) == "large bell"


def test_captions_follow_time() -> None:
    two = Scene(1, (Thing("dog", "small", end=HALF), Thing("cat", "large", start=HALF)))
    assert (sounding_class(two, 0.5), sounding_class(two, 3.0)) == ("small dog", "large cat")
    assert caption_words(two, 0.5)[0] == "dog" and caption_words(two, 3.0)[0] == "cat"
    growing = Scene(1, (Thing("star", "large", "green"),), "grow")
    assert shown_words(growing, 1.0) == {"green", "star"}  # no size while it changes
    start, end = (int(caption_words(growing, t)[2].removeprefix("radius")) for t in (0.0, 3.5))
    assert start < end
    moving = Scene(1, (Thing("star", "small", "green"),), "right")
    assert caption_words(moving, 0.0)[3] < caption_words(moving, 3.5)[3]  # columns
    assert (caption_words(Scene(1, ()), 0.0), sounding_class(Scene(1, ()), 0.0)) == ([], "silence")
    assert sounding_class(growing, 0.0) == ""  # a shape makes no sound


def test_painted_pictures_are_what_their_captions_say() -> None:
    pictures = paint(40, first_seed=0, empty=0.3)
    assert pictures.pixels.shape == (40, 3, 64, 64) and pictures.pixels.dtype == torch.uint8
    assert [not words for words in pictures.captions] == [not words for words in pictures.shown]
    assert [not words for words in pictures.captions] == [name == "silence" for name in pictures.classes]
    assert 4 < pictures.classes.count("silence") < 24
    for shown, caption in zip(pictures.shown, pictures.captions, strict=True):
        assert shown - {"small", "large"} == {word for word in caption if not word[-1].isdigit()}
    assert torch.equal(paint(40, first_seed=0, empty=0.3).pixels, pictures.pixels)


def test_caption_ids_begin_end_and_are_padded() -> None:
    ids = caption_ids([["red", "star"], []])
    start, end, pad = (WORD_ID[mark] for mark in ("<start>", "<end>", "<pad>"))
    assert ids.tolist() == [[start, WORD_ID["red"], WORD_ID["star"], end], [start, end, pad, pad]]
    assert pad == 0  # what the loss leaves out


# ---- the language


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(vocabulary())


def test_the_tokenizer_reads_and_writes(tokenizer, tmp_path: Path) -> None:
    ids = tokenizer.encode("What Color is it?", add_special_tokens=False)
    assert len(ids) == 5 and tokenizer.decode(ids) == "what colour is it?"
    prompt = "###Human: <Video></Video> a red circle, then a dog###Assistant:"
    assert [tokenizer.decode([i]) for i in tokenizer.encode(prompt)] == [
        "###", "Human:", "<Video>", "</Video>", "a", "red", "circle", ",", "then", "a", "dog", "###", "Assistant:",
    ]  # fmt: skip
    unknown = tokenizer.encode("a purple zebra")
    assert unknown[2] == tokenizer.unk_token_id == tokenizer.pad_token_id == 0 and 0 not in unknown[:2]
    assert len(tokenizer) == 3 + len(MARKS) + len(vocabulary())
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode(prompt) == tokenizer.encode(prompt)


def test_a_described_scene_stands_where_the_soft_prompts_will(tokenizer) -> None:
    writer, rng = DialogueWriter(tokenizer), np.random.default_rng(0)
    senses = set()
    for seed in range(60):
        chat = described_dialogue(seed, rng, writer)
        words = tokenizer.convert_ids_to_tokens(chat.ids)
        inside, opened = [], False
        for word in words:
            opened = opened and word not in ("</Video>", "</Image>", "</Audio>")
            inside.append(opened)
            opened = opened or word in ("<Video>", "<Image>", "<Audio>")
        assert chat.described == inside and any(inside)
        assert not any(d and label != IGNORE for d, label in zip(chat.described, chat.labels, strict=True))
        senses.add(("<Audio>" in words, "<Video>" in words or "<Image>" in words))
    assert senses == {(True, False), (False, True), (True, True)}


def test_noise_falls_on_descriptions_only(tokenizer) -> None:
    writer, rng = DialogueWriter(tokenizer), np.random.default_rng(0)
    ids, mask, labels, described = pad_dialogues([described_dialogue(s, rng, writer) for s in range(8)], 0)
    assert ids.shape == mask.shape == labels.shape == described.shape
    assert (labels[mask == 0] == IGNORE).all() and not described[mask == 0].any()
    embeds = torch.zeros(*ids.shape, 24)
    noisy = add_noise(embeds, described, largest=0.5, scale=2.0)
    assert (noisy[~described] == 0).all() and (noisy[described] != 0).all()
    strengths = torch.stack([row[d].std() for row, d in zip(noisy, described, strict=True)])
    assert strengths.max() < 1.2 and strengths.unique().numel() == 8  # a strength of its own for each chat


def test_an_untrained_language_model_knows_nothing(tokenizer) -> None:
    torch.manual_seed(0)
    accuracy = text_accuracy(new_language_model(tokenizer, TOY_LANGUAGE), tokenizer, scenes=6)
    assert {"describe", "exist", "hear"} <= accuracy.keys()
    assert max(accuracy.values()) < 0.2
