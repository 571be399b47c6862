# %% [markdown]
# # Stage 1: learning to say what is there
# {{badge}}
#
# **What you will be able to do.** Train the vision branch of a Video-LLaMA on captions, with a loop that you have written yourself: the
# loss, the optimiser's two groups, the schedule. Find out in ten seconds whether a training can work at all. Read its curves, compare them
# with a reference, and prove that nothing moved that should stand still.
#
# **What you need to know.** What the branch is made of ([notebook 03](03_the_qformer.ipynb)) and how its soft prompt gets between the words
# ([notebook 04](04_soft_prompts.ipynb)). What a gradient and a cross-entropy are.
#
# **Time.** 35 minutes to read, an hour more with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need
# {{memory}} of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import json
import math
import textwrap
import time
from dataclasses import replace

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional as F

import minivl
from minivl import course, plots
from minivl.batch import Batch
from minivl.checkpoints import find_folder, load_part, save_part
from minivl.confidence import wilson
from minivl.course import n06
from minivl.course.kept import frozen_digest, kept
from minivl.course.live import LiveCurve, running_mean
from minivl.evaluation import prompt_ids
from minivl.hardware import plain_attention_on_cpu
from minivl.new_branch import new_branch
from minivl.recipes import PAPER, toy_recipe
from minivl.schedule import original_schedule, warmup_cosine
from minivl.soft_prompt import IGNORE, VIDEO_SLOT, pad
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.features import Features
from minivl.toyworld.lessons import Teacher
from minivl.toyworld.questions import ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, COLOURS, SHAPES, SIZES, THINGS, sample_scene
from minivl.training import BranchLearner, adamw, train

# %%
course.show(
    course.overview("frame positions", "Video Q-Former", "video linear"),
    alt="The whole model; frame positions, Video Q-Former and video linear are highlighted.",
)

# %% [markdown]
# ## 1. What learns, and what stands still
#
# Video-LLaMA is put together from parts that can already do something: eyes that describe pictures, a language model that follows
# instructions. What is missing is somebody who translates. That is the branch, and training it is all that stage 1 does (paper, section
# 2.2.1).
#
# So we take our own copy of the shipped model, throw its vision branch away, and put one with fresh random weights in its place.
#
# **Predict:** which share of the tiny model's parameters is trained in stage 1? And which share of the 7B model's?

# %% tags=["nbval-check-output"]
model = minivl.VideoLlama.from_pretrained("tiny")  # our own: the shipped one stays as it is
branch = new_branch(model, "vision", seed=0)
model.requires_grad_(False)
branch.requires_grad_(True)

sizes = {}
for name in ("image_encoder", "vision_branch", "imagebind", "audio_branch", "llm"):
    parameters = list(getattr(model, name).parameters())
    sizes[name] = sum(p.numel() for p in parameters)
    learns = any(p.requires_grad for p in parameters)
    print(f"{name:15}{sizes[name]:>10,}  {'+ trained' if learns else '* frozen'}")

trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(f"tiny: {trained:,} of {sum(sizes.values()):,} = {trained / sum(sizes.values()):.1%}")
print(f"7B:   22,104,064 of 9,075,216,001 = {22_104_064 / 9_075_216_001:.2%}")
assert trained == sizes["vision_branch"], "is the audio branch frozen too?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# An eighth here, and a quarter of a percent in the 7B model (counted from the original's code with its audio parts). The other branch is
# frozen too: the two are trained one after the other, never together.
#
# </details>

# %% [markdown]
# ## 2. The data: captions
#
# The paper takes what there is plenty of: videos with the short text under which a stock-footage site sells them (WebVid), and images with
# captions (595,000 of CC3M, as filtered for LLaVA). In the original's settings 100 batches of videos come on 24 of images. An image is a
# video of one frame.
#
# Such captions are cheap and poor. They name some of what is seen and leave out the rest, and some name what is not to be seen at all. Ours
# are written from the scenes that the clips are rendered from, so they are exact:

# %%
scenes = [sample_scene(seed) for seed in range(course.steps(2000, 64))]
rng = np.random.default_rng(0)

figure = plots.Picture(figsize=(11, 2.9), layout="constrained")
for place, scene in enumerate(scenes[:6]):
    axes = figure.add_subplot(1, 6, place + 1)
    axes.imshow(render_frames(scene)[2])  # the third of eight frames
    caption = ask(scene, "describe", rng).answer
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel("\n".join(textwrap.wrap(caption, 22)), fontsize=9)
course.show(figure, alt="Six pictures of coloured shapes and icons, each with its caption below.")

# %% [markdown]
# ### Much, but how much?
#
# | stage 1 of the vision branch | the original | this notebook |
# | --- | --- | --- |
# | data | WebVid and LLaVA's CC3M images, 100 : 24 | rendered clips; one batch in eight is images |
# | what the language model reads | soft prompt, caption, new line | a chat with one question |
# | steps x batch | 12,500 x 256 (8 GPUs, 32 each) | 300 x 32 |
# | captions seen | 3.2 million | 9,600 |
# | learning rate | up to 1e-4, at the end 8e-5 | up to 1.5e-3, at the end 3e-5 |
#
# A small model bears a higher rate, and has to: 300 steps are all it gets here. The shipped one had 900.

