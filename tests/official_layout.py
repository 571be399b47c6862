"""The original's published files at tiny size: random weights under every official name, written as it writes them.

Names and shapes come from goldens/official_keys.json, which was recorded from the original's classes; only the
numbers of layers and the widths are made small. The two branch files are the original's own.
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

KEYS = json.loads((GOLDENS / "official_keys.json").read_text())
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


def tiny_weights(prefix: str, section: str = "state_dict") -> dict[str, Tensor]:
    """Random tensors for every official key that begins with `prefix`, at tiny size."""
    generator = torch.Generator().manual_seed(len(prefix))
    weights = {}
    for pattern, entry in KEYS[section].items():
        if not pattern.startswith(prefix):
            continue
        part = pattern.split(".")[2 if prefix == "audio_encoder." else 0]
        sizes = SIZES.get(part, OTHER_SENSES)
        shape = [sizes.get(n, n) for n in entry["shape"]]
        span, _, step = str(entry.get("i", "0..0")).partition(" step ")
        first, last = map(int, span.split(".."))
        for i in range(first, min(last + 1, DEPTHS.get(part, 1)), int(step or 1)):
            tensor = torch.randn(shape, generator=generator) * 0.1
            if re.search(r"norm\w*\.weight|LayerNorm\.weight", pattern):
                tensor += 1
            weights[pattern.replace("{i}", str(i))] = tensor
    return weights


def write_folder(folder: Path, pickled_llm: bool = True) -> Path:
    """DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned as it is published, with the two BLIP-2 files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    vit = {
        key.removeprefix("visual_encoder."): tensor.half() for key, tensor in tiny_weights("visual_encoder.").items()
    }
    last = {key.replace("blocks.2.", "blocks.39."): tensor for key, tensor in vit.items() if "blocks.2." in key}
    torch.save(vit | last, folder / "eva_vit_g.pth")  # the released file has a block that is never run

    blip2 = tiny_weights("Qformer.") | tiny_weights("Qformer.", "qformer_keys_removed_after_construction")
    blip2 |= tiny_weights("query_tokens") | tiny_weights("ln_vision")
    blip2 |= {"t5_proj.weight": torch.randn(6, 24), "t5_proj.bias": torch.randn(6)}
    blip2["Qformer.bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save({"model": blip2}, folder / "blip2_pretrained_flant5xxl.pth")

    ears = {key.removeprefix("audio_encoder."): tensor for key, tensor in tiny_weights("audio_encoder.").items()}
    ears |= {key: torch.tensor(20.0).log() for key in ears if key.endswith("log_logit_scale")}
    torch.save(ears, folder / "imagebind_huge.pth")

    shutil.copy(GOLDENS / "tiny_branch_vl.pth", folder / "VL_LLaMA_2_7B_Finetuned.pth")
    shutil.copy(GOLDENS / "tiny_branch_al.pth", folder / "AL_LLaMA_2_7B_Finetuned.pth")
    write_llm(folder / "llama-2-7b-chat-hf", pickled_llm)
    return folder


def write_llm(folder: Path, pickled: bool) -> None:
    """LLaMA as transformers 4.28 saved it: two pickled shards with stray rotary buffers, or safetensors."""
    folder.mkdir()
    weights = load_file(GOLDENS / "full_model_llm.safetensors")
    (folder / "config.json").write_text((GOLDENS / "full_model_llm_config.json").read_text())
    shutil.copy(GOLDENS / "tiny_llama_tokenizer.model", folder / "tokenizer.model")
    words = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "LlamaTokenizer", "model_max_length": 2048, "legacy": False, **words}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if not pickled:
        from safetensors.torch import save_file

        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    shards: list[dict[str, Tensor]] = [{}, {}]
    for key, tensor in weights.items():
        shards["layers.1." in key or "head" in key][key] = tensor
    shards[0]["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.arange(4.0)
    names = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    for name, shard in zip(names, shards, strict=True):
        torch.save(shard, folder / name)
    place = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = {"metadata": {"total_size": 1}, "weight_map": place}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
