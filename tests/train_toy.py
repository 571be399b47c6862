"""Trains the toy model's vision branch; run by tests in processes of its own, so that they can be killed.

python tests/train_toy.py FOLDER STEPS [SAVE_EVERY]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import minivl.new_branch  # noqa: F401, I001  before the toy model imports transformers
from toy_model import numbered_features, toy_model

from minivl.new_branch import new_branch
from minivl.recipes import toy_recipe
from minivl.toyworld.lessons import Teacher
from minivl.training import train


def main(folder: Path, steps: int, save_every: int = 2) -> None:
    model = toy_model()
    new_branch(model, "vision", seed=3)
    teacher = Teacher(model, numbered_features(40), "vision", 2, batch_size=8)
    train(model, "vision", toy_recipe(steps, 1e-2, 8, seed=3), teacher, folder, save_every=save_every, precision="no")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
