"""The whole model gives the numbers of the original's training and chat code, from pixels to the answer.

goldens/full_model*.safetensors were recorded by running the original with tiny random weights: two ways
of training (captions; whole conversations, "multi") and chats of one and two turns. Ids must be equal,
soft prompts and embeddings within 1e-5, losses, logits and gradients within 1e-4.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sentencepiece
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import (
    AudioTrunkConfig,
    BranchConfig,
    ImageBindConfig,
    ImageTrunkConfig,
    QFormerConfig,
    VideoLlamaConfig,
    ViTConfig,
)
from minivl.conversation import STYLES, Conversation, upload_message, upload_slots
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.model import VideoLlama
from minivl.published.keys import convert_official
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, pad, tokenize

GOLDENS = Path(__file__).parent / "goldens"
TRAINING = json.loads((GOLDENS / "full_model_train.json").read_text())["values"]
CHATS = json.loads((GOLDENS / "full_model_chat.json").read_text())["values"]
ORIGINAL_IMAGE_ID = 400  # the original's `<ImageHere>` token
BOS, PAD = 1, 0


def small_qformer(queries: int, reads: int, depth: int, every: int) -> QFormerConfig:
    return QFormerConfig(queries, reads, 24, depth, 4, 48, cross_attention_every=every)


CONFIG = VideoLlamaConfig(
    vit=ViTConfig(image_size=28, patch_size=14, width=32, depth=3, heads=4, mlp_hidden=139),
    image_qformer=small_qformer(queries=5, reads=32, depth=4, every=2),
    imagebind=ImageBindConfig(
        embed_dim=20,
        image=ImageTrunkConfig(image_size=28, patch_size=14, width=16, depth=2, heads=4, mlp_hidden=64),
        audio=AudioTrunkConfig(mel_bins=36, mel_frames=46, width=24, depth=3, heads=3, mlp_hidden=96),
    ),
    vision_branch=BranchConfig(32, small_qformer(queries=4, reads=24, depth=2, every=1)),
    audio_branch=BranchConfig(8, small_qformer(queries=3, reads=20, depth=2, every=1)),
    llm_width=32,
    conversation="vicuna",
)


class OriginalTokenizer:
    """LLaMA's tokenizer as in transformers 4.28: sentencepiece, with "<s>" and "</s>" cut out beforehand."""

    bos_token_id, eos_token_id, unk_token_id, pad_token_id = 1, 2, 0, None

    def __init__(self) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(GOLDENS / "tiny_llama_tokenizer.model"))

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        parts = re.split("(</?s>)", text)
        special = {"<s>": [1], "</s>": [2]}
        return [i for part in parts for i in special.get(part) or self.pieces.encode(part)]


@pytest.fixture(scope="module")
def tokenizer() -> OriginalTokenizer:
    return OriginalTokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: OriginalTokenizer) -> VideoLlama:
    """The original's weights, LAVIS names and all, in our modules."""
    llm = LlamaForCausalLM(LlamaConfig(**json.loads((GOLDENS / "full_model_llm_config.json").read_text())))
    llm.load_state_dict(load_file(GOLDENS / "full_model_llm.safetensors"))
    model = VideoLlama(
        CONFIG,
        llm,
        tokenizer,
        ImageEncoder(CONFIG.vit, CONFIG.image_qformer),
        ImageBind(CONFIG.imagebind),
        VisionLanguageBranch(CONFIG.vision_branch, CONFIG.llm_width),
        AudioLanguageBranch(CONFIG.audio_branch, CONFIG.llm_width),
    )
    official = load_file(GOLDENS / "full_model.safetensors")
    weights = convert_official({key: value for key, value in official.items() if not key.startswith("@")})
    weights |= {f"llm.{key}": value for key, value in llm.state_dict().items()}
    model.load_state_dict(weights)
    return model


def tensors(file: str, case: str) -> dict[str, Tensor]:
    """The data of one case, without the case's name: "in/image", "out/loss", "grad/llama_proj.weight" ..."""
    every = load_file(GOLDENS / f"{file}.safetensors")
    return {key[1:].replace(f"{case}.", "", 1): value for key, value in every.items() if f"/{case}." in key}


def assert_close(ours: Tensor, original: Tensor, tolerance: float) -> None:
    assert ours.shape == original.shape
    assert (ours - original).abs().max() <= tolerance


def soft_prompt(model: VideoLlama, images: Tensor, train_flag: int) -> dict[int, Tensor]:
    """The original's pixels [B, 3, H, W] or [B, 3, T, H, W] -> soft prompt, by the branch that is trained."""
    pixels = images[:, :, None] if images.ndim == 4 else images
    frames = rearrange(pixels, "B c T H W -> B T c H W")
    if train_flag == 1:
        return {AUDIO_SLOT: model.audio_prompt(model.encode_frames_as_segments(frames))}
    return {VIDEO_SLOT: model.video_prompt(model.encode_frames(frames))}


