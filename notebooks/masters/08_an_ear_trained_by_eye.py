# %% [markdown]
# # An ear trained by eye: learning to hear without a sound
# {{badge}}
#
# **What you will be able to do.** Train the audio branch of a Video-LLaMA on pictures alone, then give it sounds, and measure what it hears: against chance, against the
# language model alone, and against the branch that is shipped. Show what makes the trick work by breaking it. Measure the two gaps between sight and sound, in direction and
# in length, and find out which of them does harm, where, and why.
#
# **What you need to know.** How ImageBind hears and what the audio branch is made of ([notebook 05](05_hearing.ipynb)), and how a branch is trained
# ([notebook 06](06_stage_1_captions.ipynb), [notebook 07](07_stage_2_instructions.ipynb)).
#
# **Time.** 35 minutes to read, an hour more with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of memory.
# Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import math

import numpy as np
import torch
from einops import rearrange, repeat
from IPython.display import Audio, display
from torch.nn import functional as F

import minivl
from minivl import course, mel, plots
from minivl.config import video_llama_7b
from minivl.course import n08
from minivl.course.live import LiveCurve
from minivl.new_branch import new_branch
from minivl.pretraining.shared_space import contrastive_loss
from minivl.recipes import toy_recipe
from minivl.soft_prompt import AUDIO_SLOT, IGNORE
from minivl.toyworld.exam import frequent_answers, make_cases, prompt_ids
from minivl.toyworld.features import Features
from minivl.toyworld.lessons import Teacher, sound_of_picture
from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import CHOOSING_SEED, sample_scene
from minivl.toyworld.sounds import render_sound
from minivl.training import BranchLearner, train
from minivl.video import normalise

# %%
course.show(
    course.overview("frames", "ImageBind", "segment positions", "Audio Q-Former", "audio linear"),
    alt="The whole model; frames, ImageBind and the audio branch are highlighted.",
)

# %% [markdown]
# ## 1. The trick
#
# To teach a model to talk about sounds one would like millions of sounds with a text about each. There are few. Of pictures with a text there are plenty. The authors of
# Video-LLaMA had an idea (section 2.1.2 and 2.2): ImageBind puts a picture of a bell and the sound of a bell near each other. So train the audio branch on *pictures*, in the place of
# sounds. If the two are near enough, what it has learned from the one will hold for the other. Nobody ever plays it a sound.
#
# | | training | use |
# | --- | --- | --- |
# | what comes in | frames of a video | two-second segments of sound |
# | frozen | ImageBind's **image** trunk | ImageBind's **audio** trunk |
# | trained | the audio branch | nothing |
# | the text | what is to be seen | questions about what is to be heard |

# %% [markdown]
# ### Who has to be there
#
# Eyes for seeing (ViT and image Q-Former) and the vision branch are not needed at all. We load the two trunks of ImageBind, put the shipped audio branch aside to compare with,
# and set a fresh one in its place.
#
# **Predict:** for the training, which of the two trunks could be left out? The 7B model's image trunk has 633 million parameters, its audio trunk 86 million. Which of them
# needs the larger GPU, training or answering?

# %% tags=["nbval-check-output"]
model = minivl.VideoLlama.from_pretrained("tiny", parts=("audio", "image_trunk"))
shipped = model.audio_branch
branch = new_branch(model, "audio", seed=0)
for name, part in (("image trunk", model.imagebind.image), ("audio trunk", model.imagebind.audio),
                   ("audio branch", branch), ("language model", model.llm)):  # fmt: skip
    print(f"{name:15}{sum(p.numel() for p in part.parameters()):>10,}")
message = "are eyes loaded that nobody uses?"
assert model.image_encoder is None and model.vision_branch is None, message

# %% [markdown]
# <details><summary>Answer</summary>
#
# The audio trunk: training sees pictures only. The original keeps all of ImageBind in memory for both, with its four other senses. For answering it is the
# image trunk that can go, which is why the shipped model is loaded without it unless you ask.
#
# </details>

# %% [markdown]
# ## 2. How two senses come into one space
#
# This was done before Video-LLaMA, and our own trunks were trained in the same way ([appendix A1](A1_where_the_frozen_parts_come_from.ipynb)). Take $N$ sounds $a_i$ and the pictures
# $v_i$ that belong to them, all of length 1. Each sound has to find its picture among all of the batch, and each picture its sound:
#
# $$\mathcal{L} = \tfrac12 \left[ -\frac1N \sum_i \log \frac{e^{a_i \cdot v_i / \tau}}{\sum_j e^{a_i \cdot v_j / \tau}} \;-\; \frac1N \sum_i \log \frac{e^{a_i \cdot v_i / \tau}}{\sum_j e^{a_j \cdot v_i / \tau}} \right]$$
#
# It is a classification whose classes are the rest of the batch (*InfoNCE*). Note what it asks for: the right one must be *nearer than the others*. How near does not matter.

