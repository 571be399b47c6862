# %% [markdown]
# # Stage 2: learning to answer
# {{badge}}
#
# **What you will be able to do.** Write a conversation as tokens and say which of them are learned. Train the second stage, measure before
# and after on the same questions with intervals, and hold the result against a model that never looks. Say what a narrow second stage would
# destroy. Pull the plug on a training and go on as if nothing had happened.
#
# **What you need to know.** [Notebook 06](06_stage_1_captions.ipynb): the loss, the loop, the schedule. It leaves its branch for this
# notebook; without it we train one here.
#
# **Time.** 35 minutes to read, an hour more with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need
# {{memory}} of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import copy
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

import minivl
from minivl import confidence, course, plots
from minivl.batch import Batch
from minivl.checkpoints import find_folder, load_part, save_part
from minivl.conversation import TINY, VICUNA, Conversation
from minivl.course import n07
from minivl.course.kept import kept
from minivl.course.live import LiveCurve
from minivl.course.token_row import show_tokens
from minivl.demo import CLIPS
from minivl.evaluation import answer_all, frequent_answers, make_cases, tabulate
from minivl.new_branch import new_branch
from minivl.recipes import PAPER, toy_recipe
from minivl.soft_prompt import IGNORE, VIDEO_SLOT, pad, tokenize
from minivl.supervision import conversation_example, first_question
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.features import Features
from minivl.toyworld.lessons import Teacher
from minivl.toyworld.questions import Question, ask, questions
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, sample_scene
from minivl.training import BranchLearner, train

# %%
course.show(
    course.overview("frame positions", "Video Q-Former", "video linear", "words", "answer"),
    alt="The whole model; the trained vision branch, the words and the answer are highlighted.",
)

# %% [markdown]
# ## 1. What a caption does not say
#
# After stage 1 the model can say what is in a video. But captions name a few things and leave out the rest, and nobody has asked a
# question. The paper reports that the model then follows instructions less well, and adds a second stage to restore that (section 2.2):
# fewer examples of good quality, as conversations. It mixes three sets, each with the same chance:
#
# | set | what it has |
# | --- | --- |
# | MiniGPT-4's images | detailed descriptions |
# | LLaVA-Instruct-150K | conversations about images, in several turns |
# | VideoChat-11K | conversations about videos |
#
# Ours are rendered clips with exact questions. This is one clip, and all that can be asked of its picture:

# %% tags=["nbval-ignore-output"]
scene = sample_scene(17)
asked = questions(scene, np.random.default_rng(0), hearing=False)
figure = plots.Picture(figsize=(11, 1.7), layout="constrained")
for k, frame in enumerate(render_frames(scene)):
    axes = figure.add_subplot(1, 8, k + 1, title=f"{k / 2} s")
    axes.imshow(frame)
    axes.axis("off")
course.show(figure, alt="Eight frames of one clip, from left to right in time.")
for question in asked:
    print(f"{question.kind:10} {question.text:50} {question.answer}")

# %% [markdown]
# The questions come in 12 kinds, each in eight to fifteen wordings, with "please, " or "can you say, " before some. `colour_of` asks for
# the colour of a named thing, `exist` whether something is there; half of the things that it asks for are not. Such questions are the cure
# for a model that says yes to everything.

# %% [markdown]
# ## 2. A conversation as tokens
#
# One training example is a whole chat: a soft prompt, then several questions with their answers. The language model reads all of it at
# once, and every answer is predicted from everything before it, the earlier answers included. So talk of several turns is learned at no
# extra cost.
#
# **Predict:** which tokens should be learned? The questions too? The `###` that ends an answer? The `Assistant:` that begins one?
#
# We write the chat as a list of pieces, each with a yes or no:

# %% tags=["component"]
def pieces(turns):
    """[(question, answer)] -> [(text, learned)]; None in a text's place is the soft prompt."""
    found = [("###Human:", False), ("<Video>", False), (None, False), ("</Video>", False)]
    for number, (question, answer) in enumerate(turns):
        role = " Human: " if number else ""  # the ### that ended the last answer opens this turn
        found += [(f"{role}{question}###Assistant:", False), (f"{answer}###", True)]
    return found


def dialogue(tokenizer, turns, length=8):
    """The chat's token ids and labels; `length` slots for the soft prompt."""
    ids, labels = [], []
    for text, learned in pieces(turns):
        slots = [VIDEO_SLOT] * length
        new = slots if text is None else tokenizer.encode(text, add_special_tokens=False)
        ids += new
        labels += new if learned else [IGNORE] * len(new)
    return ids, labels

