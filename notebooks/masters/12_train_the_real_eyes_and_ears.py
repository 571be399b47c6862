# %% [markdown]
# # Train in front of the real eyes and ears
# {{badge}}
#
# **What you will be able to do.** You plan and run a training of your own on a free GPU: the published ViT, Q-Former and ImageBind stay frozen, a chat model
# of 1.1 billion parameters stays frozen, and a new branch between them learns from *your* clips. You know what it costs before it starts, check the data,
# keep the features, and measure the result against a model that does not look.
#
# **What you need to know.** Notebooks [06](06_stage_1_captions.ipynb) and [07](07_stage_2_instructions.ipynb) (the two stages),
# [11](11_the_real_thing.ipynb) (the published files).
#
# **Time.** 30 minutes to read, 45 with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of memory.
# Nothing is downloaded: here everything runs on a *replica*, the tiny model in files of the published layout, with clips that we draw. GPU: not needed here (no GPU time was
# measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import csv
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import minivl
from minivl import course
from minivl.config import tiny, video_llama_1b
from minivl.confidence import wilson
from minivl.conversation import Conversation, upload_message, upload_slots
from minivl.course import n12, replica
from minivl.data.cache import FeatureCache
from minivl.data.captions import captioned_folder
from minivl.data.check import check
from minivl.data.instructions import videochat
from minivl.demo import CLIPS
from minivl.file_training import load_branch, train_on_files
from minivl.planning.memory import plan_memory
from minivl.planning.training_plan import plan_training
from minivl.recipes import Recipe, toy_recipe
from minivl.soft_prompt import VIDEO_SLOT, tokenize
from minivl.toyworld.captions import noun
from minivl.toyworld.mp4 import write_mp4
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import COLOURS, MOTIONS, SHAPES, UNSEEN_PAIRS, Scene, Thing

# %%
course.show(course.overview("frame positions", "Video Q-Former", "video linear"),
            alt="Video-LLaMA as boxes; the three parts of the vision branch are highlighted")

# %% [markdown]
# ### What is trained, and what is not
#
# The highlighted boxes are all that we train. What stands before and behind them was learned by others:
#
# | part | from | parameters |
# | --- | --- | --- |
# | ViT, image Q-Former | EVA-CLIP, BLIP-2 (as in the 7B model) | 1,091 million, frozen |
# | **vision branch** | nobody yet: **yours** | 20.5 million, trained |
# | language model | TinyLlama-1.1B-Chat, Apache 2.0 licence | 1,100 million, frozen |
#
# minivl calls this size `video_llama_1b`. There are no published branches for it, and no one has trained one yet, as far as we know: how good it becomes with how
# many clips is not known. What this notebook gives you is the whole way, tried from end to end at tiny size.

# %% [markdown]
# ## 1. The plan, before anything is downloaded
#
# ### Memory
#
# **Predict:** a free Colab GPU (T4) has 15 GB for a program. Which of these fit: a training of the 7B model in 4 bits; one of the 1B model with the eyes on the GPU;
# one of the 1B model whose eyes have looked before, and are gone?

# %% tags=["nbval-check-output"]
how = {"mode": "train", "branch": "vision", "batch": 4}  # of 512 tokens, where the original cuts
plans = {
    "7B, 4 bit": plan_memory("video_llama_7b", dtype="4bit", **how),
    "1B, fp16, eyes on the GPU": plan_memory("video_llama_1b", dtype="fp16", **how),
    "1B, fp16, cached features": plan_memory("video_llama_1b", dtype="fp16", cached=True, **how),
}
for name, plan in plans.items():
    print(f"{name:27}{plan.total / 1e9:5.1f} GB  {'fits' if plan.total < 15e9 else 'too much'}")
assert plans["1B, fp16, cached features"].total < 15e9, "is the 7B model in the plan of the 1B?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The last two. Even in 4 bits, the 7B model leaves too little room for what training keeps: activations of 32 layers for the way back. (With
# `checkpointing=True`, which computes them again instead, it fits, and takes a third longer.)
# </details>

# %% [markdown]
# ### Hours
#
# Each weight that is used on a token costs 2 FLOPs forward. If a gradient passes back through it, 2 more; if the weight itself is trained, 2 more again. So
# with $N$ weights, per token:
#
# $$ \text{frozen, before the branch: } 2N \qquad \text{frozen, behind it: } 4N \qquad \text{trained: } 6N $$
#
# The language model stands *behind* the branch. The gradient has to pass through all of it to reach the soft prompt, though none of its weights moves
# (paper, section 2.2).

