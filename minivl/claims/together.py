"""The claims about hearing and seeing together: (e) both prompts, and (k) what it takes to teach that."""

from __future__ import annotations

from minivl.claims.verdicts import HOLDS, NOT, PART, Claim, as_good, at_least, better, grid

AUDITORY, BOTH_VISUAL, BOTH_AUDITORY = "hearing/all auditory", "both/all visual", "both/all auditory"

BOTH = Claim(
    "e", "Both soft prompts together answer both kinds of question",
    paper="One model understands what is seen and what is heard at the same time (sections 1 and 2.2, and the "
    "examples).",
    test="The same questions with one soft prompt in the chat and with both; *disagree* are the clips whose sound is "
    "not made by what is seen. It can also be asked whether sound and picture match (chance is a half).",
    columns=("one prompt", "both prompts", "both, they disagree"),
    lines={
        "all visual questions": (("recipe", "sight/all visual"), ("recipe", BOTH_VISUAL),
                                 ("recipe", "disagree/all visual")),
        "all auditory questions": (("recipe", AUDITORY), ("recipe", BOTH_AUDITORY),
                                   ("recipe", "disagree/all auditory")),
        "does the sound match": (None, ("recipe", "both/match"), None),
        "... they do": (None, ("recipe", "both/match (yes)"), None),
        "... they do not": (None, ("recipe", "both/match (no)"), None),
    },
    checks=(
        as_good("visual questions, both prompts against one",
                ("recipe", BOTH_VISUAL), ("recipe", "sight/all visual"), 0.05),
        as_good("auditory questions, both prompts against one", ("recipe", BOTH_AUDITORY), ("recipe", AUDITORY), 0.05),
        as_good("visual questions, where they disagree, against one prompt",
                ("recipe", "disagree/all visual"), ("recipe", "sight/all visual"), 0.05),
        as_good("auditory questions, where they disagree, against one prompt",
                ("recipe", "disagree/all auditory"), ("recipe", AUDITORY), 0.05),
        at_least("does the sound match the picture", ("recipe", "both/match"), 0.8),
    ),
    pictured=("all visual questions", "all auditory questions", "does the sound match"),
    why={
        HOLDS: "In training, each branch has met a text or a soft prompt in the other's place.",
        PART: "The branches are trained one after the other: the audio branch has met the vision branch's soft prompt, "
        "the vision branch nothing but texts about sounds.",
        NOT: "The branches are trained one after the other, and in few steps: the vision branch has never met the "
        "audio branch's soft prompt.",
    },
)  # fmt: skip

JOINT = {  # header → column
    "as the paper": "as the paper", "+ sound words": "+ sound words", "+ text": "+ text", "+ soft prompt": "recipe",
    "+ twice the steps": "+ twice the steps", "sound words, twice the steps": "+ sound words, twice the steps",
}  # fmt: skip
INGREDIENTS = Claim(
    "k", "Each ingredient of joint hearing and seeing adds something",
    paper="Not in the paper: its branches are trained apart and on the words of pictures (section 2.2).",
    test="From left to right one ingredient is added in stage 2. *As the paper*: each branch alone in the chat, the "
    "audio branch asked about its image vectors as about pictures. *Sound words*: asked as about sounds, in stage 1 "
    "too. *Text*: the other branch's place holds a text in six batches of ten (audio; vision: five). *Soft prompt*: in "
    "four of these six it is the trained vision branch's soft prompt; this is our recipe. *Twice the steps* of the "
    "audio branch's stage 2. The last column is a control: twice the steps with neither text nor soft prompt.",
    columns=tuple(JOINT),
    lines=grid(JOINT, {
        "hearing alone": AUDITORY, "sight alone": "sight/all visual", "both: visual": BOTH_VISUAL,
        "both: auditory": BOTH_AUDITORY, "disagree: visual": "disagree/all visual",
        "disagree: auditory": "disagree/all auditory", "does the sound match": "both/match",
    }),
    checks=(
        better("sound words, auditory questions, hearing alone",
               ("+ sound words", AUDITORY), ("as the paper", AUDITORY), 0.05),
        better("text, auditory questions, both prompts",
               ("+ text", BOTH_AUDITORY), ("+ sound words", BOTH_AUDITORY), 0.05),
        better("soft prompt, does the sound match", ("recipe", "both/match"), ("+ text", "both/match"), 0.05),
        better("twice the steps, auditory questions, both prompts",
               ("+ twice the steps", BOTH_AUDITORY), ("recipe", BOTH_AUDITORY), 0.01),
        better("the recipe against twice the steps without it, auditory questions, both prompts",
               ("recipe", BOTH_AUDITORY), ("+ sound words, twice the steps", BOTH_AUDITORY), 0.05),
    ),
    pictured=("hearing alone", "both: visual", "both: auditory", "disagree: auditory", "does the sound match"),
    why={
        PART: "An ingredient can add only what those before it have left to learn.",
        NOT: "In so few steps the ingredients compete: what a batch shows of one, it does not show of another.",
    },
)  # fmt: skip
