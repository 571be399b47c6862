"""Checkers of notebook 07, stage 2: instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from minivl.confidence import wilson
from minivl.course.checking import Wrong
from minivl.soft_prompt import IGNORE, VIDEO_SLOT

ASSISTANT, END = 5, 3
Pair = tuple[str, str]  # kind of question, answer


def answer_labels(answer: Callable[[list[int], int, int], list[int]]) -> str:
    """The labels of chats from their ids."""
    opening = [END, 4, *[VIDEO_SLOT] * 2, 40, 41, END, ASSISTANT]
    one = ([*opening, 50, 51, END], [IGNORE] * 8 + [50, 51, END])
    later = [4, 42, END, ASSISTANT]
    two = ([*one[0], *later, 52, END], [*one[1], *[IGNORE] * 4, 52, END])
    cut = ([*one[0], *later, 53], [*one[1], *[IGNORE] * 4, 53])
    for ids, right in (one, two, cut):
        found = list(answer(list(ids), ASSISTANT, END))
        if found == right:
            continue
        if len(found) != len(ids):
            raise Wrong(f"there are {len(found)} labels for {len(ids)} tokens: every token has one, -100 or itself")
        learned = {place for place, label in enumerate(found) if label != IGNORE}
        wanted = {place for place, label in enumerate(right) if label != IGNORE}
        if {ids[place] for place in wanted - learned} == {END}:
            raise Wrong("the token that ends an answer is left out: the model would never learn to stop")
        if {ids[place] for place in learned - wanted} == {ASSISTANT}:
            raise Wrong("the answer begins behind the token that says whose turn it is, not with it")
        if learned > wanted and min(learned) >= min(wanted):
            raise Wrong("the second question is learned too: does the answer before it end with its end token?")
        if wanted > learned:
            raise Wrong("an answer is missing: are later answers, and one that was cut off, learned as well?")
        if learned == wanted:
            raise Wrong("the right places, but a label should be the token itself; the shift is made in the loss")
        raise Wrong("other tokens than the answers are learned: when does an answer begin, and with what does it end?")
    return "answers and their ends, in chats of one turn, of two, and cut off"


def examples(answer: tuple[int, int]) -> str:
    """How many examples each stage of the original's vision branch sees."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("give two numbers: (stage 1, stage 2)")
    given = tuple(map(int, answer))
    if given == (3_200_000, 96_000):
        return "3.2 million captions, then 96,000 conversations"
    if given in ((400_000, 12_000), (400_000, 96_000), (3_200_000, 12_000)):
        raise Wrong("the batch is that of one GPU: how many GPUs were there?")
    if given == (96_000, 3_200_000):
        raise Wrong("these are the right numbers in the wrong order")
    if given[0] == 3_200_000:
        raise Wrong("stage 1 is right; how many examples does a GPU see in a step of stage 2?")
    raise Wrong("multiply steps, GPUs, and the examples of one GPU")


def enough(answer: int) -> str:
    """The smallest multiple of 100 questions at which the intervals of 0.90 and 0.93 do not touch."""

    def touch(n: int) -> bool:
        return wilson(0.90 * n, n)[1] >= wilson(0.93 * n, n)[0]

    right = next(n for n in range(100, 10_000, 100) if not touch(n))
    given = int(answer)
    if given == right:
        return f"{right} questions, to tell 90 from 93 in a hundred"
    if given % 100:
        raise Wrong("give a multiple of 100")
    if given > right:
        raise Wrong(f"with {given} they do not touch, but is there not a smaller number?")
    if wilson(0.90 * given, given)[1] < 0.93:
        raise Wrong("0.93 lies outside of one interval, but it has an interval of its own: these two have to part")
    raise Wrong(f"with {given} they still touch: compare the upper end of the worse with the lower end of the better")


def blind_accuracy(answer: Callable[[list[Pair], list[Pair]], float]) -> str:
    """The share that the most frequent training answer of each kind gets right."""
    training = [("exist", "no")] * 5 + [("exist", "yes")] * 4 + [("colour", "red")] * 3 + [("colour", "blue")] * 2
    test = [("exist", "yes")] * 6 + [("exist", "no")] * 2 + [("colour", "red")] + [("colour", "blue")] * 2
    test += [("motion", "it grows")]
    found = float(answer(list(training), list(test)))
    right = 3 / 12
    if abs(found - right) < 1e-9:
        return "the best that one can do without looking, and without having seen the exam"
    if found > 1:
        raise Wrong("this is a number of answers: divide by the number of test questions")
    peeked = sum(max(Counter(a for k, a in test if k == kind).values()) for kind in {k for k, _ in test}) / len(test)
    if abs(found - peeked) < 1e-9:
        raise Wrong("it looks at the test: the most frequent answers have to come from training")
    if abs(found - sum(a == "no" for _, a in test) / len(test)) < 1e-9:
        raise Wrong("one guess for everything: take the most frequent answer of its kind for each question")
    if abs(found - 3 / 11) < 1e-9:
        raise Wrong("a kind that training does not have counts too: it is answered wrongly")
    raise Wrong("with 5 no, 4 yes, 3 red and 2 blue in training: which answer should each kind get?")
