# %% [markdown]
# # Time: why a video is a bag of frames, and what 32 rows of numbers do about it
# {{badge}}
#
# **What you will be able to do.** Prove that a Q-Former cannot know the order of what it reads. Build the frame position embedding, equal to the package's,
# and say at which place it must be added. Measure what it is worth: ask about shuffled and reversed clips, train a branch with and without it, and give
# a model more frames than it was trained on.
#
# **What you need to know.** Softmax attention, and what frame tokens are ([notebook 01](01_video_to_features.ipynb)). The Q-Former is taken as it is here;
# [notebook 03](03_the_qformer.ipynb) builds it.
#
# **Time.** 35 minutes to read, 80 with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of memory; most of
# that is two small trainings. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import copy
import math
from dataclasses import replace

import numpy as np
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

import minivl
from minivl import course, plots
from minivl.course import n02, order
from minivl.demo import CLIPS  # the folder of the clips that come with the package

# %%
course.show(
    course.overview("frame positions", "Video Q-Former"),
    alt="The boxes of Video-LLaMA. Framed: frame positions and Video Q-Former.",
)

# %% [markdown]
# ## 1. A bag of frames
#
# The frozen eyes look at each frame alone and say `K = 8` vectors about it, the frame tokens $x_{t,1} \dots x_{t,K}$. They do not know which frame comes
# first. The next part, the Video Q-Former, reads the tokens of all frames at once. Between the two, the paper adds "temporal position embeddings" to the
# tokens (section 2.1.1), a learned row of numbers for each frame.
#
# Let us take them away, by setting them to zero, and shuffle the frames of a clip: first a dog, then a train.
#
# **Predict:** by how much will the soft prompt of the shuffled clip differ from that of the clip as it is? With positions, and without?

# %%
model = course.tiny_model()
frames = minivl.load_video(CLIPS / "dog_then_train.mp4").frames
tokens = model.encode_frames(frames[None])  # [B=1, T=8, K=8, width=128]
shuffle = [6, 1, 4, 7, 0, 3, 2, 5]

timeless = copy.deepcopy(model.vision_branch)  # the shipped model itself stays as it is
nn.init.zeros_(timeless.positions.weight)
moved = []
with torch.no_grad():
    for branch in (model.vision_branch, timeless):
        difference = branch(tokens[:, shuffle]) - branch(tokens)  # [1, Qv, D]
        moved.append(float(difference.norm() / branch(tokens).norm()))
assert moved[0] > 0.1, "are the frames shuffled along T?"
assert moved[1] < 1e-6, "are all positions zero?"
print(f"moved by {moved[0]:.1f} of its length with positions, by less than a millionth without")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Without positions it does not differ at all, but for rounding errors in the last digits. The order of the frames is not hard to see for this model, it is
# *not there*. A dog that comes before a train and one that comes after it are the same video. No training can change that, since it is true of every
# weight that the Q-Former may have.
#
# </details>

# %% [markdown]
# ## 2. Why: a sum has no order
#
# A query $q$ reads states $s = 1 \dots S$, whose keys are $k_s$ and whose values are $v_s$. Written out, softmax attention is a fraction:
#
# $$\mathrm{read}(q) = \frac{\sum_s e^{\,q \cdot k_s / \sqrt d}\; v_s}{\sum_s e^{\,q \cdot k_s / \sqrt d}}$$
#
# Above is a sum over the states and below is a sum over the states. Put the states in another order, and each sum has the same terms. That is the whole proof
# for one attention. Now walk through a Q-Former. Its queries talk among themselves; that part never sees the states. The feed-forward layers
# and norms work on each query alone. The states enter in one place only, cross-attention, and that is the fraction above. So by induction
# over the layers, *every* layer gives the same, and so does the last.

# %% [markdown]
# ### Reading, naive and final
#
# The naive version is the fraction, term by term, as if the states came one at a time: it keeps two running sums and nothing else. What has no memory of
# the order cannot tell it. The final version is what every library writes.

# %% tags=["component"]
def read_naive(q, k, v):  # q [Q, d], k [S, d], v [S, d] -> [Q, d]
    above, below = torch.zeros_like(q), torch.zeros(len(q), 1)
    for key, value in zip(k, v):
        weight = (q @ key / q.shape[-1] ** 0.5).exp()[:, None]  # [Q, 1]
        above += weight * value
        below += weight
    return above / below


def read(q, k, v):
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1) @ v

# %% tags=["same"]
from minivl.transformer import Attention

