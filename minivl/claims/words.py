"""The claims about answers: (g) things that are not there, and (h) words and pairs that no training had."""

from __future__ import annotations

from minivl.claims.verdicts import HOLDS, NOT, PART, Check, Claim, accuracy, as_good

AUDITORY = "hearing/all auditory"

HALLUCINATION = Claim(
    "g", "Hallucination: it affirms what is not there",
    paper="Named among the limits: inherited from the frozen language model.",
    test="*Is there X*, *do you hear X*. Half of the questions are about things that are there; of absent things some "
    "are hard: absent in the picture but heard, silent but in the picture. The table has the share of right answers.",
    columns=("stage 1, one prompt", "one prompt", "both prompts"),
    lines={
        "seen, affirmed": (
            ("stage 1", "sight/exist (yes)"),
            ("recipe", "sight/exist (yes)"), ("recipe", "both/exist (yes)")),
        "not there, denied": (
            ("stage 1", "sight/exist (no)"),
            ("recipe", "sight/exist (no)"), ("recipe", "both/exist (no)")),
        "not there but heard, denied": (None, None, ("recipe", "both/exist (no, but heard)")),
        "heard, affirmed": (None, ("recipe", "hearing/hear_exist (yes)"), ("recipe", "both/hear_exist (yes)")),
        "silent, denied": (None, ("recipe", "hearing/hear_exist (no)"), ("recipe", "both/hear_exist (no)")),
        "silent but seen, denied": (None, None, ("recipe", "both/hear_exist (no, but seen)")),
    },
    checks=(
        Check("absent things affirmed, both prompts: at least 0.05",
              lambda m: 1 - accuracy(m, ("recipe", "both/exist (no)")), least=0.05),
        Check("sounds that are not there affirmed, both prompts: at least 0.05",
              lambda m: 1 - accuracy(m, ("recipe", "both/hear_exist (no)")), least=0.05),
        Check("silent things affirmed more often if they are seen: by at least 0.05",
              lambda m: accuracy(m, ("recipe", "both/hear_exist (no)"))
              - accuracy(m, ("recipe", "both/hear_exist (no, but seen)")), least=0.05),
    ),
    pictured=("seen, affirmed", "not there, denied", "not there but heard, denied", "heard, affirmed", "silent, denied",
              "silent but seen, denied"),
    blind=False,
    why={
        HOLDS: "What the two soft prompts do not say, the language model fills in with what is usual.",
        PART: "Our language model was taught with questions about absent things, as often as about present ones; large "
        "language models are not.",
        NOT: "Our language model was taught with questions about absent things, as often as about present ones; large "
        "language models are not.",
    },
)  # fmt: skip

NEW_WORDS = Claim(
    "h", "It understands phrasings and pairs that no training has met",
    paper="Users ask in words of their own (examples), about things that training has not shown together.",
    test="Two phrasings of each question type are held out of all trainings, the language model's too, and three of "
    "the thirty colour x shape pairs.",
    columns=("as in training", "held out"),
    lines={
        "all visual questions, phrasing": (("recipe", "sight/all visual"), ("recipe", "held out/all visual")),
        "all auditory questions, phrasing": (("recipe", AUDITORY), ("recipe", "held out/all auditory")),
        "colour of a pair": (("recipe", "sight/colour"), ("recipe", "unseen pairs/colour")),
        "shape of a pair": (("recipe", "sight/shape"), ("recipe", "unseen pairs/shape")),
    },
    checks=(
        as_good("visual questions, held-out phrasings",
                ("recipe", "held out/all visual"), ("recipe", "sight/all visual"), 0.05),
        as_good("auditory questions, held-out phrasings",
                ("recipe", "held out/all auditory"), ("recipe", AUDITORY), 0.05),
        as_good("colour of unseen pairs", ("recipe", "unseen pairs/colour"), ("recipe", "sight/colour"), 0.05),
        as_good("shape of unseen pairs", ("recipe", "unseen pairs/shape"), ("recipe", "sight/shape"), 0.05),
    ),
    pictured=("all visual questions, phrasing", "all auditory questions, phrasing", "colour of a pair",
              "shape of a pair"),
    why={
        HOLDS: "The phrasings are read by the language model, which is frozen; colour and shape were learned apart.",
        PART: "The phrasings are read by the language model, which is frozen. Unseen pairs are new to the image "
        "encoder and to the branch alike: 27 of the 30 must teach that any colour goes with any shape.",
        NOT: "Neither the language model nor the branch has learned what goes beyond its examples.",
    },
)  # fmt: skip
