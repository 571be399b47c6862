# %% [markdown]
# # The Q-Former: learned questions that read a video
# {{badge}}
#
# **What you will be able to do.** Build a Q-Former in three versions, from a loop over one question to the two-layer Video Q-Former that is equal to the
# package's and to BLIP-2's. Say why the prompt has the same length for one frame and for thirty-two. See what each query of a trained model reads, and
# test whether that matters. Count its parameters for the tiny and for the 7B model.
#
# **What you need to know.** Attention, LayerNorm and residual sums as in any transformer. From [notebook 01](01_video_to_features.ipynb) that a frame
# becomes `K` tokens, from [notebook 02](02_time.ipynb) that each gets a position for its frame.
#
# **Time.** 35 minutes to read, an hour and a quarter with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of
# memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import math
from collections import OrderedDict

import torch
from einops import einsum, rearrange, repeat
from torch import nn

import minivl
from minivl import course
from minivl.config import tiny, video_llama_7b
from minivl.course import n03
from minivl.demo import CLIPS
from minivl.plots import Picture
from minivl.qformer import QFormer
from minivl.transformer import Attention as PackageAttention

_ = torch.set_grad_enabled(False)  # nothing is trained here, until an exercise says so

# %%
figure = course.overview("Video Q-Former", "image Q-Former")
course.show(figure, alt="Video-LLaMA with its two visual Q-Formers framed.")

# %% [markdown]
# ## 1. What the Video Q-Former is given
#
# Eight frames went through the frozen image encoder. Each came out as `K = 8` tokens of 128 numbers (32 tokens of 768 in the 7B model), and each token got
# the position of its frame added. Now the frame structure ends: the tokens of all frames are put in one row, frame after frame. In the original, too: it is the
# line before the Video Q-Former in `encode_videoQformer_visual` (paper, section 2.1.1).

# %%
model = course.tiny_model()
branch = model.vision_branch
clip = minivl.load_video(CLIPS / "dog_then_train.mp4")

frame_tokens = model.encode_frames(clip.frames[None])  # [B, T, K, width]
timed = branch.positions(frame_tokens)  # [B, T, K, width]
states = rearrange(timed, "b t k width -> b (t k) width")  # [B, S = T K, width]
print(list(frame_tokens.shape), "->", list(states.shape))
assert states.shape == (1, 64, 128), "are t and k joined in one dimension, t before k?"

# %% [markdown]
# The language model should not get these 64 vectors (256 in the 7B model), and it could not read them: they are not of its width, and nobody has ever
# told it what they mean. What is needed is a reader who looks through all of them and writes a short note. Its length must not depend on the length of
# the video.

# %% [markdown]
# ## 2. Version 1: one question
#
# A **query** is a vector of numbers that is learned, the same for every video. Think of it as a question: *what moves?*, *what is there at the end?* Nobody
# writes the question down. It becomes whatever helps the language model to answer.
#
# To put a question to `S` tokens means: compare it with every token, and bring back a mean of what the tokens have to say, in which those that fit count more.

# %% [markdown]
# ### The equation
#
# Each token $x_s$ gets a *key* (what it can be found by) and a *value* (what it has to say), both by a learned matrix. For a query $q$ of $c$ numbers
#
# $$ a_s = \frac{e^{\,q \cdot k_s / \sqrt{c}}}{\sum_{r} e^{\,q \cdot k_r / \sqrt{c}}} \qquad\qquad o = \sum_{s} a_s\, v_s $$
#
# The weights $a_s$ are positive and sum to 1: a query has exactly one unit of attention to give away. This is **cross-attention**: queries come from one
# place, keys and values from another. Here it is, word by word:

# %% tags=["component"]
def ask_one(q, keys, values):
    """Version 1, only loops. q [c], keys and values [S, c] -> the answer [c], the weights [S]."""
    scores = [sum(q[i] * key[i] for i in range(len(q))) / math.sqrt(len(q)) for key in keys]
    exponentials = [math.exp(score) for score in scores]
    weights = [e / sum(exponentials) for e in exponentials]
    answer = [0.0] * len(q)
    for weight, value in zip(weights, values, strict=True):
        for i in range(len(q)):
            answer[i] += weight * value[i]
    return answer, weights

# %% [markdown]
# ### Four tokens, by hand
#
# Three tokens whose keys point in three directions, and a fourth that is the first one again. The query asks for the first direction.
#
# **Predict** before you run it: which weights are the largest, and is the answer nearer to 10, to 20 or to 30? And now put every token in twice, eight in
# all: how do the weights change, and how does the answer?

# %%
keys = [[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0], [4.0, 0.0]]
values = [[10.0, 0.0], [20.0, 0.0], [30.0, 0.0], [10.0, 0.0]]
q = [1.0, 0.0]
for times in (1, 2):
    answer, weights = ask_one(q, keys * times, values * times)
    print([round(w, 3) for w in weights], "->", round(answer[0], 2))
    assert abs(sum(weights) - 1) < 1e-6, "is every exponential divided by the sum of all of them?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Tokens 1 and 4 share nearly all of the attention, so the answer is little more than 10. With every token twice, each weight is halved and the answer stays
# what it was. A mean does not grow with the number of those who are asked. That is the first half of the reason why a Q-Former takes videos of any
# length, and an image as a video of one frame.
#
# </details>

