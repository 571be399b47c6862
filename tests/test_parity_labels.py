"""Texts become the original's token ids and labels, and these the original's loss.

full_model_train.json holds what the original was trained on in each recorded case. labels.json adds dialogues and
captions that are cut or hold unusual characters. Both are read with LLaMA's tokenizer twice: by sentencepiece, as the
original does, and by transformers.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import test_parity_model as parity
import torch
from transformers import LlamaTokenizer

from minivl.conversation import LLAMA2, STYLES, VICUNA
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, IMAGE_HERE, VIDEO_SLOT, pad
from minivl.supervision import (
    CAPTION_PROMPTS,
    Example,
    caption_example,
    caption_prompt,
    conversation_example,
    first_question,
)

model, tokenizer = parity.model, parity.tokenizer  # fixtures: the original's weights, and sentencepiece

RECORDED = json.loads((parity.GOLDENS / "labels.json").read_text(encoding="utf-8"))
DIALOGUES = {dialogue["case"]: dialogue for dialogue in RECORDED["dialogues"]}
LOSES_ITS_IMAGE = {name for name, d in DIALOGUES.items() if d["ids"].count(parity.ORIGINAL_IMAGE_ID) < d["num_query"]}
MODEL_TYPES = {"vicuna": VICUNA, "llama_v2": LLAMA2}


@pytest.fixture(scope="module", params=["sentencepiece", "transformers"])
def llama(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """LLaMA's tokenizer, small, in two implementations; legacy: as transformers was in the original's time."""
    if request.param == "sentencepiece":
        return parity.OriginalTokenizer()
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(parity.GOLDENS / "tiny_llama_tokenizer.model", folder / "tokenizer.model")
    return LlamaTokenizer.from_pretrained(folder, legacy=True)


def turns(annotation: list[dict[str, str]], msg: str | None) -> list[tuple[str, str]]:
    """The turns of a VideoChat ("q", "a") or LLaVA ("from", "value") annotation, with the placeholder."""
    if "q" in annotation[0]:
        asked = [(turn["q"], turn["a"]) for turn in annotation]
        return [(first_question("video", asked[0][0], msg or ""), asked[0][1]), *asked[1:]]
    said = [sentence["value"] for sentence in annotation]
    return list(zip([first_question("image", said[0]), *said[2::2]], said[1::2], strict=True))


def examples(tokenizer: Any, facts: dict[str, Any]) -> list[Example]:
    """The rows of a recorded training batch, made of its texts alone."""
    audio = facts["train_flag"] == 1
    slot = AUDIO_SLOT if audio else VIDEO_SLOT
    length = (parity.CONFIG.audio_branch if audio else parity.CONFIG.vision_branch).qformer.num_queries
    if facts["kind"] == "caption":
        prompt, end, limit = facts["prompt"] or IMAGE_HERE, facts["end_sym"], facts["max_txt_len"]
        return [caption_example(tokenizer, text, slot, length, prompt, end, limit) for text in facts["texts"]]
    style = MODEL_TYPES[facts["model_type"]]
    dialogues = [turns(sample["annotation"], sample["msg"]) for sample in facts["samples"]]
    return [conversation_example(tokenizer, style, dialogue, slot, length) for dialogue in dialogues]


def with_slots(ids: list[int], slot: int) -> list[int]:
    """The original's ids, with our slot for its `<ImageHere>` token."""
    return [slot if i == parity.ORIGINAL_IMAGE_ID else i for i in ids]


@pytest.mark.parametrize("case", parity.TRAINING)
def test_texts_become_the_originals_loss(model: VideoLlama, llama: Any, case: str) -> None:
    """From the annotation to the loss: rows, padding, embeddings, logits."""
    facts, data = parity.TRAINING[case], parity.tensors("full_model_train", case)
    rows = examples(llama, facts)
    ids, mask, labels = pad([row.ids for row in rows], [row.labels for row in rows], parity.PAD)
    multi = facts["kind"] == "multi"
    assert torch.equal(labels, data["in/labels" if multi else "out/labels"])
    assert torch.equal(mask, data["in/attention_mask" if multi else "out/attention_mask"].long())
    soft = parity.soft_prompt(model, data["in/images" if multi else "in/image"], facts["train_flag"])
    parity.assert_close(model.embed(ids, soft), data["out/inputs_embeds"], 1e-5)
    parity.assert_close(model.loss(ids, mask, labels, soft), data["out/loss"], 1e-4)


@pytest.mark.parametrize("case", [name for name, facts in parity.TRAINING.items() if facts["kind"] == "multi"])
def test_dialogues_of_the_recorded_batches(llama: Any, case: str) -> None:
    facts = parity.TRAINING[case]
    for row, sample in zip(examples(llama, facts), facts["samples"], strict=True):
        assert [max(i, -1) for i in row.ids] == [
            -1 if i == parity.ORIGINAL_IMAGE_ID else i for i in sample["input_ids"]
        ]
        assert row.labels == sample["labels"]


@pytest.mark.parametrize("case", sorted(set(DIALOGUES) - LOSES_ITS_IMAGE))
def test_dialogues_that_are_cut_or_hold_unusual_characters(llama: Any, case: str) -> None:
    facts = DIALOGUES[case]
    (question, answer), *rest = facts["turns"]
    dialogue = [(first_question(facts["kind"], question, facts["msg"]), answer), *rest]
    example = conversation_example(llama, STYLES[facts["style"]], dialogue, VIDEO_SLOT, facts["num_query"])
    assert example.ids == with_slots(facts["ids"], VIDEO_SLOT)
    assert example.labels == facts["labels"]


@pytest.mark.parametrize("case", sorted(LOSES_ITS_IMAGE))
def test_an_image_that_the_cut_takes_away_is_an_error(llama: Any, case: str) -> None:
    """The original's collator lets such a row pass, and the training stops at it with a ValueError."""
    facts = DIALOGUES[case]
    ((question, answer),) = facts["turns"]
    with pytest.raises(InputError, match="soft prompt would be cut"):
        dialogue = [(first_question("image", question), answer)]
        conversation_example(llama, STYLES[facts["style"]], dialogue, VIDEO_SLOT, facts["num_query"])


@pytest.mark.parametrize("facts", RECORDED["captions"], ids=lambda facts: f"{facts['text'][:15]} {facts['max_tokens']}")
def test_captions_that_are_cut_or_hold_unusual_characters(llama: Any, facts: dict[str, Any]) -> None:
    example = caption_example(llama, facts["text"], VIDEO_SLOT, 2, end=facts["end"], max_tokens=facts["max_tokens"])
    assert example.ids == [parity.BOS, VIDEO_SLOT, VIDEO_SLOT, *facts["ids"]]
    assert example.labels == [parity.IGNORE] * 3 + facts["ids"]


@pytest.mark.parametrize("case", ["cap_image_prompt", "cap_image_prompt_llama2"])
def test_requests_for_captions(case: str) -> None:
    facts = parity.TRAINING[case]
    (style,) = (style for style in (VICUNA, LLAMA2) if style.stop == facts["end_sym"])
    assert facts["prompt"] in [caption_prompt(style, line) for line in CAPTION_PROMPTS]
