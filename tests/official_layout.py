"""The original's published files at tiny size: random weights under every official name, written as it writes them.

Names and shapes are those that were recorded from the original's classes; only the numbers of layers and the widths are
made small. The two branch files are the original's own. (minivl/course/replica.py writes the same layout with the
weights of the shipped model.)
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from golden import GOLDENS
from safetensors.torch import load_file
from test_parity_model import CONFIG
from torch import Tensor

from minivl.course import replica

DEPTHS = {"visual_encoder": 3, "Qformer": 4, "vision": 2, "audio": 3, "text": 1, "depth": 1, "thermal": 1, "imu": 1}
SIZES = {
    "visual_encoder": {1408: 32, 4224: 96, 6144: 139, 257: 5},
    "Qformer": {768: 24, 3072: 48, 1408: 32, 30522: 50},
    "query_tokens": {768: 24, 32: 5},
    "ln_vision": {1408: 32},
    "vision": {1280: 16, 3840: 48, 5120: 64, 257: 5, 1024: 20},
    "audio": {768: 24, 2304: 72, 3072: 96, 1024: 20},
}  # fmt: skip
OTHER_SENSES = {
    1024: 12,
    3072: 36,
    4096: 48,
    49408: 50,
    384: 12,
    1152: 36,
    1536: 48,
    768: 12,
    2304: 36,
    512: 8,
    2048: 32,
}

# The golden model, but with ears for real mel spectrograms and as many blocks as the replica's files.
TINY = replace(
    CONFIG,
    imagebind=replace(CONFIG.imagebind, audio=replace(CONFIG.imagebind.audio, mel_bins=128, mel_frames=204)),
    conversation="llama2",
)


def tiny_weights(section: str = replica.WHOLE) -> dict[str, Tensor]:
    """Random tensors for every official key of a section but the language model's, at tiny size."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key in replica.official_keys(section):
        part = key.pattern.split(".")[2 if key.pattern.startswith("audio_encoder.") else 0]
        sizes = SIZES.get(part, OTHER_SENSES)
        for name in [] if part == "llama_model" else key.names(DEPTHS.get(part, 1)):
            tensor = torch.randn([sizes.get(n, n) for n in key.shape], generator=generator) * 0.1
            if re.search(r"norm\w*\.weight|LayerNorm\.weight", name):
                tensor += 1
            weights[name] = tensor
    return weights


def write_folder(folder: Path, pickled_llm: bool = True) -> Path:
    """DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned as it is published, with the two BLIP-2 files beside it."""
    replica.write_eyes_and_ears(folder, tiny_weights() | tiny_weights(replica.TEXT_HALF))
    shutil.copy(GOLDENS / "tiny_branch_vl.pth", folder / replica.VISION_FILE)
    shutil.copy(GOLDENS / "tiny_branch_al.pth", folder / replica.AUDIO_FILE)
    write_llm(folder / replica.LLM, pickled_llm)
    return folder


def write_llm(folder: Path, pickled: bool) -> None:
    """LLaMA as transformers 4.28 saved it: two pickled shards with stray rotary buffers, or safetensors."""
    weights = load_file(GOLDENS / "full_model_llm.safetensors")
    replica.write_llm(folder, weights, late=lambda name: "layers.1." in name, pickled=pickled)
    (folder / "config.json").write_text((GOLDENS / "full_model_llm_config.json").read_text())
    shutil.copy(GOLDENS / "tiny_llama_tokenizer.model", folder / "tokenizer.model")
    words = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "LlamaTokenizer", "model_max_length": 2048, "legacy": False, **words}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
