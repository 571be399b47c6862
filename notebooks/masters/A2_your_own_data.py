# %% [markdown]
# # Appendix A2: your own data
# {{badge}}
#
# **What you will be able to do.** Turn a folder of clips and captions into a trained branch: write the two annotation files, have the data
# set checked before a training of days, know what happens to broken files, keep the frozen features, train stage 1 and stage 2, and use the
# new branch. Say what it has forgotten.
#
# **What you need to know.** What the two stages are ([notebook 06](06_stage_1_captions.ipynb), [notebook
# 07](07_stage_2_instructions.ipynb)), and what a branch is ([notebook 03](03_the_qformer.ipynb)).
#
# **Time.** 30 minutes to read, an hour with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}}
# of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import csv
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import minivl
from minivl import course, plots
from minivl.course import nA2
from minivl.data.batches import FileBatches
from minivl.data.cache import FeatureCache
from minivl.data.check import check
from minivl.data.content import ContentHashes
from minivl.data.detect import detect
from minivl.data.mixture import Mixture
from minivl.file_training import load_branch, train_on_files
from minivl.recipes import toy_recipe
from minivl.soft_prompt import IGNORE
from minivl.toyworld.captions import picture_caption
from minivl.toyworld.mp4 import write_mp4
from minivl.toyworld.questions import ask
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import MOTIONS, sample_scene
from minivl.toyworld.sounds import render_sound

# %%
course.show(
    course.overview("frames", "frame positions", "Video Q-Former", "video linear"),
    alt="The model with the frames and the vision branch highlighted.",
)

# %% [markdown]
# ## 1. A folder of clips
#
# Suppose that your camera hangs from a ceiling, upside down, and that coloured shapes move past it. You have four seconds of each, and for
# each you wrote down what happened *in the room*: in the picture a thing that moves left moves right.
#
# We make such clips with the toy world: drawn, turned by half a circle, and written as mp4 (H.264 with AAC sound, what phones and browsers
# use). From here on they are files like yours, and nothing below knows where they came from.

# %%
folder = Path(tempfile.mkdtemp())
os.chdir(folder)  # as if this notebook lay beside your clips
clips = folder / "clips"
clips.mkdir()


def moving_shapes(first, count):
    """`count` scenes with one coloured shape that moves left, right, up or down."""
    seeds = (sample_scene(seed) for seed in range(first, first + 100 * count))
    one = (s for s in seeds if len(s.shapes) == len(s.things) == 1 and s.motion in MOTIONS[:4])
    return [scene for scene, _ in zip(one, range(count))]


def film(path, scene, upside_down=True):
    frames = render_frames(scene, num_frames=16, size=64)  # [T, H, W, 3]
    frames = frames[:, ::-1, ::-1].copy() if upside_down else frames
    write_mp4(path, frames, fps=4, waveform=render_sound(scene))


mine = moving_shapes(0, course.steps(120, 20))
held_out = moving_shapes(500_000, course.steps(32, 4))
for group, scenes in (("mine", mine), ("test", held_out)):
    for number, scene in enumerate(scenes):
        film(clips / f"{group}{number:03}.mp4", scene)
size = sum(file.stat().st_size for file in clips.iterdir()) / 1e6
assert len(list(clips.iterdir())) == len(mine + held_out), "has each clip a name of its own?"
print(f"{len(mine)} clips to learn from, {len(held_out)} to be asked about, {size:.1f} MB")

# %% [markdown]
# ### What the camera sees, and what we wrote down
#
# Compare each row with the sentence above it. The sentence is true of the room.

# %%
figure = plots.Picture(figsize=(9, 3), layout="constrained")
for row, way in zip(figure.subplots(2, 8), ("right", "up")):
    number = next(n for n, scene in enumerate(mine) if scene.motion == way)
    clip = minivl.load_video(clips / f"mine{number:03}.mp4")
    for axes, frame in zip(row, clip.frames):
        axes.imshow(frame.permute(1, 2, 0).numpy())
        axes.axis("off")
    _ = row[0].text(0, -5, picture_caption(mine[number]), in_layout=False)
