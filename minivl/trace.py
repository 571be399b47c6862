"""Every stage between a file and the answer's first word: what has which shape, and what made it.

One forward pass is run, and the tensors that go by are written down:

    frames ─► ViT ─► Q-Former ─► + position ─► Q-Former ─► linear ─┐
    sound  ─► mel ─► ImageBind ─► + position ─► Q-Former ─► linear ─┼─► splice ─► language model ─► logits
    words  ─► token ids ─► word embedding ─────────────────────────┘

Figure 1 of the paper, as a table. The norms show a gap that the original leaves open: its audio branch is trained on
image vectors of norm 1, and then hears audio vectors of norm 20. Letters are those of config.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minivl.audio import Sound
from minivl.conversation import Conversation, upload_message, upload_slots
from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT, tokenize
from minivl.video import Clip

HEADER = ("stage", "shape", "dtype", "MB", "norm", "parameters", "")


@dataclass(frozen=True)
class Stage:
    """One tensor on the way, and the part that made it."""

    name: str
    shape: str  # with letters: "[B=1, T=8, K=8, 128]"
    dtype: str  # "float32"
    megabytes: float  # of the tensor, 10**6 bytes
    norm: float | None  # mean length of its vectors; None: it holds no vectors (pixels, ids, logits)
    parameters: int  # of the part that made it; 0: nothing learned
    state: str  # "frozen", "trained", or "" where nothing was learned

    def cells(self) -> tuple[str, ...]:
        """The row of the table, as text."""
        count = f"{self.parameters:,}" if self.parameters else ""
        norm = "" if self.norm is None else f"{self.norm:.1f}"
        return self.name, self.shape, self.dtype, f"{self.megabytes:.3f}", norm, count, self.state


@dataclass(frozen=True)
class Trace:
    """The stages in the order of computation; `print(trace)` shows them as a table."""

    stages: tuple[Stage, ...]

    def parameters(self, state: str) -> int:
        """How many parameters of the stages are "frozen" or "trained"."""
        return sum(stage.parameters for stage in self.stages if stage.state == state)

    def __str__(self) -> str:
        rows = [HEADER, *(stage.cells() for stage in self.stages)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["  ".join(_align(row, widths)).rstrip() for row in rows]
        frozen, trained = self.parameters("frozen"), self.parameters("trained")
        share = 100 * trained / max(frozen + trained, 1)
        return "\n".join([*lines, "", f"{frozen:,} frozen and {trained:,} trained parameters ({share:.1f} %)"])

    def _repr_html_(self) -> str:
        """The table as Jupyter shows it."""
        rows = ["".join(f"<th>{cell}</th>" for cell in HEADER)]
        rows += ["".join(f"<td>{cell}</td>" for cell in stage.cells()) for stage in self.stages]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


@torch.no_grad()
def trace(
    model: VideoLlama, clip: Clip | None = None, sound: Sound | None = None, question: str = "what do you see ?"
) -> Trace:
    """Run `model` once on what is given and note every stage, from the file to the answer's first logits.

    clip, sound: as load_video and load_audio return them; at least one. Parameters are counted once, at the
    first stage that uses them. ImageBind's image trunk, which only training needs, does not appear.
    Raises InputError if neither clip nor sound is given, or the model lacks a part that they need.
    """
    if clip is None and sound is None:
        raise InputError("there is nothing to trace: give a clip, a sound, or both")
    recorder = _Recorder()
    soft: dict[int, Tensor] = {}
    if clip is not None:
        frames = clip.frames[None]  # [B, T, 3, H, W]
        recorder.note("frames", frames, "B T 3 H W")
        with recorder.watching(_sight(model)):
            soft |= model.soft_prompts(frames=frames)
    if sound is not None:
        recorder.note("waveform", sound.waveform, "samples")
        mel = sound.mel[None]  # [B, M, 1, bins, F]
        recorder.note("log-mel segments", mel, "B M 1 bins F")
        with recorder.watching(_hearing(model)):
            soft |= model.soft_prompts(mel=mel)
    ids = torch.tensor([_prompt(model, clip, sound, soft, question)])  # [B, L]
    recorder.note("token ids, slots included", ids, "B L")
    embedded = model.embed(ids, soft)  # [B, L, D]
    recorder.note("words and soft prompts", embedded, "B L D", model.llm.get_input_embeddings())
    logits = model.llm(inputs_embeds=embedded, use_cache=False).logits  # [B, L, vocabulary]
    recorder.note("logits of the next token", logits, "B L vocabulary", model.llm)
    return Trace(tuple(recorder.stages))


Watched = tuple[str, nn.Module | None, str]  # the stage's name, the module whose output it is, its letters


def _sight(model: VideoLlama) -> list[Watched]:
    encoder, branch = model.image_encoder, model.vision_branch
    if encoder is None or branch is None:
        raise InputError('this model has no eyes: load it with parts=("vision", ...), or trace without a clip')
    return [
        ("ViT patches", encoder.vit, "B·T P width"),
        ("image Q-Former: frame tokens", encoder, "B T K width"),
        ("+ frame positions", branch.positions, "B T K width"),
        ("Video Q-Former", branch.qformer, "B Qv width"),
        ("linear: video soft prompt", branch.to_llm, "B Qv D"),
    ]


def _hearing(model: VideoLlama) -> list[Watched]:
    trunk, branch = model.imagebind and model.imagebind.audio, model.audio_branch
    if trunk is None or branch is None:
        raise InputError('this model has no ears: load it with parts=("audio", ...), or trace without a sound')
    return [
        ("ImageBind vectors", trunk, "B·M E"),
        ("+ segment positions", branch.positions, "B M E"),
        ("Audio Q-Former", branch.qformer, "B Qa width"),
        ("linear: audio soft prompt", branch.to_llm, "B Qa D"),
    ]


class _Recorder:
    """Collects stages; each parameter is counted at the first stage that uses it."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.counted: set[int] = set()

    def note(self, name: str, tensor: Tensor, letters: str, module: nn.Module | None = None) -> None:
        parameters = [] if module is None else list(module.parameters())
        new = [p for p in parameters if id(p) not in self.counted]
        self.counted |= {id(p) for p in new}
        state = "" if not new else "trained" if any(p.requires_grad for p in new) else "frozen"
        dtype = str(tensor.dtype).removeprefix("torch.")
        size = sum(p.numel() for p in new)
        vectors = letters.split()[-1] in ("width", "E", "D")
        norm = float(tensor.float().norm(dim=-1).mean()) if vectors else None
        self.stages.append(Stage(name, _shape(tensor, letters), dtype, tensor.nbytes / 1e6, norm, size, state))

    @contextmanager
    def watching(self, watched: list[Watched]) -> Iterator[None]:
        """Note the outputs of these modules while the block runs."""

        def hook(name: str, letters: str) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, _, output: self.note(name, output, letters, module)

        handles = [m.register_forward_hook(hook(name, letters)) for name, m, letters in watched if m is not None]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _prompt(
    model: VideoLlama, clip: Clip | None, sound: Sound | None, soft: dict[int, Tensor], question: str
) -> list[int]:
    """The token ids that Chat would write for the first question."""
    still = clip is not None and clip.is_image
    message = clip.message() if clip else ""
    upload = upload_message(model.style, clip is not None and not still, still, sound is not None, message)
    conversation = Conversation(model.style)
    for text in (upload, question):
        conversation.add(model.style.roles[0], text)
    lengths = [soft[slot].shape[1] if slot in soft else 0 for slot in (VIDEO_SLOT, AUDIO_SLOT)]
    return tokenize(model.tokenizer, conversation.prompt(), upload_slots(model.style, *lengths))


def _shape(tensor: Tensor, letters: str) -> str:
    """[1, 8, 8, 128] and "B T K width" -> "[B=1, T=8, K=8, 128]": capital letters are named, words are not."""
    sizes = zip(letters.split(), tensor.shape, strict=True)
    return f"[{', '.join(f'{x}={n}' if x[0].isupper() else str(n) for x, n in sizes)}]"


def _align(row: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    """Numbers to the right, text to the left."""
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if HEADER[column] in ("MB", "norm", "parameters") else cell.ljust(width)
