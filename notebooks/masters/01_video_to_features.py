# %% [markdown]
# # From a video to features: frames, patches, and what frozen eyes say
# {{badge}}
#
# **What you will be able to do.** Say which frames of a video a model sees, and at what times. Cut a frame into patches, and build the Vision
# Transformer (ViT) that reads them, equal to the package's to five decimals. Compare the features of frames, and draw where the eyes look.
#
# **What you need to know.** Python, tensors and their shapes in PyTorch, matrix products and softmax.
# [Notebook 00](00_quick_start.ipynb) shows the whole of which this is the beginning.
#
# **Time.** 30 minutes to read, 70 with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of memory.
# Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import math
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

import minivl
from minivl import course, plots, video, vit
from minivl.config import tiny
from minivl.course import n01
from minivl.demo import CLIPS  # the folder of the clips that come with the package

# %%
course.show(
    course.overview("frames", "ViT", "image Q-Former"),
    alt="The boxes of Video-LLaMA. Framed: frames, ViT and image Q-Former, at the upper left.",
)

# %% [markdown]
# ## 1. The clock of a file
#
# A video file is not a stack of pictures. Most of its frames are stored as changes to frames before or after them, so a decoder has to work its way
# from one whole picture to the next. The original reads files with **decord**, and so do we: it counts the frames, and decodes the ones that are
# asked for, already squashed to the size that the model wants. The aspect ratio is lost on the way, in the original as here.
#
# A frame has a number, and the model is to be told seconds. With $f$ frames a second, frame $k$ is shown at
#
# $$t_k = \frac{k}{f}$$
#
# $f$ is the *average* rate of the file. A phone that drops frames in the dark writes an uneven clock, and then these times are approximate.

# %%
from decord import VideoReader

path = CLIPS / "dog_then_train.mp4"
reader = VideoReader(str(path), width=64, height=64)
rate, length = reader.get_avg_fps(), len(reader)
print(length, "frames,", rate, "a second, so", length / rate, "seconds")
print("frame 3 is shown from", [float(t) for t in reader.get_frame_timestamp(3)], "seconds on")
assert reader.get_frame_timestamp(3)[0] == 3 / rate, "is the first frame counted as number 0?"

# %% [markdown]
# ## 2. Which frames?
#
# Four seconds are 32 frames here, and an hour at 30 a second is a hundred thousand. The model takes `T = 8`, whatever the length: "uniformly sampled" frames, says the
# paper (section 2.1.1). That leaves a choice. The original cuts the video into `T` equal segments and takes the **first** frame of each, not the one
# in its middle:
#
# $$i_k = \left\lfloor \frac{k \cdot \text{length}}{n} \right\rfloor, \qquad k = 0 \dots n - 1, \qquad n = \min(T, \text{length})$$
#
# **Predict:** which of the 32 frames are these, and at how many seconds is the last one? How much of the clip is after it?

# %% [markdown]
# ### Uniform sampling, naive and final
#
# The naive version follows the words: walk through the video, and keep a frame whenever a new segment begins. The final one is the formula. It counts in
# whole numbers.

# %% tags=["component"]
def sample_naive(length, count):
    kept, segment = [], 0
    for frame in range(length):
        begins = math.floor(segment * length / count)  # the first frame of the next segment
        if segment < count and frame >= begins:
            kept.append(frame)
            segment += 1
    return kept