torch.manual_seed(0)
layer, asking, states = Attention(16, heads=1), torch.randn(4, 16), torch.randn(20, 16)
shuffled = states[torch.randperm(20)]
with torch.no_grad():
    theirs = layer(asking[None], states[None])[0]
    for f in (read_naive, read):
        for s in (states, shuffled):
            mine = layer.out(f(layer.query(asking), layer.key(s), layer.value(s)))
            assert torch.allclose(mine, theirs, atol=1e-5), "are keys and values shuffled alike?"
print("equal to minivl.transformer.Attention, in any order of the states")

# %% [markdown]
# ### The proof, in numbers
#
# Sums of floats do depend on the order, in the last digits. If the theory is right, the difference must shrink with the precision of the numbers; if it is
# only nearly right, it will stay. So we compute the whole Video Q-Former twice, in 32 and in 64 bits, with and without positions.

# %%
gaps = {}
with torch.no_grad():
    for bits, number in ((32, torch.float32), (64, torch.float64)):
        for name, branch in (("positions", model.vision_branch), ("none", timeless)):
            exact, x = copy.deepcopy(branch).to(number), tokens.to(number)
            gaps[name, bits] = float((exact(x[:, shuffle]) - exact(x)).abs().max())
assert gaps["none", 32] < 1e-5 and gaps["none", 64] < 1e-12, "is the table zero in both?"
assert gaps["positions", 64] > 0.1, "was the shipped branch changed?"
print("without positions the largest difference is below 1e-5 in 32 bits, 1e-12 in 64")

# %% [markdown]
# ## 3. One row for each moment
#
# The remedy is as simple as it could be. Frame $t$ gets a learned row $p_t$ of `width` numbers. It is added to each of the frame's $K$ tokens, the same row
# to all of them:
#
# $$v_{t,k} = x_{t,k} + p_t, \qquad t = 0 \dots T - 1, \quad k = 1 \dots K$$
#
# Then the tokens of all frames are written one after the other, $T \cdot K$ of them, and the Video Q-Former reads this one sequence:
#
# $$[\,v_{0,1}, \dots, v_{0,K},\; v_{1,1}, \dots, v_{T-1,K}\,]$$
#
# Note what is *not* there: nothing adds the number $k$. The tokens of one frame stay a bag. They need no order, since the image Q-Former's queries have
# already made each of them different.

# %% tags=["component"]
def add_time_naive(x, table):  # x [B, T, K, width], table [rows, width]
    timed = x.clone()
    for t in range(x.shape[1]):
        for k in range(x.shape[2]):
            timed[:, t, k] += table[t]
    return timed


class FramePositions(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(rows, width))

    def forward(self, x):
        return x + self.weight[: x.shape[1], None]  # [B, T, K, width] + [T, 1, width]


def one_sequence(x, positions):  # frame tokens -> what the Video Q-Former reads
    return rearrange(positions(x), "b t k width -> b (t k) width")

# %% [markdown]
# ### The same numbers as the package
#
# First the positions alone; then, with the trained weights, everything from frame tokens to the soft prompt: our sequence into the package's Q-Former and
# linear layer, against `VisionLanguageBranch`, which does it all.

# %% tags=["same"]
package = course.tiny_model().vision_branch
x = torch.randn(2, 5, 8, 128, generator=torch.Generator().manual_seed(0))
mine = FramePositions(32, 128)
mine.load_state_dict(package.positions.state_dict())
with torch.no_grad():
    theirs = package.positions(x)
    assert torch.allclose(mine(x), theirs, atol=1e-5), "is row t added to frame t?"
    slow = add_time_naive(x, mine.weight)
    assert torch.allclose(slow, theirs, atol=1e-5), "is it added to all K tokens?"
    prompt = package.to_llm(package.qformer(one_sequence(x, mine)))
    assert torch.allclose(prompt, package(x), atol=1e-5), "is time added before they are joined?"
print("equal to minivl.positions and minivl.branches:", list(prompt.shape), "= [B, Qv, D]")

# %% [markdown]
# ### First time, then one sequence
#
# The order of these two steps is a trap. In the original (`encode_videoQformer_visual`, [docs/original.md]({{repo}}/blob/main/docs/original.md)), as in the
# paper, positions are added while the tensor still has an axis of frames: in the 7B model one of 32 rows to all 32 tokens of a frame. Only then are 8 frames
# flattened into one sequence of 256 tokens. After that nobody knows any more which token belonged to which frame.
#
# **Predict:** (a) What happens if we flatten first, and then give row $s$ to token $s$ of the sequence? (b) What if we add time first, but then flatten to
# `(k t)`: the first tokens of all frames, then the second tokens of all frames?

