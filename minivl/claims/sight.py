"""The claims about seeing, and what each must show: (a) time, (b) Q-Former, (c) stages, (f) images, (i, j) frames."""

from __future__ import annotations

from minivl.claims.verdicts import HOLDS, NOT, PART, Check, Claim, accuracy, as_good, at_least, better, grid

LOOKS, ORDERED, VISUAL = "sight/looks", "sight/order", "sight/all visual"
TYPES = {name: f"sight/{name}" for name in ("colour", "shape", "motion", "first", "last")} | {
    "X before Y": "sight/before"
}
SUMS = {"colour and shape": LOOKS, "all four of order": ORDERED, "all visual questions": VISUAL}

POSITIONS = Claim(
    "a", "Position embeddings carry time",
    paper="The image encoder looks at each frame alone, so a learned position is added to every frame's tokens, as the "
    "indicator of time (section 2.1.1).",
    test="The vision branch is trained again without positions. *Order unknown* is what is reached by who sees all "
    "frames in a heap: it knows what stands still and which things come, and tosses a coin for direction and order.",
    columns=("with positions", "without", "order unknown"),
    lines=grid({"with": "recipe", "without": "no positions", "heap": "unordered"}, TYPES | SUMS),
    checks=(
        better("questions of order, with positions and without", ("recipe", ORDERED), ("no positions", ORDERED), 0.2),
        Check(
            "questions of order without positions, above order unknown: at most 0.10",
            lambda m: accuracy(m, ("no positions", ORDERED)) - accuracy(m, ("unordered", ORDERED)), most=0.1,
        ),
        as_good("colour and shape without positions", ("no positions", LOOKS), ("recipe", LOOKS), 0.05),
    ),
    pictured=tuple(TYPES),
    why={
        HOLDS: "Without positions the Video Q-Former sees a set: any order of the frames gives the same soft prompt.",
        PART: "Without positions the Video Q-Former sees a set: any order of the frames gives the same soft prompt. "
        "How much is made of positions, and of looks, in so few steps is another matter.",
    },
)  # fmt: skip

POOLING = Claim(
    "b", "A Video Q-Former does better than mean pooling",
    paper="A Video Q-Former puts the frames together to a video (section 2.1.1). It is not compared with anything.",
    test="In its place, the mean over the frames of each token, through the same linear layer: same data, steps, "
    "seeds. A mean knows no order, with positions or without; so the Q-Former without positions stands beside it.",
    columns=("Video Q-Former", "mean pooling", "Q-Former without positions"),
    lines=grid(
        {"q": "recipe", "mean": "mean pooling", "bag": "no positions"},
        TYPES | {"how many": "sight/count", "which colour is the X": "sight/colour_of"} | SUMS,
    ),
    checks=(
        better("questions of order", ("recipe", ORDERED), ("mean pooling", ORDERED), 0.2),
        better("all visual questions", ("recipe", VISUAL), ("mean pooling", VISUAL), 0.05),
        better("all visual questions, Q-Former without positions",
               ("no positions", VISUAL), ("mean pooling", VISUAL), 0.02),
    ),
    pictured=("colour", "motion", "first", "X before Y", "how many", "all visual questions"),
    why={
        HOLDS: "A mean is the same for any order of the frames, and blurs what changes between them.",
        PART: "A mean is the same for any order of the frames. But it keeps a frame's tokens apart, and where nothing "
        "changes it loses nothing.",
        NOT: "A mean keeps a frame's tokens apart, and has far fewer weights to learn in so few steps.",
    },
)  # fmt: skip

STAGES = Claim(
    "c", "Stage 1 alone loses instruction following, stage 2 restores it",
    paper="After stage 1 the model can say what is in a video, but follows instructions less well; stage 2, on "
    "instructions, restores that (sections 2.2.1 and 2.2.2).",
    test="The same branch after stage 1 (captions alone) and after stage 2. *Caption as text*: the true caption, in "
    "words, stands where the soft prompt stands; so well does the language model follow instructions. *Right form* is "
    "the share of answers that answer such a question at all (a colour where a colour is asked for).",
    columns=("caption as text", "stage 1", "stages 1 + 2"),
    lines=grid(
        {"text": "caption as text", "1": "stage 1", "2": "stage 2"},
        {"describe": "sight/describe"} | TYPES | {"is there X": "sight/exist", "all visual questions": VISUAL}
        | {"right form": "sight/form"},
    ),
    checks=(
        at_least("after stage 1 it describes, word for word", ("stage 1", "sight/describe"), 0.3),
        better("all visual questions, caption as text against stage 1",
               ("caption as text", VISUAL), ("stage 1", VISUAL), 0.1),
        better("all visual questions, stage 2 against stage 1", ("stage 2", VISUAL), ("stage 1", VISUAL), 0.1),
        as_good("all visual questions, stage 2 against caption as text",
                ("stage 2", VISUAL), ("caption as text", VISUAL), 0.1),
    ),
    pictured=("describe", "colour", "motion", "first", "is there X", "all visual questions", "right form"),
    why={
        HOLDS: "The language model is frozen and cannot forget. What stage 1 lacks is a soft prompt from which it can "
        "read more than a caption.",
        PART: "The language model is frozen and cannot forget; whatever is lacking after a stage is missing in the "
        "soft prompt. Both stages are shorter here than in the full recipe.",
    },
)  # fmt: skip