def sample(length, count):
    n = min(length, count)
    return [k * length // n for k in range(n)]

# %% [markdown]
# <details><summary>Answer</summary>
#
# Frames 0, 4, 8 ... 28, shown at 0, 0.5 ... 3.5 seconds. The last half second is never looked at. In an hour of video, it would be the last seven and a
# half minutes, and nothing that lasts less than that is sure to be seen.
#
# </details>

# %% [markdown]
# ### Why whole numbers matter
#
# The original writes `arange(0, length, length / n)` and rounds down. In exact arithmetic that is the same. With floats, a step of 17 / 7 fits into 17 a
# hair *more* than seven times. So there are eight indices instead of seven, and the last one is past the end of the file. Eight frames, which is what
# the original uses, are safe: a division by eight only moves the binary point.

# %% tags=["same"]
for length in range(1, 200):
    for count in range(1, 33):
        mine = sample(length, count)
        assert mine == video.sample_indices(length, count), "is a segment's first frame taken?"
        if length >= count:
            assert sample_naive(length, count) == mine, "does a segment begin at a whole frame?"
floats = np.arange(0, 17, 17 / 7).astype(int).tolist()
print("7 of 17 frames, whole numbers:", sample(17, 7))
print("7 of 17 frames, floats:       ", floats)
assert len(floats) == 8 and floats[-1] == 17, "is the step 17 / 7?"
print("equal to minivl.video.sample_indices")

# %% [markdown]
# ### Head and tail
#
# For captions (stage 1 of training) the original draws other frames in every epoch: half of them at random from the first half of the video, half
# from the second, each half in order of time. It calls this **headtail**. Neither paper nor code gives a reason. What it does: each epoch sees other
# frames, and still no half can be missed. Questions (stage 2) and chats use the uniform frames.
#
# Naively, one draws until there are enough different numbers. That never ends if a half has too few frames. A shuffled list ends.

# %% tags=["component"]
def headtail_naive(length, count, generator):  # for long videos only: see above
    kept = set()
    for low, high in ((0, length // 2), (length // 2, length)):
        enough = len(kept) + count // 2
        while len(kept) < enough:
            kept.add(int(torch.randint(low, high, (1,), generator=generator)))
    return sorted(kept)


def headtail(length, count, generator):
    half, middle = min(length, count) // 2, length // 2
    head = torch.randperm(middle, generator=generator)[:half]
    tail = torch.randperm(length - middle, generator=generator)[:half] + middle
    return sorted(head.tolist()) + sorted(tail.tolist())

# %% [markdown]
# ### Both on one line of time
#
# The two versions draw different numbers from the same generator, so only the final one can be compared with the package. Of the naive one we ask what must
# be true of any draw. In the picture, the first row is what the model sees in a chat, always the same; the other rows are what a training sees, epoch
# after epoch. (There the pixels change as well: one random box of all frames is cut out and stretched,
# [`random_crop.py`]({{repo}}/blob/main/minivl/random_crop.py).)

# %% tags=["same"]
from minivl.headtail import sample_headtail

figure = plots.Picture(figsize=(9, 2.6), layout="constrained")
axes = figure.add_subplot()
seconds = [k / 8 for k in sample(32, 8)]
axes.scatter(seconds, [0] * 8, color=course.BLUE, marker="s", label="uniform")
for epoch in range(1, 5):
    versions = (headtail, sample_headtail, headtail_naive)
    mine, theirs, slow = (f(32, 8, torch.Generator().manual_seed(epoch)) for f in versions)
    assert mine == theirs, "is the first half drawn before the second?"
    for drawn in (mine, slow):
        assert drawn == sorted(set(drawn)) and len(drawn) == 8, "is a frame there twice?"
        assert sum(k < 16 for k in drawn) == 4, "does each half give four frames?"
    label = "headtail" if epoch == 1 else None
    axes.scatter([k / 8 for k in mine], [epoch] * 8, color=course.ORANGE, label=label)
axes.axvline(2, color=course.GREY, linestyle=":")
axes.set(xlim=(-0.1, 4), xlabel="seconds", yticks=range(5), ylim=(-0.6, 4.6))
axes.set_yticklabels(["chat", *(f"epoch {n}" for n in range(1, 5))])
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
alt = "Uniform frames stand at equal distances; headtail frames differ in each epoch."
course.show(figure, alt=alt)
print("equal to minivl.headtail.sample_headtail")

# %% [markdown]
# ### What is told to the language model
#
# `minivl.load_video` does all of this and returns a `Clip`. Its times go into the prompt as a sentence, word for word the original's. It is the only
# place where the *seconds* of a video enter. (The tiny model's language is too small for it, and its prompts leave it out.)

# %%
clip = minivl.load_video(path, num_frames=8)
course.show(plots.show_frames(clip), alt="Eight frames with times: four of a dog, four of a train.")
print(clip.message())
decoded = torch.stack([torch.from_numpy(reader[k].asnumpy()) for k in sample(32, 8)])
assert clip.timestamps.tolist() == [k / rate for k in sample(32, 8)], "is a time index / rate?"
assert rearrange(decoded, "t h w c -> t c h w").equal(clip.frames), "are other frames sampled?"
print("these are the frames that decord gives")

# %% [markdown]
# ## 3. Pixels become patch vectors
#
# Three steps. First, bytes 0 to 255 become numbers around zero, with the mean $\mu_c$ and the deviation $\sigma_c$ of each colour in CLIP's training
# images. Frozen eyes must be given the kind of numbers that they learned from:
#
# $$\tilde x_c = \frac{x_c / 255 - \mu_c}{\sigma_c}$$
#
# Second, the frame is cut into patches of $p \times p$ pixels, and each is written as one row of $3 p^2$ numbers. Third, every row is multiplied by the
# same learned matrix: $e_j = W\, \text{patch}_j + b$.
#
# **Predict:** in most code the last two steps are one line, `nn.Conv2d(3, width, kernel_size=p, stride=p)`. Why is a convolution the same thing?

# %% [markdown]
# ### By hand, naive and final
#
# The loops cut one patch after the other. The final version only gives the axes new names: `h` and `w` count patches, `p` and `q` count pixels inside
# of one. The order `(c p q)` of a row is a free choice, as long as the matrix has its columns in the same order.

# %% tags=["component"]
def normalise(frames):  # uint8 [..., 3, H, W] -> float
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (video.CLIP_MEAN, video.CLIP_STD))
    return (frames / 255 - mean) / deviation


def patches_naive(picture, size):  # [3, H, W] -> [patches, 3 * size * size]
    rows = []
    for top in range(0, picture.shape[1], size):
        for left in range(0, picture.shape[2], size):
            rows.append(picture[:, top : top + size, left : left + size].flatten())
    return torch.stack(rows)


def patches(pixels, size):  # [N, 3, H, W] -> [N, patches, 3 * size * size]
    return rearrange(pixels, "n c (h p) (w q) -> n (h w) (c p q)", p=size, q=size)

# %% [markdown]
# <details><summary>Answer</summary>
#
# A convolution takes the inner product of its kernel with the pixels under it, at every place where it stops. With a stride as long as the kernel it
# stops once on each patch, and no two stops overlap. So the kernel of output channel $i$, written as one row, is row $i$ of $W$. `F.unfold` is torch's
# name for our cutting.
#
# </details>

# %% tags=["same"]
bytes_ = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
pixels = normalise(bytes_)
assert torch.allclose(pixels, video.normalise(bytes_), atol=1e-5), "are bytes divided by 255?"
rows = patches(pixels, 8)  # [2, 64, 192]
assert rows[0].equal(patches_naive(pixels[0], 8)), "do rows of patches come before columns?"
assert rows.equal(F.unfold(pixels, 8, stride=8).mT), "is colour the slowest axis of a row?"

with torch.no_grad():
    conv = course.tiny_model().image_encoder.vit.patch
    matrix = rearrange(conv.weight, "width c p q -> width (c p q)")
    mine = rows @ matrix.T + conv.bias  # [2, 64, width]
    theirs = rearrange(conv(pixels), "n width h w -> n (h w) width")
assert torch.allclose(mine, theirs, atol=1e-5), "is a kernel flattened in the order of a patch?"
print("a convolution with stride = kernel is a matrix on patches:", list(mine.shape))

# %% [markdown]
# ### A frame in 64 words
#
# This is all that the ViT receives of a frame: `8 x 8 = 64` patches (in the 7B model `16 x 16 = 256`, of 14 pixels each). What is finer than a patch
# goes into one vector. But *where* a patch lay is lost: a list of rows has an order, and attention, as we shall see, does not look at it.

# %%
cut = rearrange(clip.frames[0], "c (h p) (w q) -> (h w) p q c", p=8, q=8)
figure = plots.Picture(figsize=(4.2, 4.2), layout="constrained")
for number, (axes, patch) in enumerate(zip(figure.subplots(8, 8).flat, cut, strict=True)):
    axes.imshow(patch.numpy())
    axes.set_title(str(number), fontsize=6, pad=1)
    axes.axis("off")
course.show(figure, alt="A frame with a dog, cut into 8 by 8 numbered patches.")

# %% [markdown]
# ## 4. The Vision Transformer
#
# A **class token** $c$, one more learned vector, is put in front, and a learned position is added to each row. Then come blocks, all alike:
#
# $$x_0 = [\,c,\; e_1, \dots, e_{P-1}] + \text{pos}, \qquad y = x_l + \mathrm{Attention}(\mathrm{LN}(x_l)), \qquad x_{l+1} = y + \mathrm{FF}(\mathrm{LN}(y))$$
#
# In attention every token asks all tokens. Each of several *heads* does so in its own slice of the vector, of width $d$:
#
# $$\mathrm{head}(x) = \mathrm{softmax}\!\left(\frac{q k^\top}{\sqrt{d}}\right) v, \qquad q = x W_q + b_q, \quad k = x W_k, \quad v = x W_v + b_v$$
#
# EVA's ViT, which the paper takes over, has no bias for the keys. **Predict:** what would a key bias $b_k$ change?

# %% [markdown]
# ### Attention, naive and final
#
# The naive version serves one head and one asking token at a time. The final one computes all of them as one product of matrices.

# %% tags=["component"]
class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.key = nn.Linear(width, width, bias=False)

    def forward(self, x):  # [N, P, width] -> [N, P, width]
        q, k, v = (
            rearrange(part(x), "n p (h d) -> n h p d", h=self.heads)
            for part in (self.query, self.key, self.value)
        )
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)  # [N, heads, P, P]
        return self.out(rearrange(weights @ v, "n h p d -> n p (h d)"))


def attend_naive(layer, x):  # x [P, width]: the tokens of one picture
    q, k, v = layer.query(x), layer.key(x), layer.value(x)
    d, read = x.shape[1] // layer.heads, torch.zeros_like(x)
    for head in range(layer.heads):
        mine = slice(head * d, (head + 1) * d)
        for token in range(len(x)):
            scores = k[:, mine] @ q[token, mine] / d**0.5  # one number for each token that is read
            read[token, mine] = scores.softmax(dim=0) @ v[:, mine]
    return layer.out(read)

# %% [markdown]
# ### The block, and the whole ViT
#
# The norm stands *before* attention and before the feed-forward layer (pre-norm), and what they find is added. Three traits are EVA's own: no key bias,
# **no norm after the last block**, and all tokens go on, not the class token alone. The names of the parts are the package's, so its weights fit.

# %% tags=["component"]
class Block(nn.Module):
    def __init__(self, width, heads, hidden, eps):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.feed_forward_norm = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads)
        up, down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.feed_forward = nn.Sequential(OrderedDict(up=up, gelu=nn.GELU(), down=down))

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


