"""What is trained to test the paper's claims: every training run, and what it leaves out or adds.

An ablation takes one part away and trains again: same frozen parts, data, steps and seed. What the model loses is what
the part was for. Two change the vision branch (section 2.1.1 has what they take away):

    no positions    v_{t,k} = x_{t,k}: the Video Q-Former sees the frames, and nothing of their order
    mean pooling    no Video Q-Former: prompt_k = W (mean over t of x_{t,k} + p_t) + b. The mean of the positions is the
                    same for all clips, so this is blind to order as well

The others change what the branches are taught (toyworld/lessons.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from einops import reduce
from torch import Tensor, nn

from minivl.errors import InputError
from minivl.model import VideoLlama
from minivl.new_branch import new_branch

ALONE = (1.0, 0.0, 0.0)  # the other place of the chat is empty
WITH_TEXT = (0.4, 0.6, 0.0)  # ... or holds a text: as often as our recipe has text or soft prompt


@dataclass(frozen=True)
class Run:
    """One stage of one branch, as our recipe has it except for what is named."""

    branch: str
    stage: int
    after: str = ""  # the run whose branch it goes on with; none: fresh weights
    beside: str = ""  # audio branch, stage 2: the vision run whose soft prompt stands in the other place
    without: str = ""  # "no positions" or "mean pooling"
    longer: int = 1  # times as many steps
    taught: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))  # options of Teacher


RUNS: dict[str, Run] = {
    # the recipe
    "vision captions": Run("vision", 1),
    "vision": Run("vision", 2, "vision captions"),
    "audio captions": Run("audio", 1),
    "audio": Run("audio", 2, "audio captions", "vision"),
    # what the vision branch is made of
    "no positions, captions": Run("vision", 1, without="no positions"),
    "no positions": Run("vision", 2, "no positions, captions", without="no positions"),
    "mean pooling, captions": Run("vision", 1, without="mean pooling"),
    "mean pooling": Run("vision", 2, "mean pooling, captions", without="mean pooling"),
    # what the audio branch is trained on
    "from sound, captions": Run("audio", 1, taught={"from_sound": True}),
    "from sound": Run("audio", 2, "from sound, captions", "vision", taught={"from_sound": True}),
    # what makes joint hearing and seeing work, one ingredient after the other
    "vision alone": Run("vision", 2, "vision captions", taught={"shares": ALONE}),
    "as the paper, captions": Run("audio", 1, taught={"picture_worded": True}),
    "as the paper": Run("audio", 2, "as the paper, captions", "vision alone", taught={"picture_worded": True}),
    "+ sound words": Run("audio", 2, "audio captions", "vision alone", taught={"shares": ALONE}),
    "+ sound words, twice the steps": Run(
        "audio", 2, "audio captions", "vision alone", longer=2, taught={"shares": ALONE}
    ),
    "+ text": Run("audio", 2, "audio captions", "vision", taught={"shares": WITH_TEXT}),
    "+ twice the steps": Run("audio", 2, "audio captions", "vision", longer=2),
}


class MeanPooling(nn.Module):
    """In the vision branch's place: the mean of the frames' tokens, through the same linear layer.

    The positions, which are the same for every clip, are part of the linear layer's bias here.
    """

    def __init__(self, to_llm: nn.Linear) -> None:
        super().__init__()
        self.to_llm = to_llm

    def forward(self, frame_tokens: Tensor) -> Tensor:
        """Frame tokens [B, T, K, width] -> soft prompt [B, K, D], of as many vectors as a frame has tokens."""
        return self.to_llm(reduce(frame_tokens, "B T K width -> B K width", "mean"))


def start(model: VideoLlama, run: Run, seed: int) -> nn.Module:
    """The run's branch with fresh weights, in its place in the model.

    Raises InputError where frames have another number of tokens than the soft prompt, for mean pooling.
    """
    branch: Any = new_branch(model, run.branch, seed)
    if run.without == "no positions":
        branch.positions = nn.Identity()
    elif run.without == "mean pooling":
        tokens, queries = model.config.image_qformer.num_queries, model.config.vision_branch.qformer.num_queries
        if tokens != queries:
            raise InputError(
                f"mean pooling gives a soft prompt of {tokens} vectors, one for each token of a frame, but the chat "
                f"has room for {queries}: choose a model with as many image queries as video queries"
            )
        branch = MeanPooling(branch.to_llm)
        model.vision_branch = branch
    return branch