IMAGES = Claim(
    "f", "An image can be used as a video of one frame",
    paper="Images are used as videos of one frame: in training (section 2.2.1) and in the examples.",
    test="The frame at two seconds is asked about as an image, as a video of one frame, and as a video that shows it "
    "eight times; an eighth of the vision branch's batches were images. Of clips, the whole video stands beside it; "
    "its questions are others, on motion and order too.",
    columns=("an image", "a video of one frame", "the frame eight times", "the whole video"),
    lines={
        label: (
            *((column, f"image/{kind}") for column in ("an image", "a video of one frame", "the frame eight times")),
            ("recipe", f"sight/{kind}"),
        )
        for label, kind in {
            "colour": "colour", "shape": "shape", "size": "size", "how many": "count", "what do you see": "see",
            "is there X": "exist", "all visual questions": "all visual",
        }.items()
    },
    checks=(
        as_good("all questions, image against frame eight times",
                ("an image", "image/all visual"), ("the frame eight times", "image/all visual"), 0.05),
        as_good("colour, image against whole video", ("an image", "image/colour"), ("recipe", "sight/colour"), 0.05),
        as_good("shape, image against whole video", ("an image", "image/shape"), ("recipe", "sight/shape"), 0.05),
    ),
    pictured=("colour", "shape", "size", "how many", "what do you see", "is there X"),
    why={
        HOLDS: "The Video Q-Former reads any number of frame tokens, and images were among what it was trained on.",
        PART: "The Video Q-Former reads any number of frame tokens; but seven of eight batches in training had eight "
        "frames, and in one frame a thing is seen at one place and in one size only.",
    },
)  # fmt: skip

MORE_FRAMES = Claim(
    "i", "It can be given more frames than it was trained on",
    paper="Long videos are named among the limits. The original has 32 frame positions and trains eight of them.",
    test="The same four seconds in 4, 8, 12 and 16 frames; positions from the ninth on are as they were drawn, "
    "made smaller by weight decay. *Stretched*: each frame gets the trained position of its moment, in between two of "
    "the eight where there was no frame.",
    columns=("4", "8 (trained)", "12", "16", "4 stretched", "12 stretched", "16 stretched"),
    lines=grid(
        {"4": "4 frames", "8": "recipe", "12": "12 frames", "16": "16 frames",
         "4s": "4 frames, stretched", "12s": "12 frames, stretched", "16s": "16 frames, stretched"},
        TYPES | SUMS,
    ),
    checks=(
        as_good("colour and shape, 16 frames", ("16 frames", LOOKS), ("recipe", LOOKS), 0.05),
        as_good("questions of order, 12 frames", ("12 frames", ORDERED), ("recipe", ORDERED), 0.05),
        as_good("questions of order, 16 frames", ("16 frames", ORDERED), ("recipe", ORDERED), 0.05),
        as_good("questions of order, 16 frames, stretched",
                ("16 frames, stretched", ORDERED), ("recipe", ORDERED), 0.05),
    ),
    pictured=("colour and shape", "all four of order", "all visual questions"),
    why={
        PART: "A frame beyond the eighth carries a position that says nothing about time, and the eight trained ones "
        "cover a part of the clip. Stretching the trained positions shows how much of the loss is due to that.",
        NOT: "Neither the number of frame tokens nor their positions are what the branch was trained on.",
    },
)  # fmt: skip

ORDER_OF_FRAMES = Claim(
    "j", "Shuffled or reversed frames change what it says of time, and nothing else",
    paper="The branch is to capture changes over time (section 1).",
    test="The model is asked about the same clips with their frames shuffled or reversed. *As reversed* counts the "
    "answers that are true of the clip played backwards: left for right, last for first.",
    columns=("intact", "shuffled", "reversed", "as reversed"),
    lines={
        label: (
            ("recipe", row), ("shuffled", row), ("reversed", row),
            ("reversed", f"{row} (as altered)") if label in ("motion", "first", "last") else None,
        )
        for label, row in (TYPES | SUMS).items()
    },
    checks=(
        better("questions of order, intact against shuffled", ("recipe", ORDERED), ("shuffled", ORDERED), 0.2),
        as_good("colour and shape, shuffled", ("shuffled", LOOKS), ("recipe", LOOKS), 0.05),
        as_good("colour and shape, reversed", ("reversed", LOOKS), ("recipe", LOOKS), 0.05),
        at_least("motion, as reversed", ("reversed", "sight/motion (as altered)"), 0.7),
        at_least("what comes first, as reversed", ("reversed", "sight/first (as altered)"), 0.7),
    ),
    pictured=tuple(TYPES),
    why={
        HOLDS: "A clip played backwards is one that the toy world could have drawn, and the model takes it for that.",
        PART: "A clip played backwards is one that the toy world could have drawn; a shuffled one is not, yet it "
        "shows what stands still, and along which line things move.",
    },
)  # fmt: skip
