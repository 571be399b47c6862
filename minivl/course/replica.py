"""The original's published files at the size of the shipped tiny model: same names, same layout, same oddities.

    the tiny model's weights ─► the original's 2,521 names (official_keys.txt) ─► eva_vit_g.pth, imagebind_huge.pth, ...

The published files are 22 GB, and one of them needs a licence to be accepted. Whoever wants to see how they are loaded
needs their shape, not their size: this folder has the same eight kinds of weights that nobody uses, the same pickles
and shards, and is written in a second. Its model is the tiny one, so it answers.

official_keys.txt was recorded from the original's classes at true size; nothing in it is derived from our own names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minivl.checkpoints import PARTS, SHIPPED
from minivl.model import VideoLlama
from minivl.published.keys import QKV, rename, unused_because

KEYS = Path(__file__).with_name("official_keys.txt")
WHOLE, TEXT_HALF = "the whole model", "deleted from BLIP-2's Q-Former"  # the sections of official_keys.txt
LAYER = "{layer}"
SCALE = "modality_postprocessors.audio.1.log_logit_scale"
IMAGEBIND_SCALE = 20.0  # what ImageBind multiplies its audio vectors with; the audio branch's file has the last word
UNUSED_SIDE = 4  # of tensors that nobody reads: their real size would say nothing
LLM = "llama-2-7b-chat-hf"
VISION_FILE, AUDIO_FILE = "VL_LLaMA_2_7B_Finetuned.pth", "AL_LLaMA_2_7B_Finetuned.pth"
# The original saves what is trained, and all buffers, whosesoever they are: 92 and 98 tensors.
BUFFERS = ("Qformer.bert.embeddings.position_ids", "llama_model.")
VISION_KEYS = (*BUFFERS, "video_", "llama_proj.")
AUDIO_KEYS = (
    *BUFFERS, "video_Qformer.bert.embeddings.position_ids", "audio_Qformer.", "audio_query_tokens",
    "audio_position_embedding.", "audio_llama_proj.", "audio_encoder.modality_preprocessors.text.mask",
    *(f"audio_encoder.modality_postprocessors.{sense}." for sense in ("audio", "depth", "thermal", "imu")),
)  # fmt: skip


@dataclass(frozen=True)
class OfficialKey:
    """A weight's name in the original, once for all layers that have it."""

    pattern: str  # "visual_encoder.blocks.{layer}.norm1.weight"
    layers: range  # one number where the pattern has no layer
    shape: tuple[int, ...]  # in the 7B model

    def names(self, depth: int | None = None) -> list[str]:
        """The name in each layer, or in each of the first `depth`."""
        return [self.pattern.replace(LAYER, str(n)) for n in self.layers if depth is None or n < depth]


def official_keys(section: str = WHOLE) -> Iterator[OfficialKey]:
    """The rows of a section of official_keys.txt: WHOLE, or TEXT_HALF, which only BLIP-2's own file has."""
    _, _, rest = KEYS.read_text(encoding="utf-8").partition(f"[{section}]\n")
    for line in rest.partition("[")[0].splitlines():
        name, _, size = line.partition("  ")
        layers = range(1)
        if "{" in name:
            start, end, step = map(int, name[name.index("{") + 1 : name.index("}")].split(":"))
            layers = range(start, end, step)
            name = f"{name[: name.index('{')]}{LAYER}{name[name.index('}') + 1 :]}"
        yield OfficialKey(name, layers, tuple(map(int, size.split())))


def official_shapes(section: str = WHOLE) -> dict[str, tuple[int, ...]]:
    """Every name of the original's 7B model with its shape: 2,521 of them."""
    return {name: key.shape for key in official_keys(section) for name in key.names()}


def official_tensors(model: VideoLlama) -> dict[str, Tensor]:
    """A model's weights under the original's names, with small random tensors under those that nobody reads.

    model: loaded with all three parts. Left out are names of layers that the model does not have, and the language
    model's weights, which have files of their own.
    """
    state, random = model.state_dict(), torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}
    for key in (*official_keys(WHOLE), *official_keys(TEXT_HALF)):
        if unused_because(key.names()[0]) is None:
            found |= _ours_of(state, key)
        elif key.pattern.endswith("position_ids"):
            found[key.pattern] = torch.arange(key.shape[-1])[None]
        elif key.pattern.endswith("inv_freq") or not key.pattern.startswith("llama_model."):
            shape = [min(n, UNUSED_SIDE) for n in key.shape]
            found |= {name: torch.randn(shape, generator=random) for name in key.names()}
    return found