def assert_gradients(model: VideoLlama, loss: Tensor, data: dict[str, Tensor]) -> None:
    model.zero_grad()
    loss.backward()
    for key, original in data.items():
        if key.startswith("grad/"):
            ((name, value),) = convert_official({key.removeprefix("grad/"): original}).items()
            ours = model.get_parameter(name).grad
            assert ours is not None and value.abs().max() > 0
            assert_close(ours, value, 1e-4)


@pytest.mark.parametrize("case", [name for name, value in TRAINING.items() if value["kind"] == "caption"])
def test_caption_training(model: VideoLlama, case: str) -> None:
    """bos, prompt, soft prompt, prompt, caption: only the caption is learned."""
    facts, data = TRAINING[case], tensors("full_model_train", case)
    soft = soft_prompt(model, data["in/image"], facts["train_flag"])
    ((slot, vectors),) = soft.items()
    before, after = facts["prompt_segment_ids"] or [[], []]
    start = [BOS, *before, *[slot] * vectors.shape[1], *after]
    captions = [ids[: facts["max_txt_len"]] for ids in facts["text_ids_untruncated"]]
    ids, mask, labels = pad(
        [start + caption for caption in captions],
        [[IGNORE] * len(start) + caption for caption in captions],
        PAD,
    )
    assert torch.equal(mask, data["out/attention_mask"])
    assert torch.equal(labels, data["out/labels"])
    assert_close(model.embed(ids, soft), data["out/inputs_embeds"], 1e-5)
    loss = model.loss(ids, mask, labels, soft)
    assert_close(loss, data["out/loss"], 1e-4)
    assert_gradients(model, loss, data)


@pytest.mark.parametrize("case", [name for name, value in TRAINING.items() if value["kind"] == "multi"])
def test_conversation_training(model: VideoLlama, case: str) -> None:
    """A whole conversation with the soft prompt in its first turn; ids and labels are the original's."""
    facts, data = TRAINING[case], tensors("full_model_train", case)
    soft = soft_prompt(model, data["in/images"], facts["train_flag"])
    ((slot, _),) = soft.items()
    rows = [[slot if i == ORIGINAL_IMAGE_ID else i for i in s["input_ids"]] for s in facts["samples"]]
    ids, _, labels = pad(rows, [sample["labels"] for sample in facts["samples"]], PAD)
    assert torch.equal(labels, data["in/labels"])
    mask = data["in/attention_mask"].long()  # hides an unk in the text too: the original pads with unk
    assert_close(model.embed(ids, soft), data["out/inputs_embeds"], 1e-5)
    assert_close(model.loss(ids, mask, labels, soft), data["out/loss"], 1e-4)


@pytest.mark.parametrize("case", CHATS)
def test_chat(model: VideoLlama, tokenizer: OriginalTokenizer, case: str) -> None:
    """Upload, then one or two questions: prompt, ids, embeddings, every step's logits, greedy answer."""
    facts, data = CHATS[case], tensors("full_model_chat", case)
    still = "in/image_processed" in data
    frames = data["in/image_processed"][:, None] if still else data["in/frames_processed"]
    soft = model.soft_prompts(rearrange(frames, "c T H W -> 1 T c H W"), data.get("in/mel"))
    style, hears = STYLES[facts["style"]], AUDIO_SLOT in soft
    slots = upload_slots(style, soft[VIDEO_SLOT].shape[1], soft[AUDIO_SLOT].shape[1] if hears else 0)
    for number, (slot, _) in enumerate(slots):
        assert_close(soft[slot], data[f"out/soft_prompt.{number}"], 1e-5)
    user, assistant = style.roles
    conversation = Conversation(style, facts["system"])
    conversation.add(user, upload_message(style, not still, still, hears, facts["msg"] or ""))
    for number, turn in enumerate(facts["turns"]):
        conversation.add(user, turn["question"])
        assert conversation.prompt() == turn["prompt"]
        ids = tokenize(tokenizer, conversation.prompt(), slots)
        assert [i for i in ids if i >= 0] == [i for segment in turn["segment_ids"] for i in segment]
        names = ("context_emb", "ids_raw", "step_logits")
        original = {name: data[f"out/turn{number}.{name}"] for name in names}
        embedded = model.embed(torch.tensor([ids]), soft)
        assert_close(embedded, original["context_emb"], 1e-5)
        new = model.generate(ids, soft, max_new_tokens=facts["max_new_tokens"])
        assert new == turn["new_ids"] == original["ids_raw"][1:].tolist()
        answered = model.embed(torch.tensor([ids + new]), soft)
        logits = model.llm(inputs_embeds=answered).logits[0, len(ids) - 1 : -1]
        assert_close(logits, original["step_logits"], 1e-4)
        conversation.add(assistant, facts["fixed_reply_between_turns"])