# %% tags=["nbval-check-output"]
mine = Recipe(steps=1000, batch=32, learning_rate=1e-4, floor=1e-5, warmup=100, clip=1.0)
plan = plan_training("vision", 1, "video_llama_1b", gpu="T4", gpus=1,
                     cached=True, recipe=mine, videos=1.0)
eyes, branch, llm = plan.work
tokens, weights = plan.tokens, 1.1e9
print(f"a sample has {tokens} tokens: 1 + 32 of the soft prompt + up to 32 of the caption")
print(f"language model, counted {(llm.forward + llm.backward) / 1e9:.0f} GFLOPs, "
      f"by hand 4 N = {4 * weights * tokens / 1e9:.0f}")
print(f"branch {(branch.forward + branch.backward) / 1e9:.1f} GFLOPs, "
      f"eyes {eyes.forward / 1e9:,.0f} for a clip")
print(f"{plan.samples:,} samples: {plan.hours():.2f} hours on a T4, fits: {plan.fits}")
ratio = (llm.forward + llm.backward) / (4 * weights * tokens)
assert 0.9 < ratio < 1.1, "the rule of thumb is 4 N for a frozen model: is the way back counted?"

# %% [markdown]
# Seven minutes. The hours assume 35 % of the card's peak; we could not measure it. The surprise is the line before: **looking at a clip once costs sixteen times as much as learning to
# read about it.** In a training that sees each clip many times, the eyes would do nearly all of the work, and give the same numbers every time. So they look once
# (section 5).

# %% [markdown]
# ## 2. One switch
#
# With `WANTED = True` and a GPU, the cells below use the published files, TinyLlama, and the folder `my_clips` that you have prepared as section 3 shows.

# %%
WANTED = False  # True: you have a GPU, 12 GB of disk, a folder my_clips, and have read notebook 11
REAL = WANTED and torch.cuda.is_available()
assert REAL or not WANTED, "no GPU here: on Colab choose Runtime, Change runtime type, T4"

work = Path("runs") if REAL else Path(tempfile.mkdtemp())
if REAL:
    from minivl.published.download import download_official

    files = ("eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth", "imagebind_huge.pth")
    official = download_official("7b", Path("official"), files)  # 7.3 GB: no LLaMA, no branches
    options = {"llm": "TinyLlama/TinyLlama-1.1B-Chat-v1.0"}  # 2.2 GB, fetched by name
    clips = Path("my_clips")
    recipes = (mine, replace(mine, learning_rate=3e-5, floor=3e-6))
else:
    official = replica.write_replica(work / "official", branches=False)
    options = {"config": replace(tiny(), match_norms=True), "device": "cpu"}
    clips = work / "my_clips"
    recipes = (toy_recipe(course.steps(100), 1.5e-3, 12), toy_recipe(course.steps(100), 1.5e-3, 12))

# %% [markdown]
# `match_norms` mends a gap in the original: its audio branch learns from picture vectors of norm 1 and hears sound vectors of norm 20
# ([notebook 11](11_the_real_thing.ipynb), section 12). A branch that is trained anew need not inherit that.

# %% [markdown]
# ## 3. A folder of clips
#
# Two stages want two kinds of text (paper, section 2.2):
#
# - stage 1: **captions**, many and short, in `captions/training/captions.csv` with the columns `file` and `caption`,
# - stage 2: **questions and answers**, few and good, in `training.json` as VideoChat-11K has them: `[{"video", "QA": [{"q", "a"}, ...]}, ...]`.
#
# The clips themselves lie in `videos/`, and `test.json` has the questions of the clips that are held out. All formats that minivl reads are in [appendix A2](A2_your_own_data.ipynb). Some clips must be set aside **before** anything is
# learned: whole clips, not single questions, or the test asks about clips that training has seen (exercise 12.3).
#
# Here we draw: one shape, one colour, one direction. Three of the thirty colour-shape pairs are kept out of the training, to be asked about at the end.

# %%
KNOWN = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in UNSEEN_PAIRS]


def draw(seed, pairs=KNOWN):
    rng = np.random.default_rng(seed)
    colour, shape = pairs[rng.integers(len(pairs))]
    x, y = rng.uniform(0.4, 0.6, 2).tolist()
    return Scene(seed, (Thing(shape, "large", colour, x=x, y=y),), MOTIONS[rng.integers(4)])