course.show(figure, alt="Two rows of frames: each shape moves the other way than its caption says.")

# %% [markdown]
# ### What the shipped model makes of them
#
# It has never seen a picture that is upside down. On clips like these, but upright, it names colour, shape and motion almost without a
# mistake (README).
#
# **Predict:** which of the three will it still get right: colour, shape, motion?

# %% tags=["nbval-check-output"]
ASKED = {kind: f"what {kind} is it?" for kind in ("colour", "shape")}
ASKED["motion"] = "which way does it move?"


def accuracy(model, names, scenes, kinds=tuple(ASKED)):
    """The share of right answers of each kind; every clip is watched once."""
    chat, right = minivl.Chat(model), dict.fromkeys(kinds, 0)
    for name, scene in zip(names, scenes):
        chat.watch(clips / name, hearing=False)
        for kind in kinds:
            chat.reset()
            truth = ask(scene, kind, np.random.default_rng(0)).answer
            right[kind] += chat.ask(ASKED[kind]) == truth
    return {kind: count / len(scenes) for kind, count in right.items()}


model = minivl.VideoLlama.from_pretrained("tiny", parts=("vision",))
tests = [f"test{n:03}.mp4" for n in range(len(held_out))]
before = accuracy(model, tests, held_out)
assert course.SMOKE or before["colour"] > 0.9, "does the model see the clips at all?"
assert before["motion"] < 0.3, "are the clips upside down?"
print("wrong in almost every case:", min(before, key=before.get))

# %% [markdown]
# <details><summary>Answer</summary>
#
# Colour: an upside-down red is red. Shape: most, for a circle or a square is the same upside down; a triangle is not. Motion: none at all.
# It is not that the model does not know; it says the opposite, every time, and with confidence. A model that was right 99 times in 100 on
# its own kind of data is right 0 times on yours, and nothing in its answer shows it. That is the reason to look at your own clips first.
#
# </details>

# %% [markdown]
# ## 2. Captions
#
# Of course one would turn *these* clips the right way up. They stand for all that cannot be undone: another lens, infrared, a microscope.
#
# Stage 1 learns from captions: one sentence for one clip. The simplest format is a table `captions.csv` with the columns `file` and
# `caption`, beside the clips. For a few clips a text file for each does as well: `clip.mp4` and `clip.txt`.

# %% tags=["nbval-check-output"]
table = clips / "captions.csv"
with table.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["file", "caption"])
    writer.writerows([f"mine{n:03}.mp4", picture_caption(scene)] for n, scene in enumerate(mine))

captions = detect(clips)  # which of the known formats lies in this folder?
sample = captions[0]
print(type(sample).__name__, sample.media.name, sample.turns)
assert len(captions) == len(mine) and sample.is_caption, "has the table its two columns?"

few = folder / "few"
few.mkdir()
film(few / "a.mp4", mine[0])
(few / "a.txt").write_text(picture_caption(mine[0]))
assert detect(few)[0].turns == sample.turns, "has the text the name of its clip?"

# %% [markdown]
# ### How a set is read
#
# A `Sample` is a path and what is said about it. A caption is one turn whose question is empty, so captions and conversations have one
# form. Nothing is opened yet: asking for sample *i* parses row *i*. Read by hand, a table of captions is this:

# %% tags=["component"]
def read_captions(table):
    """A captions.csv -> [(path of the medium, ((question, answer), ...)), ...]."""
    samples = []
    with table.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            samples.append((table.parent / row["file"], (("", row["caption"].strip()),)))
    return samples


# %% [markdown]
# The package's reader gives the same. It differs where a student's file never is and a published one always is: it notes where each row
# begins instead of holding 2.5 million rows in memory, and a bad row is one sentence with a line number, not the end of the program.