class ViT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.patch = nn.Conv2d(3, c.width, c.patch_size, stride=c.patch_size)
        self.class_token = nn.Parameter(torch.zeros(c.width))
        self.positions = nn.Parameter(torch.zeros(1 + (c.image_size // c.patch_size) ** 2, c.width))
        each = (c.width, c.heads, c.mlp_hidden, c.eps)
        self.blocks = nn.Sequential(*(Block(*each) for _ in range(c.depth)))

    def forward(self, pixels):  # [N, 3, H, W] -> [N, P, width]
        tokens = rearrange(self.patch(pixels), "n width h w -> n (h w) width")
        first = self.class_token.expand(len(pixels), 1, -1)
        return self.blocks(torch.cat([first, tokens], dim=1) + self.positions)

# %% [markdown]
# ### The same numbers as the package
#
# First attention alone, with random weights, and once more with a large bias on the keys. Then the whole ViT with the trained weights of the tiny model: 4
# blocks of width 128. The 7B model's ViT is this class with 39 blocks of width 1408, almost a billion parameters.

# %% tags=["same"]
from minivl.transformer import Attention as PackageAttention

torch.manual_seed(0)
theirs, x = PackageAttention(32, heads=4, key_bias=False), torch.randn(2, 9, 32)
mine = Attention(32, heads=4)
mine.load_state_dict(theirs.state_dict())
biased = PackageAttention(32, heads=4)
_ = biased.load_state_dict(theirs.state_dict() | {"key.bias": 5 * torch.randn(32)})
with torch.no_grad():
    assert torch.allclose(mine(x), theirs(x), atol=1e-5), "are scores divided by the root of d?"
    slow = attend_naive(mine, x[0])
    assert torch.allclose(slow, mine(x)[0], atol=1e-5), "is each head given its own slice?"
    assert torch.allclose(biased(x), theirs(x), atol=1e-5), "is the bias on the keys?"

theirs, mine = course.tiny_model().image_encoder.vit, ViT(tiny().vit)
mine.load_state_dict(theirs.state_dict())
with torch.no_grad():
    pixels = torch.randn(2, 3, 64, 64)
    states = mine(pixels)
    assert torch.allclose(states, theirs(pixels), atol=1e-5), "is the norm before attention?"
print("equal to minivl.vit.ViT:", list(states.shape), "= [N, P, width]")

# %% [markdown]
# <details><summary>Answer</summary>
#
# A key bias changes nothing. It adds $q \cdot b_k$ to every score in the row of one asking token, the same number to all, and softmax does not see a number
# that is added to all of its inputs.
#
# </details>

# %% [markdown]
# ## 5. Where a patch was
#
# Attention is a sum over tokens, and a sum has no order. If you shuffled the 64 patch vectors, each token would find the same things as before. All that
# the ViT knows about *where* is in the 65 learned rows that are added at the start. Nobody told them that the patches form a grid.
#
# **Predict:** take the row of patch 27 (row 3, column 3 of the grid) and compare it with the other 63 rows by the cosine of the angle between them.
# Which rows will be most like it?

# %% [markdown]
# ### Positions for a picture of another size
#
# A ViT that was trained on 64 pixels has 64 positions and no more. For larger pictures the original stretches the grid of positions
# (`interpolate_pos_embed`). The class token's row has no place in the grid and stays. Naively, each new patch takes the row of the old patch under its
# centre; the final version puts a smooth (bicubic) surface through the old rows, one for each of the 128 numbers.

# %% tags=["component"]
def resize_naive(positions, side):  # [1 + old * old, width] -> [1 + side * side, width]
    old, rows = math.isqrt(len(positions) - 1), [positions[0]]
    for row in range(side):
        for column in range(side):
            y, x = (int((place + 0.5) * old / side) for place in (row, column))
            rows.append(positions[1 + y * old + x])
    return torch.stack(rows)


def resize(positions, side):
    old = math.isqrt(len(positions) - 1)
    grid = rearrange(positions[1:], "(h w) width -> 1 width h w", h=old)
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], rearrange(grid, "1 width h w -> (h w) width")])