# %% [markdown]
# ## 3. What is frozen is computed once
#
# The image encoder never changes, so it says the same of a clip at every step. We ask it once for each clip and keep the answer: 64 vectors
# of 128 numbers. One hundred clips are set aside. They come from another range of seeds; no training has seen them, ours or the shipped
# model's.
#
# **Predict:** our 300 steps will look at 9,600 clips, but only 2,000 of them are different. A step on kept features takes about 0.07
# seconds on two quiet cores. With the speed that you will see below, how much longer would the training take with the eyes in the loop?

# %% tags=["nbval-ignore-output"]
def watch(some):
    """Scenes -> what the frozen eyes say of their frames [N, T, K, width], in half precision."""
    seen = []
    for start in range(0, len(some), 32):
        frames = np.stack([render_frames(scene) for scene in some[start : start + 32]])
        frames = rearrange(torch.from_numpy(frames), "B T H W c -> B T c H W")
        seen.append(model.encode_frames(frames).half())
    return torch.cat(seen)


started = time.perf_counter()
tokens = watch(scenes)
seconds = time.perf_counter() - started
speed = len(scenes) / seconds
print(f"{seconds:.0f} s, {speed:.0f} clips a second, {tokens.numel() * 2 / 1e6:.0f} MB")
held = [sample_scene(CHOOSING_SEED + n) for n in range(course.steps(100, 16))]
held_tokens = watch(held)
assert held_tokens[:32].equal(watch(held[:32])), "do the eyes say the same when asked again?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# 9,600 divided by the clips a second: one to two minutes on a quiet machine, on top of 22 seconds for the steps themselves. The training
# would take about six times as long. In the 7B model the eyes have a billion parameters, and `minivl train --data ...` keeps their features
# on disk for the same reason. The price: no random crops, since every crop has features of its own. The original crops, and computes
# everything anew at every step.
#
# </details>

# %% [markdown]
# ### What the language model reads
#
# In the original's stage 1 there is no question at all: the soft prompt, then the caption, then a new line. Our language model has only
# ever seen chats, so the caption is the answer to "describe the video", in one of twelve wordings. The rest is the same: a row of tokens
# with eight gaps for the soft prompt (`v`), and *labels* that mark which tokens are to be predicted. A label of -100 (`IGNORE`) means: not
# this one.

# %% tags=["nbval-check-output"]
writer, slots = DialogueWriter(model.tokenizer), [VIDEO_SLOT] * 8
asked = [ask(scene, "describe", np.random.default_rng(n)) for n, scene in enumerate(held)]
chats = [writer.write(slots, None, [question]) for question in asked]
ids, labels = chats[0].ids[10:], chats[0].labels[10:]  # from the last of the eight gaps on
words = ["v" if i == VIDEO_SLOT else model.tokenizer.decode(i) for i in ids]
print(*words)
print(*["~" * len(w) if y != IGNORE else " " * len(w) for w, y in zip(words, labels)])

rows = pad([chat.ids for chat in chats], [chat.labels for chat in chats], model.pad_id)
exam = Batch(*rows, frame_tokens=held_tokens.float())  # ids, mask, labels [B, L]; [B, T, K, width]
learned = sum(y != IGNORE for y in labels)
assert learned == len(asked[0].answer.split()) + 1, "is the ### that ends the caption learned too?"
assert (exam.labels[exam.ids < 0] == IGNORE).all(), "is a soft prompt predicted?"

# %% [markdown]
# The underlined words are learned, and so is the `###` behind them: without it the model would never learn to stop. `exam` holds the chats
# about all held-out clips.

# %% [markdown]
# ## 4. The loss
#
# With $v$ for the soft prompt, $w_1 \dots w_L$ for the row's tokens, and $A$ for the places whose token is learned:
#
# $$\mathcal{L} = -\frac{1}{|A|} \sum_{l \in A} \log p\,(w_l \mid v, w_1 \dots w_{l-1})$$
#
# In loops, that is one softmax for each learned word. The one thing to get right: what the language model says *at* place $l - 1$ is its
# guess for place $l$.

# %% tags=["component"]
def loss_in_loops(logits, labels):
    """Logits [B, L, vocabulary], labels [B, L] -> the mean surprise at the learned tokens."""
    total, count = 0.0, 0
    for row in range(len(labels)):
        for place in range(1, labels.shape[1]):
            word = labels[row, place]
            if word != IGNORE:
                total -= logits[row, place - 1].softmax(dim=-1)[word].log()
                count += 1
    return total / count


def caption_loss(logits, labels):
    """The same at once: every place predicts the next one, and -100 is left out."""
    guesses, words = logits[:, :-1], labels[:, 1:].to(logits.device)
    return F.cross_entropy(guesses.flatten(0, 1), words.flatten(), ignore_index=IGNORE)


def forward(model, batch):
    """A batch with frame tokens -> logits [B, L, vocabulary]."""
    embedded = model.embed(batch.ids, {VIDEO_SLOT: model.video_prompt(batch.frame_tokens)})
    return model.llm(inputs_embeds=embedded, attention_mask=batch.mask.to(embedded.device)).logits

