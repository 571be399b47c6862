# %% [markdown]
# # Appendix 1: where the frozen parts come from
# {{badge}}
#
# **What you will be able to do.** Train in miniature each of the four things that Video-LLaMA takes over ready-made: an eye that knows what
# words fit a picture (CLIP), a Q-Former that says what is in it (BLIP-2), an ear that shares the eye's space (ImageBind), and a language
# model. Read off what each of them can do before anybody has trained a branch, and what it cannot.
#
# **What you need to know.** Attention and the Q-Former ([notebook 03](03_the_qformer.ipynb)), log-mels ([notebook 05](05_hearing.ipynb)).
#
# **Time.** 35 minutes to read, an hour more with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need
# {{memory}} of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import json
import math
from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, repeat
from torch import nn
from torch.nn import functional as F

from minivl import course, plots
from minivl.checkpoints import find_folder
from minivl.config import AudioTrunkConfig, ImageTrunkConfig, QFormerConfig, ViTConfig
from minivl.course import nA1, one_thing
from minivl.imagebind import AudioTrunk, ImageTrunk
from minivl.new_branch import start_large
from minivl.pretraining.language import LanguageTraining, new_language_model, pad_dialogues
from minivl.pretraining.shared_space import contrastive_loss, start_positions
from minivl.pretraining.tokenizer import build_tokenizer
from minivl.qformer import QFormer
from minivl.toyworld.captions import picture_caption
from minivl.toyworld.dialogue import DialogueWriter
from minivl.toyworld.questions import Question, ask, vocabulary
from minivl.toyworld.scenes import THINGS, sample_scene
from minivl.training_loop import fit
from minivl.transformer import Block
from minivl.video import normalise
from minivl.vit import ViT

from transformers import LlamaConfig, LlamaForCausalLM  # after minivl (its torchaudio shim)

# %%
course.show(
    course.overview("ViT", "image Q-Former", "ImageBind", "LLM"),
    alt="The whole model; ViT, image Q-Former, ImageBind and LLM are highlighted: all frozen.",
)

# %% [markdown]
# ## 1. Standing on four shoulders
#
# Video-LLaMA trains its branches and nothing else. Everything that it knows of the world it has from others. The branches only connect.
#
# What an eye has never learned to tell apart, no branch can ask it about.
#
# **Predict:** which of the four is the largest, and what share of the whole are the eyes (ViT and Q-Former)?

# %% tags=["nbval-check-output"]
with torch.device("meta"):  # shapes without numbers: no memory is taken
    real = {
        "ViT (EVA-CLIP)": ViT(ViTConfig()),
        "Q-Former (BLIP-2)": QFormer(QFormerConfig()),
        "audio trunk (ImageBind)": AudioTrunk(AudioTrunkConfig(), 1024),
        "image trunk (ImageBind)": ImageTrunk(ImageTrunkConfig(), 1024),
        "language model (LLaMA 7B)": LlamaForCausalLM(LlamaConfig()),
    }
sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in real.items()}
for name, size in sizes.items():
    print(f"{name:27}{size:>14,}{size / sum(sizes.values()):>7.1%}")
assert sizes["ViT (EVA-CLIP)"] == 985_894_528, "the original's eye has this many parameters"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The language model, with four fifths. The eyes are an eighth. (The image trunk is needed for training only.)
#
# </details>

# %% [markdown]
# ### A world of single things
#
# For quick trainings we take a small world: each picture shows one thing, each sound is made by one thing, two or three words name it.

# %%
scenes, pixels = one_thing.paint(course.steps(2000, 100), first_seed=0)
names = [one_thing.name_of(scene) for scene in scenes]
new_scenes, new_pixels = one_thing.paint(course.steps(300, 40), first_seed=1_000_000)
new_names = [one_thing.name_of(scene) for scene in new_scenes]

figure = plots.Picture(figsize=(11, 1.7), layout="constrained")
for place in range(8):
    axes = figure.add_subplot(1, 8, place + 1)
    axes.imshow(rearrange(new_pixels[place], "c h w -> h w c"))
    axes.set_title(new_names[place], fontsize=9)
    axes.axis("off")
course.show(figure, alt="Eight small pictures of one coloured shape or icon, its name above.")
assert not {s.seed for s in scenes} & {s.seed for s in new_scenes}, "are these pictures really new?"

# %% [markdown]
# ## 2. CLIP: which words fit this picture?
#
# The web is full of pictures with words beside them. CLIP learns from such pairs alone: one tower turns a
# picture into a vector $v$ of length 1, another turns words into a vector $w$ of length 1, and **pairs should point the same way**.
#
# That alone has a lazy solution: let all vectors be equal. So the loss is a game of choosing. In a batch of $N$ pairs each picture has to
# find its own words among all $N$, and each text its picture. This is **InfoNCE**:
#
# $$\mathcal{L} = -\frac{1}{2N} \sum_i \left[ \log \frac{e^{v_i \cdot w_i / \tau}}{\sum_j e^{v_i \cdot w_j / \tau}}
# + \log \frac{e^{v_i \cdot w_i / \tau}}{\sum_j e^{v_j \cdot w_i / \tau}} \right]$$
#
# The temperature $\tau$ sharpens: a softmax over numbers between -1 and 1 could never be sure.