# %% tags=["component"]
def info_nce_in_loops(sounds, pictures, tau):
    """Two lists of N unit vectors (lists of numbers) -> the loss; number i belongs to number i."""
    def dot(a, b):
        return sum(x * y for x, y in zip(a, b))

    loss = 0.0
    for i in range(len(sounds)):
        own = dot(sounds[i], pictures[i]) / tau
        by_ear = sum(math.exp(dot(sounds[i], picture) / tau) for picture in pictures)
        by_eye = sum(math.exp(dot(sound, pictures[i]) / tau) for sound in sounds)
        loss -= (own - math.log(by_ear) + own - math.log(by_eye)) / (2 * len(sounds))
    return loss


def info_nce(sounds, pictures, tau=0.1):
    """Unit vectors [N, E] of both senses -> the loss."""
    logits = sounds @ pictures.T / tau  # [N sounds, N pictures]
    own = torch.arange(len(sounds))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

# %% tags=["same", "nbval-check-output"]
random = torch.Generator().manual_seed(0)
a, v = (F.normalize(torch.randn(6, 16, generator=random), dim=-1) for _ in range(2))
theirs = contrastive_loss(a, v, torch.eye(6))  # every sound has one picture
message = "is the softmax taken over the pictures once, and over the sounds once?"
assert torch.allclose(info_nce(a, v), theirs, atol=1e-5), message
by_hand = info_nce_in_loops(a.tolist(), v.tolist(), tau=0.1)
assert abs(by_hand - theirs.item()) < 1e-4, "are both directions divided by N?"

near, far = F.normalize(a + 0.3 * v, dim=-1), F.normalize(a + 0.3, dim=-1)  # far: all moved one way
for name, moved in (("equal", a), ("a little off", near), ("moved aside", far)):
    print(f"{name:13}{info_nce(moved, a):.2f}")
assert info_nce(far, a) < 0.1, "does it matter that all sounds have moved the same way?"

# %% [markdown]
# ### What the loss leaves open
#
# The last number is the point. All sounds were pushed in one direction, away from all pictures, and the loss hardly noticed: each is still nearer to its own picture than to any
# other. So a trained space may have a **modality gap**: sounds here, pictures there, in the same arrangement. Whoever learns on one side and works on the other will meet it.
# Our training has a second term, $1 - a_i \cdot v_i$, which does ask for nearness. ImageBind has none. We will measure what is left.

# %% [markdown]
# ## 3. A picture in the place of a sound
#
# A clip has `T = 8` frames. Each goes through the image trunk and becomes a unit vector: a row of eight vectors of width `E`. The branch cannot tell it from a row of eight segments of
# sound, except by what they say. In the original this is `encode_audioQformer` with `modality_type=ModalityType.VISION`, called in training alone.
#
# $$\text{hearing: } u_m = a_m + p_m \qquad\qquad \text{training: } u_m = v_m + p_m$$

# %% tags=["component"]
def one_picture(trunk, frame):
    """A frame [3, H, W] uint8 -> its vector [E]: the projected class token, of length 1."""
    token = trunk.features(normalise(frame)[None])[0]  # [width]
    u = trunk.projection.weight @ token
    return u / u.norm()


def pictures_as_segments(trunk, clips):
    """Frames of clips [B, T, 3, H, W] uint8 -> vectors [B, M = T, E], as if they were sound."""
    frames = rearrange(normalise(clips), "b t c h w -> (b t) c h w")
    vectors = trunk.projection(trunk.features(frames))
    return rearrange(F.normalize(vectors, dim=-1), "(b t) e -> b t e", b=len(clips))

# %% tags=["same", "nbval-check-output"]
with torch.no_grad():
    package = minivl.VideoLlama.from_pretrained("tiny", parts=("image_trunk",))
    clips = torch.stack([torch.from_numpy(render_frames(sample_scene(seed))) for seed in (4, 5)])
    clips = rearrange(clips, "b t h w c -> b t c h w")
    ours = pictures_as_segments(package.imagebind.image, clips)
    by_hand = torch.stack([one_picture(package.imagebind.image, frame) for frame in clips[1]])
    theirs = package.encode_frames_as_segments(clips)
message = "are the frames put back into their clips, (b t), not (t b)?"
assert torch.allclose(ours, theirs, atol=1e-5), message
assert torch.allclose(by_hand, theirs[1], atol=1e-5), "is the vector scaled to length 1 at the end?"
norm = ours.norm(dim=-1).mean().item()
print("frames of two clips ->", list(ours.shape), "of norm", round(norm, 3))

# %% [markdown]
# ## 4. Data: clips, seen and never heard
#
# 500 training clips, and 100 clips to be examined on, from a range of seeds that no training uses. Of the training clips we keep the pictures' vectors only. To make sure that nothing
# slips in, the place of their sounds is filled with NaN: whoever touches it will notice.

# %%
@torch.no_grad()
def watch(scenes):
    """The frames of all scenes, through the image trunk: [N, T, E]."""
    found = []
    for start in range(0, len(scenes), 32):
        frames = np.stack([render_frames(scene) for scene in scenes[start : start + 32]])
        frames = rearrange(torch.from_numpy(frames), "b t h w c -> b t c h w")
        found.append(pictures_as_segments(model.imagebind.image, frames))
    return torch.cat(found)


@torch.no_grad()
def listen(scenes):
    """Two segments of two seconds of all scenes, through the audio trunk: [N, M = 2, E]."""
    waves = torch.stack([torch.from_numpy(render_sound(scene)) for scene in scenes])  # [N, 64000]
    mels = torch.stack([mel.spectrogram(wave.reshape(2, -1)) for wave in waves])
    return model.encode_segments(mels)