# %% [markdown]
# ## 3. Version 2: all questions at once
#
# Loops are clear, and slow. There are `Q` queries, not one, and `N` videos in a batch. `einsum` names the dimensions instead of looping over them: what
# appears in both inputs and not in the output is summed over.
#
# | name | is | here | 7B |
# | --- | --- | --- | --- |
# | n | videos in the batch | 1 | |
# | q | queries | 8 | 32 |
# | s | tokens that are read | 64 | 256 |
# | c | numbers in a query and in a key | 128 | 768 |

# %% tags=["component"]
def ask_many(q, keys, values):
    """Version 2. q [n, q, c], keys and values [n, s, c] -> answers [n, q, c], weights [n, q, s]."""
    scores = einsum(q, keys, "n q c, n s c -> n q s") / math.sqrt(q.shape[-1])
    weights = scores.softmax(dim=-1)  # over the tokens: each query has one unit to give away
    return einsum(weights, values, "n q s, n s c -> n q c"), weights

# %% tags=["same"]
torch.manual_seed(0)
q, keys, values = torch.randn(2, 5, 6), torch.randn(2, 9, 6), torch.randn(2, 9, 6)
answers, weights = ask_many(q, keys, values)
for n in range(2):
    for i in range(5):
        slow = torch.tensor(ask_one(q[n, i].tolist(), keys[n].tolist(), values[n].tolist())[0])
        message = f"query {i} of video {n} differs: is the softmax taken over s, not over q?"
        assert torch.allclose(answers[n, i], slow, atol=1e-5), message
print("version 2 equals version 1, for 5 queries and 2 videos")

# %% [markdown]
# Note that no query has looked at another one. `ask_many` is `ask_one` once for each of them. That will change in section 5.

# %% [markdown]
# ## 4. Version 3: several heads
#
# One unit of attention is spent on one mixture. A query that wants the colour from frame 2 *and* the place from frame 7 gets a blend of the two. The remedy of
# every transformer: cut the `c` numbers of query, key and value into `h` pieces, let each piece (a *head*) attend on its own, and glue the answers together.
# A last matrix, `out`, mixes what the heads have brought.
#
# **Predict:** four heads instead of one. How many more parameters does that take?

# %% tags=["component"]
class Attention(nn.Module):
    """Version 3: learned matrices, several heads. It remembers its weights."""

    def __init__(self, width, heads, states_width):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(states_width, width)  # the tokens may be of another width
        self.value = nn.Linear(states_width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x, states):
        """x [n, q, width], states [n, s, states_width] -> [n, q, width]."""
        parts = self.query(x), self.key(states), self.value(states)
        q, k, v = (rearrange(part, "n s (h c) -> (n h) s c", h=self.heads) for part in parts)
        answers, weights = ask_many(q, k, v)  # a head is one more entry of the batch
        self.weights = rearrange(weights, "(n h) q s -> n h q s", h=self.heads)
        return self.out(rearrange(answers, "(n h) q c -> n q (h c)", h=self.heads))

# %% tags=["same"]
torch.manual_seed(0)
package = PackageAttention(128, heads=4, context_width=64)
ours = Attention(128, heads=4, states_width=64)
ours.load_state_dict(package.state_dict())
x, states_in = torch.randn(2, 8, 128), torch.randn(2, 30, 64)
message = "are the heads cut as (h c), not (c h)?"
assert torch.allclose(ours(x, states_in), package(x, states_in), atol=1e-5), message

one = Attention(128, heads=1, states_width=64)
one.load_state_dict(package.state_dict())
by_hand = one.out(ask_many(one.query(x), one.key(states_in), one.value(states_in))[0])
message = "with one head, is version 3 still version 2 between its matrices?"
assert torch.allclose(one(x, states_in), by_hand, atol=1e-5), message
print("version 3 equals the package; with one head it is version 2 between four matrices")

# %% [markdown]
# <details><summary>Answer</summary>
#
# None. The matrices are the same; only the numbers that come out are cut into pieces. You have just seen it: the weights of the attention with four
# heads fitted into the one with one head, without a single tensor too many.
#
# </details>
#
# ### Why we keep the weights
#
# The package hands these three lines to `scaled_dot_product_attention` of PyTorch, which is faster and never stores the weights. We keep them, to look at them later.

# %% [markdown]
# ## 5. The layer: agree, read, think
#
# A Q-Former layer does three things, each with a residual sum and a LayerNorm:
#
# $$ x \leftarrow \mathrm{LN}\big(x + \mathrm{SelfAttention}(x)\big) \qquad
#    x \leftarrow \mathrm{LN}\big(x + \mathrm{CrossAttention}(x, \mathrm{states})\big) \qquad
#    x \leftarrow \mathrm{LN}\big(x + \mathrm{FeedForward}(x)\big) $$
#
# - **Self-attention**: the queries look at each other. They can agree on who asks what, and in the second layer they know what the others have found.
# - **Cross-attention**: they read the tokens of the video. Only here does the video come in.
# - **Feed-forward**: each digests what it has read, on its own.
#
# The norm stands *after* the sum (post-norm), because the original's `Qformer.py` is BERT's code. ViT and LLaMA put it before, on the way into each part.

