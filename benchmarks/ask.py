"""How long a reader waits: imports, loading, watching, the first answer, and `minivl ask` as a whole.

    python benchmarks/ask.py --clip data_samples/bell.mp4 --rounds 3

Every round is a fresh process, as typed into a terminal; the first one also pays for a cold disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

CLIP = Path(__file__).resolve().parent.parent / "data_samples" / "bell.mp4"

STEPS = """
import json, sys, time
model, clip, question = sys.argv[1:]
times, start = {}, time.perf_counter()

def step(name):
    global start
    now = time.perf_counter()
    times[name], start = now - start, now

import minivl
step("import minivl")
chat = minivl.Chat(minivl.VideoLlama.from_pretrained(model))
step("load the model")
chat.watch(clip)
step("watch the clip")
chat.ask(question)
step("first answer")
chat.ask(question)
step("second answer")
print(json.dumps(times))
"""


def one_round(model: str, clip: str, question: str) -> dict[str, float]:
    """Seconds of each step in one process, and of the whole command in another."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, model, clip, question], check=True, capture_output=True, text=True
    )
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    start = time.perf_counter()
    command = [sys.executable, "-m", "minivl.cli", "ask", clip, question, "--model", model]
    subprocess.run(command, check=True, capture_output=True)
    return {**times, "minivl ask, all of it": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--clip", default=str(CLIP))
    parser.add_argument("--question", default="what do you see?")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [one_round(options.model, options.clip, options.question) for _ in range(options.rounds)]
    print(f"{'seconds':24}   first    best")
    for name, first in rounds[0].items():
        print(f"{name:24} {first:7.2f} {min(r[name] for r in rounds):7.2f}")


if __name__ == "__main__":
    main()
