"""How many bytes are alive at once while the model runs: activations, without a formula.

    peak = max over time of the bytes of all tensors that exist then and did not exist before

`PeakBytes` watches every operation of torch. What it sees is the same on real tensors and on *fake* ones, which have a
shape and a dtype but no numbers: so the model's own code, run once on fakes, tells what a GPU would have to hold.
In a chat the stages follow each other and the largest counts; training keeps for the backward pass what all
of them leave behind (section 2.2 of the paper: gradients pass through the frozen language model).
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import DynamicCache

from minivl.model import VideoLlama
from minivl.planning.workload import Workload, quantised_layers, start_training


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors made inside a `with` block; `peak` is the most that were alive at once.

    Views share their storage's bytes. What an operation needs only inside itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, int] = {}  # storage -> its bytes, 0 if it is older than the block

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            self._note(value, is_new=False)
        results = func(*args, **(kwargs or {}))
        for value in tree_leaves(results):
            self._note(value, is_new=True)
        return results

    def _note(self, value: Any, is_new: bool) -> None:
        if not isinstance(value, Tensor) or value.device.type == "meta":
            return
        if (key := (storage := value.untyped_storage())._cdata) in self._alive:
            return
        self._alive[key] = storage.nbytes() if is_new else 0
        self.now += self._alive[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._alive.pop(key)


def chat_peaks(model: VideoLlama, load: Workload) -> tuple[dict[str, int], int]:
    """({stage: bytes at its peak}, bytes of the KV cache). The cache is not in the peaks."""
    audio = load.config.imagebind.audio
    cache = DynamicCache(config=model.llm.config)
    with torch.no_grad():
        with PeakBytes() as seeing:
            video_prompt = model.video_prompt(model.encode_frames(_frames(load)))  # [B, Qv, D]
        with PeakBytes() as hearing:
            mel = torch.zeros(load.batch, load.segments, 1, audio.mel_bins, audio.mel_frames, dtype=load.number)
            audio_prompt = model.audio_prompt(model.encode_segments(mel))  # [B, Qa, D]
        with PeakBytes() as reading:
            embedded = _embedded(model, load, video_prompt, audio_prompt)  # [B, L, D]
            model.llm(inputs_embeds=embedded, past_key_values=cache, use_cache=True, logits_to_keep=1)
    layers: Any = cache.layers
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    return {"seeing": seeing.peak, "hearing": hearing.peak, "reading": reading.peak - kept}, kept


def training_peak(model: VideoLlama, load: Workload) -> int:
    """Bytes at the peak of one training step, the gradients of the step before not counted."""
    start_training(model, load)
    branch = model.vision_branch if load.branch == "vision" else model.audio_branch
    for weight in branch.parameters() if branch else ():
        weight.grad = torch.zeros_like(weight)
    # LLM.int8's layers keep their input for the backward pass, even when checkpointed. Other frozen layers need none.
    kept: list[Tensor] = []
    layers = quantised_layers(model, load).values() if load.dtype == "8bit" else ()
    hooks = [layer.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0])) for layer in layers]
    with PeakBytes() as step:
        if load.branch == "vision":
            soft = model.video_prompt(model.encode_frames(_frames(load)))  # [B, Qv, D]
        else:
            soft = model.audio_prompt(model.encode_frames_as_segments(_frames(load)))  # [B, Qa, D]
        # VideoLlama.loss itself cannot run on fake tensors: `splice` looks at the values of the token ids.
        embedded, mask = _embedded(model, load, soft), padded_mask(load)  # [B, L, D], [B, L]
        logits = model.llm(inputs_embeds=embedded, attention_mask=mask, use_cache=False).logits  # [B, L, vocabulary]
        predicted = rearrange(logits[:, :-1].float(), "B L vocabulary -> (B L) vocabulary")
        loss = F.cross_entropy(predicted, torch.zeros(len(predicted), dtype=torch.long))
        for hook in hooks:
            hook.remove()
        loss.backward()
    return step.peak


def padded_mask(load: Workload) -> Tensor:
    """The attention mask [B, L] of a training batch. Batches have padding, and with it attention takes another path."""
    mask = torch.ones(load.batch, load.tokens, dtype=torch.long)
    mask[:, -1] = 0
    return mask


def _frames(load: Workload) -> Tensor:
    """Frames [B, T, 3, H, W] as their encoder gets them on its device: normalised, in its number format."""
    config = load.config.imagebind.image if load.parts == ("image_trunk",) else load.config.vit
    return torch.zeros(load.batch, load.frames, 3, config.image_size, config.image_size, dtype=load.number)


def _embedded(model: VideoLlama, load: Workload, *soft: Tensor) -> Tensor:
    """Soft prompts [B, Q, D] between words -> [B, L, D], what `splice` gives."""
    words = load.tokens - sum(prompt.shape[1] for prompt in soft)
    embedded = model.llm.get_input_embeddings()(torch.zeros(load.batch, words, dtype=torch.long))
    return torch.cat([embedded[:, :1], *(prompt.to(embedded) for prompt in soft), embedded[:, 1:]], dim=1)