# %% tags=["component"]
class Layer(nn.Module):
    """A Q-Former layer. The parts have the package's names, so that its weights fit."""

    def __init__(self, config):
        super().__init__()
        width, eps = config.width, config.eps
        self.attention = Attention(width, config.heads, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attention = Attention(width, config.heads, config.encoder_width)
        self.cross_attention_norm = nn.LayerNorm(width, eps=eps)
        up, down = nn.Linear(width, config.mlp_hidden), nn.Linear(config.mlp_hidden, width)
        self.feed_forward = nn.Sequential(OrderedDict(up=up, gelu=nn.GELU(), down=down))
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x, states):
        """x [n, q, width], states [n, s, encoder_width] -> [n, q, width]."""
        x = self.attention_norm(x + self.attention(x, x))
        x = self.cross_attention_norm(x + self.cross_attention(x, states))
        return self.feed_forward_norm(x + self.feed_forward(x))

# %% [markdown]
# ### Two layers make the Video Q-Former
#
# What is left is little: the queries themselves, which are parameters, a LayerNorm on them (BERT has one after its word embeddings, and the queries stand
# in the place of words), and the layers one after the other. The Video Q-Former has two, and both read the video. BLIP-2's Q-Former on the patches of a frame
# has twelve at the paper's size, of which every second one reads.

# %% tags=["component"]
class VideoQFormer(nn.Module):
    """The final version: Q learned queries, and layers that let them read."""

    def __init__(self, config):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.num_queries, config.width))
        self.queries_norm = nn.LayerNorm(config.width, eps=config.eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))

    def forward(self, states):
        """states [n, s, encoder_width] -> what the queries have read [n, q, width]."""
        x = repeat(self.queries_norm(self.queries), "q width -> n q width", n=len(states))
        for layer in self.layers:
            x = layer(x, states)
        return x

# %% tags=["same"]
torch.manual_seed(0)
config = tiny().vision_branch.qformer
package = QFormer(config).eval()  # of minivl/qformer.py
for parameter in package.parameters():
    parameter.copy_(torch.randn_like(parameter) * 0.3)  # norms and biases too: each must be used
ours = VideoQFormer(config)
ours.load_state_dict(package.state_dict())
for tokens in (8, 64, 100):
    x = torch.randn(2, tokens, config.encoder_width)
    assert torch.allclose(ours(x), package(x), atol=1e-5), "is each norm taken after its sum?"
print("the final version equals minivl.qformer.QFormer, for 8, 64 and 100 tokens")

# %% [markdown]
# ### A second witness
#
# The package could be wrong as we are. So we ask somebody else: `Blip2QFormerModel` of the library transformers, written by other people from BLIP-2's code. Its weights
# are random; only names stand between us.

# %% tags=["same"]
from transformers import Blip2QFormerConfig, Blip2QFormerModel  # here: only this cell needs it

NAMES = (
    ("layernorm.", "queries_norm."), ("encoder.layer.", "layers."),
    ("crossattention.", "cross_attention."),
    ("attention.attention.", "attention."), ("attention.output.dense", "attention.out"),
    ("attention.output.LayerNorm", "attention_norm"),
    ("intermediate_query.dense", "feed_forward.up"), ("output_query.dense", "feed_forward.down"),
    ("output_query.LayerNorm", "feed_forward_norm"),
)  # fmt: skip
torch.manual_seed(0)
config = tiny().vision_branch.qformer
theirs = Blip2QFormerModel(Blip2QFormerConfig(
    hidden_size=config.width, intermediate_size=config.mlp_hidden, num_hidden_layers=config.depth,
    num_attention_heads=config.heads, encoder_hidden_size=config.encoder_width,
    cross_attention_frequency=1, layer_norm_eps=config.eps, hidden_act="gelu",
)).eval()  # fmt: skip
state = {"queries": torch.randn(8, 128)}
for name, weight in theirs.state_dict().items():
    for old, new in NAMES:
        name = name.replace(old, new)
    state[name] = weight.copy_(torch.randn_like(weight) * 0.3)  # also what starts as 0 or 1
ours = VideoQFormer(config)
ours.load_state_dict(state)
x = torch.randn(2, 64, 128)
queries = repeat(state["queries"], "q w -> n q w", n=2)
expected = theirs(query_embeds=queries, encoder_hidden_states=x).last_hidden_state
assert torch.allclose(ours(x), expected, atol=1e-5), "is one of the names mapped to another part?"
print("equal to transformers' Blip2QFormerModel")

# %% [markdown]
# ### The ladder
#
# | version | new | compared with |
# | --- | --- | --- |
# | `ask_one` | one query, one head, loops | the equation |
# | `ask_many` | all queries, `einsum` | `ask_one` |
# | `Attention` | learned matrices, several heads | `ask_many`, `minivl.transformer.Attention` |
# | `VideoQFormer` | self-attention, feed-forward, post-norm, learned queries | `minivl.qformer.QFormer`, transformers' BLIP-2 |

# %% [markdown]
# ## 6. Why the prompt has a fixed length
#
# Follow the shapes. The output of cross-attention has the shape of the *queries*: `n q c`. The number of tokens, `s`, is summed over and gone. So the soft
# prompt has `Qv` vectors, for an image and for an hour.
#
# **Predict:** the Q-Former takes any number of tokens. What happens in the vision branch for 32 frames? For 33?