def facts(scene):
    thing = scene.things[0]
    return {"what colour is it?": thing.colour, "what shape is it?": noun(thing.name),
            "which way does it move?": f"it moves {scene.motion}"}

# %% tags=["nbval-check-output"]
def write_set(name, scenes):
    """videos/, captions/NAME/captions.csv and NAME.json: stage 1 and stage 2 of the same clips."""
    (clips / "videos").mkdir(parents=True, exist_ok=True)
    (clips / "captions" / name).mkdir(parents=True)
    with open(clips / "captions" / name / "captions.csv", "w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(("file", "caption"))
        for scene in scenes:
            thing, file = scene.things[0], f"{scene.seed}.mp4"
            write_mp4(clips / "videos" / file, render_frames(scene, 8, 64), fps=2)
            rows.writerow((file, f"{noun(thing.name, thing.colour)} moves {scene.motion}"))
    told = [{"video": f"{scene.seed}.mp4",
             "QA": [{"q": q, "a": a} for q, a in facts(scene).items()]} for scene in scenes]
    (clips / f"{name}.json").write_text(json.dumps(told))
    print(f"{name:9} {len(scenes):4} clips, {sum(len(one['QA']) for one in told):4} questions")


if not REAL:
    write_set("training", [draw(n) for n in range(course.steps(160, 32))])
    write_set("test", [draw(500_000 + n) for n in range(course.steps(50, 8))])
    write_set("unseen", [draw(600_000 + n, UNSEEN_PAIRS) for n in range(course.steps(40, 8))])

# %% [markdown]
# ### Look at some of them
#
# Nobody should train on clips that nobody has looked at.

# %% tags=["nbval-ignore-output"]
captions = captioned_folder(clips / "captions" / "training", clips / "videos")
questions = videochat(clips / "training.json", clips / "videos")
figure = minivl.plots.Picture(figsize=(9, 3.6), layout="constrained")
for row in range(3):
    clip = minivl.load_video(captions[row].media)
    for column, frame in enumerate(clip.frames):
        axes = figure.add_subplot(3, 8, 8 * row + column + 1)
        axes.imshow(frame.permute(1, 2, 0))
        axes.axis("off")
        if column == 0:
            axes.set_title(captions[row].turns[0][1], fontsize=10, loc="left")
course.show(figure, alt="Three clips of eight frames, each with its caption: a shape moves")

# %% [markdown]
# ## 4. Is the data what it says it is?
#
# A training of hours should not stop, or worse go on, over a file that was cut short. `minivl data check` reads every row, decodes some clips, and counts. To see it work, let us give it a set with four
# faults.
#
# **Predict:** the set has six rows. Faults: a file that is missing, an empty caption, a text that calls itself `.mp4`, and a clip that is there twice. How many rows are usable?

# %%
bad = work / "bad"
bad.mkdir(parents=True, exist_ok=True)
for name, row in (("one.mp4", 0), ("two.mp4", 1), ("three.mp4", 2)):
    shutil.copy(captions[row].media, bad / name)
(bad / "text.mp4").write_text("not a video")
rows = ["one.mp4,a thing", "two.mp4,", "gone.mp4,a thing", "text.mp4,a thing",
        "three.mp4,a thing", "one.mp4,a thing"]
(bad / "captions.csv").write_text("file,caption\n" + "\n".join(rows) + "\n")
report = check(captioned_folder(bad), size=64, progress=False)
print(str(report).replace(f"{bad}/", "").split("a training")[0])
assert report.usable == 4, "is the text still called text.mp4?"

# %% tags=["nbval-check-output"]
good = check(captions, decode=20, size=64, progress=False)
print(f"bad: {report.usable} of {report.rows} usable, {report.broken_rows.count} broken row, "
      f"{report.missing_media.count} missing, {report.broken_media.count} broken file, "
      f"{report.repeated_media} there twice")
assert good.usable == good.rows and not good.broken_media.count, "mend what it names first"
print("ours: every row is usable, and of 20 decoded clips none is broken")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Four: the empty caption and the missing file are out. The text counts as usable until somebody tries to decode it, which the check does for a part of the files only
# (`decode=None`: for all). A clip that is there twice is no fault, but worth knowing. In training, a sample that cannot be used is left out and named in `broken.log`. (The original puts a random other sample in
# its place.)
# </details>

# %% [markdown]
# ## 5. Load: eyes of others, a branch of your own
#
# `branches="new"` reads no branch from files. It draws new weights from a seed, in a size that fits the language model: positions half as large as what they
# are added to, and soft prompts as large as word embeddings.

# %% tags=["nbval-check-output"]
model = minivl.VideoLlama.from_official(official, branches="new", parts=("vision",), **options)
frames = minivl.load_video(captions[0].media, size=model.config.vit.image_size).frames
with torch.no_grad():
    video = model.video_prompt(model.encode_frames(frames[None]))
length = video.norm(dim=-1).mean().item()
word = model.llm.get_input_embeddings().weight.float().norm(dim=-1).mean().item()
print(f"soft prompt {list(video.shape)}: a vector is as long as {length / word:.1f} words")
assert 0.3 < length / word < 3, "a soft prompt should start as long as words: are they of this LLM?"

# %% [markdown]
# ### The naive way, and a cache
#
# The frozen eyes give the same numbers for the same clip at every step. A training of 1,000 steps with 32 clips each looks 32,000 times; with 2,000 clips, each clip is looked at 16 times, and 15 of them
# are for nothing.
#
# So keep what they gave. Under which name? Not the file's: tomorrow another clip may have it. And not the clip's alone: other eyes see other things. A key is made of
#
# $$ \text{key} = \big(\,\mathrm{SHA256}(\text{weights of the eyes}),\; \mathrm{SHA256}(\text{bytes of the file})\,\big) $$

# %% tags=["component"]
class SmallCache:
    """What frozen eyes made of a file, kept under which eyes looked and what the file holds."""

    def __init__(self, model):
        self.model, self.kept, self.looked = model, {}, 0
        weights = hashlib.sha256()
        for name, tensor in sorted(model.image_encoder.state_dict().items()):
            weights.update(name.encode() + tensor.cpu().numpy().tobytes())
        self.eyes = weights.hexdigest()

    def features(self, file):
        """Frame tokens [T, K, width]."""
        key = self.eyes, hashlib.sha256(Path(file).read_bytes()).hexdigest()
        if key not in self.kept:
            self.looked += 1
            config = self.model.config
            clip = minivl.load_video(file, config.num_frames, config.vit.image_size)
            self.kept[key] = self.model.encode_frames(clip.frames[None])[0]
        return self.kept[key]

# %% [markdown]
# ### The same as the package
#
# [data/cache.py]({{repo}}/blob/main/minivl/data/cache.py) does the same on disk, for many readers at once, and can be stopped at any time. A copy under another name must not be looked at again:

# %% tags=["same"]
tiny_model = course.tiny_model()
with tempfile.TemporaryDirectory() as folder:
    clip, copied = Path(folder) / "a.mp4", Path(folder) / "b.mp4"
    for file in (clip, copied):
        shutil.copy(CLIPS / "cat_but_drum.mp4", file)
    small, kept = SmallCache(tiny_model), FeatureCache(Path(folder) / "cache", tiny_model, "vision")
    filled = kept.fill([clip, copied], progress=False)
    assert torch.allclose(small.features(clip), kept.get(clip).features, atol=1e-5), (
        "other features: are the frames those of evaluation, and as many?")
    assert torch.equal(small.features(copied), small.features(clip)), "the copy got other features"
    assert small.looked == filled.added == 1, "the copy was looked at: is its name in the key?"
print("the same features, and one look at two files of the same content")

# %% [markdown]
# ### What it costs on disk
#
# At the size of the published eyes, a clip's features are 8 frames × 32 queries × 768 numbers of two bytes. Exercise 12.1 asks what 10,000 clips take. Random crops are not possible
# with a cache: each would need an entry of its own. That is the price.

# %% [markdown]
# ## 6. Stage 1: captions
#
# `train_on_files` fills the cache, takes the eyes off the GPU, trains, and writes the branch and a report. A run that was killed goes on when the cell is run again.

# %% tags=["nbval-ignore-output"]
run, kept = work / "run", work / "features"
sets = [(captions, 1.0)]  # (set, ratio): several sets are mixed by their ratios
first = train_on_files(model, "vision", 1, sets, run, recipes[0], cache=kept, fresh=True, readers=2)
curve = first["loss"]
print(f"{first['steps']} steps in {first['seconds']:.0f} s, loss {curve[0]} to {curve[-1]}")
assert course.SMOKE or curve[-1] < 0.5 * curve[0], "is the learning rate that of the recipe?"
assert first["samples left out"] == 0, "some were left out: see run/vision_stage1/broken.log"

# %% [markdown]
# ### What can it say now?
#
# To ask about many clips at once, we write the prompt of a chat by hand (see [notebook 04](04_soft_prompts.ipynb)), one for each clip, and let the model answer them
# together. Answers are compared as strings.
#
# **Predict:** the branch has learned from captions such as "a red circle moves left". What will the model answer to "what colour is it?"

# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def watch(name):
    """The held-out set NAME: its entries, its clips, and their soft prompts [n, Qv, D]."""
    told = json.loads((clips / f"{name}.json").read_text())
    T, side = model.config.num_frames, model.config.vit.image_size
    model.image_encoder.to(model.vision_branch.to_llm.weight.device)  # training has put it aside
    seen = [minivl.load_video(clips / "videos" / one["video"], T, side) for one in told]
    soft = [model.video_prompt(model.encode_frames(clip.frames[None])) for clip in seen]
    return told, seen, torch.cat(soft)


def answer(question, seen, soft):
    style, prompts = model.style, []
    slots = upload_slots(style, soft.shape[1], 0)
    for clip in seen:
        talk = Conversation(style)
        talk.add(style.roles[0], upload_message(style, True, False, False, clip.message()))
        talk.add(style.roles[0], question)
        prompts.append(tokenize(model.tokenizer, talk.prompt(), slots))
    return model.answer_batch(prompts, {VIDEO_SLOT: soft}, max_new_tokens=16)


told, seen, soft = watch("test")
asked = [turn["q"] for turn in told[0]["QA"]]
for question in asked:
    print(f"{question:26}", Counter(answer(question, seen, soft)).most_common(4))

# %% [markdown]
# <details><summary>Answer</summary>
#
# With a direction, or with a colour that is seldom the right one; and to the question for the shape always with the same. The captions have arrived, the *questions* have not: in stage 1 nobody asked anything, and the soft prompt was
# only ever followed by a caption. (The paper says the same of the large model: after stage 1 it can tell much about a video, and follows instructions badly; section 2.2.)
# </details>

# %% [markdown]
# ## 7. Stage 2: questions
#
# The same call with the other set. The branch goes on from where stage 1 left it. What is learned are the answers alone.

# %% tags=["nbval-ignore-output"]
sets = [(questions, 1.0)]
second = train_on_files(model, "vision", 2, sets, run, recipes[1], cache=kept, readers=2)
curve = second["loss"]
print(f"{second['steps']} steps in {second['seconds']:.0f} s, loss {curve[0]} to {curve[-1]}")
assert course.SMOKE or curve[-1] < curve[0], "the loss does not fall: was it fresh=True again?"
assert not model.llm.lm_head.weight.requires_grad, "the language model learns: who thawed it?"

# %% [markdown]
# ### Both curves
#
# `loss.csv` in the run's folder has the loss of every step.

# %%
figure = minivl.plots.Picture(figsize=(8, 2.8), layout="constrained")
axes = figure.add_subplot()
start = 0
for stage, colour, line in ((1, course.BLUE, "-"), (2, course.RED, "--")):
    with open(run / f"vision_stage{stage}" / "loss.csv") as table:
        losses = [float(row["loss"]) for row in csv.DictReader(table)]
    places = range(start, start + len(losses))
    axes.plot(places, losses, line, color=colour, label=f"stage {stage}")
    start += len(losses)
axes.set(xlabel="step", ylabel="loss", yscale="log")
axes.legend()
course.show(figure, alt="The loss on a logarithmic scale: it falls steeply in both stages")

# %% [markdown]
# A loss that falls says that the *training* clips were learned. It says nothing about others. With 160 clips, 100 steps of 12 are more than seven looks at each: the branch could know them by heart.

# %% [markdown]
# ## 8. Does it see? Clips that it has never met
#
# Three numbers beside each other, for every question:
#
# - **blind**: the answer that was most frequent in training, whatever is shown (exercise 12.2),
# - **swapped**: our model, but with the soft prompt of *another* clip. If it is as good as with the right one, the model does not look,
# - the model, with a 95 % interval (Wilson's): with 50 clips it is wide.

# %% tags=["nbval-ignore-output"]
def score(question, told, said):
    truth = [next(turn["a"] for turn in one["QA"] if turn["q"] == question) for one in told]
    return sum(a == b for a, b in zip(said, truth, strict=True)), len(truth)


def frequent(question):
    answers = [turn["a"] for one in json.loads((clips / "training.json").read_text())
               for turn in one["QA"] if turn["q"] == question]
    return Counter(answers).most_common(1)[0][0]


told, seen, soft = watch("test")
scores = {}
print(f"{'':26}    blind  swapped    model   95 %")
for question in asked:
    blind, _ = score(question, told, [frequent(question)] * len(told))
    swapped, _ = score(question, told, answer(question, seen, soft.roll(1, 0)))
    right, count = score(question, told, answer(question, seen, soft))
    low, high = wilson(right, count)
    scores[question] = blind / count, swapped / count, right / count
    line = "".join(f"{share:9.2f}" for share in scores[question])
    print(f"{question:26}{line}   {low:.2f} to {high:.2f}")
assert course.SMOKE or all(model_ > blind_ + 0.2 for blind_, _, model_ in scores.values()), (
    "hardly better than blind: did both stages run, and stage 2 without fresh=True?")

# %% [markdown]
# ### What it has never seen in any combination
#
# Red stars, blue triangles and yellow crosses were in no training clip (and in none that the tiny eyes have ever learned from).
#
# **Predict:** will it name their colour? Their shape?

# %% tags=["nbval-ignore-output"]
pairs, seen_pairs, soft_pairs = watch("test" if REAL else "unseen")
named = {}
for question in asked:
    right, count = score(question, pairs, answer(question, seen_pairs, soft_pairs))
    low, high = wilson(right, count)
    named[question] = right / count
    print(f"{question:26}{right / count:5.2f}   {low:.2f} to {high:.2f}")
assert course.SMOKE or REAL or named[asked[-1]] > 0.5, "not even the way: was it trained?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The direction, yes: it has nothing to do with the pair. Colour and shape only in a part of the clips, and how often differs from run to run: in eight runs of ours (other numbers of clips and steps, other
# threads) the colour was right in .57 to 1.00, the shape in .38 to .60. From 160 clips the branch has partly learned "red, therefore no star". With 6,000 clips the shipped model reaches 1.00 and .93 on
# such pairs (README). This is what more data is for.
# </details>

# %% [markdown]
# ## 9. What was saved, and how to get it back
#
# Only the branch was written. Everything else is frozen, and has not changed. `load_branch` puts it into a model of the same size:

# %% tags=["nbval-check-output"]
print([str(path.relative_to(run)) for path in sorted(run.glob("reports/*.json"))])
trained = run / "vision_branch.safetensors"
new = {"branches": "new", "parts": ("vision",), "seed": 1}
fresh = minivl.VideoLlama.from_official(official, **new, **options)
load_branch(fresh, "vision", trained)
now, then = fresh.vision_branch.state_dict(), model.vision_branch.state_dict()
assert all(torch.allclose(now[name].float(), then[name].float(), atol=2e-3) for name in now), (
    "other weights: is the file that of the last stage?")
print(f"{trained.stat().st_size / 1e6:.1f} MB hold all that was learned")

# %% [markdown]
# The file holds half precision: two bytes a number. For the 1B model it is 41 MB. To use it on the command line, write the whole model once,
# `model.save_pretrained("video-llama-1b")`, and then `minivl ask clip.mp4 "..." --model video-llama-1b --branch-file vision_branch.safetensors`.

# %% [markdown]
# ### Talk to it
#
# A whole chat, with the branch from the file:

# %% tags=["nbval-ignore-output"]
chat = minivl.Chat(fresh)
chat.watch(clips / "videos" / told[0]["video"], hearing=False)
for turn in told[0]["QA"]:
    print(f"{turn['q']:26}{chat.ask(turn['q'], max_new_tokens=16):16} (true: {turn['a']})")
assert len(chat.history) == len(told[0]["QA"]), "every question should have an answer"

# %% [markdown]
# ## 10. And the ears?
#
# The audio branch is trained by the *same* cells, on the same pictures (paper, section 2.1.2): `"audio"` in the place of `"vision"`, and
# `parts=("audio", "image_trunk")`. ImageBind's image trunk then stands where the ViT stood. To hear, its audio trunk takes that place.
# [Notebook 08](08_an_ear_trained_by_eye.ipynb) shows why that works. Then both branches go into one model: load it with `parts=("vision", "audio")`, and call `load_branch` twice.

# %% [markdown]
# ### What carries over to the real eyes, and what does not
#
# What you saw is the code path of the 1B model: the same files, the same calls. Not the same task. Three differences to keep in mind:
#
# - **Your language model knows English.** It answers in sentences, so compare answers by meaning or ask for one word.
# - **Your clips are richer than ours**, and 160 of them are few. The paper used 2.5 million clips and 595,000 images for stage 1, and about 165,000 conversations for stage 2. Fine: you do not
#   need to name everything. Start with a narrow question, and look at *swapped* first.
# - **Frozen eyes set the limit.** What the ViT and its Q-Former do not tell apart, no branch can learn.

# %% [markdown]
# ## Recap
#
# - Plan first: the 1B model trains on a free GPU, the 7B model does not without checkpointing. Frozen weights behind the branch cost 4 N a token, before it 2 N.
# - Looking is the expensive part, and frozen eyes see the same every time: look once, key the result by content and by weights.
# - Check the data before training, and set whole clips aside before anything else.
# - Stage 1 brings the content, stage 2 the questions. 160 drawn clips are enough for held-out clips of the same kind, and not for pairs that were never seen.
# - An accuracy is worth what it has above *blind* and *swapped*. A falling loss proves neither.

# %% [markdown]
# ## Exercises
#
# ### Exercise 12.1: the size of a cache · ★☆☆ · 5 minutes
# You have 10,000 clips and the published eyes (`video_llama_1b()`): 8 frames, an image Q-Former with 32 queries of width 768, features kept in fp16. How many GB does the cache of the
# vision branch take?
#
# <details><summary>Hint</summary>
#
# `FeatureCache.get(...).features` has the shape `[T, K, width]`.
# </details>

# %% tags=["exercise"] exercise="12.1"
gigabytes = None  # 1 GB = 10**9 bytes

# %% tags=["checker"] exercise="12.1"
course.check(n12.cache_size, gigabytes)

# %% tags=["solution"] exercise="12.1"
config = video_llama_1b()
numbers = config.num_frames * config.image_qformer.num_queries * config.image_qformer.width
gigabytes = 10_000 * numbers * 2 / 1e9

# %% [markdown] tags=["why"] exercise="12.1"
# 0.4 MB a clip. A cache of WebVid's 2.5 million clips would be a terabyte: there, looking again may be cheaper than keeping.

# %% tags=["wrong"] exercise="12.1" hint="patches"
gigabytes = 10_000 * 8 * 257 * 1408 * 2 / 1e9

# %% tags=["wrong"] exercise="12.1" hint="fp16"
gigabytes = 10_000 * 8 * 32 * 768 * 4 / 1e9

# %% tags=["wrong"] exercise="12.1" hint="pixels"
gigabytes = 10_000 * 8 * 3 * 224 * 224 / 1e9

# %% [markdown]
# ### Exercise 12.2: a model that does not look · ★★☆ · 10 minutes
# Write the blind baseline. `training` and `test` are lists of `(question, answer)`. For each question take the answer that was most frequent *in training*; return the share of the test
# that this gets right. A question that training never asked counts as wrong.
#
# <details><summary>Hint</summary>
#
# A `Counter` for each question, and `most_common(1)`.
# </details>

# %% tags=["exercise"] exercise="12.2"
def blind_share(training, test):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="12.2"
course.check(n12.blind, blind_share)

# %% tags=["solution"] exercise="12.2"
def blind_share(training, test):
    counts = {}
    for question, answer in training:
        counts.setdefault(question, Counter())[answer] += 1
    best = {question: count.most_common(1)[0][0] for question, count in counts.items()}
    return sum(best.get(question) == answer for question, answer in test) / len(test)

# %% [markdown] tags=["why"] exercise="12.2"
# An accuracy of .50 on yes/no questions is worth nothing, on "which of six colours" a lot. The baseline knows which.

# %% tags=["wrong"] exercise="12.2" hint="looks at the test"
def blind_share(training, test):
    counts = {}
    for question, answer in test:
        counts.setdefault(question, Counter())[answer] += 1
    best = {question: count.most_common(1)[0][0] for question, count in counts.items()}
    return sum(best.get(question) == answer for question, answer in test) / len(test)

# %% tags=["wrong"] exercise="12.2" hint="of its own"
def blind_share(training, test):
    best = Counter(answer for _, answer in training).most_common(1)[0][0]
    return sum(answer == best for _, answer in test) / len(test)

# %% tags=["wrong"] exercise="12.2" hint="never asked stops it"
def blind_share(training, test):
    counts = {}
    for question, answer in training:
        counts.setdefault(question, Counter())[answer] += 1
    return sum(counts[q].most_common(1)[0][0] == a for q, a in test) / len(test)

# %% [markdown]
# ### Exercise 12.3: set clips aside · ★★☆ · 15 minutes
# `rows` is a list of `(video, question, answer)`, several for each video. Return `(training, test)`: all rows, in two lists, with about `share` of the *videos* in the test, and no video in both. The
# same videos must land on the same side whatever the order of the rows, and also when videos are added later.
#
# <details><summary>Hint</summary>
#
# Let the name decide: a hash of it is a number that looks random and is always the same. (`hash("a")` is another one in every run of Python; `hashlib` is not.)
# </details>

# %% tags=["exercise"] exercise="12.3"
def split(rows, share):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="12.3"
course.check(n12.split, split)

# %% tags=["solution"] exercise="12.3"
def split(rows, share):
    def held_out(video):
        return int(hashlib.sha256(video.encode()).hexdigest(), 16) % 1000 < 1000 * share

    return [row for row in rows if not held_out(row[0])], [row for row in rows if held_out(row[0])]

# %% [markdown] tags=["why"] exercise="12.3"
# Three questions about one clip share its pixels. If one of them is in the training, the other two are no test. And a split that changes when clips are added mixes old test
# clips into the next training.

# %% tags=["wrong"] exercise="12.3" hint="both parts"
def split(rows, share):
    number = int(len(rows) * share)
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    return mixed[number:], mixed[:number]

# %% tags=["wrong"] exercise="12.3" hint="another order"
def split(rows, share):
    videos = list(dict.fromkeys(row[0] for row in rows))
    test = set(videos[: int(len(videos) * share)])
    return [row for row in rows if row[0] not in test], [row for row in rows if row[0] in test]

# %% tags=["wrong"] exercise="12.3" hint="change sides"
def split(rows, share):
    videos = sorted({row[0] for row in rows})
    order = np.random.default_rng(0).permutation(len(videos))
    test = {videos[i] for i in order[: int(len(videos) * share)]}
    return [row for row in rows if row[0] not in test], [row for row in rows if row[0] in test]

# %% [markdown]
# ### Exercise 12.4: your hours · ★★☆ · 10 minutes
# Stage 1 of the 1B model: 1,000 steps of 32 chats of 65 tokens, with cached features. Count the frozen language model only: $N$ = 1.1 billion weights, behind the branch. A T4 has a peak
# of 65 · 10¹² FLOPs a second, of which we assume 35 %. How many hours?
#
# <details><summary>Hint</summary>
#
# Section 1 says how many FLOPs a weight costs for each token if it is frozen and the gradient passes through it.
# </details>

# %% tags=["exercise"] exercise="12.4"
hours = None

# %% tags=["checker"] exercise="12.4"
course.check(n12.hours, hours)

# %% tags=["solution"] exercise="12.4"
flops = 1000 * 32 * 65 * 4 * 1.1e9
hours = flops / (65e12 * 0.35) / 3600

# %% [markdown] tags=["why"] exercise="12.4"
# The same as the plan of section 1, to a few per cent. For the paper's stage 1 (12,500 steps of 256 chats) it is a hundred times as much: eleven hours on a T4.

# %% tags=["wrong"] exercise="12.4" hint="6 N"
hours = 1000 * 32 * 65 * 6 * 1.1e9 / (65e12 * 0.35) / 3600

# %% tags=["wrong"] exercise="12.4" hint="way forward"
hours = 1000 * 32 * 65 * 2 * 1.1e9 / (65e12 * 0.35) / 3600

# %% tags=["wrong"] exercise="12.4" hint="full peak"
hours = 1000 * 32 * 65 * 4 * 1.1e9 / 65e12 / 3600

# %% [markdown]
# ## What to read next
#
# - [appendix A2](A2_your_own_data.ipynb): every data format that minivl reads, and how to mix sets
# - [notebook 08](08_an_ear_trained_by_eye.ipynb): why an audio branch can be trained on pictures
# - [notebook 10](10_is_it_true.ipynb): baselines, intervals, and the paper's claims as numbers
# - [file_training.py]({{repo}}/blob/main/minivl/file_training.py), [data/cache.py]({{repo}}/blob/main/minivl/data/cache.py): what section 5 to 7 call