# %% [markdown]
# The package writes chats in two ways: `DialogueWriter` for the toy world, and `conversation_example`
# ([`supervision.py`]({{repo}}/blob/main/minivl/supervision.py)) for every prompt format. All three must agree, token by token and label by
# label:

# %% tags=["same", "nbval-check-output"]
tokenizer, generator = course.tiny_model().tokenizer, np.random.default_rng(0)
for seed in range(20):
    about = questions(sample_scene(seed), generator, count=4, hearing=False)
    ids, labels = dialogue(tokenizer, [(q.text, q.answer) for q in about])
    theirs = DialogueWriter(tokenizer).write([VIDEO_SLOT] * 8, None, about)
    assert ids == theirs.ids, "does the ### that ends an answer open the next question as well?"
    assert labels == theirs.labels, "is the ### behind an answer learned?"
    turns = [(first_question("video", about[0].text), about[0].answer)]
    turns += [(q.text, q.answer) for q in about[1:]]
    general = conversation_example(tokenizer, TINY, turns, VIDEO_SLOT, 8)
    assert (ids, labels) == (general.ids, general.labels), "is the prompt between the tags?"
print("20 chats, token by token the same")

# %% [markdown]
# ### The mask, as a picture
#
# Above, our format. Below, the same chat in the original's Vicuna format, with the mask that the original's code makes.

# %% tags=["nbval-check-output"]
turns = [(q.text, q.answer) for q in asked[:3]]
ids, labels = dialogue(tokenizer, turns)
turns[0] = (first_question("video", turns[0][0]), turns[0][1])
vicuna = conversation_example(tokenizer, VICUNA, turns, VIDEO_SLOT, 8)
rows = [("ours", ids, labels), ("the original's", vicuna.ids, vicuna.labels)]
course.show(show_tokens(tokenizer, rows), alt="Two rows of tokens; answers and ends are filled.")
share = sum(label != IGNORE for label in labels) / len(labels)
print(f"{share:.0%} of our tokens are learned")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The answers and the `###` behind each, nothing else. A question is the user's business: it is always given. `Assistant:` is part of every
# prompt, so it need not be predicted either. The original's mask leaves `###` and `Assistant:` in all the same, by the way in which it
# counts tokens. They are always the same, so they soon cost nothing, but the published weights were trained with them.
#
# </details>

# %% [markdown]
# ## 3. Where we start: the branch of stage 1
#
# The shipped branch has had stage 2 already, so it is no place to start from. [Notebook 06](06_stage_1_captions.ipynb) has kept its branch
# in the folder for temporary files, under a name that holds a fingerprint of the frozen parts. If it is there, we take it; if not, we train
# one now, with the same recipe and the same seed.

# %% tags=["nbval-ignore-output"]
model = minivl.VideoLlama.from_pretrained("tiny")


def watch(some):
    """Scenes -> what the frozen eyes say of their frames [N, T, K, width], in half precision."""
    seen = []
    for start in range(0, len(some), 32):
        frames = np.stack([render_frames(scene) for scene in some[start : start + 32]])
        frames = rearrange(torch.from_numpy(frames), "B T H W c -> B T c H W")
        seen.append(model.encode_frames(frames).half())
    return torch.cat(seen)


scenes = [sample_scene(seed) for seed in range(course.steps(2000, 64))]
held = [sample_scene(CHOOSING_SEED + n) for n in range(course.steps(100, 16))]
nothing = torch.empty(0)  # no sound in this notebook
features = Features(scenes, watch(scenes), nothing, nothing)
held_tokens = watch(held)

file = kept(model, "vision_stage1")
new_branch(model, "vision", seed=0)
if not file.is_file():
    teacher = Teacher(model, features, "vision", stage=1, seed=0)
    train(model, "vision", toy_recipe(course.steps(300)), teacher)
    save_part(model.vision_branch, file)
load_part(model.vision_branch, file, torch.float32)
stage1 = copy.deepcopy(model.vision_branch)

# %% [markdown]
# ### Two sheets of paper
#
# From the 100 held-out clips we make two batches: `exam` has four questions about each clip, `describe` has its caption. `surprise` says
# how unlikely the model thought each token, given those before it.

# %%
def as_batch(chats, tokens):
    """[(question, answer), ...] of each clip, and the clips' frame tokens -> a Batch."""
    ids, labels = zip(*(dialogue(tokenizer, turns) for turns in chats))
    return Batch(*pad(list(ids), list(labels), model.pad_id), frame_tokens=tokens.float())