# %%
trained = VideoQFormer(branch.qformer.config)
trained.load_state_dict(branch.qformer.state_dict())
for T in (1, 8, 32, 33):
    tokens = frame_tokens[:, :1].expand(-1, T, -1, -1)  # the first frame, T times
    try:
        print(T, "frames:", list(branch(tokens).shape))
        assert branch(tokens).shape[1] == 8, "is the soft prompt as long as there are queries?"
    except minivl.InputError as error:
        print(T, "frames:", error)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The limit is not in the Q-Former but in the positions before it: there are 32 learned rows, one for each frame that a video may have. The original stops
# there with an IndexError. And most of these rows have learned nothing: training uses eight frames, so only the first eight
# ([docs/claims.md]({{repo}}/blob/main/docs/claims.md#claim-i) shows what the others do to questions of order).
#
# </details>

# %% [markdown]
# ### What it saves the language model
#
# What the 7B model's language model would have to read for one video:
#
# | frames | bare patches (257 a frame) | image Q-Former (32 a frame) | Video Q-Former |
# | --- | --- | --- | --- |
# | 1 | 257 | 32 | 32 |
# | 8 | 2,056 | 256 | 32 |
# | 16 | 4,112 | 512 | 32 |
# | 32 | 8,224 | 1,024 | 32 |
#
# LLaMA-2's whole context has 4,096 positions, in which the question and the answer must find place too: sixteen frames of bare patches are more than that.
#
# ### The price
#
# Eight vectors cannot hold what 64 held. Whatever no query asks for is gone, and no later question can bring it back: the queries are chosen in training,
# before your question is known. The Q-Former reads the video *before* it hears what you want to know.
#
# Is that better than no learned reader at all? In [docs/claims.md]({{repo}}/blob/main/docs/claims.md#claim-b) the Video Q-Former is replaced by the mean over
# frames: colour and shape survive, while of the questions about order only .42 are answered, instead of .94. [Notebook 10](10_is_it_true.ipynb) tests this again.

# %% [markdown]
# ## 7. Order: three facts about permutations
#
# **Predict** for each, yes or no:
#
# 1. Queries 1 and 2 change places (the rows of `queries`). Does the Q-Former's output change?
# 2. The 64 tokens of the row `states` are shuffled. Does it change?
# 3. The frames of the clip are shuffled *before* the positions are added. Does the soft prompt change?

# %%
order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
shuffled = torch.randperm(64, generator=torch.Generator().manual_seed(1))
before = trained(states)

exchanged = VideoQFormer(branch.qformer.config)
exchanged.load_state_dict(branch.qformer.state_dict() | {"queries": branch.qformer.queries[order]})
message = "fact 1: is the output put into the same order as the queries?"
assert torch.allclose(exchanged(states), before[:, order], atol=1e-4), message

message = "fact 2: is something added to the tokens that knows their order?"
assert torch.allclose(trained(states[:, shuffled]), before, atol=1e-4), message

prompt = branch(frame_tokens)
change = (branch(frame_tokens[:, order]) - prompt).norm() / prompt.norm()
assert change > 0.1, "fact 3: are the positions added after the shuffle?"
print(f"fact 3: shuffled frames change the soft prompt by {change:.0%} of its length")

# %% [markdown]
# <details><summary>Answer</summary>
#
# 1. The outputs change places in the same way, and are else the same: queries are **equivariant**. Which query came to stand first was decided by the random
#    numbers of the start.
# 2. No. A sum over tokens knows no order: the Q-Former reads a **set**. The row of section 1 is a bag.
# 3. Yes, and by a lot. All that the Q-Former knows of time is in the numbers of the tokens, put there by the positions. Take them away, and a clip played
#    backwards gives the same prompt ([notebook 02](02_time.ipynb)).
#
# </details>

# %% [markdown]
# ## 8. What each query reads
#
# Our version keeps its attention weights, so we can look. The clip shows a dog in frames 1 to 4 and a train in frames 5 to 8. Below: the second layer, mean over the
# four heads, one panel for each query. Across: the frames. Down: the eight tokens of a frame.
#
# **Predict** from the panels which queries you would ask about the dog, and which about the train.

# %%
_ = trained(states)  # the weights that are kept are those of the last call
weights = trained.layers[1].cross_attention.weights[0].mean(dim=0)  # heads [h, q, s] -> [q, s]
grids = rearrange(weights, "q (t k) -> q k t", t=8)
figure = Picture(figsize=(10, 5.2), layout="constrained")
for i, grid in enumerate(grids):
    axes = figure.add_subplot(2, 4, i + 1)
    image = axes.imshow(grid, cmap="viridis", vmin=0, vmax=0.3, extent=(0.5, 8.5, 8.5, 0.5))
    axes.set(title=f"query {i + 1}", xticks=range(1, 9), yticks=(1, 8))
    axes.axvline(4.5, color="white", linestyle="--")
    if i % 4 == 0:
        axes.set_ylabel("token of the frame")
    if i >= 4:
        axes.set_xlabel("frame")
_ = figure.colorbar(image, ax=figure.axes, label="attention weight", shrink=0.7)
course.show(figure, alt="Eight attention maps; some queries read early frames, some late ones.")
late = grids[..., 4:].sum(dim=(1, 2))  # attention to frames 5 to 8
assert late[2] < 0.1 and late[1] > 0.7, "was the last call about these states?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Query 3 reads frame 3 above all, query 5 the beginning: these look at the dog. Queries 2 and 7 read frames 6 and 7: the train. Remember the numbers:
# [notebook 04](04_soft_prompts.ipynb) finds the nearest words to what these queries bring back.
#
# Also look *down*. Queries 2, 3 and 7 take tokens 3 and 6 of whatever frame they read. The tokens of a frame are outputs of the image Q-Former, and each of
# them has a part of its own too.
#
# </details>