scenes = [sample_scene(seed) for seed in range(course.steps(500, 64))]
held = [sample_scene(CHOOSING_SEED + n) for n in range(course.steps(100, 24))]
looks, silence = watch(scenes), torch.full((len(scenes), 2, 64), math.nan)
features = Features(scenes, torch.empty(0), looks, silence)
held_looks, held_sounds = watch(held), listen(held)
print("training:", list(looks.shape), " held out:", list(held_looks.shape), list(held_sounds.shape))
message = "is a sound among the lessons?"
assert held_sounds.isfinite().all() and not features.sounds.isfinite().any(), message

# %% [markdown]
# ### What is said about the pictures
#
# The original trains the branch with the words of its picture data, captions and questions about what is seen. Our small language model takes words at their word, so our lessons ask about *sounds*: of a
# picture of a dog it is asked "what do you hear?", and the true answer is "a dog". `Teacher` (in [`lessons.py`]({{repo}}/blob/main/minivl/toyworld/lessons.py)) draws them; one clip in five is drawn from all,
# about half of which show nothing that sounds: *silence*. What the words are worth is measured in [claim k]({{repo}}/blob/main/docs/claims.md#claim-k): asked as about pictures, as in the paper, the branch hears
# 0.72 of the questions, asked as about sounds 0.99.
#
# The soft prompt stands at the eight places marked `a`; underlined words are learned.

# %%
alone = (1.0, 0.0, 0.0)  # nothing stands in the place for sight, in all batches
teacher = Teacher(model, features, "audio", stage=2, shares=alone)
batch = teacher(0)
ids, labels = batch.ids[0], batch.labels[0]
words = ["a" if i == AUDIO_SLOT else model.tokenizer.decode(i) for i in ids.tolist()][:46]
for first in (0, 23):
    part = words[first : first + 23]
    print(*part)
    learned = (labels[first:] != IGNORE).tolist()
    print(*["~" * len(w) if k else " " * len(w) for w, k in zip(part, learned)])
print("vectors that stand for sounds:", list(batch.segments.shape))
assert batch.frame_tokens is None, "is the picture in the prompt a second time, as a picture?"
assert batch.segments.isfinite().all(), "do the lessons contain a sound?"

# %% [markdown]
# ## 5. The exam, and three who have not learned
#
# The questions are those of the package's exam on hearing: what is heard, first, last, X before Y, is there X, and so on. An answer is right if it equals the true one, letter by
# letter. `exam` returns right or wrong for each question.

# %%
cases = [case for case in make_cases(held, CHOOSING_SEED) if case.rows[0].startswith("hearing/")]


def exam(prompt, cases=cases):
    """Soft prompts [N, Qa, D] of the held-out clips, or None -> right or wrong for each case."""
    order = sorted(range(len(cases)), key=lambda i: cases[i].question.kind)  # of like length
    right, senses = np.zeros(len(cases), dtype=bool), () if prompt is None else ("hearing",)
    for start in range(0, len(order), 128):
        part = order[start : start + 128]
        soft = {} if prompt is None else {AUDIO_SLOT: prompt[[cases[i].clip for i in part]]}
        prompts = [prompt_ids(model, cases[i].question.text, senses) for i in part]
        answers = model.answer_batch(prompts, soft, max_new_tokens=32)
        right[part] = [answer == cases[i].question.answer for i, answer in zip(part, answers)]
    return right


print(len(cases), "questions about", len(held), "clips, such as:")
print(*{case.question.kind: case.question.text for case in cases[:12]}.values(), sep="\n")
assert all(case.senses == ("hearing",) for case in cases), "is a question about sight among them?"

# %% [markdown]
# ### What can be reached without hearing
#
# - *Blind*: always the most frequent answer to this type of question.
# - *Text only*: the language model gets the question, and no soft prompt.
# - *Fresh branch*: a soft prompt of random weights.
#
# **Predict:** order them.

# %%
with torch.no_grad():
    frequent = frequent_answers(500)
    verdicts = {
        "blind": np.array([frequent(case.question.kind) == case.question.answer for case in cases]),
        "text only": exam(None),
        "fresh branch": exam(branch(held_sounds)),
    }
for name, right in verdicts.items():
    print(f"{name:14}{right.mean():.2f}")
message = "does somebody know the answers?"
assert course.SMOKE or max(right.mean() for right in verdicts.values()) < 0.45, message

# %% [markdown]
# <details><summary>Answer</summary>
#
# Blind is best, with about a quarter: mostly from yes-or-no questions. The language model alone is worse than that, and so is the fresh branch. They do not know how often which answer is right in this
# exam; *blind* does. Whatever exceeds a quarter must come from the sound.
#
# </details>

# %% [markdown]
# ## 6. Training, in silence
#
# As in the paper, in two stages: captions ("describe the sound"), then questions. The recipe is that of notebooks 06 and 07, with fewer steps:
#
# | | this notebook | the shipped branch | the original |
# | --- | --- | --- | --- |
# | stage 1, steps x batch | 100 x 32 | 300 x 32 | 25,000 x 256 |
# | stage 2, steps x batch | 120 x 32 | 800 x 32 | 3,000 x 32 |
# | clips | 500 | 6,000 | WebVid, LLaVA-CC3M, then instructions |
# | beside the audio prompt | nothing | nothing, a text or the video prompt | nothing |
#
# **Predict:** the loss is about pictures. Must a lower loss mean better hearing?