# %% tags=["same"]
old = torch.randn(1 + 8 * 8, 16, generator=torch.Generator().manual_seed(0))
for side in (5, 8, 16):
    theirs = vit.resize_positions(old, 1 + side * side)
    assert torch.allclose(resize(old, side), theirs, atol=1e-5), "does the class token's row stay?"
assert torch.allclose(resize(old, 8), old, atol=1e-5), "is the same size left as it is?"
assert resize_naive(old, 16)[1:3].equal(old[[1, 1]]), "do two new patches share an old one?"
print("equal to minivl.vit.resize_positions")

# %% [markdown]
# ### The map that nobody drew
#
# Left, the cosines of patch 27 with all patches, at the place of each patch. Middle and right, the same for positions stretched to `16 x 16`.

# %%
positions = course.tiny_model().image_encoder.vit.positions.detach()
maps = [(positions, 8, 27, "as trained, 8 x 8")]
for f, name in ((resize_naive, "naive"), (resize, "bicubic")):
    maps.append((f(positions, 16), 16, 6 * 16 + 6, name))
figure = plots.Picture(figsize=(9, 3.2), layout="constrained")
for axes, (table, side, here, title) in zip(figure.subplots(1, 3), maps, strict=True):
    cosines = F.cosine_similarity(table[1:], table[1 + here], dim=-1)  # [side * side]
    drawn = axes.imshow(cosines.view(side, side), cmap="cividis", vmin=-0.3, vmax=1)
    axes.scatter(here % side, here // side, marker="x", color=course.RED)
    axes.set(title=title, xlabel="column", xticks=range(0, side, 2), yticks=range(0, side, 2))
    if side == 8:
        near, far = cosines[[26, 28, 19, 35]].min(), cosines[63]
figure.axes[0].set_ylabel("row")
figure.colorbar(drawn, ax=figure.axes, label="cosine")
course.show(figure, alt="Three maps, bright around the marked patch and along its row and column.")
assert near > 0.5 > far, "is row 0 of the table, the class token's, left out?"
print("the four neighbours are alike, the far corner is not")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Its neighbours, and then the patches in the same row and the same column. The grid was learned from pictures alone: patches that are near each other
# are useful to each other in the same way. [Notebook 02](02_time.ipynb) looks at the positions of *time* in the same manner, and finds something else.
#
# </details>

# %% [markdown]
# ## 6. What the eyes say
#
# The image Q-Former ([notebook 03](03_the_qformer.ipynb) builds it) reads the 65 states of a frame with `K = 8` learned queries, and hands on eight vectors.
# These **frame tokens** are all that the rest of the model gets to know. In the original, ViT and image Q-Former are BLIP-2's, frozen: they were made
# for single images.
#
# **Predict:** the dog clip has four frames of a dog, then four of a train; in the other clip a red circle moves to the left. We compare the frame tokens
# of all pairs of frames. What do the two `8 x 8` matrices look like?

# %%
model = course.tiny_model()
names = ("dog_then_train.mp4", "red_circle_moves_left.mp4")
tokens = [model.encode_frames(minivl.load_video(CLIPS / name).frames[None])[0] for name in names]
figure = plots.Picture(figsize=(8, 3.4), layout="constrained")
alike = []
for axes, frame_tokens, name in zip(figure.subplots(1, 2), tokens, names, strict=True):
    flat = F.normalize(rearrange(frame_tokens, "T K width -> T (K width)"), dim=-1)
    alike.append(flat @ flat.T)  # [T, T]
    drawn = axes.imshow(alike[-1], cmap="cividis", vmin=0.3, vmax=1)
    axes.set(title=name, xlabel="frame", ylabel="frame")
figure.colorbar(drawn, ax=figure.axes, label="cosine")
course.show(figure, alt="Cosines of frames. Left: two bright squares. Right: a diagonal band.")
assert alike[0][:4, :4].min() > 0.9 > 0.6 > alike[0][:4, 4:].max(), "is it the dog's clip?"
assert alike[1][0, 1] > alike[1][0, 2] > alike[1][0, 4], "is it the clip in which something moves?"
alone = model.encode_frames(clip.frames[None, 3:4])[0, 0]
assert torch.allclose(alone, tokens[0][3], atol=1e-4), "are pixels normalised in both cases?"
print("frame 3 alone gives the same tokens as frame 3 among eight")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Two blocks, and a band. Frames of the same thing are almost the same vector; the cut between dog and train is an edge. A moving circle changes the tokens
# a little with every step. The last lines show what is *not* there: a frame's tokens are the same with or without other frames. These eyes know
# nothing of time; eight frames are eight photographs. [Notebook 02](02_time.ipynb) is about what is missing.
#
# </details>

# %% [markdown]
# ### Not the pixels
#
# Are features more than a small copy of the picture? Here is a large red circle, and five pictures that are like it in one way or another. Above each, the
# cosine with the first picture: of the pixels (their mean taken away), and of the frame tokens.

# %%
from minivl.toyworld.render import render_still
from minivl.toyworld.scenes import Scene, Thing


def picture(name, colour, seed=1, x=0.5):  # the seed chooses the backdrop
    return render_still(Scene(seed, (Thing(name, "large", colour, x=x),)), time=0.0)  # [64, 64, 3]


like = {"red circle": picture("circle", "red"), "other backdrop": picture("circle", "red", seed=2),
        "moved": picture("circle", "red", x=0.4), "blue": picture("circle", "blue"),
        "square": picture("square", "red"), "dog": picture("dog", "")}  # fmt: skip
frames = torch.stack([torch.from_numpy(p) for p in like.values()])
seen = model.encode_frames(rearrange(frames, "t h w c -> 1 t c h w"))[0].flatten(1)
seen = F.normalize(seen, dim=-1)
plain = frames.flatten(1).float()
plain = F.normalize(plain - plain.mean(dim=1, keepdim=True), dim=-1)
figure = plots.Picture(figsize=(10, 2.4), layout="constrained")
cosines = (plain @ plain[0], seen @ seen[0])
for axes, name, p, s in zip(figure.subplots(1, 6), like, *cosines, strict=True):
    axes.imshow(like[name])
    axes.set_title(f"{name}\npixels {p:.2f}\ntokens {s:.2f}", fontsize=11)
    axes.axis("off")
course.show(figure, alt="A red circle and five pictures like it, with cosines of each.")
nearest_in_tokens, farthest_in_pixels = cosines[1][1:].argmax() + 1, cosines[0].argmin()
assert (nearest_in_tokens, farthest_in_pixels) == (1, 3), "is each compared with the first one?"

# %% [markdown]
# For pixels a red square is the nearest picture and a *blue* circle the farthest, farther than a dog. For the tokens another backdrop hardly counts, a blue
# circle is a circle, and the dog is far away: that is what describing pictures has taught them. They are not blind to place, though. A circle a tenth of
# the picture further to the left has moved in the features too. It must: "it moves left" can be read from nothing else.
#
# ### Where they look
#
# Each query of the image Q-Former weighs the patches. We compute these weights from the trained matrices, with the formula of section 4 (the queries ask,
# the patches are read), and draw the mean over the heads. In each layer the queries first talk among themselves (`asking`), then read.

# %%
@torch.no_grad()
def looked_at(encoder, frames):  # uint8 [N, 3, H, W] -> weights of the last layer [N, K, P]
    reader, states = encoder.qformer, encoder.features(normalise(frames))
    x = reader.queries_norm(reader.queries).expand(len(frames), -1, -1)
    for layer in reader.layers:
        asking, cross = layer.attention_norm(x + layer.attention(x)), layer.cross_attention
        x = layer(x, states)
    pair = (cross.query(asking), cross.key(states))
    q, k = (rearrange(t, "n t (h d) -> n h t d", h=cross.heads) for t in pair)
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)