# %% [markdown]
# ### By loops, then as two cross-entropies
#
# It is a classification with $N$ classes which change with every batch. One thing is special with us: a batch of 64 often holds two
# small bells. They must not be each other's negatives, so equal names **share** the target.

# %% tags=["component"]
def info_nce_by_loops(v, w, temperature):
    """All names different: each picture has one right text."""
    N, total = len(v), 0.0
    for i in range(N):
        to_words = [math.exp(float(v[i] @ w[j]) / temperature) for j in range(N)]
        to_pictures = [math.exp(float(v[j] @ w[i]) / temperature) for j in range(N)]
        for chances in (to_words, to_pictures):
            total -= math.log(chances[i] / sum(chances))
    return total / (2 * N)

def info_nce(v, w, same, temperature=0.1):
    """v, w [N, E] of length 1; same [N, N]: 1 where a picture and a text belong together."""
    logits = v.float() @ w.float().T / temperature  # [N, N]
    target = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

# %% tags=["same", "nbval-check-output"]
generator = torch.Generator().manual_seed(0)
v, w = (F.normalize(torch.randn(6, 16, generator=generator), dim=-1) for _ in range(2))
mine = info_nce(v, w, torch.eye(6))
assert abs(info_nce_by_loops(v, w, 0.1) - float(mine)) < 1e-5, "are rows and columns both asked?"

same = torch.eye(6)
same[0, 3] = same[3, 0] = 1  # the first and the fourth have one name
for table in (same, torch.ones(6, 6)):
    theirs = contrastive_loss(v, w, table)
    assert torch.allclose(info_nce(v, w, table), theirs, atol=1e-6), "is the target shared?"
print("the same as minivl/pretraining/shared_space.py")

# %% [markdown]
# ### The tower for pictures: a ViT
#
# Cut the picture into patches, make a vector of each, add where it was, put a *class token* before them, let them exchange through attention:
#
# $$x_0 = [\text{class}, E\,p_1, \dots, E\,p_P] + \text{positions}, \qquad x \leftarrow x + \text{Attention}(\text{LN}(x)), \qquad x \leftarrow x + \text{FF}(\text{LN}(x))$$
#
# Attention and feed-forward are the `Block` of [notebook 01](01_video_to_features.ipynb); around them we write everything ourselves, for any
# grid of patches: nothing in it knows that its input is a picture, and an ear will need it too.

# %% tags=["component"]
class Trunk(nn.Module):
    """A picture (or a log-mel) of `grid` patches to a unit vector of 64 numbers."""

    def __init__(self, channels, grid, patch, width=96, depth=2, heads=4, out=64):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, patch, stride=patch, bias=False)
        self.class_token = nn.Parameter(0.02 * torch.randn(width))
        self.positions = nn.Parameter(0.02 * torch.randn(1 + grid[0] * grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, 3 * width, eps=1e-6) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.projection = nn.Linear(width, out, bias=False)

    def states(self, x):
        """[N, channels, H, W] -> all tokens [N, 1 + patches, width]."""
        patches = rearrange(self.stem(x), "n width h w -> n (h w) width")
        first = repeat(self.class_token, "width -> n 1 width", n=len(x))
        x = torch.cat([first, patches], dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, x):
        return F.normalize(self.projection(self.states(x)[:, 0]), dim=-1)

# %% tags=["same", "nbval-check-output"]
torch.manual_seed(0)
mine = Trunk(channels=3, grid=(8, 8), patch=8)
sizes = {"frames": 1, "width": 96, "depth": 2, "heads": 4, "mlp_hidden": 288, "pre_norm": False}
theirs = ImageTrunk(ImageTrunkConfig(image_size=64, patch_size=8, **sizes), embed_dim=64)
weights = mine.state_dict()
weights["stem.weight"] = weights["stem.weight"][:, :, None]  # theirs goes over frames, too
theirs.load_state_dict(weights)
picture = torch.randn(2, 3, 64, 64)
assert torch.allclose(mine(picture), theirs(picture), atol=1e-5), "is the class token first?"
assert torch.allclose(mine(picture).norm(dim=1), torch.ones(2)), "are the vectors of length 1?"
print("the same as minivl/imagebind.py:", sum(p.numel() for p in mine.parameters()), "parameters")

# %% [markdown]
# ### The tower for words, and the training
#
# CLIP's second tower is a transformer on words. Three words need no order: add their vectors up and mix them. This tower is scaffolding. What
# it leaves behind is an eye that tells apart what words tell apart.
#
# The training is 150 steps with 64 pairs each. **Predict** the loss before the first step: the vectors are random, so each picture finds all
# 64 texts about equally likely.

# %% tags=["nbval-ignore-output"]
class Words(nn.Module):
    def __init__(self, width=96, out=64):
        super().__init__()
        self.embedding = nn.Embedding(one_thing.NO_WORD + 1, width, padding_idx=one_thing.NO_WORD)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, out))

    def forward(self, ids):  # [N, 3]
        return F.normalize(self.mix(self.embedding(ids).sum(dim=1)), dim=-1)