# %%
recipes = {1: toy_recipe(course.steps(100)), 2: toy_recipe(course.steps(120))}
live = LiveCurve("the audio branch on pictures: stage 1, then stage 2")
for stage, recipe in recipes.items():
    teacher = Teacher(model, features, "audio", stage, shares=alone)
    with live.watching(BranchLearner):
        told = train(model, "audio", recipe, teacher)
    print(f"stage {stage}: {told['steps']} steps in {told['seconds']:.0f} s")
losses = [loss for _, loss in live.curves["training"]]
assert course.SMOKE or np.mean(losses[-25:]) < 0.3, "does the gradient reach the audio branch?"
message = "has a NaN of the missing sounds come in?"
assert all(math.isfinite(loss) for loss in losses), message

# %% [markdown]
# ## 7. It hears
#
# The bump in the curve is where stage 2 begins, with questions that are new to the branch. As to the prediction: no. The loss is about pictures, and could fall for reasons that a sound does not share.
# Until now no sound has been near this branch. Here is the first one. Play it, then read.

# %%
with torch.no_grad():
    prompt = branch(held_sounds)  # real sounds, through the audio trunk
clip = next(n for n, scene in enumerate(held) if len(scene.sounds) == 2)
display(Audio(render_sound(held[clip]), rate=16_000))
for question in ("what do you hear first?", "what do you hear last?", "describe the sound"):
    ids = [prompt_ids(model, question, ("hearing",))]
    print(f"{question:26}{model.answer_batch(ids, {AUDIO_SLOT: prompt[[clip]]})[0]}")
print("true:", ", then ".join(f"a {sound.size} {sound.name}" for sound in held[clip].sounds))
verdicts["trained here"] = exam(prompt)
message = "did the training end as high as it should?"
assert course.SMOKE or verdicts["trained here"].mean() > 0.8, message

# %% [markdown]
# ### All questions
#
# **Predict:** how much better is the shipped branch, with five times the steps and twelve times the clips?

# %%
with torch.no_grad():
    verdicts["shipped"] = exam(shipped(held_sounds))
kinds = sorted({case.question.kind for case in cases})
of_kind = {kind: np.array([case.question.kind == kind for case in cases]) for kind in kinds}
figure = plots.Picture(figsize=(10.5, 3.2), layout="constrained")
axes = figure.add_subplot(ylabel="share of right answers", ylim=(0, 1.3))
styles = {"text only": (course.GREY, "//"), "blind": (course.YELLOW, ".."),
          "trained here": (course.BLUE, ""), "shipped": (course.ORANGE, "xx")}  # fmt: skip
for n, (name, (colour, hatch)) in enumerate(styles.items()):
    shares = [verdicts[name][of_kind[kind]].mean() for kind in kinds] + [verdicts[name].mean()]
    xs = [x + 0.2 * (n - 1.5) for x in range(len(shares))]
    axes.bar(xs, shares, 0.2, color=colour, hatch=hatch, edgecolor="white", label=name)
axes.set_xticks(range(len(kinds) + 1), [kind.replace("_", "\n") for kind in kinds] + ["all"])
axes.legend(ncols=4, loc="upper center", fontsize=9)
course.show(
    figure,
    alt="Bars by type of question: two branches trained on pictures, far above two baselines.",
)
print("  ".join(f"{name} {right.mean():.2f}" for name, right in verdicts.items()))
better = verdicts["trained here"].mean() - verdicts["blind"].mean()
assert course.SMOKE or better > 0.4, "is it the fresh branch that answers?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# A little: it makes hardly any mistakes, ours about one in fifteen. Most of what can be learned is learned in a few hundred steps. What comes late are the questions with two sounds: naming both, in order,
# without leaving one out.
#
# </details>
#
# A word of caution. Our audio trunk was trained on the same rendered world, with the very ten things that are asked about. ImageBind has never been shown the questions of its users.
# And what the branch did not learn from sound, it learned from a space that did: the audio trunk has heard plenty, in a training of its own. *Zero-shot* is about the branch.

# %% [markdown]
# ### Better by ear than by eye?
#
# The branch was trained on pictures. On held-out *pictures* it should be at least as good as on sounds. To be fair we take only clips whose sound is made by what is seen, so
# that the same questions have the same answers either way. The eye gets two frames, one from each half.
#
# **Predict:** which one wins?

# %%
agree = {n for n, s in enumerate(held) if s.sounds and s.sounds == sound_of_picture(s)}
fair = [case for case in cases if case.clip in agree]
two_frames = held_looks[:, 1::4]  # frames 1 and 5 of 8: [N, 2, E]
with torch.no_grad():
    by_ear, by_eye = exam(branch(held_sounds), fair), exam(branch(two_frames), fair)