# %%
whole = model.vision_branch
joined, few = (rearrange(x, "b t k width -> b (t k) width") for x in (tokens, tokens[:, :4]))
try:
    whole.positions(joined)
except minivl.MinivlError as error:
    print(f"(a) 8 frames: {error}")
print("(a) 4 frames: no error,", whole.positions(few).shape[1], "tokens with a row each")

with torch.no_grad():
    timed = whole.positions(tokens)
    by_frame, by_token = (rearrange(timed, f"b t k w -> b ({a}) w") for a in ("t k", "k t"))
    difference = (whole.qformer(by_token) - whole.qformer(by_frame)).abs().max()
assert few.shape[1] == 32, "are there K = 8 tokens in each of 4 frames?"
assert difference < 1e-4, "is time added before?"
print("(b) no difference")

# %% [markdown]
# <details><summary>Answer</summary>
#
# (a) The sequence has `T * K = 64` tokens, and the table has 32 rows. In the package this is an error that names the limit. With four frames it is worse: 32
# tokens fit, and everything runs. But now the eight tokens of the first frame carry the rows of eight different moments, and row 5 no longer means "frame 5".
# (b) Nothing. Once a token carries its time, its place in the sequence is of no importance: the sequence is a bag. It is the same proof, this time
# on our side.
#
# </details>

# %% [markdown]
# ## 4. What did training make of the rows?
#
# [Notebook 01](01_video_to_features.ipynb) drew a map of the ViT's positions: without being told, they had learned that patches form a grid. Time is a line.
#
# **Predict:** compare the trained rows of frames 0 to 7 with each other by cosines. Will neighbours in time be alike, as neighbours in the picture were?
# And what are rows 8 to 31, which no training has ever used?

# %%
from minivl.new_branch import fresh_branch