# %% [markdown]
# ### Is it the clip, or the query?
#
# A query could read frame 3 because the dog is seen best there, or because it always reads frame 3. Other clips tell: here is the weight of each frame,
# for three of them.

# %%
names = ("dog_then_train", "red_circle_moves_left", "three_shapes")
profiles = []
for name in names:
    one = minivl.load_video(CLIPS / f"{name}.mp4")
    tokens = branch.positions(model.encode_frames(one.frames[None]))
    _ = trained(rearrange(tokens, "b t k width -> b (t k) width"))
    weights = trained.layers[1].cross_attention.weights[0].mean(dim=0)
    profiles.append(rearrange(weights, "q (t k) -> q t k", t=8).sum(dim=-1))  # [q, t]
figure = Picture(figsize=(10, 3.4), layout="constrained")
for number, (name, profile) in enumerate(zip(names, profiles, strict=True)):
    axes = figure.add_subplot(1, 3, number + 1)
    axes.imshow(profile, cmap="viridis", vmin=0, vmax=0.6, extent=(0.5, 8.5, 8.5, 0.5))
    axes.set(title=name, xlabel="frame", xticks=range(1, 9), yticks=range(1, 9))
figure.axes[0].set_ylabel("query")
course.show(figure, alt="Three maps, queries over frames, look alike: bright at the same places.")
alike = torch.corrcoef(torch.stack([p.flatten() for p in profiles]))
print("correlation of the first map with the others:", [round(r, 1) for r in alike[0, 1:].tolist()])
assert alike[0, 1:].min() > 0.5, "are the tokens of a frame summed, and the frames kept?"

# %% [markdown]
# They are alike. In the second layer *when* to look is mostly a property of the query: it has learned to ask "what was there in the third
# frame?". The clip decides the rest. In the first layer it decides more: put `layers[0]` into the cell above, and the correlations fall to
# about 0 and 0.6 (and the check complains).
#
# ### Does it matter what they read?
#
# Attention weights are easy to draw and easy to believe. A token with a large weight may have nothing to say, and the second layer also reads what the first
# one has already brought. So test it: hide one frame, by the mask that every Q-Former takes, and measure how far each query's output moves.

# %%
hidden = torch.eye(8, dtype=torch.bool)  # row t: frame t
masks = repeat(~hidden, "n t -> n (t k)", k=8)
full = branch.qformer(states)  # [1, q, width]
without = branch.qformer(states.expand(8, -1, -1), masks)  # [t hidden, q, width]
moved = rearrange((without - full).norm(dim=-1), "t q -> q t") / full.norm(dim=-1).T  # [q, t]
r = torch.corrcoef(torch.stack([profiles[0].flatten(), moved.flatten()]))[0, 1]

figure = Picture(figsize=(5.5, 3.6), layout="constrained")
axes = figure.add_subplot()
for i, marker in enumerate("os^vDP*X"):
    colour = course.BLUE if i % 2 else course.ORANGE
    axes.plot(profiles[0][i], moved[i], marker, color=colour, label=f"query {i + 1}")
axes.set(xlabel="attention that a frame got", ylabel="change when it is hidden")
axes.legend(ncols=2, fontsize=8)
course.show(figure, alt="A point for each query and frame: more attention, larger change.")
print(f"correlation {r:.1f}")
assert r > 0.5, "is the mask True where a token may be read?"

# %% [markdown]
# For frames, attention is a fair guide in this model, though not a law: some frames with little weight matter as much as some with more.

# %% [markdown]
# ### Back to the patches, with care
#
# A frame token is itself the answer of an image query that has read the 65 ViT states of its frame (64 patches and the class token). So one may multiply: how much a video query
# reads token `k`, times how much token `k` has read patch `p`,
#
# $$ m_{q,t,p} = \sum_k a^{\text{video}}_{q,(t,k)}\; a^{\text{image}}_{t,k,p} $$
#
# and draw $m$ on the frame. This leaves out a lot: values, residual sums, the class token, and that after four ViT blocks the state of a patch is no longer about that patch
# alone. So again a test beside it: paint over one patch of the frame in its mean colour, for each of the 64, and measure how far the query's output moves.

# %%
t, scene = 5, minivl.load_video(CLIPS / "cat_but_drum.mp4")
eyes = VideoQFormer(model.config.image_qformer)  # tiny's image Q-Former reads in each layer too
eyes.load_state_dict(model.image_encoder.qformer.state_dict())
patches = model.image_encoder.features(minivl.video.normalise(scene.frames))  # [T, P, width]
tokens = eyes(patches)[None]  # [1, T, K, width]
message = "is the LayerNorm between ViT and Q-Former left out?"
assert torch.allclose(tokens, model.encode_frames(scene.frames[None]), atol=1e-4), message

read_by_eyes = torch.stack([layer.cross_attention.weights for layer in eyes.layers])
a_image = read_by_eyes.mean(dim=(0, 2))  # layers and heads: [T, K, P]
full = trained(rearrange(branch.positions(tokens), "b t k w -> b (t k) w"))
read_by_branch = torch.stack([layer.cross_attention.weights[0] for layer in trained.layers])
a_video = rearrange(read_by_branch.mean(dim=(0, 1)), "q (t k) -> q t k", t=8)
product = einsum(a_video, a_image, "q t k, t k p -> q t p")[:, t, 1:]  # [q, 64], no class token
print(f"of what image queries read in this frame, {a_image[t, :, 0].mean():.0%} is the class token")