def surprise(model, batch):
    """-log p of every token but the first, given those before it: [B, L - 1]."""
    with torch.no_grad():
        embedded = model.embed(batch.ids, {VIDEO_SLOT: model.video_prompt(batch.frame_tokens)})
        mask = batch.mask.to(embedded.device)
        logits = model.llm(inputs_embeds=embedded, attention_mask=mask).logits[:, :-1]
    chances = logits.float().cpu().log_softmax(dim=-1)
    return -chances.gather(2, batch.ids[:, 1:].clamp(min=0)[..., None])[..., 0]


rng = np.random.default_rng(1)
dialogues = [[(q.text, q.answer) for q in questions(s, rng, 4, hearing=False)] for s in held]
captions = [[(q.text, q.answer)] for q in (ask(s, "describe", rng) for s in held)]
exam, describe = as_batch(dialogues, held_tokens), as_batch(captions, held_tokens)
start = surprise(model, describe)[describe.labels[:, 1:] != IGNORE].mean().item()
assert course.SMOKE or start < 0.6, "has the branch had stage 1?"

# %% [markdown]
# ### Why are the questions not learned?
#
# Which question comes next, no picture can tell. Its words carry a surprise that no training can remove. How much is that, in our chats? We
# ask the shipped model, which is trained to the end.
#
# **Predict:** its answers' tokens have a mean surprise of a few hundredths. And the tokens of the questions?

# %% tags=["nbval-ignore-output"]
shipped = course.tiny_model()
each, learned = surprise(shipped, exam), exam.labels[:, 1:] != IGNORE
given = (exam.ids[:, 1:] >= 0) & (exam.mask[:, 1:] == 1) & ~learned
print(f"learned tokens: {learned.sum():5}, mean surprise {each[learned].mean():5.2f}")
print(f"given tokens:   {given.sum():5}, mean surprise {each[given].mean():5.2f}")
assert not (learned & given).any(), "is a token learned and given at once?"
assert each[given].mean() > 10 * each[learned].mean(), "are the given tokens the questions?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# More than 10: worse than drawing words at random (5.1), since our language model has never had to predict a question either. For a large
# one the number would be smaller, but the point is the same: with the questions in the loss, nearly all of it would be about words that the
# branch cannot know, and its gradient would be noise.
#
# </details>

# %% [markdown]
# ## 4. The exam
#
# All questions about the 100 clips that their pictures can answer, the same ones for every model. Answers are generated greedily, and count
# if they equal the true one as a string.

# %% tags=["nbval-ignore-output"]
cases = [c for c in make_cases(held, CHOOSING_SEED) if c.rows[0].startswith("sight/")]
frequent = frequent_answers()  # kind of question -> its most frequent answer in training


def sit(model, cases):
    """Let a model answer all cases; returns its answers."""
    with torch.no_grad():
        video = model.video_prompt(held_tokens)
    return answer_all(model, cases, video, nothing)


answers = {"stage 1": sit(model, cases), "shipped": sit(shipped, cases)}
print(len(cases), "questions:", dict(Counter(case.question.kind for case in cases)))
assert course.SMOKE or len(cases) > 500, "are there questions about a hundred clips?"

# %% [markdown]
# ### How sure is a share?
#
# 20 of 20 right is not "100 %". With the true share $p$ unknown, the usual estimate $\hat p \pm 1.96 \sqrt{\hat p (1 - \hat p) / n}$ has no
# width at all at 20 of 20. Wilson's interval asks instead which shares are compatible with what was seen ($z = 1.96$ for 95 %):
#
# $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}}$$

# %% tags=["component"]
def usual(right, n, z=1.959964):
    p = right / n
    half = z * (p * (1 - p) / n) ** 0.5
    return p - half, p + half


def wilson(right, n, z=1.959964):
    p = right / n
    centre = p + z * z / (2 * n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)

# %% tags=["same", "nbval-check-output"]
for right, n in ((20, 20), (3, 4), (93, 100), (930, 1000)):
    mine, theirs = wilson(right, n), confidence.wilson(right, n)
    assert all(abs(a - b) < 1e-9 for a, b in zip(mine, theirs)), "is the centre divided as well?"
    (a, b), (c, d) = usual(right, n), mine
    print(f"{right:4} of {n:4}   usual {a:5.2f} to {b:.2f}   Wilson {c:.2f} to {d:.2f}")

