"""What a model has of a file once it has watched it: features of each sense, and the soft prompts made from them.

    file ─► frames   ─► frame tokens ─► video soft prompt ─┐
         ─► log-mels ─► segments     ─► audio soft prompt ─┴─► upload message: "<Video>...</Video> <Audio>...</Audio>"

In the original: `Chat.upload_video` and its sisters in `conversation_video.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minivl.audio import Sound, load_audio
from minivl.conversation import IMAGE_SYSTEM, TINY, Conversation, Style, upload_message, upload_slots
from minivl.errors import InputError, NoPictureError
from minivl.model import VideoLlama
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT
from minivl.video import Clip, load_video

Source = str | os.PathLike[str] | Tensor | np.ndarray


@dataclass(frozen=True)
class Perception:
    """A clip and a sound as far as there are any, and what the model made of them. A sense that is missing is None."""

    clip: Clip | None
    sound: Sound | None
    notes: tuple[str, ...]  # what the user should know, in sentences
    frame_tokens: Tensor | None  # [1, T, K, width]
    segments: Tensor | None  # [1, M, E]
    soft: dict[int, Tensor]  # slot -> soft prompt [1, Qv or Qa, D]

    def blindfolded(self) -> Perception:
        """The same without sight. Raises InputError if nothing is left."""
        soft = {slot: prompt for slot, prompt in self.soft.items() if slot != VIDEO_SLOT}
        return _something_left(replace(self, clip=None, frame_tokens=None, soft=soft))

    def muted(self) -> Perception:
        """The same without hearing. Raises InputError if nothing is left."""
        soft = {slot: prompt for slot, prompt in self.soft.items() if slot != AUDIO_SLOT}
        return _something_left(replace(self, sound=None, segments=None, soft=soft))

    def upload(self, style: Style) -> Conversation:
        """A conversation that holds only "here is a video", with a placeholder for each soft prompt."""
        still = self.clip is not None and self.clip.is_image
        video, msg = self.clip is not None and not still, self.clip.message() if self.clip else ""
        conversation = Conversation(style, IMAGE_SYSTEM if still and style is not TINY else "")
        message = upload_message(style, video, still, audio=self.sound is not None, msg=msg)
        conversation.add(style.roles[0], message)
        return conversation

    def slots(self, style: Style) -> list[tuple[int, int]]:
        """(slot, number of vectors) of each placeholder in `upload`, in its order."""
        lengths = [self.soft[slot].shape[1] if slot in self.soft else 0 for slot in (VIDEO_SLOT, AUDIO_SLOT)]
        return upload_slots(style, *lengths)


def _something_left(perceived: Perception) -> Perception:
    if not perceived.soft:
        raise InputError("there is only one sense to take away: without it nothing is left to ask about")
    return perceived


@torch.no_grad()
def perceive(model: VideoLlama, source: Source, sight: bool = True, hearing: bool = True) -> Perception:
    """Watch a video, an image, a sound file, or frames [T, 3, H, W] uint8, with the wanted senses.

    A sense for which the file has nothing is left out with a sentence in `notes`. Raises InputError if no sense is
    left, MediaError for a file that cannot be read.
    """
    clip, sound, notes = _look_and_listen(model, source, sight, hearing)
    soft: dict[int, Tensor] = {}
    frame_tokens = segments = None
    if clip is not None:
        frame_tokens = model.encode_frames(clip.frames[None])  # [1, T, K, width]
        soft[VIDEO_SLOT] = model.video_prompt(frame_tokens)  # [1, Qv, D]
    if sound is not None:
        segments = model.encode_segments(sound.mel[None])  # [1, M, E]
        soft[AUDIO_SLOT] = model.audio_prompt(segments)  # [1, Qa, D]
    return Perception(clip, sound, tuple(notes), frame_tokens, segments, soft)


def _look_and_listen(
    model: VideoLlama, source: Source, sight: bool, hearing: bool
) -> tuple[Clip | None, Sound | None, list[str]]:
    """Load what the wanted senses find in the source, and a note for each that finds nothing."""
    if not (sight or hearing):
        raise InputError("sight=False and hearing=False leave nothing to ask about: switch one of them on")
    config = model.config
    clip, sound, notes, name = None, None, [], "an array of frames"
    if not isinstance(source, Tensor | np.ndarray):
        name = Path(source).name
        if hearing and model.can_hear:
            sound = load_audio(source, config.num_segments, original=config.original_quirks)
    if sight and model.can_see:
        try:
            clip = load_video(source, config.num_frames, size=config.vit.image_size)
        except NoPictureError:  # a file cut short is refused, even if its sound can be read
            if sound is None:
                raise
    missing = []
    if sight and clip is None:
        missing.append(f"{name} has no picture" if model.can_see else "this model was loaded without eyes")
        notes.append(f"{missing[-1]}: going on with hearing alone")
    if hearing and sound is None:
        missing.append(f"{name} has no audio track" if model.can_hear else "this model was loaded without ears")
        notes.append(f"{missing[-1]}: going on with sight alone")
    if clip is None and sound is None:
        switch = "" if sight and hearing else f", and {'hearing' if sight else 'sight'} is switched off"
        raise InputError(f"{' and '.join(missing)}{switch}: give another file, or use both senses")
    return clip, sound, notes