# %% [markdown]
# ### The second picture
#
# Now the test: 64 copies of the frame, in each another patch painted over.
#
# **Predict:** on which patches will the output of a query depend, and will the multiplied attention show the same ones?

# %%
frame = scene.frames[t]  # [3, 64, 64]
painted = repeat(frame, "c h w -> p c h w", p=64).clone()
for p in range(64):
    rows, columns = (slice(8 * i, 8 * i + 8) for i in divmod(p, 8))
    painted[p, :, rows, columns] = frame.float().mean(dim=(1, 2))[:, None, None]
changed = repeat(tokens, "1 t k w -> p t k w", p=64).clone()
changed[:, t] = model.encode_frames(painted[:, None])[:, 0]  # only frame t is another one
moved = trained(rearrange(branch.positions(changed), "p t k w -> p (t k) w")) - full
effect = rearrange(moved.norm(dim=-1), "p q -> q p")  # [q, 64]

usual = frame.float().flatten(1).median(dim=1).values[:, None, None]  # the background's colour
unusual = (frame - usual).abs().sum(dim=0)
cat = rearrange(unusual, "(h a) (w b) -> (h w) (a b)", a=8, b=8).mean(dim=-1) > 80  # [64]

figure = Picture(figsize=(9, 4), layout="constrained")
pictures = {f"frame {t + 1}": rearrange(frame, "c h w -> h w c"), "patches with cat": cat}
for name, maps in (("attention, multiplied", product), ("painted over", effect)):
    share = maps[:, cat].sum() / maps.sum()
    print(f"{name:24}{share:.0%} on the {int(cat.sum())} patches with the cat")
    pictures |= {f"query {q + 1}: {name}": maps[q] for q in (3, 7)}
for place, (title, picture) in zip((1, 4, 2, 5, 3, 6), pictures.items(), strict=True):
    axes = figure.add_subplot(2, 3, place, title=title, xticks=[], yticks=[])
    axes.imshow(picture if picture.ndim == 3 else rearrange(picture, "(h w) -> h w", h=8))
text = "A cat; multiplied attention is spread around it, painting over points at it."
course.show(figure, alt=text)
assert effect[:, cat].sum() / effect.sum() > 0.85, "is it painted in frame t, and only there?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# What is painted over matters where the cat is, and nearly nowhere else. The multiplied attention leaves almost half of itself elsewhere: it tells where a query
# *looked*, not what it *used*. Query 4 is the one of the eight whose two pictures agree best, query 8 the one where they agree worst, and nothing in the left one of the two
# tells you which case you have. (In `three_shapes.mp4` they agree better.) An attention map alone is no explanation. When somebody shows you one, ask for the second picture.
#
# </details>

# %% [markdown]
# ## 9. Counting
#
# With `w` the width, `e` the width of the tokens that are read, and `m` the hidden width of the feed-forward, one layer has
#
# $$ \underbrace{4w^2 + 4w}_{\text{self}} + \underbrace{2w^2 + 2ew + 4w}_{\text{cross}} + \underbrace{2wm + m + w}_{\text{feed-forward}} + \underbrace{6w}_{\text{norms}} $$
#
# **Predict** for the 7B model (`w = e = 768`, `m = 3072`): which part is the largest? And how many parameters are the 32 queries themselves, of all?

# %%
def count(module):
    return sum(p.numel() for p in module.parameters())

with torch.device("meta"):  # shapes without memory: the 7B model's sizes cost nothing
    large = VideoQFormer(video_llama_7b().vision_branch.qformer)
rows = {"7B": large, "tiny": trained}
for name, qformer in rows.items():
    layer = qformer.layers[0]
    total, queries = count(qformer), qformer.queries.numel()
    print(f"{name}: {total:,} parameters, {queries:,} of them queries; a layer:")
    for part in ("attention", "cross_attention", "feed_forward"):
        print(f"   {part:16}{count(getattr(layer, part)):>10,}")
assert count(large) == 18_905_088 + 24_576, "are the norms, the biases and the queries counted?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The feed-forward, as in most transformers; self- and cross-attention are of one size, because here `e = w`. The queries are about a thousandth of the whole. The
# number in the assert was counted on the original's own code: `video_Qformer` 18,905,088 and `video_query_tokens` 24,576
# ([docs/original.md]({{repo}}/blob/main/docs/original.md), `test_official_keys.py`). With frame positions (24,576) and the linear layer into LLaMA (3,149,824) these are the 22,104,064
# trained parameters of the 7B model's vision branch: a third of a per cent of the 6.7 billion of LLaMA.
#
# </details>

# %% [markdown]
# ## Recap
#
# - A query is a learned question. Cross-attention compares it with every token and brings back a mean in which those that fit count more.
# - The output has the shape of the queries. That is why a soft prompt has the same length for any video, and why whatever no query asks for is lost.
# - A layer is self-attention among the queries, cross-attention to the video, feed-forward, each with a norm after the sum. Two of them are the Video Q-Former.
# - Queries are equivariant, tokens are a set. What the Q-Former knows of time it knows from the positions.
# - In the trained tiny model queries have times of their own. Attention over frames agrees with hiding frames; multiplied down to patches it can mislead.
# - 18.9 million parameters at 7B, half of them in the feed-forward parts.

