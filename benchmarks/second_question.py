"""How long a reader waits for the first word of a further question: with the KV cache, and the original's way.

    python benchmarks/second_question.py --rounds 7

Chat keeps keys and values of what the language model has read, and hands it only the new question. The original reads
the whole conversation again, soft prompts included, for every question. Both ways are timed in one run, on the same
question behind the same conversation, and have to give the same answer. Two models: the shipped one, whose context ends
at 512 tokens and whose forward pass is so short that fixed costs of a call weigh as much; and one with the same eyes
and ears in front of a random LLaMA of 8 layers, 512 wide (34 million parameters), behind 1,800 tokens.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import minivl  # before transformers: see minivl/torchaudio_shim.py
from minivl.branches import AudioLanguageBranch, VisionLanguageBranch

CLIP = Path(__file__).resolve().parent.parent / "data_samples" / "dog_then_train.mp4"
TALK = ("what do you see first?", "do you hear a bell?", "is there a dog?", "which way does it move?")
LAST = "what do you hear last?"


@dataclass(frozen=True)
class Measured:
    """Seconds to the first word, the best of all rounds."""

    tokens: int  # of the whole prompt
    cached: float
    original: float
    same_answer: bool

    @property
    def ratio(self) -> float:
        """How many times faster the cache is."""
        return self.original / self.cached


def random_model(width: int, depth: int, context: int = 2048) -> minivl.VideoLlama:
    """The shipped eyes and ears before a random language model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shipped = minivl.VideoLlama.from_pretrained("tiny")
    config = replace(shipped.config, llm_width=width)
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(shipped.tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth,
            num_attention_heads=width // 64, max_position_embeddings=context, bos_token_id=None, eos_token_id=None,
            pad_token_id=0, initializer_range=0.1,
        )
    )  # fmt: skip
    return minivl.VideoLlama(
        config,
        llm,
        shipped.tokenizer,
        shipped.image_encoder,
        shipped.imagebind,
        VisionLanguageBranch(config.vision_branch, width),
        AudioLanguageBranch(config.audio_branch, width),
    )


def measure(model: minivl.VideoLlama, tokens: int, rounds: int) -> Measured:
    """Talk until the prompt has `tokens` tokens, then time one further question both ways, in turns."""
    chat = minivl.Chat(model)
    chat.watch(CLIP)
    while not chat.turns or len(chat.turns[-1].ids) < tokens:
        chat.ask(TALK[len(chat.turns) % len(TALK)], max_new_tokens=6)
    turns, cache = chat.turns, chat._cache  # every round begins here
    seconds: dict[bool, list[float]] = {True: [], False: []}
    answers: dict[bool, str] = {}
    for number in range(rounds + 1):
        most = 1 if number else 6  # one new token is the wait for the first word; before that, answers to compare
        for cached in (True, False):
            chat.turns, chat._cache = turns, copy.deepcopy(cache) if cached else None
            start = time.perf_counter()
            answer = chat.ask(LAST, max_new_tokens=most)
            if number:
                seconds[cached].append(time.perf_counter() - start)
            else:
                answers[cached] = answer
    same = answers[True] == answers[False]
    return Measured(len(chat.turns[-1].ids), min(seconds[True]), min(seconds[False]), same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{'':46}  tokens  cached  original's way  times faster  same answer")
    for name, model, tokens in (
        ("shipped model, second question", minivl.VideoLlama.from_pretrained("tiny"), 1),
        ("shipped model, a conversation to its end", minivl.VideoLlama.from_pretrained("tiny"), 460),
        ("random LLaMA, 8 layers, a long conversation", random_model(512, 8), 1800),
    ):
        got = measure(model, tokens, rounds)
        print(
            f"{name:46}  {got.tokens:6}  {1000 * got.cached:4.0f} ms  {1000 * got.original:11.0f} ms  "
            f"{got.ratio:12.1f}  {'yes' if got.same_answer else 'NO'}"
        )


if __name__ == "__main__":
    main()
