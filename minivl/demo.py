"""`minivl demo`: the whole path once, on clips that come with the package.

Shapes from the file to the logits, then questions of every kind, each answer beside the true one, and one
picture of it all. The scenes were written by hand (data_samples/make_samples.py).
"""

from __future__ import annotations

import time
from pathlib import Path

from minivl.audio import load_audio
from minivl.chat import Chat
from minivl.model import VideoLlama
from minivl.plots import Asked, Watched, show_answers
from minivl.trace import trace
from minivl.video import load_video

CLIPS = Path(__file__).parent / "demo_clips"
PICTURE = "minivl_demo.png"

# file -> kind of question -> (question, true answer)
QUESTIONS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "red_circle_moves_left.mp4": {
        "visual": [("what do you see?", "a red circle"), ("what shape is it?", "a circle")],
        "temporal": [("which way does it move?", "it moves left")],
        "auditory": [("what do you hear?", "silence")],
    },
    "three_shapes.mp4": {
        "visual": [("how many objects are there?", "three"), ("what colour is the cross?", "green")],
        "auditory": [("what do you hear?", "rain")],
        "audio-visual": [("is there rain?", "no"), ("do you hear rain?", "yes")],
    },
    "dog_then_train.mp4": {
        "temporal": [("what do you see first?", "a dog"), ("what do you see last?", "a train")],
        "auditory": [("what do you hear first?", "a dog"), ("what do you hear last?", "a train")],
        "audio-visual": [("does the sound match the picture?", "yes")],
    },
    "cat_but_drum.mp4": {
        "visual": [("what do you see?", "a cat")],
        "auditory": [("what do you hear?", "a drum"), ("do you hear a cat?", "no")],
        "audio-visual": [("does the sound match the picture?", "no")],
    },
}


def run(out: Path, model: VideoLlama | None = None) -> Path:
    """Watch the clips, ask, print what is right and wrong, and save one picture; returns its path.

    out: the picture's file (its ending says the format), or a folder, in which it is called minivl_demo.png.
    model: the shipped tiny model if None.
    """
    began = time.perf_counter()
    out = Path(out)
    picture = out if out.suffix and not out.is_dir() else out / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    model = model or VideoLlama.from_pretrained("tiny")
    first, config = CLIPS / "dog_then_train.mp4", model.config
    clip = load_video(first, config.num_frames, config.vit.image_size)
    print(f"From {first.name} to an answer, stage by stage:\n")
    print(trace(model, clip, load_audio(first, config.num_segments), "what do you see first?"))
    print("\nEvery question is asked in a new chat about the clip, with sight and hearing on.")
    watched = [_ask(model, name, by_kind) for name, by_kind in QUESTIONS.items()]
    show_answers(watched, picture)
    asked = [one for clip in watched for several in clip.asked.values() for one in several]
    right = sum(answer == truth for _, answer, truth in asked)
    print(f"\n{right} of {len(asked)} answers are right; {time.perf_counter() - began:.1f} s")
    print(f"The picture of all this: {picture.resolve()}")
    return picture


def _ask(model: VideoLlama, name: str, by_kind: dict[str, list[tuple[str, str]]]) -> Watched:
    """Ask all questions about one clip, and print each answer as it comes."""
    chat = Chat(model)
    chat.watch(CLIPS / name)
    print(f"\n{name}")
    answers: dict[str, list[Asked]] = {}
    for kind, questions in by_kind.items():
        for question, truth in questions:
            chat.reset()
            answer = chat.ask(question)
            verdict = "right" if answer == truth else f"wrong, it is: {truth}"
            print(f"  {kind:14}{question:37}{answer:16}{verdict}")
            answers.setdefault(kind, []).append((question, answer, truth))
    return Watched(name, chat.clip, chat.sound, answers)
