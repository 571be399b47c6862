# %% [markdown]
# # Is it true? Probes, intervals and planted bugs
# {{badge}}
#
# **What you will be able to do.** Say how sure a measured accuracy is, and how much several questions about one clip are worth. Find out with
# altered clips what a model looks at. Measure how far its "yes" can be trusted. Test a claim of the paper by a training of your own. And
# recognise five bugs of a training by their curves and answers alone.
#
# **What you need to know.** The model ([notebooks 03](03_the_qformer.ipynb) and [04](04_soft_prompts.ipynb)) and how its branches are trained
# ([06](06_stage_1_captions.ipynb), [07](07_stage_2_instructions.ipynb)).
#
# **Time.** 35 minutes to read, an hour and a half with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need
# {{memory}} of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import math
import textwrap

import numpy as np
import torch
from einops import reduce
from torch import nn

import minivl
from minivl import course, plots
from minivl.claims.ablations import MeanPooling
from minivl.claims.verdicts import better
from minivl.confidence import wilson, wilson_of_groups
from minivl.course import n10, planted_bugs
from minivl.toyworld.captions import noun
from minivl.toyworld.exam import Case, answer_all, frequent_answers, make_cases
from minivl.toyworld.features import encode_scenes
from minivl.toyworld.probes import PROBES, answer_altered, played_backwards
from minivl.toyworld.questions import Question, ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import THINGS, Scene, sample_scene

# %%
course.show(
    course.overview("Video Q-Former", "frame positions", "LLM", "answer"),
    alt="The whole model; Video Q-Former, frame positions, LLM and answer are highlighted.",
)

# %% [markdown]
# ## 1. From an example to a number
#
# The paper supports its claims with examples: a clip, a question, an answer that is right. Our own quick start did the same. An example shows
# that something *can* happen. It does not say how often, and whoever picks it has seen others.
#
# A number needs three things: clips that nobody picked, answers that are known, and a rule for what counts as right. The toy world has all
# three. A seed draws a clip; the scene behind it gives every true answer; right is what equals it as a string.
#
# We take a hundred seeds that no training has used, and ask everything that can be asked about what is seen.

# %% tags=["nbval-ignore-output"]
model = course.tiny_model()
scenes = [sample_scene(700_000 + n) for n in range(course.steps(100, 12))]
clips = encode_scenes(model, scenes)  # the frozen encoders, run once
cases = [case for case in make_cases(scenes, seed=1) if case.rows[0].startswith("sight/")]

def answers(name):
    """The greedy answers to all questions about the clips, altered as the probe says."""
    return answer_altered(model, cases, clips, PROBES[name], seed=1)

print(f"{len(scenes)} clips, {len(cases)} questions")
print("the first:", cases[0].question)
assert {case.senses for case in cases} == {("sight",)}, "are questions about sound among them?"

# %% [markdown]
# ### The exam
#
# **Predict:** two types of question are close to each other in wording: *what colour is it?* (one object in the picture) and *which colour is
# the star?* (there may be others). Which of the two does the model get wrong more often?

# %% tags=["nbval-ignore-output"]
intact = answers("intact")
right = np.array([answer == case.question.answer for answer, case in zip(intact, cases)])
kinds = np.array([case.question.kind for case in cases])

for kind in dict.fromkeys(kinds):
    here = right[kinds == kind]
    print(f"{kind:10}{here.mean():6.3f}   {here.sum():3} of {len(here)}")
print(f"{'all':10}{right.mean():6.3f}   {right.sum():3} of {len(right)}")
assert course.SMOKE or right.mean() > 0.8, "are the clips and the questions in the same order?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The second, `colour_of`. With one object the colour has nothing to be confused with. With several, eight vectors have to say which colour
# belongs to which shape, and the language model has to find the right pair.
#
# </details>

# %% [markdown]
# ## 2. How sure is a number?
#
# One of the lines above says 1.000. Does the model get *every* such question right? It was asked a few dozen of them, and it might have been
# lucky.
#
# Let $p$ be the share that it would get right of infinitely many questions, and $\hat p = r / n$ what we saw. If answers are independent,
# $\hat p$ deviates from $p$ by about $\sqrt{p (1 - p) / n}$. Textbooks put $\hat p$ in the place of $p$ and take 1.96 such deviations to both
# sides:
#
# $$\hat p \pm 1.96 \sqrt{\hat p (1 - \hat p) / n}$$
#
# **Predict:** what is this interval if 30 of 30 answers are right?

# %% [markdown]
# <details><summary>Answer</summary>
#
# From 1 to 1: no width at all. Thirty questions would have proven perfection. The fault is in the shortcut: the deviation is that of the true
# $p$, not of what we happened to see.
#
# </details>

