"""Makes the sample clips of this folder and truths.json: python data_samples/make_samples.py

Every clip is a scene written by hand, so that what is true of it is known.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from minivl.toyworld.mp4 import write_mp4, write_wav
from minivl.toyworld.render import render_frames, render_still
from minivl.toyworld.scenes import DURATION, HALF, Scene, Sound, Thing
from minivl.toyworld.sounds import render_sound

SIZE, FPS = 256, 8
HERE = Path(__file__).resolve().parent
PACKAGED = HERE.parent / "minivl" / "demo_clips"  # copies that are installed with the package
IN_PACKAGE = (
    "red_circle_moves_left.mp4",
    "three_shapes.mp4",
    "dog_then_train.mp4",
    "cat_but_drum.mp4",
    "blue_square_and_phone.png",
    "bird.wav",
)


@dataclass(frozen=True)
class Sample:
    """A file, what is in it, and questions with their answers."""

    file: str
    scene: Scene
    description: str
    questions: tuple[tuple[str, str], ...]
    sound_track: bool = True


SAMPLES = (
    Sample(
        "bell.mp4",
        Scene(94, (Thing("bell", "large"),), sounds=(Sound("bell", "large"),)),
        "a large bell that rings: picture and sound match",
        (
            ("what do you see?", "a bell"),
            ("what do you hear?", "a bell"),
            ("does the sound match the picture?", "yes"),
            ("how many objects are there?", "one"),
        ),
    ),
    Sample(
        "dog_then_train.mp4",
        Scene(
            231,
            (
                Thing("dog", "large", end=HALF, x=0.42, y=0.54),
                Thing("train", "large", start=HALF, x=0.56, y=0.5),
            ),
            sounds=(Sound("dog", "large", end=HALF), Sound("train", "large", start=HALF)),
        ),
        "a dog for two seconds, then a train, in sight and in sound",
        (
            ("what do you see first?", "a dog"),
            ("what do you see last?", "a train"),
            ("what do you hear first?", "a dog"),
            ("what do you hear last?", "a train"),
            ("does the sound match the picture?", "yes"),
        ),
    ),
    Sample(
        "cat_but_drum.mp4",
        Scene(199, (Thing("cat", "large", x=0.5, y=0.52),), sounds=(Sound("drum", "large"),)),
        "a cat is seen, a drum is heard: they do not match",
        (
            ("what do you see?", "a cat"),
            ("what do you hear?", "a drum"),
            ("do you hear a cat?", "no"),
            ("does the sound match the picture?", "no"),
        ),
    ),
    Sample(
        "red_circle_moves_left.mp4",
        Scene(33, (Thing("circle", "large", "red", y=0.48),), "left"),
        "a red circle moves left; the sound track is silent but for faint noise",
        (
            ("what do you see?", "a red circle"),
            ("what colour is it?", "red"),
            ("what shape is it?", "a circle"),
            ("which way does it move?", "it moves left"),
            ("what do you hear?", "silence"),
        ),
    ),
    Sample(
        "three_shapes.mp4",
        Scene(
            128,
            (
                Thing("star", "large", "yellow", x=0.5, y=0.25),
                Thing("cross", "large", "green", x=0.717, y=0.625),
                Thing("square", "small", "purple", x=0.283, y=0.625),
            ),
            sounds=(Sound("rain", "large"),),
        ),
        "a yellow star, a green cross and a small purple square; rain is heard, but not seen",
        (
            ("how many objects are there?", "three"),
            ("what colour is the star?", "yellow"),
            ("what colour is the cross?", "green"),
            ("what colour is the square?", "purple"),
            ("which way do they move?", "they stay still"),
            ("what do you hear?", "rain"),
            ("is there rain?", "no"),
            ("do you hear rain?", "yes"),
        ),
    ),
    Sample(
        "no_sound_track.mp4",
        Scene(103, (Thing("square", "small", "blue"),), "grow"),
        "a blue square grows; the file has no sound track",
        (
            ("what do you see?", "a blue square"),
            ("what colour is it?", "blue"),
            ("which way does it move?", "it grows"),
            ("what shape is it?", "a square"),
        ),
        sound_track=False,
    ),
    Sample(
        "blue_square_and_phone.png",
        Scene(240, (Thing("phone", "large", x=0.3, y=0.4), Thing("square", "large", "blue", x=0.7, y=0.6))),
        "a phone and a blue square, a still image",
        (
            ("what colour is the square?", "blue"),
            ("what do you see?", "a phone and a blue square"),
            ("how many objects are there?", "two"),
            ("is there a phone?", "yes"),
            ("is there a bell?", "no"),
        ),
        sound_track=False,
    ),
    Sample(
        "bird.wav",
        Scene(55, (), sounds=(Sound("bird", "small"),)),
        "a small bird sings: sound without a picture",
        (("what do you hear?", "a bird"), ("what is the size of what you hear?", "small")),
    ),
)


def write(sample: Sample, folder: Path) -> None:
    """The file of one sample, its kind taken from its name."""
    path, scene = folder / sample.file, sample.scene
    if path.suffix == ".mp4":
        sound = render_sound(scene) if sample.sound_track else None
        write_mp4(path, render_frames(scene, round(FPS * DURATION), SIZE), FPS, sound)
    elif path.suffix == ".wav":
        write_wav(path, render_sound(scene))
    else:
        Image.fromarray(render_still(scene, 0.0, SIZE)).save(path)


def truth(sample: Sample) -> dict[str, object]:
    """What truths.json says of one file."""
    return {
        "description": sample.description,
        "seen": [f"{t.colour} {t.name}".strip() for t in sample.scene.things],
        "heard": [s.name for s in sample.scene.sounds],
        "scene": dataclasses.asdict(sample.scene),
        "questions": sample.questions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write (default: this script's folder)")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        write(sample, folder)
        print(folder / sample.file)
    if folder == HERE:
        PACKAGED.mkdir(exist_ok=True)
        for file in IN_PACKAGE:
            shutil.copyfile(HERE / file, PACKAGED / file)
    truths = {sample.file: truth(sample) for sample in SAMPLES}
    (folder / "truths.json").write_text(json.dumps(truths, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
