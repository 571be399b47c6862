"""The claims about hearing: (d) zero-shot, from pictures alone, and (d2) the gap between norms."""

from __future__ import annotations

from minivl.claims.verdicts import HOLDS, NOT, PART, Claim, above_blind, as_good, better, grid

HEARD = {
    "what do you hear": "hearing/hear", "... silence": "hearing/hear (silence)", "first": "hearing/hear_first",
    "last": "hearing/hear_last", "X before Y": "hearing/hear_before", "do you hear X": "hearing/hear_exist",
    "small or large": "hearing/hear_size", "describe the sound": "hearing/hear_describe",
    "all auditory questions": "hearing/all auditory",
}  # fmt: skip
AUDITORY = "hearing/all auditory"

ZERO_SHOT = Claim(
    "d", "Trained on pictures alone, the audio branch hears",
    paper="Sound with captions is rare, so the audio branch is trained on pictures; since ImageBind puts pictures and "
    "sounds into one space, it understands sound without having met any (sections 2.1.2 and 2.2.2).",
    test="The audio branch trained on image vectors is asked about sound, and beside it the same branch trained on "
    "sound itself.",
    columns=("trained on pictures", "trained on sound"),
    lines=grid({"pictures": "recipe", "sound": "from sound"}, HEARD),
    checks=(
        above_blind("what do you hear", ("recipe", "hearing/hear"), 0.3),
        above_blind("do you hear X", ("recipe", "hearing/hear_exist"), 0.2),
        as_good("all auditory questions, against trained on sound",
                ("recipe", AUDITORY), ("from sound", AUDITORY), 0.05),
    ),
    pictured=("what do you hear", "first", "X before Y", "do you hear X", "small or large"),
    why={
        HOLDS: "Our audio trunk was drawn to the image vectors of what makes the sound, so one stands for the other.",
        PART: "Our audio trunk was drawn to the image vectors of what makes the sound. What still differs: silence, in "
        "whose place training has pictures of things that make none; and two segments come after two to eight frames.",
        NOT: "What the branch learned of image vectors is not what audio vectors say.",
    },
)  # fmt: skip

NORMS = Claim(
    "d2", "The gap between the norms of image and audio vectors does harm",
    paper="Not in the paper, but in its code: training sees image vectors of norm 1, and then audio vectors of norm 20 "
    "come in. Nothing brings them together.",
    test="Our audio trunk gives norm 1. Its vectors are made 2, 5 and 20 times as long, for the branch trained on "
    "pictures. `match_norms` in VideoLlamaConfig divides by the norm, which gives the first column again, exactly.",
    columns=("norm 1", "norm 2", "norm 5", "norm 20"),
    lines=grid({"1": "recipe", "2": "norm x 2", "5": "norm x 5", "20": "norm x 20"}, HEARD),
    checks=(
        better("all auditory questions, norm 1 against norm 20", ("recipe", AUDITORY), ("norm x 20", AUDITORY), 0.05),
        better("order of sounds, norm 1 against norm 20",
               ("recipe", "hearing/heard order"), ("norm x 20", "hearing/heard order"), 0.05),
        better("what do you hear, norm 1 against norm 20",
               ("recipe", "hearing/hear"), ("norm x 20", "hearing/hear"), 0.05),
    ),
    pictured=("what do you hear", "first", "X before Y", "do you hear X", "all auditory questions"),
    why={
        HOLDS: "A long vector drowns the position that is added to it, and, once read, the query that asked "
        "(notebook 08).",
        PART: "A long vector drowns the position that is added to it, and, once read, the query that asked; not every "
        "question needs what that destroys.",
        NOT: "The normalisation after the cross-attention takes out most of a common factor.",
    },
)  # fmt: skip