shown = torch.cat([minivl.load_video(CLIPS / "three_shapes.mp4").frames[:1], clip.frames[[0, 4]]])
weights = looked_at(model.image_encoder, shown)
figure = plots.Picture(figsize=(11, 4.2), layout="constrained")
for row, line in enumerate(figure.subplots(3, 9)):
    line[0].imshow(rearrange(shown[row], "c h w -> h w c"))
    for k in range(8):
        line[k + 1].imshow(weights[row, k, 1:].view(8, 8), cmap="magma")  # without the class token
        line[k + 1].set_title(f"query {k}" if row == 0 else "", fontsize=10)
    _ = [axes.axis("off") for axes in line]
course.show(figure, alt="Three frames, each with eight maps: most queries look at the things.")
assert torch.allclose(weights.sum(dim=-1), torch.ones(3, 8)), "is softmax taken over the patches?"
busy = patches(shown.float(), 8).view(3, 64, 3, 64).std(dim=-1).amax(dim=-1) > 12  # drawn on
on_things = (weights[:, :, 1:] * busy[:, None]).sum(dim=-1).mean(dim=1)
assert (on_things > 1.5 * busy.float().mean(dim=1)).all(), "is the class token left out?"

# %% [markdown]
# ### Reading such pictures with care
#
# Most queries look at the things and skip the empty part; in the first row one follows the star, another the cross. (The last lines of the cell count it:
# the patches on which something is drawn get more than their share of the weight.) Two warnings. A state is not its patch: four blocks of attention have
# mixed all patches before. And weight is not influence: what is done with the vector that was read is not in the picture.