print(f"{len(fair)} questions: by ear {by_ear.mean():.2f}, by eye {by_eye.mean():.2f}")
print("right by ear alone:", (by_ear & ~by_eye).sum(), " by eye alone:", (by_eye & ~by_ear).sum())
assert course.SMOKE or abs(by_ear.mean() - by_eye.mean()) < 0.15, "do both get the same questions?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# You cannot tell. The difference is a few questions of ninety, about sixteen clips, and with another number of training steps it had the other sign. So what the branch has learned by eye, it can do by ear about as
# well. If you said "by eye, of course", look at the line below the accuracies: each way has questions right that the other has not, as two drawings from the same urn would.
#
# </details>

# %% [markdown]
# ## 8. Why it works: break it
#
# The explanation was: *the two trunks share one space*. Then hearing must fail as soon as they do not, though nothing else changes. Three experiments on the trained branch, none of which
# trains anything:
#
# - **Another clip's sound.** All is in order, except that it is the wrong sound.
# - **Turned.** All audio vectors are turned by the same random rotation. Lengths and angles *among sounds* stay as they were: bells are as far from drums as before. Only the common frame with the
#   pictures is lost.
# - **Gap closed.** All audio vectors are moved by the difference of the means, so that sounds and pictures have the same centre.
#
# **Predict** all three.

# %%
pairs = [(n, half) for n in sorted(agree) for half in (0, 1)]
ears = torch.stack([held_sounds[n, half] for n, half in pairs])  # [pairs, E]
eyes = torch.stack([two_frames[n, half] for n, half in pairs])
gap = ears.mean(dim=0) - eyes.mean(dim=0)  # [E]
turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))[0]
altered = {
    "as it is": held_sounds,
    "another clip's sound": held_sounds.roll(1, dims=0),
    "turned": held_sounds @ turn,
    "gap closed": held_sounds - gap,
}
with torch.no_grad():
    broken = {name: exam(branch(vectors)).mean() for name, vectors in altered.items()}
for name, accuracy in broken.items():
    print(f"{name:22}{accuracy:.2f}")
message = "is it a rotation?"
assert torch.allclose((held_sounds @ turn).norm(dim=-1), torch.ones(1), atol=1e-3), message
message = "is the same turn applied to all?"
assert course.SMOKE or broken["turned"] < 0.45 < broken["gap closed"], message

# %% [markdown]
# <details><summary>Answer</summary>
#
# The wrong sound and the turned space both end where *blind* ended, at about a quarter. The turned sounds hold all that they held before, and the branch does not understand a word.
# So it is the shared frame that does the work, and nothing else. Closing the gap changes next to nothing, and the next section says why.
#
# </details>

# %% [markdown]
# ## 9. The gap in direction
#
# Three numbers describe how far the senses are apart, for sounds and pictures of the same things: the cosine between a sound and its picture, the cosine between the two *means*, and
# the length of the difference of the means, next to 1, the length of every vector. Then we let the gap grow: $a + \lambda\,(\bar a - \bar v)$. At $\lambda = -1$ it is closed, at 0 it is as it is.

# %%
lambdas = (-1, 0, 2, 4, 8)
with torch.no_grad():
    curve = [exam(branch(held_sounds + step * gap)).mean() for step in lambdas]
own = (ears * eyes).sum(dim=-1).mean()
means = F.cosine_similarity(ears.mean(dim=0), eyes.mean(dim=0), dim=0)
print(f"sound and its picture {own:.2f}, the two means {means:.2f}")
print(f"length of the gap {gap.norm():.2f}")
figure = plots.Picture(figsize=(6, 2.8), layout="constrained")
axes = figure.add_subplot(xlabel="gap added (1: as much as there is)", ylabel="right answers")
axes.set_ylim(0, 1.05)
axes.plot(lambdas, curve, marker="o", color=course.BLUE, label="trained here")
axes.axhline(verdicts["blind"].mean(), color=course.GREY, linestyle="--", label="blind")
axes.legend()
course.show(figure, alt="Accuracy over the added gap: flat at first, then falling towards blind.")
assert own > 0.6, "is each sound compared with the picture of its own clip?"
assert course.SMOKE or curve[0] > curve[-1] + 0.2, "is the gap added to the sounds?"

# %% [markdown]
# The gap that is there is small beside the length of a vector, and the branch does not care. Three times as much costs 0.15 in this run, nine times as much nearly everything. (It was estimated from few clips, so
# its second digit is uncertain.) How large ImageBind's own gap is, for real sounds and pictures, we could not measure without its weights. The second term of our loss may be why ours is small.

# %% [markdown]
# ## 10. The gap in length
#
# Now the one that nobody mentions. In the original's code a picture's vector has norm 1, and a sound's has norm **20**: ImageBind multiplies it by a scale, for its own loss, and
# Video-LLaMA takes it as it comes. The branch is trained at norm 1 and used at norm 20. Our trunk has scale 1, so we have to make the mistake ourselves: multiply.
#
# **Predict:** how much is left at norm 2, and at norm 20? Draw the curve on paper first.

# %%
norms = (1, 2, 3, 5, 20)
with torch.no_grad():
    by_norm = {
        "shipped": [exam(shipped(held_sounds * norm)) for norm in norms],
        "trained here": [exam(branch(held_sounds * norm)) for norm in norms],
    }
