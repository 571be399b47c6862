"""How a question may be worded: for each question type, phrasings to learn from and phrasings held out of all training.

`{x}` and `{y}` stand for noun phrases, `{do}` and `{they}` for "does it" or "do they". The held-out phrasings use
words that the training phrasings know, in an order that they do not have.
"""

from __future__ import annotations

# question type -> (phrasings to train on, phrasings held out)
PHRASINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "describe": (
        ("describe the video", "describe what you see", "describe the picture", "what happens in the video",
         "what is shown in the picture", "tell me about the video", "give a description of what you see",
         "say what the video shows", "what does the picture show", "tell me about the picture",
         "give a description of the picture", "say what happens in the video"),
        ("give a description of the video", "tell me about what you see"),
    ),
    "see": (
        ("what do you see", "what can you see", "what is in the video", "what is there to see",
         "name what you see", "which things do you see", "what is visible", "say what is in the picture",
         "what do you see in the video", "what can you see in the picture", "name what you can see",
         "which things can you see", "say what is visible", "which things are visible", "name the things that you see"),
        ("what can you see in the video", "name what is visible"),
    ),
    "colour": (
        ("what colour is it", "which colour is it", "what is its colour", "name its colour", "name the colour",
         "what is the colour of the object", "which colour does it have", "say which colour it has",
         "what colour does the object have", "the colour of the object is what"),
        ("say the colour of the object", "which colour is the object"),
    ),
    "shape": (
        ("what shape is it", "which shape is it", "what is its shape", "name its shape", "name the shape",
         "what is the shape of the object", "which shape does it have", "say which shape it has",
         "what shape does the object have", "the shape of the object is what"),
        ("say the shape of the object", "which shape is the object"),
    ),
    "size": (
        ("what size is it", "which size is it", "what is its size", "name its size", "how large is it",
         "what is the size of the object", "is it small or large", "say which size it has",
         "how large is the object", "is it large or small", "the size of the object is what"),
        ("say the size of the object", "is the object small or large"),
    ),
    "motion": (
        ("which way {do} {they} move", "how {do} {they} move", "in which direction {do} {they} move",
         "what is the motion", "describe the motion", "what {do} {they} do", "where {do} {they} go",
         "say how {they} {move}", "say where {they} {move}", "name the direction of the motion",
         "what happens to {them}", "which motion {do} {they} have", "say what {they} {do}"),
        ("say which way {they} {move}", "in which direction {do} {they} go"),
    ),
    "count": (
        ("how many objects are there", "how many objects do you see", "count the objects",
         "what is the number of objects", "how many things are there", "how many things can you see",
         "say how many objects there are", "name the number of objects", "how many objects are shown",
         "count the things", "count what you see", "how many things do you see", "count the objects that you see",
         "how many things are shown", "how many objects are visible", "say how many things you see"),
        ("how many objects can you see", "count the things that you see"),
    ),
    "first": (
        ("what comes first", "what do you see first", "what is shown first", "which thing comes first",
         "what appears first", "name the first thing", "what is the first thing that you see",
         "what is at the start of the video", "say what comes first", "which thing do you see first"),
        ("which thing appears first", "say what you see first"),
    ),
    "last": (
        ("what comes last", "what do you see last", "what is shown last", "which thing comes last",
         "what appears last", "name the last thing", "what is the last thing that you see",
         "what is at the end of the video", "say what comes last", "which thing do you see last"),
        ("which thing appears last", "say what you see last"),
    ),
    "before": (
        ("does {x} come before {y}", "is {x} shown before {y}", "do you see {x} before {y}",
         "does {x} appear before {y}", "can you see {x} before {y}", "say if {x} comes before {y}",
         "does the video show {x} before {y}", "is {x} first and {y} last"),
        ("say if {x} is shown before {y}", "in the video, does {x} come before {y}"),
    ),
    "colour_of": (
        ("which colour is {x}", "what colour is {x}", "what is the colour of {x}", "name the colour of {x}",
         "what colour does {x} have", "say which colour {x} has", "which colour does {x} have",
         "the colour of {x} is what", "tell me about the colour of {x}"),
        ("say the colour of {x}", "{x} has which colour"),
    ),
    "exist": (
        ("is there {x}", "do you see {x}", "can you see {x}", "does the video show {x}", "is {x} in the video",
         "is there {x} in the picture", "say if there is {x}", "do you see {x} in the video",
         "is {x} shown", "does {x} appear"),
        ("say if you see {x}", "is {x} visible"),
    ),
    "hear": (
        ("what do you hear", "what can you hear", "what is the sound", "which sound is it", "name the sound",
         "what makes the sound", "which sound do you hear", "name what you hear", "listen, what is it",
         "say what makes the sound", "what is there to hear"),
        ("say what you hear", "which sound can you hear"),
    ),
    "hear_size": (
        ("what size is the thing that you hear", "how large is the thing that you hear",
         "is the sound of a small or a large thing", "do you hear a small or a large thing",
         "what is the size of what you hear", "say which size you hear", "how large is what you hear",
         "what is the size of the thing that makes the sound"),
        ("how large is the thing that makes the sound", "say if you hear a small or a large thing"),
    ),
    "hear_first": (
        ("what do you hear first", "which sound comes first", "what is the first sound", "name the first sound",
         "what can you hear first", "which sound do you hear first", "what sounds first",
         "say which sound comes first", "what do you hear at the start"),
        ("say what you hear first", "what is the first thing that you hear"),
    ),
    "hear_last": (
        ("what do you hear last", "which sound comes last", "what is the last sound", "name the last sound",
         "what can you hear last", "which sound do you hear last", "what sounds last",
         "say which sound comes last", "what do you hear at the end"),
        ("say what you hear last", "what is the last thing that you hear"),
    ),
    "hear_before": (
        ("do you hear {x} before {y}", "does {x} sound before {y}", "can you hear {x} before {y}",
         "is {x} heard before {y}", "say if {x} sounds before {y}", "does the sound of {x} come before {y}",
         "is the sound of {x} before the sound of {y}", "do you hear {x} first and {y} last"),
        ("say if you hear {x} before {y}", "is the sound of {x} heard before {y}"),
    ),
    "hear_exist": (
        ("do you hear {x}", "can you hear {x}", "is there the sound of {x}", "is {x} heard", "does {x} sound",
         "do you hear the sound of {x} now", "say if you can hear {x}", "say if there is the sound of {x}",
         "say if you hear {x}", "do you hear the sound of {x}", "is there a sound of {x}",
         "listen, is there {x}"),
        ("can you hear the sound of {x}", "say if {x} is heard"),
    ),
    "hear_describe": (
        ("describe the sound", "describe what you hear", "tell me about the sound", "what happens in the sound",
         "give a description of what you hear", "say what the sound is like", "what is the sound like"),
        ("give a description of the sound", "tell me about what you hear"),
    ),
    "match": (
        ("does the sound match the picture", "do the sound and the picture match",
         "does what you hear match what you see", "is the sound made by what you see", "do you hear what you see",
         "does the sound fit the picture", "say if the sound matches the picture",
         "do the picture and the sound fit", "do you see what makes the sound", "does the sound match the video"),
        ("say if the sound and the picture fit", "does the sound match what you see"),
    ),
}  # fmt: skip

# Put before a phrasing, for every question type alike, so that none of them gives the type away.
PREFIXES = (
    "",
    "",
    "",
    "",
    "tell me, ",
    "please tell me, ",
    "can you say, ",
    "please, ",
    "now, ",
    "and ",
    "in this clip, ",
)
HELD_OUT_PREFIXES = ("", "now tell me, ", "can you tell me, ")

VISUAL = (
    "describe",
    "see",
    "colour",
    "shape",
    "size",
    "motion",
    "count",
    "first",
    "last",
    "before",
    "colour_of",
    "exist",
)
AUDITORY = ("hear", "hear_size", "hear_first", "hear_last", "hear_before", "hear_exist", "hear_describe")
AUDIO_VISUAL = ("match",)
STILL = (
    "describe",
    "see",
    "colour",
    "shape",
    "size",
    "count",
    "colour_of",
    "exist",
)  # what one frame can answer