# %% [markdown]
# Both against `VideoLlama.loss` of the package ([`model.py`]({{repo}}/blob/main/minivl/model.py)), on random tokens and random frames. The
# first row is shorter than the others, as in any real batch:

# %% tags=["same", "nbval-check-output"]
package, generator = course.tiny_model(), torch.Generator().manual_seed(0)
ids = torch.randint(5, 150, (3, 20), generator=generator)
labels, mask = ids.masked_fill(torch.arange(20) < 15, IGNORE), torch.ones_like(ids)
ids[:, 4:12], labels[0, 17:], mask[0, 17:] = VIDEO_SLOT, IGNORE, 0
batch = Batch(ids, mask, labels, frame_tokens=torch.randn(3, 8, 8, 128, generator=generator))
with torch.no_grad():
    logits = forward(package, batch)
    soft = {VIDEO_SLOT: package.video_prompt(batch.frame_tokens)}
    theirs = package.loss(ids, mask, labels, soft)
mine, slow = caption_loss(logits, labels), loss_in_loops(logits, labels)
assert torch.allclose(mine, theirs, atol=1e-5), "is every place compared with the word behind it?"
assert torch.allclose(slow, theirs, atol=1e-5), "is the sum divided by the learned words alone?"
print("the same loss, three times")

# %% [markdown]
# ### How bad is a branch that has learned nothing?
#
# The vocabulary has 166 tokens. Who guesses blindly among them is surprised by $\ln 166 = 5.1$.
#
# **Predict:** is the frozen language model behind a fresh branch, which hands it eight vectors of noise, better or worse than that?

# %% tags=["nbval-ignore-output"]
def captions(model, tokens):
    """What the model answers to "describe the video" about each clip, greedily."""
    with torch.no_grad():
        prompts = [prompt_ids(model, "describe the video", ("sight",))] * len(tokens)
        return model.answer_batch(prompts, {VIDEO_SLOT: model.video_prompt(tokens)}, 32)


with torch.no_grad():
    untrained = caption_loss(forward(model, exam), exam.labels).item()
before = captions(model, held_tokens)
print(f"loss {untrained:.2f}, blind {math.log(len(model.tokenizer)):.2f}")
print(*sorted(set(before[:20])), sep="\n")
assert untrained > 1, "is the branch a fresh one?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Better, but not by much. It knows the grammar of captions whatever the eight vectors say: "a" is nearly certain, and so is `###` at the
# end. But it takes the noise for a report, and believes in a circle that is not there: at some words it is more surprised than by blind
# guessing. The captions above show the same: well-formed sentences about nothing. Exercise 6.3 takes this further.
#
# </details>

# %% [markdown]
# ## 5. Where the gradient goes
#
# The loss is computed behind the language model, and the branch stands before it. So the gradient has to travel back through all layers of
# the language model. *Frozen* means that its weights collect none, not that the gradient stops there. That is why training the branch of
# the 7B model takes a GPU that can hold the language model **and** its activations.

# %% tags=["nbval-check-output"]
caption_loss(forward(model, exam), exam.labels).backward()
for name in sizes:
    got = [p.grad is not None for p in getattr(model, name).parameters()]
    print(f"{name:15}{sum(got):3} of {len(got):3} tensors have a gradient")
    assert all(got) if name == "vision_branch" else not any(got), "is all frozen but the branch?"
model.zero_grad()

# %% [markdown]
# ## 6. Optimiser and schedule
#
# AdamW divides each number's mean gradient $\hat m$ by its usual size $\sqrt{\hat v}$, so that every number moves about as fast as the
# others. Besides, it pulls each number a little towards zero, whatever the gradient says ($\eta$: the learning rate, $\lambda = 0.05$):
#
# $$\theta \leftarrow \theta - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\, \theta \right)$$
#
# The pull makes sense for matrices, which may grow without need. A bias or the gain of a LayerNorm has a job at its own size, so the
# original leaves out all tensors with fewer than two dimensions. It goes by shape alone.
#
# **Predict:** are the learned queries decayed? And the frame positions?

# %% [markdown]
# ### Slowly up, slowly down
#
# With the full rate from the first step a fresh branch would run off in a random direction: its gradients are largest when they know least.
# So the rate climbs for $w$ of the $S$ steps, then follows half a cosine down:
#
# $$\eta(s) = \begin{cases} \eta_0 + (\eta_1 - \eta_0)\, \frac{s + 1}{w} & s < w \\[4pt] \eta_2 + (\eta_1 - \eta_2)\, \frac{1 + \cos(\pi p)}{2},
# \quad p = \frac{s - w}{S - w} & s \ge w \end{cases}$$

# %% tags=["component"]
def groups(module, decay):
    """AdamW's two groups: matrices are pulled towards zero, vectors are not."""
    learned = [p for p in module.parameters() if p.requires_grad]
    matrices, vectors = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim < 2]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def rate(step, steps, peak, floor, warmup, start=0.0):
    """The rate of a step: a straight line up to `peak`, then half a cosine down to `floor`."""
    if step < warmup:
        return start + (peak - start) * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2