figure = plots.Picture(figsize=(7, 3), layout="constrained")
axes = figure.add_subplot(xlabel="norm of the audio vectors", ylabel="right answers", xscale="log")
axes.set_ylim(0, 1.05)
for (name, rights), style in zip(by_norm.items(), ("s--", "o-")):
    colour = styles[name][0]
    axes.plot(norms, [right.mean() for right in rights], style, color=colour, label=name)
axes.axhline(verdicts["blind"].mean(), color=course.GREY, linestyle=":", label="blind")
axes.set_xticks(norms, norms, minor=False)
axes.legend()
course.show(
    figure,
    alt="Accuracy falls from norm 1 to norm 5 for both branches, and then little more.",
)
sounding = np.array([len(held[case.clip].sounds) for case in cases])  # in each clip: 0, 1 or 2
rows = [(name, rights, sounding >= 0) for name, rights in by_norm.items()]
rows += [(f"  ... {n} sounds", by_norm["trained here"], sounding == n) for n in (0, 1, 2)]
print("norm          ", *(f"{norm:5}" for norm in norms))
for name, rights, these in rows:
    print(f"{name:14}", *(f"{right[these].mean():5.2f}" for right in rights))
one, two = (by_norm["trained here"][-1][sounding == n].mean() for n in (1, 2))
assert course.SMOKE or one > two + 0.3, "is the norm changed before the position is added?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# At norm 2 something is lost already, at 5 most of what will be lost, and then little more happens up to 20. More training does not help: the shipped branch falls as deep. In
# [docs/claims.md]({{repo}}/blob/main/docs/claims.md#claim-d2) it is the same for three other seeds.
#
# The remedy is one line, `match_norms=True` in the configuration: audio vectors are divided by their norm. It is exact, for a vector's length says nothing here: the trunk had set it to a constant.
#
# </details>

# %% [markdown]
# ### Who falls?
#
# A mean of 0.6 can be many things. The last three rows split it by how many sounds a clip has.
#
# **One** sound is heard as well at norm 20 as at norm 1. **Two** sounds, one after the other, lose nearly everything: it cannot say which came first, and hardly that there are two. **Silence** holds out for long; at
# norm 20 it failed in this training and held in others. So as long as there is something to hear, the length does not blur *what*. It damages *when*.

# %% [markdown]
# ## 11. Where exactly?
#
# Three suspects. A long vector $s\,a$ instead of $a$ has three effects in the Q-Former:
#
# 1. **Positions drown.** $20\,a + p$ is nearly $20\,a$. Our positions have a norm of about a half, and attention finds a segment by its key, made of this sum.
# 2. **Attention is sharpened.** Keys 20 times as large give scores 20 times as large, and softmax turns a preference into a dictate.
# 3. **The query is shouted down.** In $\mathrm{LN}(x + \mathrm{CrossAttention}(x))$ what is read becomes 20 times as long and $x$ stays: the query forgets what it asked, and in the next layer asks
#    nothing sensible.
#
# They can be told apart. What is *looked for* (keys) and what is *brought back* (values) are made from the same vectors, by two matrices. We give each its own:

# %% tags=["component"]
def read_apart(branch, keys, values):
    """The branch's soft prompt: attention looks at `keys` [N, M, E] and brings back `values`."""
    queries = branch.qformer.queries_norm(branch.qformer.queries)
    x = repeat(queries, "q width -> n q width", n=len(keys))
    for layer in branch.qformer.layers:
        x = layer.attention_norm(x + layer.attention(x))
        cross = layer.cross_attention
        parts = cross.query(x), cross.key(keys), cross.value(values)
        q, k, v = (rearrange(part, "n s (h c) -> n h s c", h=cross.heads) for part in parts)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)
        read = cross.out(rearrange(weights @ v, "n h s c -> n s (h c)"))
        x = layer.cross_attention_norm(x + read)
        x = layer.feed_forward_norm(x + layer.feed_forward(x))
    return branch.to_llm(x)  # [N, Qa, D]