# %% [markdown]
# ## 7. Files that are no videos
#
# Sooner or later somebody drops a text file, half a download or a photograph into the model. In its training, the original replaces what it cannot read by
# another video, drawn at random, and says nothing. The package raises one kind of error, `MinivlError`, with one sentence: what is wrong, and what to do.
#
# **Predict:** half of a video file: do you get the first half of the video?

# %%
whole, photo = path.read_bytes(), (CLIPS / "blue_square_and_phone.png").read_bytes()
half = whole[: len(whole) // 2]
contents = {"notes.mp4": b"not a video", "half.mp4": half, "photo.mp4": photo}
with tempfile.TemporaryDirectory() as folder:
    for name, content in contents.items():
        file = Path(folder) / name
        _ = file.write_bytes(content)
        try:
            loaded = minivl.load_video(file)
            print(f"{name}: {list(loaded.frames.shape)}, is_image={loaded.is_image}")
        except minivl.MinivlError as error:
            print(f"{type(error).__name__}: {str(error).replace(folder, '...')}")
assert loaded.is_image and len(loaded.frames) == 1, "is the photograph known by its content?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# No, you get a sentence: decord looks through the whole file when it opens it, and gives up where it breaks off. That is as it should be. A model that
# answers questions about half a video, and says nothing of it, is worse than one that refuses. The photograph is known by its content, whatever it is called, and is a video of **one frame**. Nothing else needs to
# be changed for images: `T = 1` (paper, section 2.2.1). How well that works is claim (f) of [docs/claims.md]({{repo}}/blob/main/docs/claims.md).
#
# </details>

# %% [markdown]
# ## Recap
#
# - A video is `T = 8` frames, the first of each of eight equal segments, and a sentence with their times. What lies between was not seen.
# - A patch embedding is a matrix on rows of pixels; a convolution with `stride = kernel` is the same matrix.
# - A ViT block is attention and a feed-forward layer, each behind a norm, each added to what was there. EVA's has no key bias and no last norm.
# - Where a patch was is known from learned positions alone. They can be stretched to another size like a picture.
# - The frozen eyes turn each frame into `K = 8` vectors that say what is there and where, and nothing about when.

# %% [markdown]
# ## Exercises
#
# Each has a cell to fill in and a cell that checks it. A check says what is right, or gives one hint.

# %% [markdown]
# ### Exercise 1.1: the middle of each segment · ★☆☆ · 5 minutes
#
# The first frame of a segment is a strange choice: why not its middle? Write `sample_middle(length, count)`, which returns the frame
# $\lfloor (k + \tfrac12) \cdot \text{length} / n \rfloor$ for each of $n = \min(\text{count}, \text{length})$ equal segments.
#
# <details><summary>Hint</summary>
#
# In whole numbers, $(k + \tfrac12) / n = (2k + 1) / 2n$.
#
# </details>

# %% tags=["exercise"] exercise="1.1"
def sample_middle(length, count):
    raise NotImplementedError("your code: -> a list of indices")

# %% tags=["checker"] exercise="1.1"
course.check(n01.sample_middle, sample_middle)

# %% tags=["solution"] exercise="1.1"
def sample_middle(length, count):
    n = min(length, count)
    return [(2 * k + 1) * length // (2 * n) for k in range(n)]

# %% [markdown] tags=["why"] exercise="1.1"
# Now half a segment is missing at either end, not a whole one at the end. The published weights were trained with the first frames, so the package keeps
# to them: the position "frame 0" has always meant the very start.

# %% tags=["wrong"] exercise="1.1" hint="first frame"
def sample_middle(length, count):
    n = min(length, count)
    return [k * length // n for k in range(n)]

# %% tags=["wrong"] exercise="1.1" hint="whole number of frames"
def sample_middle(length, count):
    n = min(length, count)
    step = length // n
    return [k * step + step // 2 for k in range(n)]

# %% tags=["wrong"] exercise="1.1" hint="shorter"
def sample_middle(length, count):
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]

# %% [markdown]
# ### Exercise 1.2: the eyes of the 7B model · ★☆☆ · 10 minutes
#
# In the 7B model a frame has 224 x 224 pixels, patches have 14 x 14, and vectors are 1408 wide. Give two numbers: how many states does the ViT hand
# to the image Q-Former for a video of 8 frames (all frames together), and how many parameters does its patch embedding have?
#
# <details><summary>Hint</summary>
#
# All tokens go on, not only patches. A `Conv2d` has weights and a bias.
#
# </details>

# %% tags=["exercise"] exercise="1.2"
states_and_parameters = None  # (states, parameters)

# %% tags=["checker"] exercise="1.2"
course.check(n01.states_and_parameters, states_and_parameters)

# %% tags=["solution"] exercise="1.2"
states = 8 * (1 + (224 // 14) ** 2)  # with a class token for each frame
parameters = 1408 * 3 * 14 * 14 + 1408
states_and_parameters = (states, parameters)

# %% [markdown] tags=["why"] exercise="1.2"
# The frames go through the ViT side by side, so attention costs 8 times 257 squared, not 2056 squared. Of almost a billion parameters the patch
# embedding has less than a thousandth: nearly all of a ViT is its blocks.

# %% tags=["wrong"] exercise="1.2" hint="class token"
states_and_parameters = (8 * 256, 1408 * 3 * 14 * 14 + 1408)

# %% tags=["wrong"] exercise="1.2" hint="bias"
states_and_parameters = (8 * 257, 1408 * 3 * 14 * 14)

# %% tags=["wrong"] exercise="1.2" hint="colours"
states_and_parameters = (8 * 257, 1408 * 14 * 14 + 1408)

# %% [markdown]
# ### Exercise 1.3: find the bug · ★★☆ · 10 minutes
#
# This function cuts pictures `[N, 3, H, W]` into patches `[N, patches, 3 * size * size]`. It runs and its
# shapes are right. Find the mistake and mend it. A row must hold one patch, in the order `(c p q)`.
#
# <details><summary>Hint</summary>
#
# Read `(p h)` aloud: which of the two changes faster when you walk down the picture? Or cut a picture that holds `torch.arange(64 * 64)`.
#
# </details>

# %% tags=["exercise"] exercise="1.3"
def cut_into_patches(pixels, size):
    raise NotImplementedError("find the bug below, mend it, and delete this line")
    return rearrange(pixels, "n c (p h) (q w) -> n (h w) (c p q)", p=size, q=size)

# %% tags=["checker"] exercise="1.3"
course.check(n01.cut_into_patches, cut_into_patches)

# %% tags=["solution"] exercise="1.3"
def cut_into_patches(pixels, size):
    return rearrange(pixels, "n c (h p) (w q) -> n (h w) (c p q)", p=size, q=size)

# %% [markdown] tags=["why"] exercise="1.3"
# `(p h)` makes `p` the slow axis: a "patch" was every eighth pixel of the whole picture, a tiny thumbnail, and all 64 of them looked alike. Named axes
# catch wrong shapes, not wrong order.

# %% tags=["wrong"] exercise="1.3" hint="every 4th pixel"
def cut_into_patches(pixels, size):
    return rearrange(pixels, "n c (p h) (q w) -> n (h w) (c p q)", p=size, q=size)

# %% tags=["wrong"] exercise="1.3" hint="colour"
def cut_into_patches(pixels, size):
    return rearrange(pixels, "n c (h p) (w q) -> n (h w) (p q c)", p=size, q=size)

# %% tags=["wrong"] exercise="1.3" hint="column by column"
def cut_into_patches(pixels, size):
    return rearrange(pixels, "n c (h p) (w q) -> n (w h) (c p q)", p=size, q=size)

# %% [markdown]
# ### Exercise 1.4: where is the cut? · ★★☆ · 15 minutes
#
# Section 6 drew the edge between dog and train. Write `find_cut(frame_tokens)`: it gets the frame tokens `[T, K, width]` of one clip and returns the number
# of the first frame after the greatest change between two neighbouring frames. Measure a change by the cosine of all numbers of a frame.
#
# <details><summary>Hint</summary>
#
# Flatten `K` and `width`, normalise, and compare rows `0 ... T-2` with rows `1 ... T-1`.
#
# </details>

# %% tags=["exercise"] exercise="1.4"
def find_cut(frame_tokens):
    raise NotImplementedError("your code: [T, K, width] -> a whole number")

# %% tags=["checker"] exercise="1.4"
course.check(n01.find_cut, find_cut)

# %% tags=["solution"] exercise="1.4"
def find_cut(frame_tokens):
    flat = F.normalize(frame_tokens.flatten(1), dim=-1)
    cosines = (flat[:-1] * flat[1:]).sum(dim=-1)  # of frame t with frame t + 1
    return int(cosines.argmin()) + 1

# %% [markdown] tags=["why"] exercise="1.4"
# Frozen features find cuts that nobody trained them to find. Note what it took: *you* compared neighbours. The model has no part that does so by itself;
# its Video Q-Former has to learn it, and can do so only if it is told which frames are neighbours.

# %% tags=["wrong"] exercise="1.4" hint="before the change"
def find_cut(frame_tokens):
    flat = F.normalize(frame_tokens.flatten(1), dim=-1)
    return int((flat[:-1] * flat[1:]).sum(dim=-1).argmin())

# %% tags=["wrong"] exercise="1.4" hint="length"
def find_cut(frame_tokens):
    return int((frame_tokens[1:] - frame_tokens[:-1]).flatten(1).norm(dim=-1).argmax()) + 1

# %% tags=["wrong"] exercise="1.4" hint="neighbour"
def find_cut(frame_tokens):
    flat = F.normalize(frame_tokens.flatten(1), dim=-1)
    return int((flat @ flat[0]).argmin())

# %% [markdown]
# ## What to read next
#
# - [Notebook 02](02_time.ipynb): what is missing, time.
# - The code: [`video.py`]({{repo}}/blob/main/minivl/video.py), [`headtail.py`]({{repo}}/blob/main/minivl/headtail.py),
#   [`transformer.py`]({{repo}}/blob/main/minivl/transformer.py), [`vit.py`]({{repo}}/blob/main/minivl/vit.py) and
#   [`image_encoder.py`]({{repo}}/blob/main/minivl/image_encoder.py). Beside the original, line by line: [docs/original.md]({{repo}}/blob/main/docs/original.md).
# - The ViT: [Dosovitskiy et al. 2020](https://arxiv.org/abs/2010.11929). The eyes of Video-LLaMA: [EVA-CLIP](https://arxiv.org/abs/2303.15389) and
#   [BLIP-2](https://arxiv.org/abs/2301.12597).
