"""Video-LLaMA: frozen eyes, frozen ears, a frozen language model, two small trained branches between.

    frames ─► image encoder ─► frame tokens ─► vision branch ─► video prompt ───┐
    sound  ─► ImageBind     ─► segments     ─► audio branch  ─► audio prompt ───┤
    words  ─► word embedding ───────────────────────────────────────────────────┴─► language model ─► answer

Figure 1 of the paper. What is trained (section 2.2): the branches, by next-token prediction on the answers,

    loss = - mean over answer tokens of log p(w_l | soft prompts, w_1 ... w_l-1)

with gradients that pass *through* the frozen language model into the soft prompts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from minivl import checkpoints
from minivl.branches import AudioLanguageBranch, VisionLanguageBranch
from minivl.config import VideoLlamaConfig
from minivl.conversation import STYLES, clean_answer
from minivl.errors import InputError
from minivl.generation import continue_text, cut, stop_sequences
from minivl.hardware import Device, best_device, best_dtype, enough_memory
from minivl.image_encoder import ImageEncoder
from minivl.imagebind import ImageBind
from minivl.language_model import load_llm, save_llm
from minivl.published.weights import fill, read_weights
from minivl.soft_prompt import AUDIO_SLOT, IGNORE, VIDEO_SLOT, pad_left, splice
from minivl.video import normalise


class VideoLlama(nn.Module):
    """The whole model. A part that a task does not need may be None. `llm` is any causal model of transformers."""

    def __init__(
        self,
        config: VideoLlamaConfig,
        llm: Any,
        tokenizer: Any,
        image_encoder: ImageEncoder | None = None,
        imagebind: ImageBind | None = None,
        vision_branch: VisionLanguageBranch | None = None,
        audio_branch: AudioLanguageBranch | None = None,
    ) -> None:
        super().__init__()
        width = llm.get_input_embeddings().weight.shape[1]
        if width != config.llm_width:
            raise InputError(f"config.llm_width is {config.llm_width}, but the language model is {width} wide")
        if config.conversation not in STYLES:
            raise InputError(f"config.conversation is {config.conversation!r}: choose one of {sorted(STYLES)}")
        self.config, self.tokenizer, self.style = config, tokenizer, STYLES[config.conversation]
        self.image_encoder, self.imagebind, self.llm = image_encoder, imagebind, llm
        self.vision_branch, self.audio_branch = vision_branch, audio_branch
        self.stops = stop_sequences(tokenizer, self.style)
        candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.pad_id: int = next(i for i in candidates if i is not None)
        for part in self.frozen_parts():
            part.requires_grad_(False)
        self.eval()

    def frozen_parts(self) -> list[nn.Module]:
        """The parts that no training changes."""
        return [part for part in (self.image_encoder, self.imagebind, self.llm) if part is not None]

    def train(self, mode: bool = True) -> VideoLlama:
        """Dropout acts in the branches only; the frozen parts stay in eval mode."""
        super().train(mode)
        for part in self.frozen_parts():
            part.eval()
        return self

    @property
    def can_see(self) -> bool:
        """Whether the image encoder and the vision branch are there."""
        return self.image_encoder is not None and self.vision_branch is not None

    @property
    def can_hear(self) -> bool:
        """Whether the audio trunk and the audio branch are there."""
        trunk = self.imagebind and self.imagebind.audio
        return trunk is not None and self.audio_branch is not None

    # ---- from pixels and sound to soft prompts

    @torch.no_grad()
    def encode_frames(self, frames: Tensor) -> Tensor:
        """Frames [B, T, 3, H, W], uint8 or normalised float -> frame tokens [B, T, K, width]."""
        return _there(self.image_encoder, "vision")(_pixels(frames, self.image_encoder))

    @torch.no_grad()
    def encode_segments(self, mel: Tensor) -> Tensor:
        """Log-mels [B, M, 1, mel_bins, F] of M two-second segments -> ImageBind vectors [B, M, E]."""
        trunk = _there(self.imagebind and self.imagebind.audio, "audio")
        vectors = trunk(rearrange(mel.to(_like(trunk)), "B M 1 bins F -> (B M) 1 bins F"))  # [B M, E]
        if self.config.match_norms:
            vectors = F.normalize(vectors, dim=-1)
        return rearrange(vectors, "(B M) E -> B M E", B=len(mel))

    @torch.no_grad()
    def encode_frames_as_segments(self, frames: Tensor) -> Tensor:
        """Frames [B, M, 3, H, W] -> ImageBind vectors [B, M, E], as if each frame were a segment of sound.

        This is how the audio branch is trained on pictures only (section 2.1.2): both trunks share one space.
        """
        trunk = _there(self.imagebind and self.imagebind.image, "image_trunk")
        vectors = trunk(rearrange(_pixels(frames, trunk), "B M c H W -> (B M) c H W"))  # [B M, E]
        return rearrange(vectors, "(B M) E -> B M E", B=len(frames))

    def video_prompt(self, frame_tokens: Tensor) -> Tensor:
        """Frame tokens [B, T, K, width] -> video soft prompt [B, Qv, D]."""
        branch = _there(self.vision_branch, "vision")
        return branch(frame_tokens.to(_like(branch)))

    def audio_prompt(self, segments: Tensor) -> Tensor:
        """ImageBind vectors [B, M, E] -> audio soft prompt [B, Qa, D]."""
        branch = _there(self.audio_branch, "audio")
        return branch(segments.to(_like(branch)))

    def soft_prompts(self, frames: Tensor | None = None, mel: Tensor | None = None) -> dict[int, Tensor]:
        """Frames [B, T, 3, H, W] and log-mels [B, M, 1, bins, F], as far as given -> soft prompts by slot."""
        soft = {}
        if frames is not None:
            soft[VIDEO_SLOT] = self.video_prompt(self.encode_frames(frames))  # [B, Qv, D]
        if mel is not None:
            soft[AUDIO_SLOT] = self.audio_prompt(self.encode_segments(mel))  # [B, Qa, D]
        return soft

    # ---- the language model

    def embed(self, ids: Tensor, soft: dict[int, Tensor]) -> Tensor:
        """Token ids [B, L] with slots -> inputs_embeds [B, L, D] (see `splice`)."""
        embedding = self.llm.get_input_embeddings()
        return splice(ids.to(embedding.weight.device), embedding, soft)

    def loss(
        self, ids: Tensor, attention_mask: Tensor, labels: Tensor, soft: dict[int, Tensor], total: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of the next token over all labels of the batch that are not IGNORE; a scalar.

        ids, attention_mask, labels: [B, L] as `soft_prompt.pad` makes them. soft: slot -> [n, Q, D]. total: divide the
        sum by this, not by the number of labels; for a batch that is computed in parts.
        """
        embedded = self.embed(ids, soft)  # [B, L, D]
        mask, targets = attention_mask.to(embedded.device), labels[:, 1:].flatten().to(embedded.device)
        logits = self.llm(inputs_embeds=embedded, attention_mask=mask, use_cache=False).logits
        predicted = rearrange(logits[:, :-1].float(), "B L vocabulary -> (B L) vocabulary")
        summed = F.cross_entropy(predicted, targets, ignore_index=IGNORE, reduction="sum")
        return summed / ((targets != IGNORE).sum() if total is None else total)

    forward = loss

    def generate(
        self, ids: Tensor | list[int], soft: dict[int, Tensor], max_new_tokens: int = 64, **options: Any
    ) -> list[int]:
        """Continue one prompt of token ids [L] or [1, L]; returns the new ids, the stop sequence included.

        options: `do_sample`, `temperature`, `top_p`, `streamer`, `past_key_values` (a cache of the prompt's
        beginning) and whatever else transformers' generate takes. Greedy by default; the original samples.
        """
        row = torch.as_tensor(ids).reshape(1, -1)  # [1, L]
        return self._generate(row, torch.ones_like(row), soft, max_new_tokens, **options)[0].tolist()

    def answer_batch(self, prompts: list[list[int]], soft: dict[int, Tensor], max_new_tokens: int = 64) -> list[str]:
        """Greedy answers to many prompts at once; soft: slot -> [n, Q, D] in the order of the prompts."""
        new = self._generate(*pad_left(prompts, self.pad_id), soft, max_new_tokens)  # [B, n]
        return [self.read(ids) for ids in new.tolist()]

    @torch.no_grad()
    def _generate(self, ids: Tensor, mask: Tensor, soft: dict[int, Tensor], new: int, **options: Any) -> Tensor:
        embedded = self.embed(ids, soft)  # [B, L, D]
        return continue_text(self.llm, embedded, mask, self.stops, self.pad_id, new, **options)

    def read(self, ids: list[int]) -> str:
        """Generated token ids -> the answer as clean text."""
        as_is = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return clean_answer(self.tokenizer.decode(cut(ids, self.stops), **as_is), self.style)

    # ---- from and to files

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, device: Device = None, dtype: torch.dtype | None = None,
        parts: tuple[str, ...] = ("vision", "audio"), quantization: str | None = None,
    ) -> VideoLlama:  # fmt: skip
        """Load the shipped model "tiny", or a folder of `save_pretrained` or `minivl convert`; never from a network.

        parts: "vision" (image encoder and vision branch), "audio" (ImageBind's audio trunk and the audio branch)
        and "image_trunk" (ImageBind's image trunk, which only the training of the audio branch needs). dtype: by
        default `hardware.best_dtype` of the device. quantization: "4bit" or "8bit" for the language model. Raises
        WeightsError for files that are missing or do not fit, InputError for an unknown part, DeviceMemoryError.
        """
        folder, dtype = checkpoints.find_folder(name_or_folder), dtype or best_dtype(device)
        config = checkpoints.load_config(folder)
        with enough_memory(f"loading {name_or_folder}"):
            loaded: dict[str, Any] = checkpoints.load_parts(folder, config, dtype, parts, device)
            llm = load_llm(folder / "llm", dtype, device, quantization, legacy=config.original_quirks)
            return cls(config, *llm, **loaded)

    @classmethod
    def from_official(
        cls, folder: str | Path, llm: str | Path | None = None, quantization: str | None = None,
        device: Device = None, dtype: torch.dtype | None = None, parts: tuple[str, ...] = ("vision", "audio"),
        **options: Any,
    ) -> VideoLlama:  # fmt: skip
        """Load the files that the authors of Video-LLaMA published (published/files.py), and print what was used.

        folder: where they are, or a name on the hub. llm: the language model's folder or name, if it is not in there.
        options: those of `read_weights`; with another language model branches="new", which you then train. device: the
        best at hand. The rest, and what is raised, is as in `from_pretrained`.
        """
        device = torch.device(device or best_device())
        dtype = dtype or best_dtype(device)
        weights = read_weights(folder, llm, parts, **options)
        print(weights.summary())
        with enough_memory(f"loading {folder}"):
            language = load_llm(weights.llm, dtype, device, quantization, legacy=weights.config.original_quirks)
            loaded: dict[str, Any] = fill(weights, parts, dtype, device, language[0])
            return cls(weights.config, *language, **loaded)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model as a folder in half precision. A part that is None is not written."""
        folder = Path(folder)
        for name in ("image_encoder", "imagebind", "vision_branch", "audio_branch"):
            if (part := getattr(self, name)) is not None:
                checkpoints.save_part(part, folder / f"{name}.safetensors")
        save_llm(self.llm, self.tokenizer, folder / "llm")
        checkpoints.save_config(self.config, folder)


def _there(part: nn.Module | None, name: str) -> nn.Module:
    if part is None:
        raise InputError(f"this model was put together without the part {name!r}: load it with parts=(..., {name!r})")
    return part


def _like(part: nn.Module) -> Tensor:
    """A weight of the part: its device and dtype are those of the part."""
    return next(part.parameters())


def _pixels(frames: Tensor, part: nn.Module | None) -> Tensor:
    frames = frames if frames.is_floating_point() else normalise(frames)
    return frames if part is None else frames.to(_like(part))