# %% [markdown]
# ## Exercises
#
# Four: code, a search for bugs, a count, an experiment. Each checker prints one line.
#
# ### Exercise 3.1: attend to what is there · ★★☆ · 10 minutes
#
# In a batch, videos have different numbers of tokens, and the short ones are padded. Write `masked_attention(q, k, v, mask)`: `q` `[n, q, c]`, `k` and `v` `[n, s, c]`,
# `mask` `[n, s]` of booleans, False where there is only padding. It returns `[n, q, c]`, and what stands in the padding must not matter. One head.
#
# <details><summary>Hint</summary>
#
# A weight becomes exactly zero, and the others still sum to 1, if the *score* is minus infinity before the softmax. `torch.Tensor.masked_fill` helps.
#
# </details>

# %% tags=["exercise"] exercise="3.1"
def masked_attention(q, k, v, mask):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="3.1"
course.check(n03.masked_attention, masked_attention)

# %% tags=["solution"] exercise="3.1"
def masked_attention(q, k, v, mask):
    scores = einsum(q, k, "n q c, n s c -> n q s") / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~rearrange(mask, "n s -> n 1 s"), -math.inf)
    return einsum(scores.softmax(dim=-1), v, "n q s, n s c -> n q c")

# %% [markdown] tags=["why"] exercise="3.1"
# $e^{-\infty} = 0$: a masked token is as if it had never been there, in the numerator and in the sum below. A score of 0 would not do: $e^0 = 1$ is as much
# attention as many a real token gets.