# %% tags=["same", "nbval-check-output"]
module = course.tiny_model().vision_branch
for mine, theirs in zip(groups(module, 0.05), adamw(module, toy_recipe(300)).param_groups):
    assert mine["weight_decay"] == theirs["weight_decay"], "do the vectors come second?"
    assert len(mine["params"]) == len(theirs["params"]), "are there as many tensors in each group?"
    assert all(a is b for a, b in zip(mine["params"], theirs["params"])), "is one in both groups?"
    print(f"decay {mine['weight_decay']}: {len(mine['params'])} tensors")
for numbers in ((300, 1.5e-3, 3e-5, 60), (12_500, 1e-4, 8e-5, 2500, 1e-6), (7, 1.0, 0.1, 7)):
    for step in range(0, numbers[0], 1 + numbers[0] // 100):
        mine, theirs = rate(step, *numbers), warmup_cosine(step, *numbers)
        assert abs(mine - theirs) < 1e-12, "does the cosine begin where the warm-up ends?"
print("groups and schedule are the package's")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Both are decayed: queries `[1, Qv, width]` and positions `[32, width]` have two dimensions or more. So they are in the original.
#
# </details>
#
# ### The original's schedule has a step in it
#
# In the original's code the cosine counts from step 0, not from the end of the warm-up. When the warm-up hands over, the cosine has already
# fallen, and the rate drops at once. In stage 1 (from 1e-4 to 8e-5) that is little; in stage 2 it is a sixth.

# %% tags=["nbval-ignore-output"]
figure = plots.Picture(figsize=(11, 2.8), layout="constrained")
for place, stage in enumerate((1, 2), 1):
    paper = PAPER["vision", stage]
    xs = range(0, paper.steps, paper.steps // 250)
    usual = (paper.steps, paper.learning_rate, paper.floor, paper.warmup, paper.start)
    axes = figure.add_subplot(1, 2, place, title=f"vision, stage {stage}", xlabel="step")
    axes.plot(xs, [paper.rate(x) for x in xs], color=course.ORANGE, label="the original's code")
    plain = [rate(x, *usual) for x in xs]
    axes.plot(xs, plain, "--", color=course.BLUE, label="warm-up, then cosine")
    axes.set_ylabel("learning rate")
    axes.legend(fontsize=8)
course.show(figure, alt="Two schedules a stage; the original's drops where the warm-up ends.")
drop = 1 - original_schedule(1000, 3000, 3e-5, 1e-5, 1000, 1e-6, 1000) / 3e-5
assert 0.15 < drop < 0.18, "are these the numbers of the paper's stage 2?"
print(f"in stage 2 the rate drops by {drop:.0%} from one step to the next")

# %% [markdown]
# ## 7. The loop
#
# Now all of it together. Nothing is hidden in these lines: no trainer, no callbacks.

# %% tags=["component"]
def fit(model, batches, recipe):
    """Train the vision branch; batches(step) -> Batch. Returns the loss of every step."""
    branch, losses = model.vision_branch, []
    optimizer = torch.optim.AdamW(groups(branch, recipe.weight_decay), betas=recipe.betas)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(
                step, recipe.steps, recipe.learning_rate, recipe.floor, recipe.warmup
            )
        batch = batches(step)
        loss = caption_loss(forward(model, batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()  # through the language model, into the branch
        torch.nn.utils.clip_grad_norm_(branch.parameters(), recipe.clip)
        optimizer.step()
        losses.append(loss.item())
    return losses

# %% [markdown]
# `minivl.training.train` also runs on eight GPUs and goes on after a power cut ([notebook 07](07_stage_2_instructions.ipynb) pulls the
# plug). But it is the same loop: from the same start, on the same batch, both must end at the same weights.
#
# With one exception. The bias of a *key* adds the same number to all scores of a query, and the softmax does not care. So its gradient is
# zero, up to rounding. AdamW divides that noise by its usual size, which is as small, and makes real steps of it: key biases walk at
# random, differently if a sum is taken in another order. It harms nobody, but whoever compares two trainings number by number will meet it.
# (The original's ViT has no key bias.)

# %% tags=["same"]
generator, recipe = torch.Generator().manual_seed(0), toy_recipe(3)
ids = torch.randint(5, 150, (4, 24), generator=generator)
labels = ids.masked_fill(torch.arange(24) < 15, IGNORE)
ids[:, 4:12] = VIDEO_SLOT
seen = torch.randn(4, 8, 8, 128, generator=generator)  # [B, T, K, width]
batch = Batch(ids, torch.ones_like(ids), labels, frame_tokens=seen)
mine, theirs = (minivl.VideoLlama.from_pretrained("tiny") for _ in range(2))
for one in (mine, theirs):
    new_branch(one, "vision", seed=0)
with plain_attention_on_cpu(torch.device("cpu")):  # as train() has it: plain matrix products
    losses = fit(mine, lambda step: batch, recipe)
told = train(theirs, "vision", recipe, lambda step, part, parts: batch, precision="no")
average = sum(losses) / len(losses)
assert abs(average - told["loss"][0]) < 1e-3, "is the gradient cleared before each backward pass?"
others = dict(theirs.vision_branch.named_parameters())
for name, value in mine.vision_branch.named_parameters():
    limit = 1e-3 if name.endswith("key.bias") else 1e-5
    assert torch.allclose(value, others[name].cpu(), atol=limit), "is the rate set before the step?"
print("the same weights after three steps")

# %% [markdown]
# ## 8. Overfit one batch first
#
# The oldest trick of debugging. Before a training of hours, train on **one** batch, again and again. A loop that cannot learn eight
# captions by heart will not learn the world; and it shows within seconds, not after a night.
#
# To see what failure looks like, we also run it with the picture cut off: all frame tokens are zero, everything else is right.
#
# **Predict:** where does the loss of the blind one end: near 0, near 4 where it began, or in between?

# %% tags=["nbval-ignore-output"]
nothing = torch.empty(0)  # no sound in this notebook
teacher = Teacher(model, Features(scenes, tokens, nothing, nothing), "vision", stage=1, seed=0)
few = teacher(1).part(0, 4)  # 8 of the 32 chats of a step
blind = replace(few, frame_tokens=torch.zeros_like(few.frame_tokens))
curves, said = {}, {}
for name, batch in (("eight clips", few), ("eight clips, unseen", blind)):
    new_branch(model, "vision", seed=0)
    with plain_attention_on_cpu(torch.device("cpu")):
        curves[name] = fit(model, lambda step: batch, toy_recipe(course.steps(80)))
    said[name] = captions(model, batch.frame_tokens)[0], captions(model, held_tokens[:1])[0]

figure = plots.Picture(figsize=(7.5, 2.8), layout="constrained")
axes = figure.add_subplot(xlabel="step", ylabel="loss", yscale="log")
for (name, losses), style in zip(curves.items(), ("-", "--")):
    axes.plot(range(1, len(losses) + 1), losses, style, label=f"{name}: {losses[-1]:.2f}")
_ = axes.legend()
course.show(figure, alt="Two falling losses: with pictures nearly to nothing, without them not.")
print("by heart:", said["eight clips"][0], "| held out:", said["eight clips"][1])
assert course.SMOKE or curves["eight clips"][-1] < 0.1, "does the gradient reach the branch?"
assert course.SMOKE or curves["eight clips, unseen"][-1] > 0.25, "do the frame tokens matter?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# In between. Blind, it can learn which eight captions there are, but not which of them belongs to which clip. What is left is the surprise
# of drawing one out of eight: $\ln 8$ for a whole caption, so a few tenths for each of its words. With pictures the loss goes on falling.
#
# This is what a broken wire looks like. The loss falls nicely at first and then stays above zero, on *one batch*. On a full data set one
# would take it for slow learning.
#
# </details>
#
# And what has the seeing one learned? Eight captions, by heart. Of the held-out clip (a large red triangle that moves up) it still knows
# nothing. Overfitting shows that the wiring is right, and nothing else.

# %% [markdown]
# ## 9. Stage 1
#
# Now the whole data set: 300 steps of 32 captions, drawn by `Teacher` from (seed, step). While it runs, a curve grows below its cell. Every
# 50 steps we ask for the surprise at the words of the held-out captions, each kind of word apart:
#
# **Predict:** in which order are they learned: things ("circle", "dog"), colours, sizes ("small"), motion ("moves left")?

# %% tags=["nbval-check-output"]
motion = "left right up down grows grow shrinks shrink moves move".split()
kinds = {"things": SHAPES + THINGS, "colours": COLOURS, "sizes": SIZES, "motion": motion}
marks = {}  # which learned tokens of the exam are of this kind: [B, L - 1], bool
for name, words in kinds.items():
    known = torch.tensor([model.tokenizer.convert_tokens_to_ids(word) for word in words])
    marks[name] = torch.isin(exam.labels[:, 1:], known)


def held_out():
    """The mean surprise at the words of each kind on the held-out clips."""
    logits = forward(model, exam)[:, :-1].transpose(1, 2).float().cpu()  # [B, vocabulary, L - 1]
    each = F.cross_entropy(logits, exam.labels[:, 1:], ignore_index=IGNORE, reduction="none")
    return {name: each[mark].mean().item() for name, mark in marks.items()}


print({name: int(mark.sum()) for name, mark in marks.items()})
assert not (marks["things"] & marks["colours"]).any(), "is a word of two kinds?"

# %% [markdown]
# ### Train, or load
#
# A notebook that always trains is slow to work with, one that only loads proves nothing. So there is a switch. With `TRAIN = False` the
# cell loads what an earlier run has kept, or else the branch that comes with the package (which has had stage 2 as well).

# %% tags=["nbval-ignore-output"]
TRAIN = True

file = kept(model, "vision_stage1")  # in the folder for temporary files
frozen = frozen_digest(model)  # a fingerprint of all numbers that should stand still
live = LiveCurve("stage 1 of the vision branch")
fresh = new_branch(model, "vision", seed=0)
start = {name: p.detach().clone() for name, p in fresh.named_parameters()}
if TRAIN:
    with live.watching(BranchLearner, every=50, measure=held_out):
        told = train(model, "vision", toy_recipe(course.steps(300, 30)), teacher)
    save_part(model.vision_branch, file)
    print(f"{told['steps']} steps in {told['seconds']:.0f} s")
else:
    shipped = find_folder("tiny") / "vision_branch.safetensors"
    load_part(model.vision_branch, file if file.is_file() else shipped, torch.float32)
    print("loaded", "an earlier run" if file.is_file() else "the shipped branch")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Sizes first, which are a choice of two; then colours, then things. Motion is last by far. Size and colour are in every frame, a thing has
# to be told from fourteen others, and motion is in no frame at all: the branch has to learn to compare frames by their positions. At the
# end of these 300 steps it mostly has not.
#
# </details>

# %% [markdown]
# ### Is that a good curve?
#
# A loss alone says little. Beside yours stands the curve of the shipped model: same code, 900 steps on 6,000 clips, seed 0 (its report lies
# beside the weights).

# %% tags=["nbval-ignore-output"]
report = json.loads((find_folder("tiny") / "reports" / "vision_stage1.json").read_text())
figure = live.figure()
axes = figure.axes[0]
xs = [25 * (n + 1) - 12 for n in range(len(report["loss"]))]  # each is a mean of 25 steps
axes.plot(xs, report["loss"], color="black", linestyle=":", label="shipped model, training")
_ = axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
course.show(figure, alt="Your losses over 300 steps; the shipped model's falls on for 900.")
mine = running_mean([value for _, value in live.curves["training"]])
if TRAIN and not course.SMOKE:
    print(f"around step 150: yours {mine[149]:.2f}, shipped {report['loss'][5]:.2f}")
    assert mine[-1] < 0.6, "is the learning rate set before each step, and is the branch fresh?"

# %% [markdown]
# Three things to see:
#
# - The two training curves lie together for 150 steps, then yours falls faster. It is not better: its learning rate is already on its way
#   down, which takes the noise out of the last steps, while the shipped run is still near its peak.
# - The shipped run ends four times lower. There is nothing wrong with yours; it was stopped early.
# - The held-out words fall with the training loss: it has not yet begun to learn its 2,000 clips by heart.

# %% [markdown]
# ## 10. Before and after
#
# The first clips of the exam, described by the fresh branch and by the trained one:

# %% tags=["nbval-ignore-output"]
after = captions(model, held_tokens)
for number in range(8):
    right = "=" if after[number] == asked[number].answer else " "
    print(f"{right} true    {asked[number].answer}")
    print(f"  before  {before[number]}\n  after   {after[number]}\n")
with torch.no_grad():
    loss = caption_loss(forward(model, exam), exam.labels).item()
exact = sum(a == q.answer for a, q in zip(after, asked))
low, high = wilson(exact, len(held))
print(f"held-out loss {untrained:.2f} -> {loss:.2f}")
print(f"right to the last word: {exact} of {len(held)}, so {low:.0%} to {high:.0%} of all clips")
assert course.SMOKE or loss < 0.6 < untrained, "is the branch in the model the trained one?"

# %% [markdown]
# It mostly names what there is, in the right colour and size. It seldom says how it moves: "moves up" becomes "grows" or is left out. And a
# caption counts only if every word is right, so one wrong word spoils it (what the interval behind the count means is in [notebook
# 07](07_stage_2_instructions.ipynb)). The shipped model, after both full stages, describes about 81 of 100 clips to the last word (README).
#
# ### Word by word
#
# Where in a caption does the model know, and where does it guess? How likely it thought each true word of the longest held-out caption,
# given the words before it:

# %% tags=["nbval-ignore-output"]
def chances(model, number):
    """The probability of each learned token of one held-out chat."""
    one = Batch(*(x[[number]] for x in (exam.ids, exam.mask, exam.labels, exam.frame_tokens)))
    with torch.no_grad():
        guesses = forward(model, one)[0, :-1].float().cpu().softmax(dim=-1)  # [L - 1, vocabulary]
    words = exam.labels[number, 1:]
    return guesses[torch.arange(len(words)), words.clamp(min=0)][words != IGNORE]


number = max(range(len(held)), key=lambda n: len(asked[n].answer))
new = minivl.VideoLlama.from_pretrained("tiny")
new_branch(new, "vision", seed=0)
words = [*asked[number].answer.replace(",", " ,").split(), "###"]
figure = plots.Picture(figsize=(10.5, 2.8), layout="constrained")
axes = figure.add_subplot(ylabel="probability", ylim=(0, 1.3), yticks=(0, 0.5, 1))
looks = ((new, "fresh branch", course.GREY, "//"), (model, "after stage 1", course.SKY, ""))
for shift, (one, name, colour, hatch) in zip((-0.2, 0.2), looks):
    xs = [x + shift for x in range(len(words))]
    bars = axes.bar(xs, chances(one, number), 0.4, color=colour, edgecolor="black", label=name)
    for bar in bars:
        bar.set_hatch(hatch)
axes.set_xticks(range(len(words)), words, rotation=30)
_ = axes.legend(fontsize=8, ncols=2, loc="upper center")
course.show(figure, alt="Bars for each word: after stage 1 most are likely, before only grammar.")

# %% [markdown]
# Grammar ("a", `###`) was likely from the start, and some guesses of the fresh branch are lucky. What the picture decides is now mostly
# likely; what only several frames together decide, "move", is not.
#
# ## 11. Nothing else moved
#
# An optimiser that got one tensor too many, a LayerNorm in training mode, a shared weight: there are many ways to change what should be
# frozen, and the loss shows none of them. So we compare all numbers, bit by bit, with the fingerprint from before the training.
#
# What is kept is the branch alone, as safetensors in half precision: one megabyte here, 44 MB for 7B, whatever the size of the language
# model. It is worth nothing without the frozen parts that it was trained with; hence the fingerprint in the file's name.

# %% tags=["nbval-check-output"]
assert frozen_digest(model) == frozen, "did the optimiser get more than the branch?"
ears = zip(model.audio_branch.parameters(), course.tiny_model().audio_branch.parameters())
assert all(a.cpu().equal(b) for a, b in ears), "is the other branch frozen?"
moved = [n for n, p in model.vision_branch.named_parameters() if not p.cpu().equal(start[n])]
assert course.SMOKE or len(moved) == len(start), "is there a tensor that learns nothing?"
print(f"{len(moved)} of {len(start)} tensors of the branch moved, and nothing else")

again = minivl.VideoLlama.from_pretrained("tiny")
if not file.is_file():  # TRAIN = False, and nothing kept
    save_part(model.vision_branch, file)
load_part(again.vision_branch, file, torch.float32)
same = sum(a == b for a, b in zip(after, captions(again, held_tokens)))
print(f"{file.stat().st_size / 1e6:.1f} MB")
assert same >= 0.95 * len(held), "was it this model's branch that was kept?"

# %% [markdown]
# ## 12. It can describe. Can it answer?
#
# The branch has never met any other task than "describe". But the language model behind it knows how to answer questions: about texts.
#
# **Predict:** what will it say of a colour, of motion, of what comes last?

# %% tags=["nbval-ignore-output"]
moving = next(n for n, s in enumerate(held) if s.motion == "up" and len(s.things) == 1)
two = next(n for n, s in enumerate(held) if s.events)
questions = {
    moving: ("what colour is it?", "what shape is it?", "which way does it move?"),
    two: ("what do you see first?", "what do you see last?", "is there a drum?"),
}
for clip, texts in questions.items():
    print("true:", asked[clip].answer)
    with torch.no_grad():
        soft = {VIDEO_SLOT: model.video_prompt(held_tokens[[clip]])}
    for text in texts:
        ids = prompt_ids(model, text, ("sight",))
        print(f"   {text:26}{model.answer_batch([ids], soft, 32)[0]}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Most of these are right, and motion is not. Over hundreds of questions two of three are right ([notebook
# 07](07_stage_2_instructions.ipynb) counts them), and some wrong answers are odd: in another run of this notebook the colour of the red
# triangle was "i can not hear". The form is mostly that of an answer, since the language model is frozen and cannot forget. What is missing
# is a soft prompt that reads like a scene *whatever* is asked. The paper observes the same after stage 1 (section 2.2.1), and it is the
# reason for stage 2.
#
# </details>

# %% [markdown]
# ## Recap
#
# - Stage 1 trains one branch, an eighth of the tiny model and a quarter of a percent of the 7B model, on cheap captions. The gradient
#   travels through the frozen language model and changes nothing there.
# - The loss counts the caption's words and the token that ends it. With a fresh branch it is about 4, below blind guessing: grammar needs
#   no eyes.
# - The optimiser decays matrices, not vectors; the rate climbs, then follows a cosine down. All of it is a loop of fifteen lines, equal to
#   the package's.
# - Overfit one batch first. Then look at held-out words, kind by kind, and keep a reference curve.
# - What is frozen is computed once, and proven to be unchanged afterwards.

# %% [markdown]
# ## Exercises
#
# Each has a cell to fill in and a cell that checks it.

# %% [markdown]
# ### Exercise 6.1: what training costs in memory · ★☆☆ · 5 minutes
#
# In fp32 every number takes four bytes. AdamW keeps two moments of every *trained* parameter, and the backward pass keeps its gradient. For
# the 7B model's vision branch (22,104,064 parameters): how many gigabytes (10^9 bytes) do weights, gradients and moments take together? And
# how many if the language model (6,738,415,616 parameters) were trained along with it? Activations do not count here.
#
# <details><summary>Hint</summary>
#
# How many numbers are kept for each trained parameter, itself included?
#
# </details>

# %% tags=["exercise"] exercise="6.1"
gigabytes = None  # (the branch alone, branch and language model)

# %% tags=["checker"] exercise="6.1"
course.check(n06.gigabytes, gigabytes)

# %% tags=["solution"] exercise="6.1"
numbers = 4  # weight, gradient, mean and mean square of the gradient
gigabytes = tuple(4 * numbers * n / 1e9 for n in (22_104_064, 22_104_064 + 6_738_415_616))

# %% [markdown] tags=["why"] exercise="6.1"
# A third of a gigabyte against 108: the second does not fit on any single GPU of that time. Frozen weights need no gradient and no moments,
# and may be kept in two bytes or half a byte.

# %% tags=["wrong"] exercise="6.1" hint="two moments"
gigabytes = (12 * 22_104_064 / 1e9, 12 * 6_760_519_680 / 1e9)

# %% tags=["wrong"] exercise="6.1" hint="gradient and the moments"
gigabytes = (4 * 22_104_064 / 1e9, 4 * 6_760_519_680 / 1e9)

# %% tags=["wrong"] exercise="6.1" hint="along with"
gigabytes = (16 * 22_104_064 / 1e9, 16 * 6_738_415_616 / 1e9)

# %% [markdown]
# ### Exercise 6.2: find the bugs · ★★☆ · 15 minutes
#
# Somebody wrote this loop. It runs without an error, and it trains badly. Find what is wrong with it (three things) and write it right.
# `batches` is a list of (x, y), `rates` has one learning rate for each of them; the loss is the mean square of `model(x) - y`.
#
# ```python
# def train_loop(model, batches, rates):
#     optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
#     for (x, y), rate in zip(batches, rates):
#         loss = (model(x) - y).square().mean()
#         loss.backward()
#         optimizer.step()
#         torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
#         for group in optimizer.param_groups:
#             group["lr"] = rate
# ```
#
# <details><summary>Hint</summary>
#
# What is in `p.grad` when the second batch's `backward` begins? When is a gradient clipped, and for which step is a rate meant?
#
# </details>

# %% tags=["exercise"] exercise="6.2"
def train_loop(model, batches, rates):
    raise NotImplementedError("your code: changes the model, returns nothing")

# %% tags=["checker"] exercise="6.2"
course.check(n06.train_loop, train_loop)

# %% tags=["solution"] exercise="6.2"
def train_loop(model, batches, rates):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = (model(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

# %% [markdown] tags=["why"] exercise="6.2"
# None of the three raises an error, and with AdamW none even makes the loss explode: it divides by the gradient's size. Such bugs are found
# by comparing with a loop that is known to be right, as section 7 did.

# %% tags=["wrong"] exercise="6.2" hint="add up"
def train_loop(model, batches, rates):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        (model(x) - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

# %% tags=["wrong"] exercise="6.2" hint="clipped"
def train_loop(model, batches, rates):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

# %% tags=["wrong"] exercise="6.2" hint="step before"
def train_loop(model, batches, rates):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = rate

# %% tags=["wrong"] exercise="6.2" hint="nothing is learned"
def train_loop(model, batches, rates):
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for (x, y), rate in zip(batches, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        (model(x) - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.zero_grad()
        optimizer.step()

# %% [markdown]
# ### Exercise 6.3: worse than blind? · ★★★ · 20 minutes
#
# An experiment with three caption losses on the same clips, as `n06.clips()` gives them: `(batch, model, fresh)`. They are a `Batch` of 32
# held-out clips with their captions, the shipped model, and a copy of it with a fresh vision branch. Measure the loss of the shipped model
# (`"right"`), of the shipped model with each clip's frame tokens given to the next caption (`"swapped"`), and of the fresh branch
# (`"fresh"`). Give their names from the lowest loss to the highest, after you have predicted it.
#
# <details><summary>Hint</summary>
#
# `batch.frame_tokens.roll(1, 0)`, and `model.loss(batch.ids, batch.mask, batch.labels, {VIDEO_SLOT: model.video_prompt(...)})` under
# `torch.no_grad()`.
#
# </details>

# %% tags=["exercise"] exercise="6.3"
order = None  # such as ["fresh", "right", "swapped"]

# %% tags=["checker"] exercise="6.3"
course.check(n06.order, order)

# %% tags=["solution"] exercise="6.3"
batch, shipped, fresh = n06.clips()
other = batch.frame_tokens.roll(1, 0)
losses = {}
with torch.no_grad():
    for name, one, seen in (
        ("right", shipped, batch.frame_tokens), ("swapped", shipped, other), ("fresh", fresh, other)
    ):
        soft = {VIDEO_SLOT: one.video_prompt(seen)}
        losses[name] = one.loss(batch.ids, batch.mask, batch.labels, soft).item()
order = sorted(losses, key=losses.get)

# %% [markdown] tags=["why"] exercise="6.3"
# A fresh branch says nothing, and the language model spreads its bets. A trained branch with the wrong clip says something definite and
# false. Cross-entropy punishes that much harder: being sure and wrong costs more than not knowing.

# %% tags=["wrong"] exercise="6.3" hint="definite"
order = ["right", "swapped", "fresh"]

# %% tags=["wrong"] exercise="6.3" hint="lowest"
order = ["swapped", "fresh", "right"]

# %% [markdown]
# ## What to read next
#
# - [Notebook 07](07_stage_2_instructions.ipynb) takes the branch that you have just kept and teaches it to answer.
# - [Notebook 08](08_an_ear_trained_by_eye.ipynb) trains the other branch the same way, on pictures, and finds that it hears.
# - [`training.py`]({{repo}}/blob/main/minivl/training.py) is the loop of section 7 with what large runs need;
#   [`recipes.py`]({{repo}}/blob/main/minivl/recipes.py) has the numbers of the paper's four runs; `minivl plan` says what one of them would
#   cost.