# %% tags=["same"]
with tempfile.TemporaryDirectory() as place:
    file = Path(place) / "captions.csv"
    file.write_text('file,caption\na.mp4,"a dog, then a train"\nb.mp4,a small red circle\n')
    package = [(sample.media, sample.turns) for sample in detect(file)]
    assert read_captions(file) == package, "are quoted commas part of the caption?"
print("the same samples")

# %% [markdown]
# ## 3. Instructions
#
# Stage 2 learns from questions and answers about a clip: here three for each, in the format of VideoChat (a JSON list of `video` and `QA`).
# The questions are worded in many ways. If each kind had one wording, the branch would learn to serve that wording.

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(0)
entries = []
for number, scene in enumerate(mine):
    kinds = ("motion", "see", "colour" if number % 2 else "shape")
    asked = [ask(scene, kind, rng) for kind in kinds]
    turns = [{"q": question.text, "a": question.answer} for question in asked]
    entries.append({"video": f"mine{number:03}.mp4", "QA": turns})
chats = folder / "instructions.json"
chats.write_text(json.dumps(entries, indent=1))

instructions = detect(chats, media=clips)
for question, answer in instructions[0].turns:
    print(f"{question:42}{answer}")
assert len(instructions[0].turns) == 3, "has each entry a list QA with q and a?"

# %% [markdown]
# ### The formats of the paper's data sets
#
# The same function reads the files of the paper's data sets as they are downloaded (paper, section 2.2). One row of each, about a clip of
# ours:
#
# | set | size | file | a row holds | stage |
# | --- | --- | --- | --- | --- |
# | WebVid | 2.5 million videos | csv, tsv | `videoid`, `page_dir`, `name` (the caption) | 1 |
# | LLaVA-CC3M | 595 thousand images | json | `image`, `conversations` (the answer is the caption) | 1 |
# | LLaVA-Instruct | 150 thousand conversations | json | `image`, `conversations`: `from` human or gpt, `value` | 2 |
# | VideoChat | 11 thousand conversations | json | `video`, `QA`: `q`, `a` | 2 |

# %% tags=["nbval-check-output"]
formats = folder / "formats"
formats.mkdir()
header = "videoid,contentUrl,duration,page_dir,name"
(formats / "webvid.csv").write_text(f'{header}\nmine000,,PT00H00M04S,.,"A Shape (LARGE) moves!"\n')
said = [{"from": "human", "value": "<image>\nWhat moves?"}, {"from": "gpt", "value": "A shape."}]
llava = [{"id": "1", "image": "mine000.mp4", "conversations": said}]
(formats / "llava.json").write_text(json.dumps(llava))
videochat = [{"video": "mine000.mp4", "QA": [{"q": "What moves?", "a": "A shape."}]}]
(formats / "videochat.json").write_text(json.dumps(videochat))

for name in ("webvid.csv", "llava.json", "videochat.json"):
    sample = detect(formats / name, media=clips)[0]
    print(f"{name:16}{sample.media.name}  {sample.turns}")

# %% [markdown]
# ### What is done to the text
#
# WebVid's captions are cleaned as the original cleans them: lower case, most punctuation marks made blanks, at most 50 words. The captions
# of the other sets are taken as they are. `<image>` in LLaVA's questions says where the picture belongs; in a prompt the soft prompt goes
# there.

# %% [markdown]
# ## 4. Check the data before you train
#
# `minivl data check FOLDER` reads every row, looks for every file, decodes some of them, and says what a training would spend on reading.
# In Python it is `check`. Read its lines from above: how many rows are usable? Does any clip occur twice? How long are the answers?

# %%
report = check(captions, decode=20, progress=False)
print(report)
assert report.usable == len(mine), "is every clip of the table in the folder?"
assert report.broken_rows.count == 0, "has every row a file and a caption?"

# %% [markdown]
# ### Broken on purpose
#
# Real folders have clips that were cut short by a full disk, rows whose clip was deleted, and rows without a caption. Three such rows, at
# the end of the table:
#
# **Predict:** which of the three can be found without decoding any file?