def train_clip(eye, words):
    ids, rng = one_thing.word_ids(names), np.random.default_rng(0)

    def loss(step):
        rows = rng.choice(len(names), 64, replace=False)
        same = torch.tensor([[names[i] == names[j] for j in rows] for i in rows]).float()
        now = info_nce(eye(normalise(pixels[rows])), words(ids[rows]), same)
        losses.append(float(now.detach()))
        return now

    losses = []
    fit(nn.ModuleList([eye, words]), loss, course.steps(150), 2e-3, "CLIP")
    return losses

torch.manual_seed(0)
eye, words = Trunk(3, (8, 8), 8), Words()
candidates = sorted(set(names))  # every name that any picture has
with torch.no_grad():
    before = eye(normalise(new_pixels)) @ words(one_thing.word_ids(candidates)).T  # [N, names]
clip_curve = train_clip(eye, words)
with torch.no_grad():
    after = eye(normalise(new_pixels)) @ words(one_thing.word_ids(candidates)).T
print(f"first loss {clip_curve[0]:.2f}, last {clip_curve[-1]:.2f}; log 64 = {math.log(64):.2f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# $\log 64 = 4.16$: one of 64, minus its logarithm. Ours is a little above, since random vectors are not quite indifferent.
#
# </details>

# %% [markdown]
# ### The retrieval matrix
#
# Three hundred pictures that no training has seen, and every name that there is. Each row below is the mean over the pictures of one name,
# each column a text. What CLIP wants is a bright diagonal.
#
# **Predict:** of things (bell, dog ...), colours and shapes (circle, star ...), which are learned first, and which last?

# %% tags=["nbval-ignore-output"]
def matrix(axes, scores, row_names, shown, columns):
    """The mean score of each name in `shown` with each of them, as a picture."""
    rows = np.array(row_names)
    table = [[float(scores[rows == a, columns.index(b)].mean()) for b in shown] for a in shown]
    axes.imshow(table, cmap="viridis")
    axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize=7)
    axes.set_yticks(range(len(shown)), shown, fontsize=7)

shown = [f"{size} {thing}" for thing in THINGS for size in ("small", "large")]
shown = [name for name in shown if name in new_names and name in candidates]
figure = plots.Picture(figsize=(11, 5), layout="constrained")
for place, (scores, title) in enumerate(((before, "before"), (after, "after 150 steps"))):
    axes = figure.add_subplot(1, 2, place + 1)
    matrix(axes, scores, new_names, shown, candidates)
    axes.set(title=title, ylabel="picture" if place == 0 else "")
course.show(figure, alt="Similarity of pictures and names: alike before, a bright diagonal after.")

def share(word, length):
    """How often this word of the best-fitting name is true, for names of `length` words."""
    pairs = [(candidates[i].split(), b.split()) for i, b in zip(after.argmax(dim=1), new_names)]
    return np.mean([found[word] == true[word] for found, true in pairs if len(true) == length])

print(f"things {share(-1, 2):.2f} (chance .10), colours {share(1, 3):.2f} (.17),"
      f" shapes {share(-1, 3):.2f} (.20)")
assert course.SMOKE or share(-1, 2) > 0.85, "did the loss fall?"
assert course.SMOKE or share(1, 3) > 0.9, "do colours reach the patches?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Colours and things are there at once, shapes lag far behind. A colour is in every patch; an icon has colours of its own, too. A shape
# is where *edges* run, over many patches. The full training of our image encoder gives the names of shapes triple weight for this reason.
#
# </details>

# %% [markdown]
# ## 3. BLIP-2: say what is in it
#
# CLIP's vector answers "do these words fit?". It cannot speak. BLIP-2 freezes such an eye and trains a **Q-Former** behind it: a few learned
# queries that read all patch tokens, and bring back what is worth saying. It has three losses: matching like CLIP, telling true pairs from
# false ones, and the one that we take here, **image-grounded text**: a decoder writes the caption word by word, and sees nothing of the
# picture but the $K$ query vectors.
#
# $$\mathcal{L} = -\sum_l \log p(w_l \mid w_{<l},\; q_1 \dots q_K)$$
#
# What the decoder can say must be in these vectors.
#
# We add something that no CLIP caption ever said: **where** the thing is, *left* or *right*.

# %% tags=["nbval-ignore-output"]
SAID = ("<pad>", "<start>", "<end>", *one_thing.WORDS, "left", "right")
QUERIES = QFormerConfig(num_queries=4, encoder_width=96, width=96, depth=2, heads=4, mlp_hidden=192,
                        cross_attention_every=1, dropout=0.0)  # fmt: skip

def caption_ids(scenes):
    """<start> small bell left <end> <pad>: [N, 6]."""
    texts = [f"<start> {one_thing.name_of(s)} {one_thing.side_of(s)} <end>" for s in scenes]
    rows = [[SAID.index(word) for word in text.split()] for text in texts]
    return torch.tensor([row + [0] * (6 - len(row)) for row in rows])

