"""What a branch is taught, batch by batch: stage 1 captions, stage 2 questions (sections 2.2.1 and 2.2.2).

A branch's soft prompt stands in its own place of the chat. In stage 2 the other place is filled, in a share of the
batches, so that two soft prompts in one chat do not disturb each other:

    vision branch   [video soft prompt]   nothing, or a text that describes a sound
    audio branch    nothing, a text that describes a picture,       [audio soft prompt]
                    or the trained vision branch's soft prompt

The audio branch never hears a sound in training: image vectors stand for the sound that the pictured thing would make,
also when another clip's pictures are asked about beside them ("does the sound match the picture?").

The paper does less: each branch is trained alone in its chat, and the audio branch, whose data are pictures, with the
words that are used of pictures. `shares` and `picture_worded` teach that, to measure what the rest adds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from minivl.batch import Batch
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT, pad
from minivl.toyworld.captions import picture_text, sound_text
from minivl.toyworld.dialogue import Dialogue, DialogueWriter
from minivl.toyworld.features import Features
from minivl.toyworld.questions import Question, ask, blind_question, questions
from minivl.toyworld.scenes import Scene, Sound

# Asked more often in stage 2, since they are learned last.
STAGE2 = {"before": 1.5, "hear_before": 1.5, "exist": 1.5, "colour_of": 2.0, "match": 2.5, "motion": 1.5}
# So many of stage 1's clips show several shapes: a caption says of each what colour it is. In stage 2, where the
# questions about motion are, crowded clips cost more than they bring: in one of two seeds motion fell to 0.65.
CROWDED = 0.4
SHARES = {"vision": (0.5, 0.5, 0.0), "audio": (0.4, 0.2, 0.4)}  # the other place: empty, text, soft prompt


def sound_of_picture(scene: Scene) -> tuple[Sound, ...]:
    """The sounds that the visible things would make: what image vectors in the audio branch stand for."""
    return tuple(Sound(t.name, t.size, t.start, t.end) for t in scene.sounding)


class Teacher:
    """Draws batches for one branch from the features of training clips."""

    def __init__(
        self, model: VideoLlama, features: Features, branch: str, stage: int, seed: int = 0,
        batch_size: int = 32, count: int = 4, from_sound: bool = False, picture_worded: bool = False,
        shares: tuple[float, float, float] | None = None,
    ) -> None:  # fmt: skip
        """`count` questions a chat in stage 2, and three variants to compare with:

        from_sound: train the audio branch on sound. picture_worded: ask the audio branch about its image vectors as
        about pictures ("what do you see"), with nothing in the other place. shares: how often the other place is
        empty, holds a text, or the vision branch's soft prompt (audio branch only); by default SHARES[branch].
        """
        self.features, self.branch, self.stage, self.from_sound = features, branch, stage, from_sound
        self.batch_size, self.count, self.picture_worded = batch_size, count, picture_worded
        self.shares = (1.0, 0.0, 0.0) if picture_worded else shares or SHARES[branch]
        self.seed = seed
        self.rng = np.random.default_rng()
        self.writer, self.pad_id = DialogueWriter(model.tokenizer), model.pad_id
        self.slots = {
            VIDEO_SLOT: [VIDEO_SLOT] * model.config.vision_branch.qformer.num_queries,
            AUDIO_SLOT: [AUDIO_SLOT] * model.config.audio_branch.qformer.num_queries,
        }
        self.several = [i for i, s in enumerate(features.scenes) if len(s.shapes) > 1] or [0]
        self.sounding = [i for i, s in enumerate(features.scenes) if s.sounding]

    def __call__(self, step: int, part: int = 0, parts: int = 1) -> Batch:
        """The batch of a step, or one of its `parts` parts. It depends on nothing but the arguments and the seed."""
        self.rng = np.random.default_rng((self.seed, self.stage, self.branch == "audio", 8, step))
        other = "nothing"
        if self.stage == 2:
            other = str(self.rng.choice(["nothing", "text", "soft prompt"], p=self.shares))
        whole = self._vision_batch(other) if self.branch == "vision" else self._audio_batch(other)
        return whole if parts == 1 else whole.part(part, parts)

    def _vision_batch(self, other: str) -> Batch:
        rows = self.rng.choice(len(self.features.scenes), self.batch_size, replace=False)
        if self.stage == 1:
            crowded = self.rng.random(self.batch_size) < CROWDED
            rows = np.where(crowded, self.rng.choice(self.several, self.batch_size), rows)
        still = self.rng.random() < 0.12  # a batch of images: one-frame videos
        moment = int(self.rng.integers(self.features.frame_tokens.shape[1]))
        if still:  # while a thing grows, one frame does not tell its size
            rows = np.array([i for i in rows if self.features.scenes[i].motion not in ("grow", "shrink")])
        chats = []
        for row in rows:
            scene = self.features.scenes[row]
            if still:
                scene = replace(scene.at(moment / 2), sounds=scene.sounds)
            sound = self.writer.encode(sound_text(scene, self.rng)) if other == "text" else None
            chats.append(self._chat(scene, self.slots[VIDEO_SLOT], sound, still))
        tokens = self.features.frame_tokens[rows].float()  # [B, T, K, width]
        return self._batch(chats, tokens[:, moment : moment + 1] if still else tokens, None)

    def _audio_batch(self, other: str) -> Batch:
        silent = self.rng.random(self.batch_size) < 0.2
        everything = len(self.features.scenes)
        heard = np.array(
            [int(self.rng.integers(everything)) if s else int(self.rng.choice(self.sounding)) for s in silent]
        )
        seen = np.where(self.rng.random(self.batch_size) < 0.45, heard, self.rng.choice(self.sounding, self.batch_size))
        if self.from_sound:
            heard = seen = self.rng.choice(everything, self.batch_size, replace=False)
        chats = []
        for hear, see in zip(heard, seen, strict=True):
            scene = self.features.scenes[hear if self.picture_worded else see]
            sounds = scene.sounds if self.from_sound else sound_of_picture(self.features.scenes[hear])
            scene = replace(scene, sounds=sounds)
            picture = None
            if other != "nothing":
                text = self.writer.encode(picture_text(scene, self.rng))
                picture = text if other == "text" else self.slots[VIDEO_SLOT]
            chats.append(self._chat(scene, picture, self.slots[AUDIO_SLOT]))
        tokens = self.features.frame_tokens[seen].float() if other == "soft prompt" else None
        segments = self.features.sounds[heard] if self.from_sound else self._looks(heard)
        return self._batch(chats, tokens, segments.float())

    def _looks(self, rows: np.ndarray) -> Tensor:
        """Image vectors [B, M, E] of M = 2, 4 or 8 frames, evenly spaced: as many as a sound may have segments."""
        looks = self.features.looks[rows]  # [B, T, E]
        step = looks.shape[1] // int(self.rng.choice([2, 4, 8], p=[0.6, 0.2, 0.2]))
        return looks[:, int(self.rng.integers(step)) :: step]

    def _chat(self, scene: Scene, picture: list[int] | None, sound: list[int] | None, still: bool = False) -> Dialogue:
        return self.writer.write(
            picture, sound, self._asked(scene, picture is not None, sound is not None, still), still
        )

    def _asked(self, scene: Scene, sight: bool, hearing: bool, still: bool) -> list[Question]:
        if self.stage == 1:
            of_picture = self.branch == "vision" or self.picture_worded
            caption = ask(scene, "describe" if of_picture else "hear_describe", self.rng)
            return [caption] if caption else []
        if self.picture_worded:  # and nothing that teaches the branch to say "i can not hear"
            return questions(scene, self.rng, self.count, hearing=False, weights=STAGE2)
        asked = questions(scene, self.rng, self.count, sight, hearing, still=still, weights=STAGE2)
        if sight != hearing and self.rng.random() < 0.15:
            asked.insert(int(self.rng.integers(len(asked) + 1)), blind_question(self.rng, hearing=sight))
        return asked

    def _batch(self, chats: list[Dialogue], frame_tokens: Tensor | None, segments: Tensor | None) -> Batch:
        ids, mask, labels = pad([c.ids for c in chats], [c.labels for c in chats], self.pad_id)
        return Batch(ids, mask, labels, frame_tokens, segments)