# %% tags=["same", "nbval-check-output"]
with torch.no_grad():
    package = course.tiny_model()
    some = F.normalize(torch.randn(3, 4, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    timed = some + package.audio_branch.positions.weight[:4]
    ours, theirs = read_apart(package.audio_branch, timed, timed), package.audio_prompt(some)
    other = read_apart(package.audio_branch, timed, timed * 20)
assert torch.allclose(ours, theirs, atol=1e-5), "do keys and values come from the timed segments?"
assert not torch.allclose(other, theirs, atol=1e-2), "do the values reach the prompt at all?"
print("with the same keys and values it is the package's branch")

# %% [markdown]
# ### The trial
#
# **Predict:** which suspect is guilty? Each row changes one thing and leaves the others as they were at norm 1. We ask only about clips with two sounds.

# %%
a, p, s = held_sounds, branch.positions.weight[:2], 20
trials = {  # what is looked for, what is brought back
    "norm 1": (a + p, a + p),
    "norm 20": (s * a + p, s * a + p),
    "1 positions drown, in keys": (a + p / s, a + p),
    "1 positions drown, in values": (a + p, a + p / s),
    "2 attention is sharpened": (s * (a + p), a + p),
    "3 the query is shouted down": (a + p, s * (a + p)),
}
pair = [case for case in cases if len(held[case.clip].sounds) == 2]
with torch.no_grad():
    found = {name: exam(read_apart(branch, *both), pair).mean() for name, both in trials.items()}
print("  ".join(f"{share:.2f}" for share in found.values()))
figure = plots.Picture(figsize=(8, 2.8), layout="constrained")
axes = figure.add_subplot(xlabel="right answers, clips with two sounds", xlim=(0, 1.1))
colours = [course.GREY, course.GREY, *[course.BLUE] * 4]
bars = axes.barh(list(found), list(found.values()), color=colours)
_ = axes.bar_label(bars, fmt="%.2f", padding=3), axes.invert_yaxis()
course.show(
    figure, alt="Six bars: two of four single changes do most of the harm, the two others none."
)
message = "is what is brought back left at norm 1?"
harm = found["2 attention is sharpened"] - found["3 the query is shouted down"]
assert course.SMOKE or harm > 0.2, message

# %% [markdown]
# <details><summary>Answer</summary>
#
# Two of the three. If positions drown where attention *looks* (in the keys), that alone does more than half of the harm: with the date gone, the branch cannot find *the first* segment. If the query is shouted down, nearly all that is
# lost at norm 20 is lost by that alone. Sharper attention does nothing: it points at the right segment, only harder. And where the positions drown in what is *brought back*, nobody
# misses them: once the right segment is found, its date is no longer needed.
#
# Before this experiment we believed in suspects 1 and 2, and had written so. The explanation sounded right, and nobody had tried it.
#
# </details>

# %% [markdown]
# ### What this does not say
#
# It would be rash to carry the number over to the published model. Its positions start as large as 32 (exercise 8.3), so it is not they that drown at norm 20. It was trained with dropout, for
# much longer, on other data. What carries over: the mismatch is in its code, it can be tested in an afternoon (`match_norms=True` needs no training), and the question to ask is about *two
# sounds in order*, not about one. A benchmark with one sound in each clip would have found nothing.

# %% [markdown]
# ## Recap
#
# - The audio branch can be trained on pictures alone, since ImageBind gives pictures and sounds of the same thing neighbouring vectors.
# - After 220 steps and without a sound it answers most questions about real sounds. Baselines without hearing reach a quarter.
# - Turn the audio vectors by any rotation, and it is deaf: the shared frame does the work.
# - The gap in direction is small here and does no harm. The contrastive loss alone would not have closed it.
# - The gap in length (1 in training, 20 in use, in the original) destroys the order of two sounds and leaves single sounds intact.
# - Of three plausible causes two were found guilty, by changing one thing at a time. The third was innocent.

# %% [markdown]
# ## Exercises
#
# ### Exercise 8.1: match the norms · ★☆☆ · 10 minutes
#
# Write `match_norms(vectors, norm)`: every vector in `[..., E]` keeps its direction and gets the length `norm`. A vector of zeros (a segment of nothing) has no direction: it stays zero, and no
# NaN may come out.
#
# <details><summary>Hint</summary>
#
# `F.normalize` divides by the norm, and knows what to do with zeros. Along which dimension?
#
# </details>

# %% tags=["exercise"] exercise="8.1"
def match_norms(vectors, norm):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="8.1"
course.check(n08.match_norms, match_norms)

# %% tags=["solution"] exercise="8.1"
def match_norms(vectors, norm):
    return norm * F.normalize(vectors, dim=-1)

# %% [markdown] tags=["why"] exercise="8.1"
# `F.normalize` divides by the norm or by 1e-12, whichever is larger. With `norm=1` this is what `config.match_norms` does in `VideoLlama.encode_segments`.

# %% tags=["wrong"] exercise="8.1" hint="twice as long"
def match_norms(vectors, norm):
    return norm * vectors

# %% tags=["wrong"] exercise="8.1" hint="zeros"
def match_norms(vectors, norm):
    return norm * vectors / vectors.norm(dim=-1, keepdim=True)

# %% tags=["wrong"] exercise="8.1" hint="each vector"
def match_norms(vectors, norm):
    return norm * F.normalize(vectors, dim=0)

# %% [markdown]
# ### Exercise 8.2: name it by ear, without any training · ★★☆ · 15 minutes
#
# With a shared space one can recognise sounds without a branch and without a language model. `gallery` is a dictionary from a name to *image* vectors `[n, E]` of things of that name (n differs from name to name).
# Write `name_by_ear(sounds, gallery)`: for each of the `sounds` `[S, E]` the name whose **mean image vector** has the largest cosine with it. Return a list of S names.
#
# <details><summary>Hint</summary>
#
# The mean of unit vectors is shorter than 1, and the shorter, the more the pictures of a name differ. What must be done with it before you compare?
#
# </details>

# %% tags=["exercise"] exercise="8.2"
def name_by_ear(sounds, gallery):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="8.2"
course.check(n08.name_by_ear, name_by_ear)

# %% tags=["solution"] exercise="8.2"
def name_by_ear(sounds, gallery):
    names = list(gallery)
    means = F.normalize(torch.stack([gallery[name].mean(dim=0) for name in names]), dim=-1)
    nearest = (sounds @ means.T).argmax(dim=1)
    return [names[i] for i in nearest.tolist()]

# %% [markdown] tags=["why"] exercise="8.2"
# The sounds' own lengths do not matter: they are the same for all names. The means' lengths do. Without normalising, a name whose pictures are all alike has a long mean and wins too often.

# %% tags=["wrong"] exercise="8.2" hint="length of the mean"
def name_by_ear(sounds, gallery):
    names = list(gallery)
    means = torch.stack([gallery[name].mean(dim=0) for name in names])
    return [names[i] for i in (sounds @ means.T).argmax(dim=1).tolist()]

# %% tags=["wrong"] exercise="8.2" hint="number of pictures"
def name_by_ear(sounds, gallery):
    names = list(gallery)
    sums = torch.stack([gallery[name].sum(dim=0) for name in names])
    return [names[i] for i in (sounds @ sums.T).argmax(dim=1).tolist()]

# %% tags=["wrong"] exercise="8.2" hint="farthest"
def name_by_ear(sounds, gallery):
    names = list(gallery)
    means = F.normalize(torch.stack([gallery[name].mean(dim=0) for name in names]), dim=-1)
    return [names[i] for i in (sounds @ means.T).argmin(dim=1).tolist()]

# %% [markdown]
# ### Exercise 8.3: how loud is a position in the original? · ★★☆ · 10 minutes
#
# In our branch a unit vector gets a position of norm 0.5: twice as much *what* as *when*. In the original a position is a row of `nn.Embedding(8, E)`, which starts with independent numbers of mean
# 0 and standard deviation 1, and `E` is `video_llama_7b().imagebind.embed_dim`. Give two numbers for the start of its training, `(trained, used)`: how many times as long as the position is the
# vector that is added to it, for a picture (norm 1), and for a sound (norm 20)? Two digits are enough.
#
# <details><summary>Hint</summary>
#
# The squared norm of E independent numbers of variance 1 is about E.
#
# </details>

# %% tags=["exercise"] exercise="8.3"
answer = None  # (norm of a picture's vector / norm of a position, ... of a sound's vector)

# %% tags=["checker"] exercise="8.3"
course.check(n08.content_to_position, answer)

# %% tags=["solution"] exercise="8.3"
position = math.sqrt(video_llama_7b().imagebind.embed_dim)
answer = (1 / position, 20 / position)

# %% [markdown] tags=["why"] exercise="8.3"
# A position has norm 32. In training the original hears *when* thirty times as loud as *what*, until it has learned to look past that. In use the two are nearly even. So the same mistake, a
# factor of 20, meets a branch that is balanced quite differently from ours. That is why section 11 ends with a warning.

# %% tags=["wrong"] exercise="8.3" hint="one number"
answer = (1.0, 20.0)

# %% tags=["wrong"] exercise="8.3" hint="square root"
answer = (1 / 1024, 20 / 1024)

# %% tags=["wrong"] exercise="8.3" hint="other way round"
answer = (32.0, 1.6)

# %% [markdown]
# ### Exercise 8.4: which frames stand for the sound? · ★★☆ · 10 minutes
#
# A sound of four seconds has two segments, one of 16 seconds has eight. So lessons come with 2, 4 or 8 pictures. Write `frames_for(looks, count)`: from `looks` `[B, T, E]` of T frames take `count` of them (`T` is a
# multiple of `count`): evenly spaced, in their order, beginning with the first. Return `[B, count, E]`.
#
# <details><summary>Hint</summary>
#
# A slice with a step. With T = 8 and count = 2 it is frames 0 and 4.
#
# </details>

# %% tags=["exercise"] exercise="8.4"
def frames_for(looks, count):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="8.4"
course.check(n08.frames_for, frames_for)

# %% tags=["solution"] exercise="8.4"
def frames_for(looks, count):
    return looks[:, :: looks.shape[1] // count]

# %% [markdown] tags=["why"] exercise="8.4"
# Positions are learned for the places where something stood. A branch that had always seen eight pictures would know positions 3 to 8 well and would have seen two-part stories only as *four, then four*. `Teacher`
# begins at a random frame, so that it is not always the first of each part.

# %% tags=["wrong"] exercise="8.4" hint="beginning of the clip"
def frames_for(looks, count):
    return looks[:, :count]

# %% tags=["wrong"] exercise="8.4" hint="how many"
def frames_for(looks, count):
    return looks[:, ::count]

# %% tags=["wrong"] exercise="8.4" hint="backwards"
def frames_for(looks, count):
    return looks.flip(1)[:, looks.shape[1] // count - 1 :: looks.shape[1] // count]

# %% [markdown]
# ## What to read next
#
# - [Notebook 09](09_chat.ipynb): both senses in one chat. [Notebook 10](10_is_it_true.ipynb): whether what the paper claims is true, here.
# - The paper, sections 2.1.2 and 2.2, and [ImageBind](https://arxiv.org/abs/2305.05665) (Girdhar et al. 2023).
# - [Mind the Gap](https://arxiv.org/abs/2203.02053) (Liang et al. 2022): where modality gaps come from.
# - Claims [d]({{repo}}/blob/main/docs/claims.md#claim-d) and [d2]({{repo}}/blob/main/docs/claims.md#claim-d2) with three seeds, and
#   [`minivl/toyworld/lessons.py`]({{repo}}/blob/main/minivl/toyworld/lessons.py).