def _ours_of(state: dict[str, Tensor], key: OfficialKey) -> dict[str, Tensor]:
    """Our tensors as the original has them: its name, ones in front of the shape, query, key and value stacked."""
    found = {}
    # Every layer, not key.layers: BLIP-2's Q-Former reads its encoder in every second one, the tiny model's in all.
    for layer in range(key.layers.stop):
        name = key.pattern.replace(LAYER, str(layer))
        ours = rename(name) or ""
        names = [ours.replace(QKV, part) for part in ("query", "key", "value")] if QKV in ours else [ours]
        if names[0] in state:
            tensor = torch.cat([state[n] for n in names]) if QKV in ours else state[ours]
            found[name] = tensor.reshape((1,) * (len(key.shape) - tensor.ndim) + tensor.shape)
    return found


def write_replica(folder: Path, branches: bool = True) -> Path:
    """The tiny model as DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned is published, with BLIP-2's two files beside it.

    branches: without them the folder is what somebody has who trains branches of their own. Returns `folder`; it loads
    with VideoLlama.from_official(folder, config=minivl.config.tiny()).
    """
    model = VideoLlama.from_pretrained("tiny", parts=PARTS)
    tensors = official_tensors(model)
    write_eyes_and_ears(folder, tensors)
    if branches:
        write_branches(folder, tensors)
    write_tiny_llm(folder / LLM)
    return folder


def write_eyes_and_ears(folder: Path, tensors: dict[str, Tensor]) -> None:
    """eva_vit_g.pth, blip2_pretrained_flant5xxl.pth and imagebind_huge.pth, from tensors under the original's names."""
    folder.mkdir(parents=True, exist_ok=True)
    vit = {key: tensor.half() for key, tensor in _with(tensors, "visual_encoder.").items()}
    last = max(int(key.split(".")[1]) for key in vit if key.startswith("blocks."))
    # the published file has one block more than is ever run
    vit |= {key.replace(f".{last}.", ".39."): tensor for key, tensor in vit.items() if f"blocks.{last}." in key}
    torch.save(vit, folder / "eva_vit_g.pth")
    blip2 = {key: tensor for key, tensor in tensors.items() if key.startswith(("Qformer.", "query_tokens", "ln_vis"))}
    blip2 |= {"t5_proj.weight": torch.zeros(6, 24), "t5_proj.bias": torch.zeros(6)}  # BLIP-2's own language model
    torch.save({"model": blip2}, folder / "blip2_pretrained_flant5xxl.pth")
    ears = _with(tensors, "audio_encoder.") | {SCALE: torch.tensor(IMAGEBIND_SCALE).log()}
    torch.save(ears, folder / "imagebind_huge.pth")


def write_branches(folder: Path, tensors: dict[str, Tensor]) -> None:
    """The two branches' files as the original saves them: what is trained, stray buffers, and the optimizer's state."""
    for file, beginnings in ((VISION_FILE, VISION_KEYS), (AUDIO_FILE, AUDIO_KEYS)):
        branch = {key: tensor for key, tensor in tensors.items() if key.startswith(beginnings)}
        trained = [tensor for key, tensor in branch.items() if unused_because(key) is None and SCALE not in key]
        moments = {i: {"exp_avg": t.clone(), "exp_avg_sq": t.square()} for i, t in enumerate(trained)}
        optimizer = {"state": moments, "param_groups": [{"lr": 1e-5, "params": list(moments)}]}
        torch.save({"model": branch, "optimizer": optimizer, "config": {}, "scaler": None, "epoch": 2}, folder / file)


def write_tiny_llm(folder: Path) -> None:
    """The tiny model's language model, as transformers 4.28 saved one: pickled shards and stray buffers."""
    source = SHIPPED / "tiny" / "llm"
    write_llm(folder, load_file(source / "model.safetensors"), lambda name: int(name.split(".layers.")[1][0]) > 1)
    for file in source.glob("*.json"):
        shutil.copy(file, folder)


def write_llm(folder: Path, weights: dict[str, Tensor], late: Callable[[str], bool], pickled: bool = True) -> None:
    """A LLaMA's weights in two pickled shards, or as safetensors. late: whether a layer's weight is in the second."""
    folder.mkdir(parents=True)
    if not pickled:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    shards: list[dict[str, Tensor]] = [{}, {}]
    for key, tensor in weights.items():
        shards[late(key) if ".layers." in key else "head" in key][key] = tensor
    shards[0]["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.arange(4.0)
    names = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    for name, shard in zip(names, shards, strict=True):
        torch.save(shard, folder / name)
    place = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = {"metadata": {"total_size": 1}, "weight_map": place}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _with(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those of one part, without the part's name, as a file of this part alone has them."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