# %% tags=["wrong"] exercise="3.1" hint="sum to 1"
def masked_attention(q, k, v, mask):
    weights = (einsum(q, k, "n q c, n s c -> n q s") / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return einsum(weights * mask[:, None], v, "n q s, n s c -> n q c")

# %% tags=["wrong"] exercise="3.1" hint="score of 0"
def masked_attention(q, k, v, mask):
    scores = einsum(q, k, "n q c, n s c -> n q s") / math.sqrt(q.shape[-1])
    return einsum((scores * mask[:, None]).softmax(dim=-1), v, "n q s, n s c -> n q c")

# %% tags=["wrong"] exercise="3.1" hint="square root"
def masked_attention(q, k, v, mask):
    scores = einsum(q, k, "n q c, n s c -> n q s").masked_fill(~mask[:, None], -math.inf)
    return einsum(scores.softmax(dim=-1), v, "n q s, n s c -> n q c")

# %% tags=["wrong"] exercise="3.1" hint="the other way round"
def masked_attention(q, k, v, mask):
    scores = einsum(q, k, "n q c, n s c -> n q s") / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(mask[:, None], -math.inf)
    return einsum(scores.softmax(dim=-1), v, "n q s, n s c -> n q c")

# %% [markdown]
# ### Exercise 3.2: two bugs · ★★☆ · 10 minutes
#
# This function should compute what a layer of the package computes. It runs, and its output has the right shape, but two of its lines are wrong. `layer` is a `QFormerLayer`
# of the package; its self-attention is called as `layer.attention(x)`. Delete the first line, find both, and mend them.
#
# <details><summary>Hint</summary>
#
# Compare it line by line with the three equations of section 5. What is added to what, and where does the norm stand?
#
# </details>

# %% tags=["exercise"] exercise="3.2"
def forward(layer, x, states):
    raise NotImplementedError("delete this line and mend the others")
    x = layer.attention_norm(x + layer.attention(x))
    x = layer.cross_attention_norm(layer.cross_attention(x, states))
    return x + layer.feed_forward(layer.feed_forward_norm(x))

# %% tags=["checker"] exercise="3.2"
course.check(n03.layer_forward, forward)

# %% tags=["solution"] exercise="3.2"
def forward(layer, x, states):
    x = layer.attention_norm(x + layer.attention(x))
    x = layer.cross_attention_norm(x + layer.cross_attention(x, states))
    return layer.feed_forward_norm(x + layer.feed_forward(x))

# %% [markdown] tags=["why"] exercise="3.2"
# Without the residual sum a query forgets its own question as soon as it has read something. With the norm before the feed-forward (pre-norm) the layer would train just as well,
# but it would not be the original's: weights that were learned in one order give nonsense in the other, and no shape tells you so.

# %% tags=["wrong"] exercise="3.2" hint="forgets its question"
def forward(layer, x, states):
    x = layer.attention_norm(x + layer.attention(x))
    x = layer.cross_attention_norm(layer.cross_attention(x, states))
    return layer.feed_forward_norm(x + layer.feed_forward(x))

# %% tags=["wrong"] exercise="3.2" hint="after the sum"
def forward(layer, x, states):
    x = layer.attention_norm(x + layer.attention(x))
    x = layer.cross_attention_norm(x + layer.cross_attention(x, states))
    return x + layer.feed_forward(layer.feed_forward_norm(x))

# %% tags=["wrong"] exercise="3.2" hint="both bugs"
def forward(layer, x, states):
    x = layer.attention_norm(x + layer.attention(x))
    x = layer.cross_attention_norm(layer.cross_attention(x, states))
    return x + layer.feed_forward(layer.feed_forward_norm(x))

# %% [markdown]
# ### Exercise 3.3: how large is the one for sound? · ★★☆ · 10 minutes
#
# Write `parameters(config)` from the formula of section 9, without building any module. `config` is a `QFormerConfig` with `num_queries`, `encoder_width`, `width`, `depth` and
# `mlp_hidden`; every layer reads. Count everything: biases, norms, the queries and their norm. The checker tries it on the tiny model and on the 7B model's
# Audio Q-Former, which has 8 queries and reads ImageBind vectors of width 1024.
#
# <details><summary>Hint</summary>
#
# A `Linear(a, b)` has `a * b + b` parameters, a LayerNorm of width `w` has `2 * w`. Keys and values are computed from what is read.
#
# </details>

# %% tags=["exercise"] exercise="3.3"
def parameters(config):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="3.3"
course.check(n03.parameters, parameters)

# %% tags=["solution"] exercise="3.3"
def parameters(config):
    w, e, m = config.width, config.encoder_width, config.mlp_hidden
    attention = 4 * w * w + 4 * w
    cross = 2 * w * w + 2 * e * w + 4 * w
    feed_forward = 2 * w * m + m + w
    layers = config.depth * (attention + cross + feed_forward + 6 * w)
    return layers + config.num_queries * w + 2 * w

# %% [markdown] tags=["why"] exercise="3.3"
# The heads are not in the formula: they only cut. And the number of queries hardly counts: four times as many questions cost almost no parameters. What they cost is
# positions in the language model's context.

# %% tags=["wrong"] exercise="3.3" hint="bias"
def parameters(config):
    w, e, m = config.width, config.encoder_width, config.mlp_hidden
    layer = 4 * w * w + 2 * w * w + 2 * e * w + 2 * w * m + 6 * w
    return config.depth * layer + config.num_queries * w + 2 * w

# %% tags=["wrong"] exercise="3.3" hint="of what width"
def parameters(config):
    w, m = config.width, config.mlp_hidden
    layer = 2 * (4 * w * w + 4 * w) + 2 * w * m + m + w + 6 * w
    return config.depth * layer + config.num_queries * w + 2 * w

# %% tags=["wrong"] exercise="3.3" hint="queries"
def parameters(config):
    w, e, m = config.width, config.encoder_width, config.mlp_hidden
    layer = 6 * w * w + 2 * e * w + 8 * w + 2 * w * m + m + w + 6 * w
    return config.depth * layer

# %% [markdown]
# ### Exercise 3.4: eight times the same question · ★★★ · 20 minutes
#
# The queries start from random numbers. Must they? Take a fresh `QFormer(tiny().vision_branch.qformer)`, make all 8 queries equal to the first, and read any `states` `[1, 64, 128]`.
#
# 1. How many *different* vectors come out?
# 2. Take one step of gradient descent on the queries alone, with the loss `(output * target).sum()` for a random `target` `[1, 8, 128]` that stands for the language
#    model. How many different vectors come out then?
#
# Give both numbers as a pair, such as `(3, 5)`. Predict before you try. Gradients were switched off in the first cell: `with torch.enable_grad():` switches them on.
#
# <details><summary>Hint</summary>
#
# Count vectors that differ by more than rounding: `(x[:, None] - x[None]).norm(dim=-1) > 1e-4` compares each with each.
#
# </details>

# %% tags=["exercise"] exercise="3.4"
answer = None  # (different vectors before the step, after the step)

# %% tags=["checker"] exercise="3.4"
course.check(n03.equal_queries, answer)

# %% tags=["solution"] exercise="3.4"
def different(x):
    equal = (x[:, None] - x[None]).norm(dim=-1) < 1e-4
    return len(equal.unique(dim=0))

torch.manual_seed(0)
qformer = QFormer(tiny().vision_branch.qformer)
qformer.queries.copy_(qformer.queries[:1].expand(8, -1))
some_states, target = torch.randn(1, 64, 128), torch.randn(1, 8, 128)
with torch.enable_grad():
    output = qformer(some_states)
    (output * target).sum().backward()
first = different(output[0].detach())
qformer.queries -= 0.1 * qformer.queries.grad
answer = (first, different(qformer(some_states)[0]))

# %% [markdown] tags=["why"] exercise="3.4"
# Equal queries go through the same layers and stay equal: one vector, eight times. But the reader of the prompt treats each place differently, so each query gets a gradient
# of its own and they part after one step. Here that is the random `target`; in the model it is the language model, which knows which slot comes first. Without such a
# reader (say, a mean over the outputs) they would stay equal for ever.

# %% tags=["wrong"] exercise="3.4" hint="equivariant"
answer = (8, 8)

# %% tags=["wrong"] exercise="3.4" hint="gradient"
answer = (1, 1)

# %% [markdown]
# ## What to read next
#
# - [Notebook 04](04_soft_prompts.ipynb): the eight vectors go between the words of a question.
# - The paper, section 2.1.1, and [BLIP-2](https://arxiv.org/abs/2301.12597) (Li et al. 2023), where the Q-Former was invented, for images.
# - [`minivl/qformer.py`]({{repo}}/blob/main/minivl/qformer.py) beside the original's `Qformer.py`: [docs/original.md]({{repo}}/blob/main/docs/original.md).
# - [Attention is not Explanation](https://arxiv.org/abs/1902.10186) (Jain & Wallace 2019) and the answer to it,
#   [Attention is not not Explanation](https://arxiv.org/abs/1908.04626) (Wiegreffe & Pinter 2019).