rows = model.vision_branch.positions.weight.detach()  # [32, width]
start = fresh_branch(model.config, "vision", words=0.1, seed=0).positions.weight.detach()
pairs = F.cosine_similarity(rows[:, None], rows[None], dim=-1)  # [32, 32]
turned = F.cosine_similarity(rows, start).clamp(max=1).acos().rad2deg()  # [32]
figure = plots.Picture(figsize=(9, 3.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
figure.colorbar(left.imshow(pairs, cmap="cividis", vmin=-0.3, vmax=1), ax=left, label="cosine")
left.set(xlabel="frame", ylabel="frame", title="trained rows, with each other")
right.bar(range(8), turned[:8], color=course.BLUE, label="used in training")
right.plot(range(8, 32), turned[8:], "x", color=course.ORANGE, label="never used")
right.set(xlabel="frame", ylabel="degrees", title="turned away from where they started")
right.legend()
alt = "Left: a bright diagonal, else dark. Right: small bars for eight rows, zero for the others."
course.show(figure, alt=alt)
assert turned[:8].min() > 1 > 0.5 > turned[8:].max(), "is row t compared with the start of row t?"
assert turned[:8].max() < 15, "is the start that of seed 0?"
assert (pairs[:8, :8] - torch.eye(8)).abs().max() < 0.3, "are these the trained rows?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# No, and this surprised us too. Neighbours in time are no more alike than any two rows: what you see on the left is what random rows look like. And random
# they are. The training began with the random numbers of seed 0, which can be drawn again. The eight rows that were used have turned away from them by a few
# degrees; the other 24 not at all. They have only become shorter, as weight decay makes everything that no gradient defends.
#
# </details>

# %% [markdown]
# ### Who learned, then?
#
# If the rows did not learn what time is, the part that reads them must have. A test: put other rows into the trained branch and ask questions about order.
# For this and the rest of the notebook we need clips with such questions. `order.find_scenes` picks, from the toy world, clips that show one
# coloured shape (which moves, grows, shrinks or stands still), or two things one after the other; `order.accuracy` asks for the colour, the motion, what comes
# first and what last, and compares answers as strings.
#
# **Predict:** the accuracy with the rows of the random start, and with other random rows of the same size.

# %%
scenes = order.find_scenes(course.steps(100, smoke=8), first_seed=500_000)  # seeds of no training
seen = order.watch(model, scenes)  # frame tokens [N, T, K, width]
own = minivl.VideoLlama.from_pretrained("tiny", parts=("vision",))  # a model that we may change


def with_rows(table, watched=seen):
    with torch.no_grad():
        own.vision_branch.positions.weight[: len(table)] = table
    return order.accuracy(own, watched)


other = 0.45 * torch.randn(32, 128, generator=torch.Generator().manual_seed(1))
found = {
    "trained rows": with_rows(rows),
    "their random start": with_rows(0.93 * start),
    "other random rows": with_rows(other),
}
assert course.SMOKE or found["their random start"]["motion"] > 0.9, "is it the start of seed 0?"
assert course.SMOKE or found["other random rows"]["first"] < 0.85, "are these other numbers?"

# %% [markdown]
# ### What those reach who see a heap
#
# The dashed lines below are for those who **see a heap**: all frames, but nothing of their order. They know what stands still, along which line a thing moves,
# and which two things come; for the rest they toss a coin. Whoever is clearly above the line knows something of the order.

# %%
def bars(results, title):
    figure = plots.Picture(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot(title=title, ylabel="right answers", ylim=(0, 1.12))
    looks = zip((course.BLUE, course.ORANGE, course.GREEN, course.PINK), ("", "//", "..", "xx"))
    width = 0.8 / len(results)
    for n, ((name, shares), (colour, hatch)) in enumerate(zip(results.items(), looks)):
        places = [i + (n - (len(results) - 1) / 2) * width for i in range(4)]
        values = [shares[kind] for kind in order.KINDS]
        style = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        drawn = axes.bar(places, values, width, label=name, **style)
        axes.bar_label(drawn, fmt="%.2f", fontsize=8)
    for i, kind in enumerate(order.KINDS):
        _ = axes.hlines(heap[kind], i - 0.45, i + 0.45, color="black", linestyle="--", linewidth=1)
    axes.set_xticks(range(4), order.KINDS)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="- - seen in a heap")
    return figure


heap = order.in_a_heap(scenes)
alt = "Bars by question. The order is lost with other random rows, and with these alone."
course.show(bars(found, "the shipped model with other rows"), alt=alt)

# %% [markdown]
# <details><summary>Answer</summary>
#
# With the rows of the start, everything is answered as before. With other random rows the order is lost: answers fall to about a coin's toss. So the rows are
# like eight coloured ribbons that were handed out at random before the lessons, and the Q-Former learned what each colour means. Positions need not *be* a
# line. They need to be different, large enough to be noticed, and always the same. (So it is in our model, with 1,900 steps and rows that start
# large. Nobody has shown us the rows of the 7B model, whose published weights we could not fetch.)
#
# </details>

# %% [markdown]
# ## 5. Play it backwards
#
# A clip played backwards is a clip that the toy world could have drawn: "it moves left" becomes "it moves right". If the model sees the order of frames, and
# nothing else about time, it must answer the question about the reversed clip, and be exactly wrong about the original.

# %%
chat = minivl.Chat(model)
films = {
    "dog_then_train.mp4": "what do you see first?",
    "red_circle_moves_left.mp4": "which way does it move?",
}
said = []
for name, question in films.items():
    frames = minivl.load_video(CLIPS / name).frames
    ways = {"forwards": frames, "backwards": frames.flip(0), "shuffled": frames[shuffle]}
    for how, played in ways.items():
        chat.watch(played)
        said.append(chat.ask(question))
        print(f"{name:28}{how:11}{said[-1]}")
assert said[:2] == ["a dog", "a train"], "is T the dimension that is reversed?"
assert said[3:5] == ["it moves left", "it moves right"], "is it the clip with the circle?"

# %% [markdown]
# ### A hundred clips
#
# Two clips prove little. Here are a hundred, with frozen features of the frames moved about; since each frame is encoded alone, moving features *is* moving
# frames ([`probes.py`]({{repo}}/blob/main/minivl/toyworld/probes.py)). "As reversed" compares with what is true of the clip played backwards.
#
# **Predict:** the four bars of "colour". And for "first": which bars will be above the dashed line, which below?

# %%
from minivl.toyworld import probes

rng = np.random.default_rng(0)
backwards = probes.reversed_frames(model, seen, rng)
mirrored = replace(backwards, scenes=[probes.played_backwards(scene) for scene in scenes])
altered = {"as it is": seen, "shuffled": probes.shuffled_frames(model, seen, rng),
           "reversed": backwards, "as reversed": mirrored}  # fmt: skip
asked = {name: order.accuracy(model, clips) for name, clips in altered.items()}
alt = "Bars by question. Colour is always right; reversed order is right of the reversed clip."
course.show(bars(asked, "the shipped model, frames moved about"), alt=alt)
assert course.SMOKE or asked["shuffled"]["colour"] > 0.95, "are frames of one clip kept together?"
assert course.SMOKE or asked["reversed"]["first"] < 0.1, "is T the dimension that is reversed?"
assert course.SMOKE or asked["as reversed"]["first"] > 0.9, "are the scenes played backwards?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Colour does not care. Shuffled, the model falls to the dashed line or below it: it is not told that the order is nonsense, and believes it. Reversed, it is
# almost always wrong, and almost always right about the reversed clip. That is the strongest sign: not confusion, but a consistent reading of the order
# it was given. [docs/claims.md]({{repo}}/blob/main/docs/claims.md), claim (j), has the same for three freshly trained models and all types of
# questions: of order, .936 as it is, .522 shuffled, .136 reversed.
#
# </details>

# %% [markdown]
# ## 6. Train it with and without
#
# In section 1 we took the positions from a model that had learned to rely on them. That was not fair: perhaps a model that never had any would find another way.
# The proof says that there is none. Let us see it fail.
#
# Both trainings are alike: fresh weights of the same seed, the same clips, the same 200 steps, the same four kinds of questions. One has `nn.Identity()` in
# the positions' place. The frozen encoders are run once; their features are kept, and each step reads from them. (The full experiment of
# claim (a) has more of everything.)

# %% tags=["nbval-ignore-output"]
from minivl.new_branch import new_branch
from minivl.recipes import toy_recipe
from minivl.training import train

lessons = order.watch(own, order.find_scenes(course.steps(600, smoke=30), first_seed=0))
learned, curves = {}, {}
for name in ("with positions", "without"):
    branch = new_branch(own, "vision", seed=0)
    if name == "without":
        branch.positions = nn.Identity()
    recipe = toy_recipe(course.steps(200), batch=24)
    curves[name] = train(own, "vision", recipe, order.lessons(own, lessons), name=name)["loss"]
    learned[name] = order.accuracy(own, seen)

# %% [markdown]
# ### What is a coin's toss in a loss?
#
# Training minimises the cross-entropy of the answers' words. Most words of an answer are easy ("it moves ..."). The one that depends on the order is not:
# who can only toss a coin pays at least
#
# $$-\ln \tfrac12 \approx 0.69$$
#
# for it, on average, unless the clips are learned by heart. A chat about a moving shape holds one such word. A chat about two things holds one as well, not two:
# once the first thing has been named, the last is known. So the least loss of who sees a heap can be computed: coins in a chat, times 0.69, divided by the
# words that are learned in a chat.
#
# **Predict** the two loss curves: where do they start, where do they part, where does each end?

# %% tags=["nbval-ignore-output"]
batches = [order.lessons(own, lessons)(step, 0, 1) for step in range(20)]
words = sum(int((b.labels != -100).sum()) for b in batches) / (20 * 24)  # learned, in a chat
tossed = np.mean([bool(s.events) or s.motion != "still" for s in lessons.scenes])  # coins in a chat
least = tossed * math.log(2) / words

figure = plots.Picture(figsize=(8, 3), layout="constrained")
axes = figure.add_subplot(xlabel="step", ylabel="loss", yscale="log")
for (name, curve), look in zip(curves.items(), (("-", course.BLUE), ("--", course.ORANGE))):
    steps = [25 * (n + 1) for n in range(len(curve))]
    axes.plot(steps, curve, look[0], color=look[1], marker="o", label=name)
axes.axhline(least, color=course.GREY, linestyle=":", label="the least in a heap")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
course.show(figure, alt="Two losses: with positions below the least in a heap, without above it.")
low, high = curves["with positions"][-1], curves["without"][-1]
assert course.SMOKE or low < least < high, "is Identity in the place of the positions?"

# %% [markdown]
# ### What they answer
#
# The loss is about words. Here are the answers to the hundred clips of section 4, which neither training has seen.

# %% tags=["nbval-ignore-output"]
result = bars(learned, "after 200 steps of training")
course.show(result, alt="Bars by question, with and without positions.")
having, lacking = learned["with positions"], learned["without"]
assert course.SMOKE or min(having["first"], having["last"]) > 0.85, "were the lessons about order?"
assert course.SMOKE or max(lacking["first"], lacking["last"]) < 0.72, "has it no positions at all?"
assert course.SMOKE or lacking["colour"] > 0.85, "are the same lessons given to both?"
print("order is learned with positions, and is not learned without them")

# %% [markdown]
# <details><summary>Answer</summary>
#
# They start together: first the form of the answers is learned, and things and colours, for which no order is needed. Then the one without positions gets stuck,
# above the least that is possible in a heap, and its answers about order stay at the dashed lines or below. With positions the loss falls through that
# floor: these words are no longer guessed.
#
# Motion is the slowest to be learned: direction is a small difference between many frames. In the full experiment (claim (a), three seeds) questions of order
# end at .936 with positions and .474 without, where who sees a heap has .556. Colour and shape are equal, .998 and .998.
#
# </details>

# %% [markdown]
# ## 7. More frames than it was trained on
#
# Suppose that eight frames are too few for your video. The table has 32 rows, and the Q-Former reads any number of tokens: nothing stops you from
# giving it 16 frames. The original allows it too, up to 32.
#
# **Predict:** a model that was trained with eight frames gets 16 frames of the same four seconds. Rows 8 to 15 were never trained. Which questions will
# suffer: what comes *first*, or what comes *last*?

# %% [markdown]
# ### Stretching the rows
#
# There is a remedy, as for the positions of patches in [notebook 01](01_video_to_features.ipynb). Of 16 frames, frame $k$ is shown at the moment $m = k \cdot 8 / 16$,
# counted in frames of training. If $m$ lies between two trained rows, take some of each:
#
# $$p'_k = (1 - a)\, p_{\lfloor m \rfloor} + a\, p_{\lfloor m \rfloor + 1}, \qquad a = m - \lfloor m \rfloor$$
#
# The moments after the last trained frame get its row. The naive version does it frame by frame, the final one all at once.

# %%
def stretch_naive(trained, count):  # [8, width] -> [count, width]
    made = []
    for k in range(count):
        m = min(k * len(trained) / count, len(trained) - 1)
        low = int(m)
        high = min(low + 1, len(trained) - 1)
        made.append((1 - (m - low)) * trained[low] + (m - low) * trained[high])
    return torch.stack(made)


def stretch(trained, count):
    last = len(trained) - 1
    m = (torch.arange(count) * len(trained) / count).clamp(max=last)  # [count]
    low, a = m.long(), m.frac()[:, None]
    return (1 - a) * trained[low] + a * trained[(low + 1).clamp(max=last)]


for count in (3, 8, 12, 16):
    both = stretch(rows[:8], count), stretch_naive(rows[:8], count)
    assert torch.allclose(*both, atol=1e-6), "is a moment past the last row given the last row?"
assert stretch(rows[:8], 16)[2::2][:7].equal(rows[1:8]), "does every second frame keep its row?"
print("eight rows, stretched to any number")

# %% [markdown]
# ### Four, sixteen, and stretched
#
# The shipped weights again, in the model that we may change. Both numbers of frames, each with the first rows of the table as they are, and with stretched rows.

# %%
own.vision_branch = copy.deepcopy(model.vision_branch)
stretched = {}
for count in (4, 16):
    longer = order.watch(model, scenes, num_frames=count)
    stretched[f"{count}, rows 0 to {count - 1}"] = with_rows(rows, longer)
    stretched[f"{count}, stretched"] = with_rows(stretch(rows[:8], count), longer)
course.show(
    bars(stretched, "4 and 16 frames of the same clips"),
    alt="Bars by question. Unstretched rows lose the order, stretched rows keep it.",
)
plain, better = stretched["16, rows 0 to 15"], stretched["16, stretched"]
assert course.SMOKE or plain["first"] > 0.9 and plain["last"] < 0.3, "are rows 8 to 15 untrained?"
assert course.SMOKE or min(better.values()) > 0.9, "are the rows put into the model?"
print("sixteen frames: what comes last is lost, and comes back with stretched rows")

# %% [markdown]
# <details><summary>Answer</summary>
#
# *Last* is lost: almost never right, far below a coin. Rows 4 to 7 mean "in the second half" to this model, and of 16 frames they are given to frames of the
# first half; the later frames carry rows that mean nothing to it. With four frames, which all carry rows of the first half, it is *first* that is lost.
#
# Stretched rows bring the order back, although no mixture of two rows was ever seen in training: a ribbon that is half of one colour and half of the next is
# read as the moment between. The full experiment (claim (i)) finds the same for three seeds: 16 frames fall from .936 to .479 on questions of order, and
# stretched they reach .938. It finds no gain over eight frames, though. These clips have nothing to show that eight frames miss.
#
# </details>

# %% [markdown]
# ## 8. What positions cannot do
#
# - **They count frames, not seconds.** Row 3 is added to the fourth frame of a clip of four seconds and of an hour. The seconds are only in the sentence
#   "The video contains 8 frames sampled at ..." ([notebook 01](01_video_to_features.ipynb)), which the language model may read or not.
# - **They cannot see between frames.** What happens in the gap is not late or early, it is not there.
# - **They do not make motion easy.** Direction has to be found by comparing tokens of different frames, in two layers of cross-attention. In the
#   training of section 6 it was the last thing to be learned.
#
# The audio branch has the same table for its two-second segments, with 8 rows ([notebook 05](05_hearing.ipynb)). The proof of section 2 holds there word for word.

# %% [markdown]
# ## Recap
#
# - Attention is a fraction of two sums. A Q-Former therefore gives the same for every order of what it reads, whatever its weights are.
# - A learned row for each frame, added to all of the frame's tokens *before* the frames are joined to one sequence, puts order into a bag.
# - Trained rows need not look like a line. Ours are the random numbers they started from; the Q-Former learned to read them.
# - Shuffled frames bring the answers about order down to a coin's toss; reversed frames turn them round; colours stay.
# - A model that is trained without positions learns everything but order.
# - Rows beyond the trained ones mean nothing. Stretched rows work.

# %% [markdown]
# ## Exercises
#
# Each has a cell to fill in and a cell that checks it. A check says what is right, or gives one hint.

# %% [markdown]
# ### Exercise 2.1: what a heap is worth · ★☆☆ · 5 minutes
#
# The toy world draws the motion of a single shape from seven with equal chances: left, right, up, down, grow, shrink, still. Somebody sees all frames of the
# clip in a heap. They recognise what stands still; of anything else they know the line (left and right, up and down, or large and small) and toss a coin. What
# is the expected share of their right answers to "which way does it move?"
#
# <details><summary>Hint</summary>
#
# Add over the seven motions: chance of the motion, times chance of being right about it.
#
# </details>

# %% tags=["exercise"] exercise="2.1"
share_right = None  # a number between 0 and 1

# %% tags=["checker"] exercise="2.1"
course.check(n02.share_right, share_right)

# %% tags=["solution"] exercise="2.1"
share_right = 1 / 7 * 1 + 6 / 7 * 0.5

# %% [markdown] tags=["why"] exercise="2.1"
# Four sevenths, .571. The dashed lines of this notebook are lower or higher by the chance of a hundred clips. In claim (a), whose clips stand still more often, who
# sees a heap has .644, and branches that were trained without positions reach .568: they learned less than a heap could teach.

# %% tags=["wrong"] exercise="2.1" hint="sees nothing"
share_right = 1 / 7

# %% tags=["wrong"] exercise="2.1" hint="stands still"
share_right = 1 / 2

# %% [markdown]
# ### Exercise 2.2: find the bug · ★★☆ · 10 minutes
#
# This function adds row $t$ of the table to frame $t$ of `x [B, T, K, width]`. With the tiny model's eight frames of eight tokens it runs without an error, and its
# result has the right shape. Still it is wrong. Find the mistake and mend it.
#
# <details><summary>Hint</summary>
#
# Broadcasting lines up dimensions from the right. `[B, T, K, width] + [T, width]`: what stands above `T`? What if the frames had 32 tokens each?
#
# </details>

# %% tags=["exercise"] exercise="2.2"
def add_time(x, table):
    raise NotImplementedError("find the bug below, mend it, and delete this line")
    return x + table[: x.shape[1]]

# %% tags=["checker"] exercise="2.2"
course.check(n02.add_time, add_time)

# %% tags=["solution"] exercise="2.2"
def add_time(x, table):
    return x + table[: x.shape[1], None]  # [B, T, K, width] + [T, 1, width]

# %% [markdown] tags=["why"] exercise="2.2"
# The row of frame $t$ went to token $t$ of every frame: all frames got the same, and the video was a bag again, without any error. Where two sizes happen
# to be equal, shapes protect from nothing. Test with sizes that are all different.

# %% tags=["wrong"] exercise="2.2" hint="all frames"
def add_time(x, table):
    return x + table[: x.shape[1]]

# %% tags=["wrong"] exercise="2.2" hint="all frames"
def add_time(x, table):
    return x + table[: x.shape[2]]

# %% tags=["wrong"] exercise="2.2" hint="first token"
def add_time(x, table):
    timed = x.clone()
    timed[:, :, 0] += table[: x.shape[1]]
    return timed

# %% [markdown]
# ### Exercise 2.3: backwards without touching the film · ★★☆ · 10 minutes
#
# Reversing the frames makes the model see the clip backwards. The same can be done by changing nothing but the table of positions. Write
# `backwards_table(table, frames)`: it gets the table `[rows, width]` and the number of frames of the clip, and returns a new table with which the model sees
# every clip of so many frames backwards.
#
# <details><summary>Hint</summary>
#
# Which row must the first frame carry, so that it is taken for the last? A clip of 8 frames never uses row 31.
#
# </details>

# %% tags=["exercise"] exercise="2.3"
def backwards_table(table, frames):
    raise NotImplementedError("your code: -> [rows, width]")

# %% tags=["checker"] exercise="2.3"
course.check(n02.backwards_table, backwards_table)

# %% tags=["solution"] exercise="2.3"
def backwards_table(table, frames):
    return torch.cat([table[:frames].flip(0), table[frames:]])

# %% [markdown] tags=["why"] exercise="2.3"
# By section 2 it is the same set of sums: frame $t$ with row $7 - t$. A video is nothing but the pairs of what was seen and the row that came with it.

# %% tags=["wrong"] exercise="2.3" hint="whole table"
def backwards_table(table, frames):
    return table.flip(0)

# %% tags=["wrong"] exercise="2.3" hint="width"
def backwards_table(table, frames):
    return torch.cat([table[:frames].flip(1), table[frames:]])

# %% tags=["wrong"] exercise="2.3" hint="given table"
def backwards_table(table, frames):
    table[:frames] = table[:frames].flip(0)
    return table

# %% [markdown]
# ### Exercise 2.4: a clock that is not learned · ★★☆ · 15 minutes
#
# Positions can also be computed. The first transformer used waves of many lengths. With $i = 0 \dots \text{width}/2 - 1$,
#
# $$p_{t, 2i} = \sin\!\left(t / 10000^{2i / \text{width}}\right), \qquad p_{t, 2i + 1} = \cos\!\left(t / 10000^{2i / \text{width}}\right)$$
#
# Write `clock(steps, width)`, which returns the table `[steps, width]` (`width` is even). Then draw its cosines as in section 4: *this* table is a line.
#
# <details><summary>Hint</summary>
#
# Make the angles `[steps, width / 2]` first. `torch.stack([sines, cosines], dim=-1)` and `flatten` interleave them.
#
# </details>

# %% tags=["exercise"] exercise="2.4"
def clock(steps, width):
    raise NotImplementedError("your code: -> [steps, width]")

# %% tags=["checker"] exercise="2.4"
course.check(n02.clock, clock)

# %% tags=["solution"] exercise="2.4"
def clock(steps, width):
    lengths = 10_000 ** (2 * torch.arange(width // 2) / width)  # [width / 2]
    angles = torch.arange(steps)[:, None] / lengths  # [steps, width / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% [markdown] tags=["why"] exercise="2.4"
# Neighbouring rows are alike, and any number of steps has a row. Video-LLaMA learns its rows instead. As section 4 showed, even random rows can be read; what
# waves would offer is a meaning for rows that no training has used.

# %% tags=["wrong"] exercise="2.4" hint="interleaved"
def clock(steps, width):
    lengths = 10_000 ** (2 * torch.arange(width // 2) / width)
    angles = torch.arange(steps)[:, None] / lengths
    return torch.cat([angles.sin(), angles.cos()], dim=-1)

# %% tags=["wrong"] exercise="2.4" hint="exponent"
def clock(steps, width):
    lengths = 10_000 ** (torch.arange(width // 2) / width)
    angles = torch.arange(steps)[:, None] / lengths
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% tags=["wrong"] exercise="2.4" hint="frame 0"
def clock(steps, width):
    lengths = 10_000 ** (2 * torch.arange(width // 2) / width)
    angles = torch.arange(1, steps + 1)[:, None] / lengths
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

# %% [markdown]
# ## What to read next
#
# - [Notebook 03](03_the_qformer.ipynb): the part that reads the bag.
# - The code: [`positions.py`]({{repo}}/blob/main/minivl/positions.py), [`branches.py`]({{repo}}/blob/main/minivl/branches.py),
#   [`probes.py`]({{repo}}/blob/main/minivl/toyworld/probes.py) and [`ablations.py`]({{repo}}/blob/main/minivl/claims/ablations.py).
# - Claims (a), (i) and (j) of [docs/claims.md]({{repo}}/blob/main/docs/claims.md): the same with more seeds, more clips and all types of questions.
# - Waves as positions: [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.5.