# %%
whole = (clips / "mine000.mp4").read_bytes()
(clips / "cut.mp4").write_bytes(whole[: len(whole) // 3])
with table.open("a") as file:
    file.write("cut.mp4,a large red circle moves up\n")
    file.write("forgotten.mp4,a small green star moves left\n")
    file.write("mine001.mp4,\n")

captions = detect(clips)
quick = check(captions, decode=0, progress=False)
thorough = check(captions, decode=None, progress=False)
for problems in (thorough.broken_rows, thorough.missing_media, thorough.broken_media):
    print(*(line.replace(str(folder), "...") for line in problems.listed), sep="\n")
assert (quick.broken_rows.count, quick.missing_media.count) == (1, 1), "are the rows at the end?"
assert (quick.broken_media.count, thorough.broken_media.count) == (0, 1), "is cut.mp4 cut short?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The empty caption and the missing clip. That a file is cut short is seen only by decoding it, so a check without decoding is quick and
# blind for the commonest damage. `--decode 200` decodes 200 files, spread evenly over the set: one broken file in a hundred is then found
# with a probability of 87 %.
#
# </details>

# %% [markdown]
# ### What the original does
#
# The original replaces what it cannot read by another sample, drawn at random, and says so in a line of a log at most (see
# [`data/samples.py`]({{repo}}/blob/main/minivl/data/samples.py)). If a third of the videos is broken, it trains on two thirds, and nobody
# knows. We leave our three broken rows in. The training will leave them out, and say so.

# %% [markdown]
# ## 5. What a step reads
#
# A batch is drawn from one set, decoded, encoded by the frozen eyes, and worded. Stage 1 has no question at all: the soft prompt, then the
# caption. In stage 2 the same clip stands in a chat, and only the answers are learned. Below, `*` marks a vector of the soft prompt, and
# what is learned stands in capitals.

# %%
def worded(batch, row=0):
    """The text of one example; what has to be predicted in capitals."""
    words = []
    for token, label in zip(batch.ids[row].tolist(), batch.labels[row].tolist()):
        text = "*" if token < 0 else model.tokenizer.decode([token])
        words.append(text.upper() if label != IGNORE else text)
    return " ".join(word for word in words if word != "<pad>")


for stage, samples in ((1, detect(few)), (2, instructions)):
    mixture = Mixture([samples], [1.0], batch=1, seed=0)
    with FileBatches(model, "vision", mixture, stage, augment=False) as draw:
        batch = draw(0)
    print(f"stage {stage}: frame tokens {list(batch.frame_tokens.shape)}\n  {worded(batch)}")
    assert (batch.labels[batch.ids < 0] == IGNORE).all(), "is a soft prompt ever predicted?"

# %% [markdown]
# ## 6. The cache of frozen features
#
# The eyes are frozen, so a clip gives the same features in every epoch. They are computed once and kept. The question is by which name. A
# file's *path* is a bad one: replace a clip by another of the same name, and yesterday's features come back. So the name is a hash of the
# file's bytes:
#
# $$\text{name} = \text{SHA-256}(\text{bytes of the file})$$
#
# and the folder in which they are kept is named by a hash of the encoder's weights, for the same reason.

# %% tags=["component"]
def content_name(file):
    """The name by which a file's features are kept: half of the SHA-256 of its bytes."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:32]


# %% tags=["same"]
with tempfile.TemporaryDirectory() as place:
    one, copy, other = (Path(place) / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    one.write_bytes(b"frames " * 1000)
    copy.write_bytes(one.read_bytes())
    other.write_bytes(one.read_bytes() + b".")
    package = ContentHashes(Path(place) / "hashes.sqlite")
    names = [content_name(file) for file in (one, copy, other)]
    assert names == [package.of(file) for file in (one, copy, other)], "half of the digits?"
    assert names[0] == names[1] != names[2], "does the name depend on the bytes alone?"
print("the same names")

# %% [markdown]
# ### Filled once, read often
#
# **Predict:** we fill the cache with our clips, and after that rename one of them. Has it to be encoded again?

# %%
cache = FeatureCache(folder / "cache", model, "vision")
good = [clips / f"mine{n:03}.mp4" for n in range(len(mine))]
first = cache.fill(good, progress=False)
renamed = good[0].rename(clips / "another_name.mp4")
again = cache.fill([renamed, *good[1:]], progress=False)
_ = renamed.rename(good[0])
kept = cache.get(good[0]).features
print(f"first: {first.added} added, {first.bytes / 1e6:.1f} MB; again: {again.added} added")
print(f"{first.seconds:.1f} s, then {again.seconds:.2f} s; a clip: {list(kept.shape)} {kept.dtype}")
assert (first.added, again.added) == (len(mine), 0), "is a clip known by its content?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# No. Its bytes are what they were. Each clip is now 8 x 8 vectors of width 128, 33 kB, half of what the file takes; training reads them at
# once instead of decoding and encoding it again. The price: what is kept are the frames of evaluation. Random crops and random frames,
# which the original trains with, would need an entry for each epoch, so with a cache there are none.
#
# </details>

# %% [markdown]
# ## 7. Train
#
# Stage 1, then stage 2, as in the paper, on the branch that we have. (On much data of your own you would begin with a fresh one,
# `fresh=True`, as the command line does in stage 1.) A recipe says how many steps, how large a batch, how high a learning rate. 120 clips
# are very few; the frozen parts know shapes and colours already, and only what a direction *means* has to be learned.

# %%
run, steps = folder / "run", {1: course.steps(50), 2: course.steps(80)}
sets, after = {1: captions, 2: instructions}, {}
began = time.perf_counter()
for stage in (1, 2):
    recipe = toy_recipe(steps[stage], learning_rate=1.5e-3, batch=16)
    data = [(sets[stage], 1.0)]
    report = train_on_files(model, "vision", stage, data, run, recipe, cache=folder / "cache")
    after[stage] = accuracy(model, tests, held_out)
    print(f"stage {stage}: loss {report['loss'][-1]:.4f}, left out: {report['samples left out']}")
print(f"{time.perf_counter() - began:.0f} s")
assert course.SMOKE or after[2]["motion"] > 0.7, "was stage 2 trained on the instructions?"

# %% [markdown]
# ### What was learned, stage by stage
#
# Every step's loss is in `loss.csv` of the stage's folder. The bars are about the held-out clips, which no training has seen.

# %%
figure = plots.Picture(figsize=(9.5, 3), layout="constrained")
left, right = figure.subplots(1, 2)
for stage, colour, line in ((1, course.BLUE, "-"), (2, course.RED, "--")):
    rows = (run / f"vision_stage{stage}" / "loss.csv").read_text().splitlines()[1:]
    losses = [float(row.split(",")[1]) for row in rows]
    left.plot(range(1, len(losses) + 1), losses, line, color=colour, label=f"stage {stage}")
_ = left.set(xlabel="step", ylabel="loss", yscale="log", title="loss of the answers' tokens")
_ = left.legend()
looks = ((before, "before", course.GREY, ""), (after[1], "after stage 1", course.SKY, "//"),
         (after[2], "after stage 2", course.BLUE, ""))  # fmt: skip
for shift, (table_of, name, colour, hatch) in enumerate(looks):
    places = [kind + 0.27 * (shift - 1) for kind in range(len(ASKED))]
    bars = right.bar(places, table_of.values(), 0.25, label=name, color=colour, hatch=hatch)
    _ = right.bar_label(bars, fmt="%.2f", fontsize=9)
_ = right.set(xticks=range(3), xticklabels=ASKED, ylim=(0, 1.45), title="accuracy, held-out clips")
_ = right.legend(ncols=3, fontsize=9, loc="upper center")
course.show(figure, alt="Left: two falling loss curves. Right: motion rises from zero.")

# %% [markdown]
# Stage 1 learned the new directions partly: its captions say them, but nobody asked. Stage 2 asks, and the answers come. Shapes improved as
# well: a triangle on its tip is a triangle.
#
# The loss alone would have misled you. Near 0.001 it promises a model without mistakes. It was measured on 120 clips that the branch has
# seen more than ten times each and knows by heart; the bars were not.

# %% [markdown]
# ### The log of what was left out
#
# Each sample that could not be used is a line in `broken.log`, once, however often it was drawn. Our three broken rows are there, each with
# its reason.

# %%
log = (run / "vision_stage1" / "broken.log").read_text().splitlines()
for line in sorted(log):
    print(line.replace(str(folder), "..."), end="\n\n")
assert course.SMOKE or len(log) == 3, "were all rows drawn at least once?"
assert not (run / "vision_stage2" / "broken.log").exists(), "are the instructions about good clips?"

# %% [markdown]
# ## 8. Use the new branch
#
# A training writes only what it trained: one safetensors file of the branch. `load_branch` puts it into the model that it was trained in; a
# file that does not belong there is refused with a sentence, and the model stays as it was. On the command line: `minivl ask clip.mp4 "..."
# --branch-file FILE`.

# %% tags=["nbval-check-output"]
weights = run / "vision_branch.safetensors"
fresh = minivl.VideoLlama.from_pretrained("tiny")
try:
    load_branch(fresh, "audio", weights)
except minivl.WeightsError as error:
    print(str(error).replace(str(folder), "..."))
load_branch(fresh, "vision", weights)
chat = minivl.Chat(fresh)
chat.watch(clips / "test000.mp4")
answer, truth = chat.ask("which way does it move?"), ask(held_out[0], "motion", rng).answer
assert course.SMOKE or answer == truth, "is it the branch after stage 2?"
print("says what happened in the room")

# %% [markdown]
# ### What did it cost?
#
# **Predict:** the new branch is asked about clips of an upright camera, which the shipped one answered almost without a mistake. What does
# it say of their motion?

# %%
upright = [f"upright{n:03}.mp4" for n in range(len(held_out))]
for name, scene in zip(upright, held_out):
    film(clips / name, scene, upside_down=False)
shipped = accuracy(course.tiny_model(), upright, held_out, kinds=("motion",))["motion"]
new = accuracy(fresh, upright, held_out, kinds=("motion",))["motion"]
print(f"motion in upright clips: shipped branch {shipped:.2f}, new branch {new:.2f}")
assert course.SMOKE or shipped > 0.9, "are these clips upright?"
assert course.SMOKE or new < shipped - 0.3, "did the training change the branch?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The opposite of what is true, every time. Nothing in its data said that there are upright cameras, and it cannot tell which kind it is
# looking at. This is *forgetting*, and it is not a fault of the optimiser: the data say that left is right. The remedy is in the data too.
# Keep a share of the old clips in the mixture (`train_on_files` takes several sets with ratios, the command line `--data mine:1 --data
# old:1`), or keep two branch files and choose.
#
# </details>

# %% [markdown]
# ## 9. What to change for real clips
#
# - **The model.** The tiny one knows 150 words; an unknown word in an answer is not learned. For real captions take `video-llama-7b`, or
#   the middle-sized model of the README (the 7B model's eyes and ears in front of TinyLlama), and a GPU: `minivl plan --branch vision
#   --stage 1 --gpu A100` says what a run costs.
# - **The clips.** Anything that FFmpeg reads. Keep images and videos in two sets: a batch is one tensor, and all of its clips need equally
#   many frames.
# - **The recipe.** `--paper` takes the paper's numbers, which are for millions of clips. For a few thousand we have measured nothing: begin
#   with the published branch (in Python, as above; on the command line stage 1 begins anew), and let held-out clips decide on steps and
#   learning rate.
# - **The cache.** With it, each epoch saves the decoding and the frozen encoder; without it (`--no-cache`) you get random crops and random
#   frames.
# - **The test.** Keep clips aside before you begin, and ask questions with one true answer. A falling loss is no proof, as you saw.

# %% [markdown]
# The same in a terminal, where a run that was killed goes on when its command is given again:
#
# ```
# minivl data check my_clips
# minivl train --branch vision --stage 1 --data my_clips --model video-llama-7b --out runs/mine
# minivl train --branch vision --stage 2 --data chats.json --media my_clips --model video-llama-7b --out runs/mine \
#              --branch-file runs/mine/vision_branch.safetensors
# minivl ask clip.mp4 "what happens?" --model video-llama-7b --branch-file runs/mine/vision_branch.safetensors
# ```

# %% [markdown]
# ## Recap
#
# - Captions are a table of `file` and `caption`; instructions are a JSON list of `video` and `QA`. The published sets are read as they are.
# - A set is lazy, and a bad row is a sentence with a line number. Check the data, and decode a part of it, before you train.
# - Frozen features are kept under a hash of the file's bytes and of the encoder's weights. Names do not matter.
# - What cannot be used is left out and logged; nothing is replaced in silence.
# - A training writes one branch. It learns what your data say, and forgets what they do not say.

# %% [markdown]
# ## Exercises
#
# Two about writing annotations, one about the size of a disk.

# %% [markdown]
# ### Exercise A2.1: from a spreadsheet to instructions · ★☆☆ · 10 minutes
#
# People write questions into a spreadsheet, one in each row, in any order: `{"file": "a.mp4", "question": "...", "answer": "..."}`. Write a
# function that gets such a list of rows and returns the list that VideoChat's format wants: one entry for each file, in the order in which
# the files first appear, with its questions in the order of the rows.
#
# <details><summary>Hint</summary>
#
# A dictionary keeps the order in which its keys were first set. `setdefault` saves an `if`.
#
# </details>

# %% tags=["exercise"] exercise="A2.1"
def to_videochat(rows):
    raise NotImplementedError('your code: -> [{"video": ..., "QA": [{"q": ..., "a": ...}]}]')

# %% tags=["checker"] exercise="A2.1"
course.check(nA2.to_videochat, to_videochat)

# %% tags=["solution"] exercise="A2.1"
def to_videochat(rows):
    turns = {}
    for row in rows:
        turns.setdefault(row["file"], []).append({"q": row["question"], "a": row["answer"]})
    return [{"video": file, "QA": said} for file, said in turns.items()]

# %% [markdown] tags=["why"] exercise="A2.1"
# Three questions about one clip in one entry are one forward pass with three answers to learn from. In three entries they are three passes,
# and the model never learns that a conversation goes on.

# %% tags=["wrong"] exercise="A2.1" hint="one entry for each file"
def to_videochat(rows):
    return [{"video": r["file"], "QA": [{"q": r["question"], "a": r["answer"]}]} for r in rows]

# %% tags=["wrong"] exercise="A2.1" hint="'q'"
def to_videochat(rows):
    turns = {}
    for row in rows:
        turns.setdefault(row["file"], []).append({k: row[k] for k in ("question", "answer")})
    return [{"video": file, "QA": said} for file, said in turns.items()]

# %% tags=["wrong"] exercise="A2.1" hint="first appear"
def to_videochat(rows):
    files = sorted({row["file"] for row in rows}, reverse=True)
    return [
        {"video": f, "QA": [{"q": r["question"], "a": r["answer"]} for r in rows if r["file"] == f]}
        for f in files
    ]

# %% [markdown]
# ### Exercise A2.2: find the bug · ★★☆ · 10 minutes
#
# This function wrote a table of captions, and `minivl data check` calls some of its rows broken. Which ones, and why? Write it anew, so
# that every caption comes back word for word.
#
# ```python
# def write_captions(path, captions):
#     lines = ["file,caption"] + [f"{file},{caption}" for file, caption in captions.items()]
#     path.write_text("\n".join(lines) + "\n")
# ```
#
# <details><summary>Hint</summary>
#
# Try `{"a.mp4": "a dog, then a train", "b.mp4": 'a sign that says "stop"'}`. The module `csv` knows the rules.
#
# </details>

# %% tags=["exercise"] exercise="A2.2"
def write_captions(path, captions):
    raise NotImplementedError("your code: writes the table; captions is {file: caption}")

# %% tags=["checker"] exercise="A2.2"
course.check(nA2.write_captions, write_captions)

# %% tags=["solution"] exercise="A2.2"
def write_captions(path, captions):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "caption"])
        writer.writerows(captions.items())

# %% [markdown] tags=["why"] exercise="A2.2"
# A comma ends a field unless the field stands in quotes, and a quote inside quotes is doubled. WebVid's own captions are full of both,
# which is why the reader of the package is not `line.split(",")`.

# %% tags=["wrong"] exercise="A2.2" hint="comma"
def write_captions(path, captions):
    lines = ["file,caption"] + [f"{file},{caption}" for file, caption in captions.items()]
    path.write_text("\n".join(lines) + "\n")

# %% tags=["wrong"] exercise="A2.2" hint="doubled"
def write_captions(path, captions):
    lines = ["file,caption"] + [f'{file},"{caption}"' for file, caption in captions.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

# %% tags=["wrong"] exercise="A2.2" hint="word for word"
def write_captions(path, captions):
    bare = {file: text.replace(",", "").replace('"', "") for file, text in captions.items()}
    lines = ["file,caption"] + [f"{file},{text}" for file, text in bare.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

# %% [markdown]
# ### Exercise A2.3: a disk for WebVid · ★★☆ · 5 minutes
#
# WebVid has 2.5 million videos. The 7B model takes 8 frames of each; its image Q-Former makes 32 vectors of width 768 of a frame, kept in
# half precision (2 bytes a number). How many gigabytes (10^9 bytes) does the cache of the whole set take?
#
# <details><summary>Hint</summary>
#
# Videos, times frames, times vectors, times width, times bytes.
#
# </details>

# %% tags=["exercise"] exercise="A2.3"
gigabytes = None

# %% tags=["checker"] exercise="A2.3"
course.check(nA2.gigabytes, gigabytes)

# %% tags=["solution"] exercise="A2.3"
gigabytes = 2.5e6 * 8 * 32 * 768 * 2 / 1e9

# %% [markdown] tags=["why"] exercise="A2.3"
# A terabyte: one disk, against weeks of decoding. The audio branch, which needs one vector of width 1024 for each frame, takes 41 GB.
# `FeatureCache.fill` says how much it will take before it begins, and refuses if the disk has less.

# %% tags=["wrong"] exercise="A2.3" hint="frames"
gigabytes = 2.5e6 * 32 * 768 * 2 / 1e9

# %% tags=["wrong"] exercise="A2.3" hint="half precision"
gigabytes = 2.5e6 * 8 * 32 * 768 * 4 / 1e9

# %% tags=["wrong"] exercise="A2.3" hint="patches"
gigabytes = 2.5e6 * 8 * 257 * 1408 * 2 / 1e9

# %% [markdown]
# ## What to read next
#
# - [Notebook 10](10_is_it_true.ipynb): how to measure what a model knows, and how sure one may be.
# - [Notebook 11](11_the_real_thing.ipynb): the weights that the authors published.
# - [Notebook 12](12_train_the_real_eyes_and_ears.ipynb): the large model's eyes and ears in front of a small language model.
# - The code: [`data/`]({{repo}}/blob/main/minivl/data) (one file for each format, the check, the cache, the mixture) and
#   [`file_training.py`]({{repo}}/blob/main/minivl/file_training.py). A few rows of every format, some broken on purpose, are in
#   [`data_samples/annotations`]({{repo}}/blob/main/data_samples/annotations).