# %% [markdown]
# ### Wilson's interval
#
# E. B. Wilson (1927) did without the shortcut: take *every* $p$ for which the observed share would be no further off than 1.96 of **its**
# deviations. That is a definition which can be programmed as it stands. It also can be solved for $p$, since it is a quadratic equation:
#
# $$\text{centre} = \frac{\hat p + z^2 / 2n}{1 + z^2 / n} \qquad \text{half} = \frac{z}{1 + z^2 / n} \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}$$

# %% tags=["component"]
Z = 1.959964  # 95 % of a normal distribution lie within so many deviations

def wilson_by_search(right, count):
    """Every p in steps of 1/100,000 that could have given this share."""
    p = np.linspace(0, 1, 100_001)
    possible = np.abs(right / count - p) <= Z * np.sqrt(p * (1 - p) / count)
    return p[possible].min(), p[possible].max()

def wilson_interval(right, count):
    """The same, solved."""
    p, z2 = right / count, Z * Z / count
    centre = (p + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(p * (1 - p) / count + z2 / (4 * count))
    return centre - half, centre + half

# %% [markdown]
# ### Is the promise kept?
#
# "95 %" is a promise: of all such intervals, 95 in a hundred hold the true $p$. We can check it exactly, because the chance of each outcome
# $r$ is binomial: add up the chances of those outcomes whose interval holds $p$.
#
# Our models are good, so what matters is $p$ close to 1.

# %%
def kept(interval, p, n):
    """The chance that the interval holds the true share p, over all outcomes of n questions."""
    chance = [math.comb(n, r) * p**r * (1 - p) ** (n - r) for r in range(n + 1)]
    return sum(c for r, c in enumerate(chance) if interval(r, n)[0] <= p <= interval(r, n)[1])

def textbook(right, count):
    p = right / count
    half = Z * math.sqrt(p * (1 - p) / count)
    return p - half, p + half

shares = np.linspace(0.80, 0.99, 39)
figure = plots.Picture(figsize=(8, 3), layout="constrained")
axes = figure.add_subplot()
for interval, name, style in ((textbook, "textbook", "--"), (wilson_interval, "Wilson", "-")):
    colour = course.ORANGE if name == "textbook" else course.BLUE
    axes.plot(shares, [kept(interval, p, 50) for p in shares], style, color=colour, label=name)
axes.axhline(0.95, color=course.GREY, linewidth=1, label="promised")
axes.set(xlabel="true share p, 50 questions", ylabel="intervals that hold p", ylim=(0, 1.02))
_ = axes.legend(loc="lower left")
course.show(figure, alt="Coverage over p: Wilson stays near 0.95, the textbook falls far below.")

# %% [markdown]
# Close to 1 the textbook's 95 % are 40 %. Wilson's interval wavers around what it promises.
#
# ## 3. Seven questions about one clip are not seven
#
# The formula needs *independent* answers. Ours come in groups: about seven questions on each clip. Whoever takes a bird for a dog gets *what
# is it*, *is there a bird* and *describe it* wrong together. In the extreme case one clip is one coin, and a hundred clips are a hundred
# coins, however many questions are asked.
#
# L. Kish's **design effect** says how much is lost. With $r_c$ right of $n_c$ answers about clip $c$, $p = r / n$ over all:
#
# $$\text{deff} = \frac{\sum_c (r_c - p\, n_c)^2}{n\, p\, (1 - p)}$$
#
# Above stands how much the clips really differ, below how much they would if answers were independent. Then $n$ answers are worth
# $n / \text{deff}$, and *these* numbers go into Wilson's formula.

# %% tags=["component"]
def design_effect(groups):
    """groups: (right, count) of each clip."""
    right, count = (sum(column) for column in zip(*groups))
    p = right / count
    if p in (0, 1):
        return 1.0
    spread = sum((r - p * n) ** 2 for r, n in groups)
    return spread / (count * p * (1 - p))

def interval_of_groups(groups):
    """Never narrower than if answers were independent: deff is an estimate as well."""
    right, count = (sum(column) for column in zip(*groups))
    deff = max(1.0, design_effect(groups))
    return wilson_interval(right / deff, count / deff)

# %% tags=["same", "nbval-check-output"]
for seen, asked in ((30, 30), (0, 8), (97, 100), (1, 3)):
    searched, solved = wilson_by_search(seen, asked), wilson_interval(seen, asked)
    assert np.allclose(searched, solved, atol=2e-5), "are both square roots those of the true p?"
    assert np.allclose(solved, wilson(seen, asked), atol=1e-9), "is z² / n in all four places?"

coins = [(7, 7)] * 90 + [(0, 7)] * 10  # a clip is understood, or it is not
assert abs(design_effect(coins) - 7) < 1e-9, "is a clip compared with what was to be expected?"
for groups in (coins, [(6, 7), (5, 7), (7, 7)], [(3, 3)] * 5):
    assert np.allclose(interval_of_groups(groups), wilson_of_groups(groups)), "is deff at least 1?"
print("the same as minivl.confidence; 700 answers about such coins are worth", round(700 / 7))

# %% [markdown]
# ### Our exam, with intervals
#
# **Predict:** the design effect of our exam, over all questions: nearer to 1 (independent) or nearer to 7 (as many as a clip has questions)?

# %% tags=["nbval-ignore-output"]
def by_clip(verdicts, chosen):
    """(right, count) of each clip among the chosen answers."""
    which = np.array([case.clip for case in cases])[chosen]
    per_clip = [verdicts[chosen][which == clip] for clip in np.unique(which)]
    return [(int(one.sum()), len(one)) for one in per_clip]

for kind in ("colour", "colour_of", "exist", "all"):
    groups = by_clip(right, (kinds == kind) | (kind == "all"))
    share = sum(r for r, _ in groups) / sum(n for _, n in groups)
    low, high = interval_of_groups(groups)
    deff = design_effect(groups)
    print(f"{kind:10}{share:6.3f}   from {low:.3f} to {high:.3f}   design effect {deff:.1f}")
assert wilson_of_groups(groups) == interval_of_groups(groups), "are the clips told apart?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Nearer to 1, but above it. Mistakes do come together, since one misread picture costs several answers. It is far from the extreme, since
# most questions fail for reasons of their own.
#
# </details>
#
# Where each clip is asked once (`colour`), it is 1 by definition. And look at the width: thirty right answers of thirty are compatible with a
# model that is right in nine of ten. For "this one is better by two points" you need hundreds of clips, or the *same* clips for both models.

# %% [markdown]
# ## 4. What does it look at?
#
# An accuracy of .95 may come from looking, or from guessing well. The first defence is a **blind baseline**: the most frequent answer to each
# type of question in training. It knows no clip. For yes-or-no questions it reaches about a half, for "how many" more than one would think,
# because most clips show one thing.
#
# The second defence are **probes**: the same questions about altered clips. What the model does not use, it does not miss.
#
# | probe | what is altered | who looks at the clip ... |
# | --- | --- | --- |
# | text only | no soft prompt in the chat | can only guess |
# | blank frames | a black video | sees nothing |
# | swapped video | another clip's frames | describes the other clip |
# | shuffled frames | the order | keeps what needs no order |
# | reversed frames | the order, turned round | says left for right |
#
# Since the frozen eyes look at each frame alone, shuffling their outputs is the same as shuffling frames, and costs nothing.
#
# **Predict:** which two columns below will be almost equal? And in which rows will *reversed* be worse than *shuffled*?

# %% tags=["nbval-ignore-output"]
names = ("shuffled frames", "reversed frames", "swapped video", "blank frames", "text only")
guess = frequent_answers()
said = {"intact": intact, **{name: answers(name) for name in names}}
said["blind"] = [guess(case.question.kind) for case in cases]

rows = ("colour", "shape", "count", "motion", "first", "before", "exist", "describe")
truth = np.array([case.question.answer for case in cases])
table = np.array([[(np.array(a) == truth)[kinds == k].mean() for a in said.values()] for k in rows])

figure = plots.Picture(figsize=(9, 4), layout="constrained")
axes = figure.add_subplot()
axes.imshow(table, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
axes.set_xticks(range(len(said)), [name.replace(" ", "\n") for name in said])
axes.set_yticks(range(len(rows)), rows)
for (row, column), value in np.ndenumerate(table):
    axes.text(column, row, f"{value:.2f}", ha="center", va="center")
course.show(figure, alt="Accuracies of eight question types: intact, under five probes, and blind.")
swap = np.mean(np.array(said["swapped video"]) == truth)
assert course.SMOKE or swap < 0.35 < right.mean(), "is the clip really swapped for another one?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# *Swapped* and *blank* are both close to *blind*: with the wrong clip or none the model is as good as a guess, so what it got right before
# came from looking. Colours and shapes do not care about order. *Reversed* is worse than *shuffled* for motion, first and before: shuffled
# frames leave a coin to toss, reversed ones say clearly the opposite.
#
# </details>

# %% [markdown]
# ### Wrong, or right about something else?
#
# A score of zero under *reversed* can mean confusion. Or it can mean perfect understanding of a clip that runs backwards. There is a way to
# tell: work out what is **true of the altered clip**, and score the same answers again.

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(0)
turned = {}
for case, answer in zip(cases, said["reversed frames"]):
    kind = case.question.kind
    if kind in ("motion", "first", "last"):
        now = ask(played_backwards(scenes[case.clip]), kind, rng).answer
        if now != case.question.answer:  # what stands still stands still backwards, too
            turned.setdefault(kind, []).append((answer == case.question.answer, answer == now))

for kind, verdicts in turned.items():
    before, after = np.mean(verdicts, axis=0)
    print(f"{kind:8}true of the clip {before:.2f}, true of the clip played backwards {after:.2f}")
assert course.SMOKE or after > 0.8, "is the first thing now the last?"

# %% [markdown]
# It was never confused. This is why claim (j) of our list, that the branch captures changes over time, rests on the second number and not on
# the first.

# %% [markdown]
# ## 5. Hallucination: what is a yes worth?
#
# The paper names **hallucination** among its limits: the model affirms what is not there. So we ask a hundred clips for each of the ten
# sounding things: *is there a bell? is there a drum?* ... A thousand questions. Most of these things are absent, as in real life.
#
# **Predict:** among the exam's questions, half of the things that are asked about are there, and the model denies 97 of 100 absent ones
# (README). Now suppose it says "yes" to one of our thousand. How likely is the thing to be there: 97 %, 90 %, less?

# %% tags=["nbval-ignore-output"]
probing = []
for clip, scene in enumerate(scenes):
    shown = {thing.name for thing in scene.things}
    for name in THINGS:
        question = Question("exist", f"is there {noun(name)}?", "yes" if name in shown else "no")
        probing.append(Case(clip, question, ("sight",), rows=()))
with torch.no_grad():
    video, audio = model.video_prompt(clips.frame_tokens), model.audio_prompt(clips.sounds)
replies = answer_all(model, probing, video, audio)

true_yes, false_yes, true_no, false_no = (
    sum(case.question.answer == there and reply == says for case, reply in zip(probing, replies))
    for there, says in (("yes", "yes"), ("no", "yes"), ("no", "no"), ("yes", "no"))
)
low, high = wilson(false_yes, false_yes + true_no)
print(f"there:  {true_yes} affirmed, {false_no} denied")
print(f"absent: {false_yes} affirmed, {true_no} denied: {false_yes / (false_yes + true_no):.1%}"
      f" affirmed (from {low:.1%} to {high:.1%})")
print(f"of {true_yes + false_yes} answers 'yes', {true_yes / (true_yes + false_yes):.0%} are true")
assert true_yes + false_yes + true_no + false_no == len(probing), "answers besides yes and no?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Much less: about one yes in four is false. The model affirms only a few per cent of what is absent. But there is so much more that is absent
# than present that these few are a quarter of its yes-answers. This is the base rate, and it is why "97 % of absent things are denied" and
# "do not trust its yes" are true of one and the same model. Exercise 10.3 puts it into a formula.
#
# (The interval takes the questions for independent. Ten questions about a clip are not; you know the remedy.)
#
# </details>
#
# Is this the hallucination that the paper means? Claim (g) in [docs/claims.md]({{repo}}/blob/main/docs/claims.md) tests it with fixed limits
# on balanced questions and says: *does not hold here*. Our language model was taught with questions about absent things, as often as about
# present ones. Large language models are not.

# %% [markdown]
# ## 6. The exam did not ask this
#
# Every clip of the exam was drawn by the same program as the training clips. A model that passes has understood *that* program. A good tester
# leaves it: black, white, noise, something that nobody has thought of.
#
# **Predict** what the model sees in each of eight pictures: black, dark grey, grey, white, noise, plain red, the left half black, and an
# empty scene of the toy world. All but one or two show nothing.

# %% tags=["nbval-ignore-output"]
def plain(*colour):
    return torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 64, 64).clone()

noise = torch.randint(0, 256, (3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
empty = torch.from_numpy(render_frames(Scene(5, ()), 1)[0]).permute(2, 0, 1)
half = plain(170, 170, 170)
half[:, :, :32] = 0
pictures = {
    "black": plain(0, 0, 0), "dark grey": plain(50, 50, 50), "grey": plain(128, 128, 128),
    "white": plain(255, 255, 255), "noise": noise, "red": plain(220, 30, 30),
    "half black": half, "an empty scene": empty,
}  # fmt: skip

chat, seen = minivl.Chat(model), {}
figure = plots.Picture(figsize=(11, 2.3), layout="constrained")
for place, (name, picture) in enumerate(pictures.items(), 1):
    chat.watch(picture.expand(8, 3, 64, 64))  # a video of eight such frames
    seen[name] = chat.ask("what do you see?")
    axes = figure.add_subplot(1, 8, place)
    axes.imshow(picture.permute(1, 2, 0))
    axes.set_title(f"{name}:\n" + textwrap.fill(seen[name], 16), fontsize=9, y=-0.05, va="top")
    axes.set(xticks=[], yticks=[])
course.show(figure, alt="Eight plain pictures with what the model says it sees in each.")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Grey, white and the empty scene are *nothing*. Black is **a cat**.
#
# </details>

# %% [markdown]
# ### Cross-examine it
#
# Is it a slip of one wording? Ask around the subject, with black frames. A model that merely prefers a word would say yes to a dog as well.

# %% tags=["nbval-check-output"]
chat.watch(pictures["black"].expand(8, 3, 64, 64))
for question in (
    "what do you see?", "is there a cat?", "is there a dog?",
    "how many objects are there?", "which way does it move?", "describe the video",
):  # fmt: skip
    chat.reset()
    print(f"{question:30}{chat.ask(question)}")
assert seen["an empty scene"] == "nothing", "the toy world's own emptiness should be known"
assert seen["black"] != "nothing", "has it been taught the dark? Then find another weakness"

# %% [markdown]
# It is consistent, and it is wrong. It does see something: the soft prompt says "cat". Why? The toy world's backgrounds are light (their grey
# lies between 120 and 232 of 255). No training has ever shown darkness, so nothing ties these features to "nothing"; they have to land
# somewhere, and the frozen eyes put them near cats. The exam with all its intervals could not know: **an interval covers the luck of the
# draw, and not what was never drawn.**
#
# We show this weakness instead of removing it. Adding black frames to the training would be easy, and would move the problem to the next
# picture that nobody has thought of: red, for example, is *a red circle, a blue square*.

# %% [markdown]
# ## 7. An ablation, trained here
#
# Probes test a finished model. They cannot say whether a *part* was needed: a model without it would have been trained without it. That takes an
# **ablation**: take one part away, train again with the same data, steps and seed, and compare.
#
# The paper puts frames together with a Video Q-Former, and compares it with nothing. The simplest rival is the mean:
#
# $$\text{prompt}_k = W \cdot \frac{1}{T} \sum_t x_{t,k} + b$$
#
# It has as many soft tokens and the same linear layer. A mean does not depend on order, and positions added before it become part of $b$.

# %% tags=["component"]
class FrameMean(nn.Module):
    """The mean over the frames, then the branch's linear layer."""

    def __init__(self, to_llm):
        super().__init__()
        self.to_llm = to_llm

    def forward(self, frame_tokens):  # [B, T, K, width]
        return self.to_llm(reduce(frame_tokens, "B T K width -> B K width", "mean"))

# %% tags=["same", "nbval-check-output"]
linear = nn.Linear(16, 24)
frames = torch.randn(3, 5, 8, 16, generator=torch.Generator().manual_seed(1))
by_loops = torch.stack([linear(sum(clip[t] for t in range(5)) / 5) for clip in frames])
mine, theirs = FrameMean(linear)(frames), MeanPooling(linear)(frames)
assert torch.allclose(mine, by_loops, atol=1e-5), "is the mean over T, not over the K tokens?"
assert torch.allclose(mine, theirs, atol=1e-5), "minivl/claims/ablations.py has the same class"
assert torch.allclose(mine, FrameMean(linear)(frames.flip(1)), atol=1e-5), "a mean has no order"
print("[B, K, D] =", list(mine.shape), "and blind to order")

# %% [markdown]
# ### A training of some seconds
#
# To have time for several trainings we make the world smaller: clips of one moving shape or of two things in turn, four frames each, and four
# types of question: colour, motion, first, last. `planted_bugs.train` trains a fresh vision branch on them, 120 steps of 24 chats. It is an
# honest training with the loss and the optimiser of notebook 07. Each kind of branch is trained with two seeds.
#
# What would count should be written down before the result is known (here: before your run; we had seen ours): **on the questions of order, the Q-Former is better by at least .20, with every
# seed.** A limit that is chosen afterwards can always be met.

# %% tags=["nbval-ignore-output"]
lessons = planted_bugs.simple_clips(model, course.steps(400, 30), first_seed=0)
unseen = planted_bugs.simple_clips(model, course.steps(100, 10), first_seed=700_000)

def score(branch, alter=lambda tokens: tokens):
    """Accuracy on colour, and on the three questions of order, about unseen clips."""
    asked = planted_bugs.answers(model, branch, unseen, alter(unseen.frame_tokens))
    looks = [a.right for a in asked if a.question.kind == "colour"]
    order = [a.right for a in asked if a.question.kind != "colour"]
    return np.mean(looks), np.mean(order)

runs, measured = {}, []
for seed in (0, 1):
    for name in ("Q-Former", "mean pooling"):
        branch = planted_bugs.new_vision_branch(model, seed)
        branch = branch if name == "Q-Former" else FrameMean(branch.to_llm)
        runs[name, seed] = planted_bugs.train(
            model, lessons, branch=branch, steps=course.steps(planted_bugs.STEPS), seed=seed
        )
    scores = {name: score(runs[name, seed].branch) for name in ("Q-Former", "mean pooling")}
    measured.append({name: {"order": {"accuracy": order}} for name, (_, order) in scores.items()})
    for name, (colour, order) in scores.items():
        print(f"seed {seed}: {name:13} colour {colour:.2f}   order {order:.2f}")

# %% [markdown]
# ### The verdict
#
# `minivl.claims` does this for twelve claims, with more clips, three seeds and the whole exam. Its rule is short: a *check* is a difference
# with a limit, met or not met in each seed. A claim **holds** if all of its checks are met in every seed, it holds *in part* if some are, and
# it does *not hold here* if none is.

# %% tags=["nbval-ignore-output"]
check = better("questions of order", ("Q-Former", "order"), ("mean pooling", "order"), by=0.20)
gains = [check.value(one) for one in measured]
print(check.text)
print("gains:", [f"{gain:.2f}" for gain in gains])
met = [gain >= check.least for gain in gains]
print("met in", sum(met), "of", len(met), "seeds")
assert course.SMOKE or all(met), "did both kinds of branch get the same clips and steps?"

# %% [markdown]
# Colour is as good with the mean as with the Q-Former, so the mean is no straw man: what it loses is order and nothing else. The page of
# claims finds the same with the full exam: better by .516 on questions of order (.449 to .557 over three seeds).
#
# What two seeds cannot show is a difference of .02. Where a training ends depends on its seed: our page of claims has a column where motion
# went from .77 to .96 by the seed alone.
#
# | claims that do not simply hold, on our page | verdict |
# | --- | --- |
# | stage 1 alone loses instruction following, stage 2 restores it | in part |
# | both soft prompts together answer both kinds of question | in part |
# | hallucination: it affirms what is not there | not here |
# | phrasings and pairs that no training has met | in part: shapes of unseen pairs fall |
# | more frames than it was trained on | in part |
# | each ingredient of joint hearing and seeing adds something | in part |

# %% [markdown]
# ## 8. Five planted bugs
#
# Now the other direction. Below are five trainings of the same kind: same clips, same seed, same steps as the healthy one. In each of them
# **one line is wrong**. None raised an error.
#
# These are the suspects, all of them quickly written:
#
# - **labels shifted twice**: the loss shifts them already
# - **loss on the prompt too**: the question's words are to be predicted as well
# - **padding not masked**: the padding is to be predicted as well
# - **branch not in the optimiser**: it got the parameters of something else
# - **soft prompt detached**: a `.detach()`, or a `no_grad` around the branch
# - **positions forgotten**: the frames enter the Q-Former without them
# - **learning rate 100 times too high**: a comma, a missing warm-up, a rate meant for a larger batch
# - **frames of the wrong clip**: a shuffled index, an off-by-one in a cache
#
# Five of the eight are planted. The file that trains them names them; do not open it yet.

# %% tags=["nbval-ignore-output"]
patients, length = {"healthy": runs["Q-Former", 0]}, course.steps(planted_bugs.STEPS)
for letter, cause in planted_bugs.PLANTED.items():
    patients[letter] = planted_bugs.train(model, lessons, cause, steps=length)
assert list(patients) == ["healthy", *"ABCDE"], "five letters and the healthy run"

# %% [markdown]
# ### The curves
#
# **Predict** from the list alone: which causes change the loss *before the first step*, when all branches still have the same weights? Which
# leave the curve flat? Which look almost healthy?

# %%
figure = plots.Picture(figsize=(11, 2.8), layout="constrained")
panels = figure.subplots(1, 5, sharey=True)
for axes, letter in zip(panels, "ABCDE"):
    axes.plot(patients["healthy"].loss, "--", color=course.GREY, linewidth=1, label="healthy")
    axes.plot(patients[letter].loss, color=course.RED, linewidth=1.2, label=letter)
    axes.set(title=letter, xlabel="step", ylim=(0, 13))
    axes.legend(loc="upper right", fontsize=8)
_ = panels[0].set_ylabel("loss")
course.show(figure, alt="Loss curves of five trainings, A to E, each beside the healthy one.")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Three causes change *what is computed*: labels shifted twice, loss on the prompt, padding. Their first loss is far from the healthy one. Two
# cut the branch off, so its curve is flat: the soft prompt detached, the branch not in the optimiser. Nearly healthy: positions forgotten,
# since most of what is asked needs none.
#
# </details>
#
# ### What a log would show, and what the probes show
#
# - **gradient**: the norm of the branch's gradient, mean of the last 20 steps
# - **moved**: how far the weights went, relative to their own size
# - **spread**: how much the soft prompt changes with the clip, relative to its size; 0 would be the same prompt for all
# - **colour, order**: accuracies on a hundred unseen clips; **reversed**: order again, with the frames reversed, scored by the truth of the
#   intact clip

# %% tags=["nbval-ignore-output"]
print(f"{'':9}first loss  last loss  gradient  moved  spread  colour  order  reversed")
for name, one in patients.items():
    colour, order = score(one.branch)
    _, back = score(one.branch, lambda tokens: tokens.flip(1))
    last, gradient = np.mean(one.loss[-10:]), np.mean(one.gradient[-20:])
    print(f"{name:9}{one.loss[0]:10.2f}{last:11.2f}{gradient:10.2f}{one.moved:7.2f}"
          f"{planted_bugs.spread(one.branch, unseen):8.2f}"
          f"{colour:8.2f}{order:7.2f}{back:10.2f}")

print()
for name, one in patients.items():
    asked = planted_bugs.answers(model, one.branch, unseen)
    picked = [[a for a in asked if a.question.kind == kind][:2] for kind in planted_bugs.KINDS[:3]]
    picked = [a for pair in picked for a in pair]
    print(f"{name:9}" + "".join(f"{a.answer[:14] or '(nothing)':16}" for a in picked))
print(f"{'true':9}" + "".join(f"{a.question.answer:16}" for a in picked))
assert len({one.loss[0] for one in patients.values()}) > 1, "is a bug planted at all?"

# %% [markdown]
# ### How to read such a table
#
# Work as a doctor does, and exclude:
#
# 1. **First loss.** The weights are still the same in all runs (but for what was taken out). A start far from the healthy one means that
#    *another loss* is computed: other labels, or other positions that count.
# 2. **Gradient and moved.** No gradient: the path from the loss to the branch is cut. A gradient, and nothing moves: nobody applies it. Moved
#    by several times its size: the steps are too large, and the branch may have ended where gradients have died.
# 3. **Spread.** A prompt that is the same for all clips: the branch has learned that looking does not pay.
# 4. **Form.** Colours to questions of colour, directions to questions of motion: the question is understood, content is lacking. Broken
#    answers: the labels are not where they should be.
# 5. **Which content?** If only order is lacking, something in the path is blind to order.
#
# Exercise 10.4 asks for your diagnosis.

# %% [markdown]
# ## Recap
#
# - An example shows that something can happen. A number needs clips that nobody picked, a known truth, and a rule.
# - Wilson's interval keeps its promise near 0 and 1, where good models are. Answers about one clip count for less than their number (design
#   effect).
# - Probes show what a model uses; a truth for the altered clip tells understanding from confusion. Always print a blind baseline.
# - What a yes is worth depends on how often things are there: at our base rate one in four was false.
# - An interval covers the luck of the draw. A black video was never drawn, and is a cat.
# - An ablation is a training with one part less, and a limit that was written down before.
# - A bug of a training raises no error. First loss, gradient, movement, spread, form and content tell them apart.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise 10.1: how many denials? · ★☆☆ · 10 minutes
# A model denied all of $n$ absent things. How large must $n$ be, so that the upper end of Wilson's interval for *the share that it affirms*
# is below `limit`? Write `denials_needed(limit)`, which returns the smallest such whole number. (Put $\hat p = 0$ into the formula of section
# 2, or let a loop find it.)
#
# <details><summary>Hint</summary>
#
# With $\hat p = 0$ the centre and the half width are equal: the upper end is $\frac{z^2 / n}{1 + z^2 / n}$.
#
# </details>

# %% tags=["exercise"] exercise="10.1"
def denials_needed(limit):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="10.1"
course.check(n10.denials_needed, denials_needed)

# %% tags=["solution"] exercise="10.1"
def denials_needed(limit):
    n = 1
    while wilson(0, n)[1] >= limit:
        n += 1
    return n

# %% [markdown] tags=["why"] exercise="10.1"
# Solved for $n$ it is $z^2 (1 - \text{limit}) / \text{limit}$, rounded up: almost four divided by the limit. "It never hallucinated in our
# fifty examples" is compatible with 7 %.

# %% tags=["wrong"] exercise="10.1" hint="rule of three"
def denials_needed(limit):
    return math.ceil(3 / limit)

# %% tags=["wrong"] exercise="10.1" hint="no width"
def denials_needed(limit):
    n = 1
    while 1.96 * math.sqrt(0 * (1 - 0) / n) >= limit:
        n += 1
    return n

# %% [markdown]
# ### Exercise 10.2: find the bug in a probe · ★★☆ · 15 minutes
# A colleague wrote the probe *swapped video*. Each clip gets the frames of clip number `others[n]`:
#
# ```python
# def others(n, rng):
#     return rng.permutation(n)
# ```
#
# The probe's accuracies come out a little too high. Find out why and write it correctly: `others(n, rng)` returns for each of the `n` clips
# (`n` is at least 2) the number of **another** clip, as an integer array `[n]`. Each clip is given exactly once, and different draws of `rng`
# should give different swaps.
#
# <details><summary>Hint</summary>
#
# Seat the clips at a round table in random order. Each takes the frames of its left neighbour.
#
# </details>

# %% tags=["exercise"] exercise="10.2"
def others(n, rng):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="10.2"
course.check(n10.partners, others)

# %% tags=["solution"] exercise="10.2"
def others(n, rng):
    circle = rng.permutation(n)
    partner = np.empty(n, int)
    partner[circle] = np.roll(circle, 1)
    return partner

# %% [markdown] tags=["why"] exercise="10.2"
# A random permutation leaves one clip in its place on average, whatever the number of clips: such a clip is not altered at all, and its right
# answers count as guesses. `minivl/toyworld/probes.py` uses the round table.

# %% tags=["wrong"] exercise="10.2" hint="got its own frames"
def others(n, rng):
    return rng.permutation(n)

# %% tags=["wrong"] exercise="10.2" hint="given twice"
def others(n, rng):
    return (np.arange(n) + rng.integers(1, n, size=n)) % n

# %% tags=["wrong"] exercise="10.2" hint="neighbours"
def others(n, rng):
    return np.roll(np.arange(n), 1)

# %% [markdown]
# ### Exercise 10.3: what is a yes worth? · ★★☆ · 10 minutes
# A model affirms a share `affirmed` of the things that are there, and denies a share `denied` of those that are not. A share `there` of all
# things that it is asked about is there. Write `worth_of_yes(affirmed, denied, there)`: the chance that a thing is there, given that the
# model says yes.
#
# Then use it: for a model with .99 and .98, what is a yes worth in a balanced exam, and what for things that are there in seven of a hundred
# cases?
#
# <details><summary>Hint</summary>
#
# Imagine a thousand questions and count the yes-answers, the true ones and the false ones. Bayes' rule is this count, divided by a thousand.
#
# </details>

# %% tags=["exercise"] exercise="10.3"
def worth_of_yes(affirmed, denied, there):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="10.3"
course.check(n10.worth_of_yes, worth_of_yes)

# %% tags=["solution"] exercise="10.3"
def worth_of_yes(affirmed, denied, there):
    true_yes = affirmed * there
    false_yes = (1 - denied) * (1 - there)
    return true_yes / (true_yes + false_yes)

# %% [markdown] tags=["why"] exercise="10.3"
# Benchmarks for hallucination ask about present and absent things equally often, which is fair for comparing models. In use, almost
# everything that could be asked about is absent.

# %% tags=["wrong"] exercise="10.3" hint="how many affirmed things are present"
def worth_of_yes(affirmed, denied, there):
    return affirmed

# %% tags=["wrong"] exercise="10.3" hint="where does the share"
def worth_of_yes(affirmed, denied, there):
    return affirmed / (affirmed + 1 - denied)

# %% [markdown]
# ### Exercise 10.4: which bug is which? · ★★★ · 30 minutes
# Your diagnosis of section 8. Put the name of a cause in the place of each `None`, exactly as one of these is written: "labels shifted
# twice", "loss on the prompt too", "padding not masked", "branch not in the optimiser", "soft prompt detached", "positions forgotten",
# "learning rate 100 times too high", "frames of the wrong clip".
#
# The three causes that were not planted can be looked at too: `planted_bugs.train(model, lessons, "loss on the prompt too")`.
#
# <details><summary>Hint</summary>
#
# Begin with the two that the columns *gradient* and *moved* decide, then take the one whose first loss is not like the others. Two are left:
# one of them has the right colours.
#
# </details>

# %% tags=["exercise"] exercise="10.4"
diagnosis = {"A": None, "B": None, "C": None, "D": None, "E": None}

# %% tags=["checker"] exercise="10.4"
course.check(n10.diagnosis, diagnosis)

# %% tags=["solution"] exercise="10.4"
diagnosis = {
    "A": "frames of the wrong clip",
    "B": "soft prompt detached",
    "C": "labels shifted twice",
    "D": "learning rate 100 times too high",
    "E": "positions forgotten",
}

# %% [markdown] tags=["why"] exercise="10.4"
# A stops where guessing ends, with well-formed answers and a prompt that hardly changes with the clip: a branch whose pictures never fit
# learns to ignore them. B gets no gradient. C starts far too high and skips words: it learned what comes after the next word. D moved by
# several times its size, and its gradient has died. E knows colours, and gives the same answers to reversed frames; of all five it is the one
# that a loss curve alone would not betray.

# %% tags=["wrong"] exercise="10.4" hint="a gradient would arrive"
diagnosis = {
    "A": "frames of the wrong clip",
    "B": "branch not in the optimiser",
    "C": "labels shifted twice",
    "D": "learning rate 100 times too high",
    "E": "positions forgotten",
}

# %% tags=["wrong"] exercise="10.4" hint="form of its answers"
diagnosis = {
    "A": "frames of the wrong clip",
    "B": "soft prompt detached",
    "C": "loss on the prompt too",
    "D": "learning rate 100 times too high",
    "E": "positions forgotten",
}

# %% tags=["wrong"] exercise="10.4" hint="moved by more than their own size"
diagnosis = {
    "A": "learning rate 100 times too high",
    "B": "soft prompt detached",
    "C": "labels shifted twice",
    "D": "frames of the wrong clip",
    "E": "positions forgotten",
}

# %% [markdown]
# ## What to read next
#
# - [docs/claims.md]({{repo}}/blob/main/docs/claims.md): all twelve claims, each with its table, picture, checks and verdict; also where it
#   does not hold.
# - [minivl/confidence.py]({{repo}}/blob/main/minivl/confidence.py), [minivl/toyworld/probes.py]({{repo}}/blob/main/minivl/toyworld/probes.py),
#   [minivl/claims/verdicts.py]({{repo}}/blob/main/minivl/claims/verdicts.py): what you have built here.
# - [minivl/course/planted_bugs.py]({{repo}}/blob/main/minivl/course/planted_bugs.py): the bugs, each one line. Now you may open it.
# - Next: [notebook 11](11_the_real_thing.ipynb), the 7B model.