class Writer(nn.Module):
    """A two-layer decoder: reads the words so far and the query vectors, foresees the next word."""

    def __init__(self, width=96):
        super().__init__()
        self.words = nn.Embedding(len(SAID), width)
        self.positions = nn.Parameter(0.02 * torch.randn(6, width))
        layer = nn.TransformerDecoderLayer(
            width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers, self.to_words = nn.TransformerDecoder(layer, 2), nn.Linear(width, len(SAID))

    def forward(self, ids, queries):  # [N, L], [N, K, width] -> [N, L, words]
        causal = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        x = self.words(ids) + self.positions[: ids.shape[1]]
        return self.to_words(self.layers(x, queries, tgt_mask=causal, tgt_is_causal=True))

assert caption_ids(scenes[:5]).shape == (5, 6), "three words, the side, start and end"

# %% [markdown]
# ### A frozen eye, 220 steps
#
# The eye is frozen, so its 65 tokens of each picture are computed once. The Q-Former is the package's, which you have built in
# [notebook 03](03_the_qformer.ipynb).

# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def look(eye, pixels):
    """All patch tokens of all pictures: [N, 65, 96]."""
    return torch.cat([eye.states(normalise(part)) for part in pixels.split(100)])

@torch.no_grad()
def captions(qformer, writer, states):
    """Greedy captions, word by word."""
    ids, queries = torch.ones(len(states), 1, dtype=torch.long), qformer(states)
    for _ in range(5):
        ids = torch.cat([ids, writer(ids, queries)[:, -1:].argmax(dim=-1)], dim=1)
    return [" ".join(SAID[i] for i in row[1:]).split(" <end>")[0] for row in ids.tolist()]

def train_qformer(states):
    """A fresh Q-Former and its writer, trained on the pictures' tokens."""
    torch.manual_seed(0)
    qformer, writer, ids = QFormer(QUERIES), Writer(), caption_ids(scenes)
    start_large(qformer)
    untrained, rng = captions(qformer, writer, new_states[:4]), np.random.default_rng(0)

    def loss(step):
        rows = rng.choice(len(ids), 64, replace=False)
        logits = writer(ids[rows, :-1], qformer(states[rows]))
        foreseen, target = logits.flatten(0, 1).float(), ids[rows, 1:].flatten()
        return F.cross_entropy(foreseen, target, ignore_index=0)

    fit(nn.ModuleList([qformer, writer]), loss, course.steps(220), 2e-3, "Q-Former")
    return qformer, writer, untrained

new_states = look(eye, new_pixels)
qformer, writer, untrained = train_qformer(look(eye, pixels))
said = captions(qformer, writer, new_states)
for n in range(4):
    true = f"{new_names[n]} {one_thing.side_of(new_scenes[n])}"
    print(f"true: {true:26}before: {untrained[n][:26]:28}after: {said[n]}")

# %% [markdown]
# ### Read its captions
#
# **Predict:** it has learned to write captions. In which part of them is it no better than a coin?

# %% tags=["nbval-ignore-output"]
def judged(said):
    """Shares of right words: size, thing, side (over the captions of the right length)."""
    true = [f"{one_thing.name_of(s)} {one_thing.side_of(s)}".split() for s in new_scenes]
    rows = [(a.split(), b) for a, b in zip(said, true) if len(a.split()) == len(b)]
    return {
        "size": np.mean([a[0] == b[0] for a, b in rows]),
        "thing": np.mean([a[1] == b[1] for a, b in rows if len(b) == 3]),
        "side": np.mean([a[-1] == b[-1] for a, b in rows]),
    }

first = judged(said) if not course.SMOKE else {"size": 1, "thing": 1, "side": 0.5}
print({kind: f"{value:.2f}" for kind, value in first.items()})
assert first["thing"] > 0.85, "did the Q-Former read the tokens of the right pictures?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# *Left* or *right*: close to one half. Everything else is fine.
#
# </details>

# %% [markdown]
# ## 4. What a frozen eye cannot say
#
# Why no places? The Q-Former sees all 65 tokens, and each patch token had its position added. But CLIP's texts never spoke of places. Its
# positions started as noise of size 0.02, nothing in the loss asked for them, and among components of size 1 they are drowned. The eye is
# frozen: no Q-Former can bring them back in so short a time.
#
# The same happened in the training of the shipped model. The remedy that was found: let positions *start* as something that can be read,
# sines and cosines of row and column, half as large as the tokens (`start_positions`). Nothing else is changed.
#
# **Predict:** CLIP's loss still does not ask for places. Will they survive 150 steps of it?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
second_eye, second_words = Trunk(3, (8, 8), 8), Words()
start_positions(second_eye.positions.data, scale=0.5)
_ = train_clip(second_eye, second_words)

new_states = look(second_eye, new_pixels)
second_qformer, second_writer, _ = train_qformer(look(second_eye, pixels))
second_said = captions(second_qformer, second_writer, new_states)
second = judged(second_said) if not course.SMOKE else {"size": 1, "thing": 1, "side": 1}
for name, result in (("noise", first), ("waves", second)):
    print(f"positions start as {name}:", {kind: f"{value:.2f}" for kind, value in result.items()})
assert second["side"] > first["side"] + 0.2, "are the positions those of rows and columns?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# They survive. No loss rewards them and no loss removes them. A frozen part can say what it was trained for, and what its training happened
# to leave intact.
#
# </details>
#
# Motion is a change of place. An image encoder that tells places at chance gives frames from which no Video
# Q-Former can learn which way a thing moves. (The shipped encoder gets .97 of the column and row words right; section 7.)

# %% [markdown]
# ## 5. ImageBind: hear in the eye's space
#
# Videos come with sound, so pictures and sounds come in pairs. ImageBind freezes the eye and trains an **ear** with the same InfoNCE, so that
# a sound lands where the picture of its source already is:
#
# $$\mathcal{L} = \text{InfoNCE}(\text{ear}(\text{bark}),\; \text{eye}(\text{picture of a dog}))$$
#
# The ear is our `Trunk`, on log-mels: 8 x 12 patches of 16 x 16. A thing's size is heard as pitch.

# %% tags=["nbval-ignore-output"]
heard, mels = one_thing.record(course.steps(1000, 40), first_seed=0)
new_heard, new_mels = one_thing.record(course.steps(200, 30), first_seed=1_000_000)
with torch.no_grad():
    vectors = torch.cat([eye(normalise(part)) for part in pixels.split(100)])  # the first eye
of_name, common = np.array(names), set(heard) & set(names)
pictures_of = {name: vectors[np.flatnonzero(of_name == name)] for name in common}
heard_rows = [i for i, n in enumerate(heard) if n in pictures_of]

torch.manual_seed(0)
ear, rng = Trunk(1, (8, 12), 16), np.random.default_rng(0)

def bind(step):
    rows = rng.choice(heard_rows, min(48, len(heard_rows)), replace=False)
    batch = [heard[i] for i in rows]
    seen = torch.stack([pictures_of[n][rng.integers(len(pictures_of[n]))] for n in batch])
    same = torch.tensor([[a == b for b in batch] for a in batch]).float()
    shifted = torch.roll(mels[rows], int(rng.integers(198)), dims=-1)  # begin anywhere
    return info_nce(ear(shifted), seen, same)

kinds = sorted(pictures_of)
images = F.normalize(torch.stack([pictures_of[n].mean(dim=0) for n in kinds]), dim=-1)
known = [i for i, n in enumerate(new_heard) if n in kinds]
truth = [new_heard[i] for i in known]
with torch.no_grad():
    deaf = ear(new_mels[known]) @ images.T

# %% [markdown]
# ### Before and after 110 steps
#
# **Predict:** the ear is trained on pictures, never on words. Can it afterwards find the *words* for a sound? They are vectors of the same
# space, from a tower that it has never met.

# %% tags=["nbval-ignore-output"]
_ = fit(ear, bind, course.steps(110), 2e-3, "ear")
with torch.no_grad():
    to_images = ear(new_mels[known]) @ images.T  # [sounds, kinds]
    to_words = ear(new_mels[known]) @ words(one_thing.word_ids(kinds)).T

shown = [n for n in shown if n in kinds and n in truth]
figure = plots.Picture(figsize=(11, 3.9), layout="constrained")
panels = ((deaf, "before: images"), (to_images, "after: images"), (to_words, "after: words"))
for place, (scores, title) in enumerate(panels):
    axes = figure.add_subplot(1, 3, place + 1)
    matrix(axes, scores, truth, shown, kinds)
    axes.set(title=title, ylabel="sound" if place == 0 else "")
course.show(figure, alt="Similarity of sounds with images, before and after, and with words after.")

def hits(scores):
    return np.mean([kinds[i] == name for i, name in zip(scores.argmax(dim=1), truth)])

print(f"sound -> image: {hits(deaf):.2f} before, {hits(to_images):.2f} after")
print(f"sound -> words: {hits(to_words):.2f}, without one pair of a sound and a word")
assert course.SMOKE or hits(to_images) > 0.8, "is the eye frozen, and the ear in the fit?"
assert course.SMOKE or hits(to_words) > 0.8, "are the words those of the same eye?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# It can, as well as it finds images. The eye was tied to words, the ear was tied to the eye, and so ear and words are tied. The ImageBind
# paper calls this *emergent* alignment.
#
# </details>

# %% [markdown]
# ### What Video-LLaMA makes of it
#
# Video-LLaMA rests its hearing on exactly this: its audio branch learns from image vectors and is then given sounds ([notebook
# 08](08_an_ear_trained_by_eye.ipynb)).

# %% [markdown]
# ## 6. A language model
#
# The last part learns from text alone. It foresees the next token, at every place at once:
#
# $$\mathcal{L} = -\frac{1}{|A|} \sum_{l \in A} \log p(w_{l+1} \mid w_1 \dots w_l)$$
#
# For a web-scale model $A$ is every place. Ours has to learn to *answer*, so $A$ is the places before answer tokens: a scene is described in
# words where later a soft prompt will stand, and questions follow.

# %% tags=["component"]
def next_token_loss_by_loops(logits, labels):
    total, count = 0.0, 0
    for row in range(len(labels)):
        for place in range(labels.shape[1] - 1):
            target = int(labels[row, place + 1])  # foreseen at the place before it
            if target != -100:
                total -= float(logits[row, place].log_softmax(dim=-1)[target])
                count += 1
    return total / count

def next_token_loss(logits, labels):
    """logits [B, L, V], labels [B, L] with -100 where nothing is to be learned."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

# %% tags=["same", "nbval-check-output"]
torch.manual_seed(0)
tokenizer = build_tokenizer(vocabulary())
small = new_language_model(tokenizer, LanguageTraining(width=32, depth=1, heads=2, mlp_hidden=48))
ids = torch.randint(1, len(tokenizer), (2, 9))
labels = ids.masked_fill(torch.rand(2, 9) < 0.5, -100)
with torch.no_grad():
    result = small(input_ids=ids, labels=labels)
mine = next_token_loss(result.logits, labels)
assert torch.allclose(mine, result.loss, atol=1e-5), "is it shifted by one?"
looped = next_token_loss_by_loops(result.logits, labels)
assert abs(looped - float(result.loss)) < 1e-5, "is the mean over the places that count?"
print("the same as transformers' LlamaForCausalLM, of", len(tokenizer), "words")

# %% [markdown]
# ### Chats about one shape
#
# A LLaMA of 0.24 million parameters, chats with four questions each. This is a short one, with what is learned:

# %%
def one_shape(first_seed, count):
    found = (sample_scene(first_seed + n) for n in range(100_000))
    found = (s for s in found if len(s.things) == len(s.shapes) == 1)
    found = (s for s in found if s.motion not in ("grow", "shrink"))  # their size changes
    return [next(found) for _ in range(count)]

ASKED = {"colour": "what colour is it?", "shape": "what shape is it?", "size": "what size is it?",
         "motion": "which way does it move?"}  # fmt: skip
KINDS = tuple(ASKED)
chat = DialogueWriter(tokenizer)
chats, held_out = one_shape(0, course.steps(1500, 40)), one_shape(700_000, course.steps(60, 5))

def write(scene, rng, kinds):
    described = chat.encode(picture_caption(scene))
    asked = [Question(kind, ASKED[kind], ask(scene, kind, rng).answer) for kind in map(str, kinds)]
    return chat.write(described, None, asked)

example = write(chats[0], np.random.default_rng(1), ("shape", "motion"))
pairs = list(zip(example.ids, example.labels))
print("read:   ", " ".join(tokenizer.decode(token) for token, _ in pairs))
print("learned:", " ".join(tokenizer.decode(label) if label != -100 else "·" for _, label in pairs))
assert all(label in (token, -100) for token, label in pairs), "the loss does the shifting"

# %% [markdown]
# ### 400 steps, and a look at what it can do after each 25
#
# **Predict:** the loss will fall smoothly. Will the accuracies of the four types of question rise smoothly, too?

# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def able(llm):
    """The share of right answers of each kind about scenes that no training described."""
    rng, found = np.random.default_rng(9), {}
    for kind in KINDS:
        ids, mask, labels, _ = pad_dialogues([write(s, rng, [kind]) for s in held_out], 0)
        guess = llm(input_ids=ids, attention_mask=mask).logits.argmax(dim=-1)[:, :-1]
        wrong = (guess != labels[:, 1:]) & (labels[:, 1:] != -100)
        found[kind] = float((~wrong.any(dim=1)).float().mean())
    return found

torch.manual_seed(0)
SMALL = LanguageTraining(width=96, depth=2, heads=4, mlp_hidden=256)
llm = new_language_model(tokenizer, SMALL)
rng, progress = np.random.default_rng(0), {}

def read_and_answer(step):
    if step % 25 == 0:
        progress[step] = able(llm)
    drawn = [chats[i] for i in rng.integers(len(chats), size=16)]
    ids, mask, labels, _ = pad_dialogues([write(s, rng, rng.permutation(KINDS)) for s in drawn], 0)
    return next_token_loss(llm(input_ids=ids, attention_mask=mask).logits, labels)

llm_curve = fit(llm, read_and_answer, course.steps(401), 4e-3, "language model")["loss"]
solved = [kind for kind in KINDS if able(llm)[kind] > 0.9]
print("solved:", solved)
assert course.SMOKE or solved, "is the description in the chat, and the loss on the answers?"

# %% tags=["nbval-ignore-output"]
figure = plots.Picture(figsize=(10, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot([25 * i + 12 for i in range(len(llm_curve))], llm_curve, color=course.GREY, marker="o")
left.set(xlabel="step", ylabel="loss, means of 25 steps", ylim=(0, None))
styles = zip(KINDS, (course.BLUE, course.ORANGE, course.GREEN, course.PINK), "os^D")
for kind, colour, marker in styles:
    line = [p[kind] for p in progress.values()]
    right.plot(list(progress), line, color=colour, marker=marker, label=kind)
right.set(xlabel="step", ylabel="right answers", ylim=(-0.03, 1.03))
_ = right.legend(fontsize=9)
course.show(figure, alt="The loss, and right answers by type: at chance first, then some rise.")

@torch.no_grad()
def complete(llm, described, question):
    text = f"###Human: <Video> {described} </Video> {question}###Assistant:"
    ids, said = chat.encode(text), []
    while len(said) < 6:
        token = int(llm(input_ids=torch.tensor([ids + said])).logits[0, -1].argmax())
        if token == chat.encode("###")[0]:
            break
        said.append(token)
    return tokenizer.decode(said)

torch.manual_seed(0)
untrained = new_language_model(tokenizer, SMALL)
described = "a large green star moves up"
for question in ("what colour is it?", "what shape is it?", "which way does it move?"):
    print(f"{question:26}before: {complete(untrained, described, question)[:30]:32}"
          f"after: {complete(llm, described, question)}")
assert course.SMOKE or complete(llm, described, "what shape is it?"), "does it only end?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# No. At first the model answers colours with colours and shapes with shapes, at chance: it has learned the **form** of an answer. Then it
# finds out where the answer stands in the description: suddenly, or from plateau to plateau, one type after the other. Whether these
# steps are enough for all of them differs from machine to machine. The loss hardly shows it.
#
# </details>

# %% [markdown]
# ### Fluent first, faithful later
#
# Which types come first depends on the seed. The full model had 4,500 steps and got all of them. Note the order: fluent first, faithful
# later. Where it has not yet learned to read what stands before it, it answers in perfect form, from habit: see the samples.

# %% [markdown]
# ## 7. The same at full size
#
# `minivl pretrain` does these four trainings for the shipped model: the same losses, four layers instead of two, the whole toy world,
# thousands of steps. The reports are in the package.

# %% tags=["nbval-check-output"]
folder = find_folder("tiny") / "reports"
parts = ("imagebind", "image_encoder", "llm")
files = [folder / f"pretrain_{name}.json" for name in parts]
spaces, encoder, language = (json.loads(file.read_text()) for file in files)
reports = {
    "image trunk (as CLIP)": spaces["image_trunk"],
    "audio trunk (as ImageBind)": spaces["audio_trunk"],
    "image encoder (as BLIP-2)": encoder,
    "language model": language,
}
for name, report in reports.items():
    print(f"{name:27}{report['steps']:6} steps {report['seconds'] / 60:5.0f} minutes")
print("sound -> image:", spaces["audio_trunk"]["retrieval"])
print("caption words:", encoder["caption_words"])
print("worst on text:", *sorted((value, kind) for kind, value in language["text"].items())[:2])
assert encoder["caption_words"]["column"] > 0.9, "the shipped eye knows places"

# %% [markdown]
# On one core of two that other trainings shared, all of it took an hour and a quarter. Two things differ from our miniatures:
#
# - The image encoder is *not* trained on a frozen ViT. It starts from the contrastive trunk and is then trained together with its Q-Former,
#   with a third loss that asks for a map of places. BLIP-2 keeps its ViT frozen; ours is so small that it has to go on learning.
# - The language model's descriptions get noise on their embeddings, to prepare it for soft prompts, which are no word exactly.

# %% [markdown]
# ### And then: frozen
#
# From here on nothing in these parts changes. Each branch is trained in front of them ([06](06_stage_1_captions.ipynb),
# [07](07_stage_2_instructions.ipynb), [08](08_an_ear_trained_by_eye.ipynb)). Three reasons:
#
# 1. **Cost.** The 7B model's branches are half a per cent of its parameters.
# 2. **Nothing is forgotten.** What is not trained cannot be overwritten.
# 3. **Features are computed once.** What never changes can be kept.
#
# The price is the ceiling: what the eye does not tell apart (shapes, in our miniature) and what the language model cannot answer about a
# *text*, no branch can make up for. The report above is that ceiling.

# %% [markdown]
# ### The real ones
#
# | part | size | learned from | what it took |
# | --- | --- | --- | --- |
# | EVA-CLIP ViT-g/14, [its training log](https://wandb.ai/baaivision/eva-clip/reports/ViT-g-14--VmlldzoyOTkwMDYy) | 1.0 billion | LAION-400M: 400 million pictures with words from the web | batches of 41,000 pairs on 256 A100 |
# | BLIP-2's Q-Former, [paper](https://arxiv.org/abs/2301.12597) | 0.1 billion without its text half (188 million with it) | 129 million pictures with captions; ViT frozen | two stages: the three losses above, then in front of a frozen language model |
# | ImageBind's audio trunk, [paper](https://arxiv.org/abs/2305.05665) | 0.09 billion | AudioSet: the sounds and frames of videos; image and text towers of a CLIP, frozen | InfoNCE against the image tower |
# | LLaMA-2 7B, [paper](https://arxiv.org/abs/2307.09288) | 6.7 billion | 2 trillion tokens of text | 184,320 hours of an A100 |
# | Vicuna 7B, [report](https://lmsys.org/blog/2023-03-30-vicuna/) | 6.7 billion, from LLaMA-1 | 70,000 conversations that users had shared | about 140 dollars |
#
# (Sizes: counted above; Vicuna's is LLaMA's. Data and cost: as the reports say.) Look at the last two rows: a language model is expensive,
# and teaching it to *chat* costs almost nothing.

# %% [markdown]
# ## Recap
#
# - **CLIP**: among the words of a batch, find your own. It names what words tell apart, and nothing asks it for more.
# - **BLIP-2**: a few queries read a frozen eye; a decoder that sees only them has to write the caption.
# - **A frozen part** tells what its training asked for, and what its training happened to leave intact: places survived as waves and not as
#   noise.
# - **ImageBind**: an ear is tied to the eye. Since the eye is tied to words, so is the ear, without one pair of a sound and a word.
# - **A language model** is fluent first and faithful later, one type of question after the other.
# - All of them are frozen before the branches come.

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### Exercise A1.1: two bells in one batch · ★★☆ · 10 minutes
# Write `soft_targets(names)`: for a list of $N$ names it returns the targets of InfoNCE, a tensor `[N, N]`. Row $i$ says which of the batch's
# texts are right for picture $i$: those of the same name, sharing evenly, so that each row sums to 1.
#
# <details><summary>Hint</summary>
#
# First a table of 1 and 0 (equal or not), then divide each row by its sum: `keepdim=True`.
#
# </details>

# %% tags=["exercise"] exercise="A1.1"
def soft_targets(names: Sequence[str]) -> torch.Tensor:
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="A1.1"
course.check(nA1.soft_targets, soft_targets)

# %% tags=["solution"] exercise="A1.1"
def soft_targets(names: Sequence[str]) -> torch.Tensor:
    same = torch.tensor([[a == b for b in names] for a in names]).float()
    return same / same.sum(dim=1, keepdim=True)

# %% [markdown] tags=["why"] exercise="A1.1"
# With the diagonal alone the loss would push the second bell's words away from the first bell's picture. On the web equal captions are rare
# and the error is small; among forty names it would spoil every batch.

# %% tags=["wrong"] exercise="A1.1" hint="no negatives of each other"
def soft_targets(names: Sequence[str]) -> torch.Tensor:
    return torch.eye(len(names))

# %% tags=["wrong"] exercise="A1.1" hint="do not sum to 1"
def soft_targets(names: Sequence[str]) -> torch.Tensor:
    return torch.tensor([[a == b for b in names] for a in names]).float()

# %% [markdown]
# ### Exercise A1.2: find the bug, the caption loss · ★★☆ · 15 minutes
# A colleague's captioner reaches a loss of almost zero after a few steps, and then writes nonsense. This is the loss, with `logits [N, L, V]`
# of the words `ids [N, L]` (0 is padding):
#
# ```python
# def word_loss(logits, ids):
#     return F.cross_entropy(logits.flatten(0, 1), ids.flatten())
# ```
#
# There are two mistakes. Write it correctly: at each place the *next* word is foreseen, padding is not foreseen by anybody, and the result is
# the mean over the words that count.
#
# <details><summary>Hint</summary>
#
# The decoder reads the word at place $l$. Which word is easy to foresee there, and is of no use? `cross_entropy` has `ignore_index`.
#
# </details>

# %% tags=["exercise"] exercise="A1.2"
def word_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="A1.2"
course.check(nA1.word_loss, word_loss)

# %% tags=["solution"] exercise="A1.2"
def word_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    foreseen, target = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
    return F.cross_entropy(foreseen, target, ignore_index=0)

# %% [markdown] tags=["why"] exercise="A1.2"
# Without the shift the decoder learns to repeat the word that it reads. When it writes by itself there is nothing yet to repeat.

# %% tags=["wrong"] exercise="A1.2" hint="stands in the input"
def word_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=0)

# %% tags=["wrong"] exercise="A1.2" hint="padding counts"
def word_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

# %% [markdown]
# ### Exercise A1.3: how busy were the GPUs? · ★★☆ · 10 minutes
# A training step of a transformer with $N$ parameters costs about $6 N$ operations per token (2 forward, 4 backward). Write
# `utilisation(parameters, tokens, gpu_hours)`: which share of what its GPUs could have computed did a training use, if one of them manages
# 312e12 operations a second (an A100 in bfloat16)?
#
# Then put in LLaMA-2 7B: 6.74e9 parameters, 2e12 tokens, 184,320 hours.
#
# <details><summary>Hint</summary>
#
# Operations needed, divided by seconds times operations a second.
#
# </details>

# %% tags=["exercise"] exercise="A1.3"
def utilisation(parameters: float, tokens: float, gpu_hours: float) -> float:
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="A1.3"
course.check(nA1.utilisation, utilisation)

# %% tags=["solution"] exercise="A1.3"
def utilisation(parameters: float, tokens: float, gpu_hours: float) -> float:
    return 6 * parameters * tokens / (gpu_hours * 3600 * 312e12)

# %% [markdown] tags=["why"] exercise="A1.3"
# About .39. The rest of the time goes to moving numbers: between memory and cores, and between GPUs. That the two published numbers fit this
# rule so well is a check of both.

# %% tags=["wrong"] exercise="A1.3" hint="forward pass alone"
def utilisation(parameters: float, tokens: float, gpu_hours: float) -> float:
    return 2 * parameters * tokens / (gpu_hours * 3600 * 312e12)

# %% tags=["wrong"] exercise="A1.3" hint="become seconds"
def utilisation(parameters: float, tokens: float, gpu_hours: float) -> float:
    return 6 * parameters * tokens / (gpu_hours * 312e12)

# %% [markdown]
# ## What to read next
#
# - [minivl/pretraining]({{repo}}/blob/main/minivl/pretraining): the four trainings at full size, about 100 lines each.
# - CLIP: [Radford et al. 2021](https://arxiv.org/abs/2103.00020). BLIP-2: [Li et al. 2023](https://arxiv.org/abs/2301.12597). ImageBind:
#   [Girdhar et al. 2023](https://arxiv.org/abs/2305.05665). LLaMA-2: [Touvron et al. 2023](https://arxiv.org/abs/2307.09288).
# - [Notebook 08](08_an_ear_trained_by_eye.ipynb): what the emergent alignment is worth. [Notebook 10](10_is_it_true.ipynb): how to find out
#   what a model cannot do.
