"""The frozen language model and its tokenizer: loaded by transformers, in one copy, straight to its device.

Any causal language model of transformers will do; the original has LLaMA (section 2.1 of the paper). It is most
of the memory: 6.7 billion parameters are 13.5 GB in half precision, 3.9 GB with 4-bit weights.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import normalizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, LlamaTokenizer
from transformers.utils import logging as transformers_logging

from minivl import atomic
from minivl.errors import InputError, WeightsError
from minivl.hardware import Device

QUANTIZATIONS = ("4bit", "8bit")
BLANK = "\N{LOWER ONE EIGHTH BLOCK}"  # what sentencepiece writes for a blank
LARGE = 1_000_000_000  # bytes of weights that take long enough to read for a progress bar


def load_llm(
    folder: str | Path,
    dtype: torch.dtype,
    device: Device = None,
    quantization: str | None = None,
    legacy: bool = False,
) -> tuple[Any, Any]:
    """The language model and its tokenizer, from a folder (or a name on the hub that is no folder here).

    dtype: of the weights, or of the computation when they are quantized. quantization: None, "4bit" or "8bit" (needs
    bitsandbytes). legacy: see load_tokenizer. Raises WeightsError if there is no language model, InputError for an
    unknown quantization.
    """
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": Path(folder).is_dir()}
    if quantization is not None:
        options["quantization_config"] = bits(quantization, dtype)
    if device is not None:
        options["device_map"] = {"": torch.device(device)}
    try:
        with _progress_bar_for_large(folder):
            llm = AutoModelForCausalLM.from_pretrained(folder, **options)
        return llm.eval(), load_tokenizer(folder, legacy)
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise WeightsError(f"{folder} holds no language model with its tokenizer ({_first_line(error)}).") from error


def load_tokenizer(folder: str | Path, legacy: bool = False) -> Any:
    """The tokenizer of a language model.

    legacy: split as LLaMA's tokenizer did when the original's branches were trained, each piece of text with a blank
    put before it. transformers has since changed that, and its own `legacy` switch brings back only a part.
    """
    options = {"legacy": True} if legacy else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=Path(folder).is_dir(), **options)
    if legacy and isinstance(tokenizer, LlamaTokenizer):
        splitter = tokenizer.backend_tokenizer
        splitter.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
        splitter.pre_tokenizer = None
    return tokenizer


def llm_width(folder: str | Path) -> int:
    """D, the width of the language model, read from its config alone. Raises WeightsError if there is none."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=Path(folder).is_dir())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} holds no language model: {_first_line(error)}") from error
    return int(config.hidden_size)


def bits(quantization: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Settings of bitsandbytes for "4bit" (nf4, as in QLoRA) or "8bit" weights, computing in `dtype`."""
    if quantization not in QUANTIZATIONS:
        raise InputError(f"there is no quantization {quantization!r}: choose None, {' or '.join(QUANTIZATIONS)}")
    if find_spec("bitsandbytes") is None:
        raise InputError(f'quantization={quantization!r} needs bitsandbytes: pip install "minivl[official]"')
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def save_llm(llm: Any, tokenizer: Any, folder: Path) -> None:
    """Write the language model in half precision, and its tokenizer, as transformers does."""

    def write(path: Path) -> None:
        (copy.deepcopy(llm).half() if llm.dtype == torch.float32 else llm).save_pretrained(path)
        tokenizer.save_pretrained(path)

    atomic.replace(folder, write)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _progress_bar_for_large(folder: str | Path) -> Iterator[None]:
    """transformers draws one on stderr while it loads, even for a model of a few megabytes."""
    size = sum(file.stat().st_size for file in Path(folder).glob("*.*") if file.is_file())
    hide = Path(folder).is_dir() and size < LARGE and transformers_logging.is_progress_bar_enabled()
    if hide:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            transformers_logging.enable_progress_bar()