# %% [markdown]
# Our questions come several to a clip, and who misreads a clip fails them together. So the tables of the package widen Wilson's interval by
# how much the clips differ ([`confidence.py`]({{repo}}/blob/main/minivl/confidence.py)). Those are the bars that you will see below.

# %% [markdown]
# ## 5. The second stage is gentler
#
# In the paper's settings, stage 2 has a third of stage 1's peak rate, an eighth of its batch and a quarter of its steps: 96,000 examples
# after 3.2 million. It should adjust the branch, not replace it. Our tiny branch gets the same peak twice. It has been trained for seconds
# only, and still has a lot to learn.

# %% tags=["nbval-ignore-output"]
LENGTH = course.steps(300, 30)
figure = plots.Picture(figsize=(11, 2.8), layout="constrained")
tiny = {1: toy_recipe(300), 2: toy_recipe(LENGTH)}
both = {"the original": {stage: PAPER["vision", stage] for stage in (1, 2)}, "here": tiny}
for place, (name, recipes) in enumerate(both.items(), 1):
    axes = figure.add_subplot(1, 2, place, title=name, xlabel="step", yscale="log")
    before = 0
    for stage, colour, style in ((1, course.BLUE, "-"), (2, course.ORANGE, "--")):
        steps = range(1, recipes[stage].steps, 1 + recipes[stage].steps // 300)
        rates = [recipes[stage].rate(step) for step in steps]
        axes.plot([before + s for s in steps], rates, style, color=colour, label=f"stage {stage}")
        before += recipes[stage].steps
    axes.set_ylabel("learning rate")
    axes.legend(fontsize=8)
course.show(figure, alt="Learning rates of both stages in a row: the original's second is lower.")
assert PAPER["vision", 2].learning_rate < PAPER["vision", 1].learning_rate / 3, "which is stage 2?"

# %% [markdown]
# ## 6. Train
#
# The loop is that of stage 1; only the batches are others, chats of four questions. Half of the batches also hold a text about a sound
# beside the video's soft prompt, so that the branch is used to company when the audio branch joins in ([notebook
# 08](08_an_ear_trained_by_eye.ipynb)). The paper does not do that.
#
# Two things are measured on unseen clips as we go: the surprise at answers, and the surprise at captions, which stage 1 was about.
#
# **Predict:** what happens to the captions while the model learns to answer questions?

# %% tags=["nbval-ignore-output"]
def held_out():
    found = {}
    for name, batch in (("answers, held out", exam), ("captions, held out", describe)):
        found[name] = surprise(model, batch)[batch.labels[:, 1:] != IGNORE].mean().item()
    return found


live = LiveCurve("stage 2 of the vision branch")
teacher = Teacher(model, features, "vision", stage=2, seed=0)
with live.watching(BranchLearner, every=50, measure=held_out):
    told = train(model, "vision", toy_recipe(LENGTH), teacher)
print(f"{told['steps']} steps in {told['seconds']:.0f} s")

# %% tags=["nbval-ignore-output"]
import json

report = find_folder("tiny") / "reports" / "vision_stage2.json"
theirs = json.loads(report.read_text())["loss"]  # a mean of every 25 steps
figure = live.figure()
axes = figure.axes[0]
xs = [25 * (n + 1) - 12 for n in range(len(theirs))]
axes.plot(xs, theirs, color="black", linestyle=":", label="shipped model, training")
_ = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
course.show(figure, alt="Losses of training and of held-out answers and captions; the shipped run.")
for name, curve in live.curves.items():
    if "held out" in name:
        values = [value for _, value in curve]
        first, worst, last = values[0], max(values), values[-1]
        print(f"{name:20} {first:.2f} before, {worst:.2f} at worst, {last:.2f} after")
curve = live.curves["answers, held out"]
assert course.SMOKE or curve[-1][1] < 0.7 * curve[0][1], "are these the batches of stage 2?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# They get worse first. The surprise at captions nearly doubles within 100 steps, while the learning rate is high and only one question in
# seven asks for a description. As the rate falls, it comes back to about where it was. That is forgetting, and rehearsing against it. The
# answers pay for the high rate too, at first, and then gain.
#
# The dotted curve is the shipped run (1,000 steps on 6,000 clips). It begins where ours ends, since its first stage was three times as
# long.
#
# </details>

# %% [markdown]
# ## 7. Before and after
#
# The same questions, asked again. *Blind* is the most frequent answer to each kind of question in training: what one reaches without
# looking.

# %% tags=["nbval-ignore-output"]
answers["stage 1 + 2"] = sit(model, cases)
tables = {name: tabulate(cases, said, frequent) for name, said in answers.items()}
order = [row for row in tables["shipped"] if "(" not in row and row != "sight/thing"]
print(f"{'':12}{'blind':>9}{'stage 1':>10}{'stage 1 + 2':>13}{'shipped':>10}{'questions':>11}")
for row in order:
    one = [tables[name][row] for name in ("stage 1", "stage 1 + 2", "shipped")]
    shares = "".join(f"{v['accuracy']:>{w}.2f}" for v, w in zip(one, (10, 13, 10)))
    blind, count = one[0]["blind"], one[0]["count"]
    print(f"{row.removeprefix('sight/'):12}{blind:9.2f}{shares}{count:11}")
overall = {name: table["sight/all visual"] for name, table in tables.items()}
assert course.SMOKE or overall["stage 1 + 2"]["low"] > overall["stage 1"]["high"], (
    "are the answers of both stages to the same questions?"
)

# %% [markdown]
# ### With intervals
#
# **Predict:** for which kinds do the intervals of the two stages part?

# %% tags=["nbval-ignore-output"]
looks = {"stage 1": (course.ORANGE, "o"), "stage 1 + 2": (course.BLUE, "s")}
looks["shipped"] = (course.GREEN, "^")
figure = plots.Picture(figsize=(10.5, 5), layout="constrained")
axes = figure.add_subplot(xlabel="share of right answers, with its 95 % interval")
for shift, (name, (colour, marker)) in zip((0.25, 0, -0.25), looks.items()):
    rows = [tables[name][row] for row in order]
    middle = [v["accuracy"] for v in rows]
    ends = [
        [m - v["low"] for m, v in zip(middle, rows)],
        [v["high"] - m for m, v in zip(middle, rows)],
    ]
    ys = [shift - n for n in range(len(order))]
    style = {"color": colour, "fmt": marker, "markersize": 5, "capsize": 2}
    axes.errorbar(middle, ys, xerr=ends, label=name, **style)
guess = [tables["shipped"][row]["blind"] for row in order]
ys = [-n for n in range(len(order))]
axes.plot(guess, ys, "|", color="black", markersize=16, label="blind")
axes.set_yticks(ys, [row.removeprefix("sight/") for row in order])
axes.grid(True, axis="x", alpha=0.3)
_ = axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
course.show(figure, alt="Shares of right answers by kind: stage 1, stage 2, shipped.")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Over all questions clearly, and for a few kinds, such as colours. For most kinds they overlap: 31 questions give an interval a quarter
# wide. That does not mean that nothing has changed there. It means that the exam is too small to tell, kind by kind.
#
# Two kinds have hardly improved: motion, and descriptions, which name the motion. The shipped model has both. What is missing is steps, not
# an idea: its stage 2 took 1,000.
#
# </details>
#
# ### What stage 2 put right, and what it spoilt
#
# Some of the questions that the two stages answer differently, with both answers:

# %% tags=["nbval-ignore-output"]
pairs = zip(cases, answers["stage 1"], answers["stage 1 + 2"])
changed = [(case, a, b) for case, a, b in pairs if a != b]
for case, a, b in changed[:: max(1, len(changed) // 10)][:10]:
    right = {a: "spoilt", b: "put right"}.get(case.question.answer, "still wrong")
    print(f"{case.question.text[:38]:40}{a[:23]:25}{b[:23]:25}{right}")
better = sum(b == case.question.answer for case, a, b in changed)
worse = sum(a == case.question.answer for case, a, b in changed)
print(f"\nput right {better}, spoilt {worse}, of {len(cases)} answers")
assert course.SMOKE or better > 2 * worse, "are both answers to the same question?"

# %% [markdown]
# ## 8. A model that does not look
#
# The most frequent answer is one blind baseline. Another is the model itself, given the question alone, without any soft prompt. What it
# gets right then, it knows from the words.
#
# **Predict:** by how much does stage 2 improve the text-only score?

# %% tags=["nbval-ignore-output"]
unseeing = [replace(case, senses=()) for case in cases]
text_only = sit(model, unseeing)
row = tabulate(unseeing, text_only, frequent)["sight/all visual"]
print(f"text only {row['accuracy']:.2f}, most frequent answer {row['blind']:.2f}")
print(Counter(text_only).most_common(4))
few = unseeing[:60]
after_stage_2 = sit(model, few)
model.vision_branch, trained = stage1, model.vision_branch
assert sit(model, few) == after_stage_2, "is there a soft prompt beside the question?"
model.vision_branch = trained

# %% [markdown]
# <details><summary>Answer</summary>
#
# By nothing: not one of the 60 answers that were compared has changed. All that was trained is the branch, and a question without a soft
# prompt never meets it. This is the strong side of training branches alone: the language model stays the one that it was, for better or
# worse.
#
# For worse: asked about a picture that is not there, it makes one up ("a large red circle" is a favourite). And it does not even reach the
# most frequent answer: nobody has told it how often which answer is right.
#
# </details>

# %% [markdown]
# ## 9. Forgetting
#
# A mixture rehearses what was learned before: one in seven of stage 2's questions asks for a description. The danger is a *narrow* second
# stage. Let us do it wrong on purpose: 60 steps of nothing but "what colour is it?", from the good model.
#
# **Predict:** colours will be perfect. And shapes? And "describe the video"?

# %% tags=["nbval-ignore-output"]
one_shape = [n for n, s in enumerate(scenes) if len(s.things) == 1 and s.shapes]


def colours_only(step, part=0, parts=1):
    """32 chats with one question each, always about a colour."""
    rng = np.random.default_rng((step, 99))
    rows = rng.choice(one_shape, 32)
    asked = [ask(scenes[row], "colour", rng) for row in rows]
    return as_batch([[(q.text, q.answer)] for q in asked], features.frame_tokens[rows])


narrow = minivl.VideoLlama.from_pretrained("tiny")
narrow.vision_branch.load_state_dict(model.vision_branch.state_dict())
_ = train(narrow, "vision", toy_recipe(course.steps(60)), colours_only)
after, before = tabulate(cases, sit(narrow, cases), frequent), tables["stage 1 + 2"]
for row in ("colour", "shape", "motion", "first", "describe", "all visual"):
    a, b = (table.get(f"sight/{row}", {"accuracy": 0.0})["accuracy"] for table in (before, after))
    print(f"{row:12} {a:.2f} -> {b:.2f}")
assert course.SMOKE or b < a - 0.1, "did the narrow training reach the branch?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Colours stay perfect, and much else goes: shapes fall to about half or less, descriptions to nearly nothing. The branch has eight vectors
# to say all that there is to say. Whoever asks for colours alone lets them all talk about colour. Seconds were enough for that. The paper's
# conversations are about everything, and its second stage has a third of the learning rate.
#
# </details>

# %% [markdown]
# ## 10. Several turns
#
# In training every chat had four questions, so the model knows what earlier answers look like. `Chat` keeps the conversation, and writes
# the whole of it into every prompt. What the model has said stands there too, right or wrong. So, afterwards, we put a lie into its mouth:
# it is made to have called the red circle a blue square.
#
# **Predict:** whom will it believe then, the picture or itself?

# %% tags=["nbval-ignore-output"]
chat = minivl.Chat(model)
chat.watch(CLIPS / "red_circle_moves_left.mp4", hearing=False)
for text in ("what do you see?", "is there a dog?", "what colour is it?", "what shape is it?"):
    print(f"{text:28}{chat.ask(text)}")
print(chat.prompt)
assert chat.prompt.count("###Human:") == 4, "does each question stay in the prompt?"

lie = [("Human", "<Video><ImageHere></Video> what do you see?"), ("Assistant", "a blue square")]
soft = model.soft_prompts(chat.clip.frames[None])
for text in ("what colour is it?", "what shape is it?"):
    talk = Conversation(TINY, turns=[*lie, ("Human", text)])
    ids = tokenize(tokenizer, talk.prompt(), [(VIDEO_SLOT, 8)])
    print(f"after the lie: {text:20}{model.answer_batch([ids], soft)[0]}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The picture. In training all earlier answers were true, and yet it did not learn to copy them: the soft prompt was there as well, and it
# was the better source. That is this model in this world; whether a large one would stand by what it has said is a question to ask it, with
# the same ten lines.
#
# </details>

# %% [markdown]
# ## 11. Pull the plug
#
# A run of days will be interrupted. To go on as if nothing had happened, one needs the weights, AdamW's moments, the step, and all
# randomness. `Teacher` draws a batch from (seed, step) alone, so the step's number brings the randomness back; the rest is one file,
# written every so often, whole or not at all ([`run_state.py`]({{repo}}/blob/main/minivl/run_state.py)).
#
# Ten small steps without interruption, then the same ten with a power cut in the eighth. The state was last saved after step 6.

# %% tags=["nbval-ignore-output"]
short = toy_recipe(10, batch=8)
small = Teacher(model, features, "vision", stage=2, seed=0, batch_size=8)


def with_power_cut(step, part, parts):
    if step == 7:
        raise RuntimeError("power cut in the eighth step")
    return small(step, part, parts)


def ten_steps(draw, folder=None):
    """Stage 1's branch, ten steps further; a folder that holds a state is gone on with."""
    model.vision_branch = copy.deepcopy(stage1)
    train(model, "vision", short, draw, folder, save_every=3)
    return {name: p.detach().clone() for name, p in model.vision_branch.named_parameters()}


whole = ten_steps(small)
with tempfile.TemporaryDirectory() as folder:
    try:
        ten_steps(with_power_cut, Path(folder))
    except RuntimeError as error:
        print(error)
    print(sorted(path.name for path in Path(folder).iterdir()))
    resumed = ten_steps(small, Path(folder))
model.vision_branch = trained
assert all(whole[name].equal(resumed[name]) for name in whole), "are AdamW's moments restored?"
print("bit by bit the same weights")

# %% [markdown]
# The seventh step was computed twice, once before the cut and once after. That is the whole cost. The frozen parts are not in the file: for
# the 7B model it has 0.3 GB, not 20.

# %% [markdown]
# ## 12. Beside the shipped model
#
# | | this notebook | the shipped branch |
# | --- | --- | --- |
# | clips to learn from | 2,000 | 6,000 |
# | steps, stage 1 + 2 | 300 + 300 | 900 + 1,000 |
# | time on two quiet cores | a minute and a half, eyes included | 58 + 151 s, from kept features |
# | all visual questions | about .8 | .95 |
#
# Is the rest lost in the branch, or in the language model? [`docs/claims.md`]({{repo}}/blob/main/docs/claims.md), claim (c), has the answer
# for three seeds: with the true caption *as text* in the soft prompt's place the language model gets .99. Whatever is lacking after a stage
# is missing in the soft prompt.
#
# There, stage 1 alone answered in the right *form* in 96 of 100 cases, a colour where a colour was asked for. In the paper as here the
# language model is frozen and cannot forget how to follow instructions. It reads a bad report, and mostly gives a wrong answer in good
# form.

# %% [markdown]
# ## Recap
#
# - Stage 2 trains the same branch with the same loss. What changes is the data: conversations instead of captions.
# - Only answers and the tokens that end them are learned. Questions are given: what cannot be predicted from the picture would drown the
#   rest.
# - Before and after are compared on the same unseen questions, with intervals, and beside baselines that do not look. Text-only answers
#   cannot change: the language model is frozen.
# - A mixture that rehearses captions forgets little; a narrow one wrecks a good branch in seconds.
# - What is random in a step comes from (seed, step), so a killed run goes on to the same weights.

# %% [markdown]
# ## Exercises
#
# Each has a cell to fill in and a cell that checks it.

# %% [markdown]
# ### Exercise 7.1: the mask · ★★☆ · 15 minutes
#
# Write the labels of a chat from its token ids alone. `ids` is a list of ints; an answer begins behind the token `assistant` and ends with
# the next token `end`, which is learned too. Everything else gets `-100`. There may be any number of answers, and the last one may be cut
# off before its `end`.
#
# <details><summary>Hint</summary>
#
# Walk along the row and remember whether you are inside an answer.
#
# </details>

# %% tags=["exercise"] exercise="7.1"
def answer_labels(ids, assistant, end):
    raise NotImplementedError("your code: -> a list as long as ids")

# %% tags=["checker"] exercise="7.1"
course.check(n07.answer_labels, answer_labels)

# %% tags=["solution"] exercise="7.1"
def answer_labels(ids, assistant, end):
    labels, inside = [], False
    for token in ids:
        labels.append(token if inside else IGNORE)
        if token == assistant:
            inside = True
        elif token == end:
            inside = False
    return labels

# %% [markdown] tags=["why"] exercise="7.1"
# With word-level tokens it is that simple. With a tokenizer that writes `###` in one way at the start of a text and in another in its
# midst, as LLaMA's does, the original's way of counting tokens sentence by sentence fits only by accident; our `conversation_example` lets
# the text grow piece by piece instead.

# %% tags=["wrong"] exercise="7.1" hint="never learn to stop"
def answer_labels(ids, assistant, end):
    labels, inside = [], False
    for token in ids:
        if token == end:
            inside = False
        labels.append(token if inside else IGNORE)
        if token == assistant:
            inside = True
    return labels

# %% tags=["wrong"] exercise="7.1" hint="begins behind"
def answer_labels(ids, assistant, end):
    labels, inside = [], False
    for token in ids:
        if token == assistant:
            inside = True
        labels.append(token if inside else IGNORE)
        if token == end:
            inside = False
    return labels

# %% tags=["wrong"] exercise="7.1" hint="second question"
def answer_labels(ids, assistant, end):
    first = ids.index(assistant) + 1
    return [IGNORE] * first + ids[first:]

# %% [markdown]
# ### Exercise 7.2: how many questions does it take? · ★★☆ · 15 minutes
#
# One model is right in 90 % of the cases, another in 93 %. Both are asked $n$ independent questions, and suppose that exactly these shares
# come out. What is the smallest multiple of 100 for $n$ from which on their Wilson intervals no longer touch? (`confidence.wilson(right,
# n)`)
#
# <details><summary>Hint</summary>
#
# Try n = 100, 200, 300 ...: the upper end of the worse against the lower end of the better.
#
# </details>

# %% tags=["exercise"] exercise="7.2"
enough = None  # a number of questions

# %% tags=["checker"] exercise="7.2"
course.check(n07.enough, enough)

# %% tags=["solution"] exercise="7.2"
enough = 100
while confidence.wilson(0.90 * enough, enough)[1] >= confidence.wilson(0.93 * enough, enough)[0]:
    enough += 100

# %% [markdown] tags=["why"] exercise="7.2"
# Three hundredths look like progress in many a table of 200 questions. This criterion is strict (intervals that touch a little can still
# belong to different models), and asking both the *same* questions, as we did, tells more. But the order of magnitude stays.

# %% tags=["wrong"] exercise="7.2" hint="one interval"
enough = 300

# %% tags=["wrong"] exercise="7.2" hint="smaller number"
enough = 2000

# %% [markdown]
# ### Exercise 7.3: a baseline that never looks · ★★★ · 20 minutes
#
# Write `blind_accuracy(training, test)`. Both are lists of (kind of question, true answer). The baseline gives to each test question the
# most frequent answer of its kind in training; a kind that training does not have is answered with the empty string. Return the share of
# right answers.
#
# <details><summary>Hint</summary>
#
# A `Counter` for each kind. What may the baseline know of the test questions?
#
# </details>

# %% tags=["exercise"] exercise="7.3"
def blind_accuracy(training, test):
    raise NotImplementedError("your code: -> a share between 0 and 1")

# %% tags=["checker"] exercise="7.3"
course.check(n07.blind_accuracy, blind_accuracy)

# %% tags=["solution"] exercise="7.3"
def blind_accuracy(training, test):
    counts = {}
    for kind, answer in training:
        counts.setdefault(kind, Counter())[answer] += 1
    guess = {kind: counter.most_common(1)[0][0] for kind, counter in counts.items()}
    return sum(guess.get(kind, "") == answer for kind, answer in test) / len(test)

# %% [markdown] tags=["why"] exercise="7.3"
# "is there X" is answered rightly half of the time by always saying no. Without this column beside it, a .52 looks like half an eye.

# %% tags=["wrong"] exercise="7.3" hint="looks at the test"
def blind_accuracy(training, test):
    counts = {}
    for kind, answer in test:
        counts.setdefault(kind, Counter())[answer] += 1
    return sum(counter.most_common(1)[0][1] for counter in counts.values()) / len(test)

# %% tags=["wrong"] exercise="7.3" hint="of its kind"
def blind_accuracy(training, test):
    guess = Counter(answer for _, answer in training).most_common(1)[0][0]
    return sum(guess == answer for _, answer in test) / len(test)

# %% [markdown]
# ## What to read next
#
# - [Notebook 08](08_an_ear_trained_by_eye.ipynb): the other branch, and how it hears without having heard.
# - [Notebook 10](10_is_it_true.ipynb): more baselines, and the paper's claims one by one. What stage 1 lacks and stage 2 brings is claim
#   (c) of [`docs/claims.md`]({{repo}}/blob/main/docs/claims.md), with three seeds.
# - [`supervision.py`]({{repo}}/blob/main/minivl/supervision.py): the masks of all formats, and how the original finds them.
