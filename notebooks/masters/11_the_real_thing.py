# %% [markdown]
# # The real thing: Video-LLaMA 7B from its published files
# {{badge}}
#
# **What you will be able to do.** You say before any download what the 7B model needs, in gigabytes of disk and of GPU. You load the files
# that the authors published, know what a loader has to check, convert them once, and talk to the result. And you can tell what is proven
# about this code, and what is not.
#
# **What you need to know.** Notebooks [00](00_quick_start.ipynb) and [04](04_soft_prompts.ipynb); the parts by name
# ([01](01_video_to_features.ipynb), [03](03_the_qformer.ipynb), [05](05_hearing.ipynb)).
#
# **Time.** 35 minutes to read, 45 with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of memory.
# Nothing is downloaded: what runs here is a *replica*, the tiny model in files of the published layout. One switch makes the same cells
# run on the published files. GPU: not needed for the replica (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import copy
import math
import pickle
import re
import tempfile
from collections import Counter
from pathlib import Path

import torch
from torch import nn

import minivl
from minivl import course
from minivl.checkpoints import PARTS
from minivl.config import tiny, video_llama_7b
from minivl.course import n11, replica
from minivl.conversation import STYLES, Conversation, upload_message
from minivl.demo import CLIPS
from minivl.planning.memory import plan_memory, quantised_bytes
from minivl.planning.workload import empty_model, llm_config, workload
from minivl.published.convert import convert
from minivl.published.files import read_official
from minivl.published.keys import convert_official, unused_because
from minivl.published.weights import expected_shapes

# %%
boxes = ("ViT", "image Q-Former", "frame positions", "Video Q-Former", "video linear", "ImageBind",
         "segment positions", "Audio Q-Former", "audio linear", "LLM")
course.show(course.overview(*boxes),
            alt="Video-LLaMA as boxes; every box that has published weights is highlighted")

# %% [markdown]
# Every box with a thick frame has weights that somebody published. This notebook is about these files.
#
# ## 1. What is published, and where
#
# The authors of Video-LLaMA trained two branches. Everything else they took from others. So the model lies in two places, and is by four groups of people:
#
# | file | from | size | holds |
# | --- | --- | --- | --- |
# | `VL_LLaMA_2_7B_Finetuned.pth` | [DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned](https://huggingface.co/DAMO-NLP-SG/Video-LLaMA-2-7B-Finetuned) | 0.27 GB | the vision branch |
# | `AL_LLaMA_2_7B_Finetuned.pth` | the same | 0.28 GB | the audio branch |
# | `imagebind_huge.pth` | the same (Meta's ImageBind) | 4.8 GB | six senses, of which we use two |
# | `llama-2-7b-chat-hf/` | the same (Meta's LLaMA-2) | 13.5 GB | the language model, in two pickles |
# | `eva_vit_g.pth` | Salesforce's LAVIS server | 2.03 GB | the ViT |
# | `blip2_pretrained_flant5xxl.pth` | the same | 0.43 GB | BLIP-2's Q-Former and `ln_vision` |
#
# The sizes are those that the hub shows, for the last two those of copies there. The paper (section 2.1) names the parts, the README of the original the files.
#
# A file's size follows from what is in it: numbers times bytes. Let us predict three of them. The shapes are those of our own modules on the *meta
# device*, where a tensor has a shape and no numbers, so that a 7B model takes no memory.

# %%
published = {  # GB, as the hub shows them
    "VL_LLaMA_2_7B_Finetuned.pth": 0.266,
    "AL_LLaMA_2_7B_Finetuned.pth": 0.275,
    "imagebind_huge.pth": 4.80,
    "llama-2-7b-chat-hf/": 9.98 + 3.50,
    "eva_vit_g.pth": 2.03,
    "blip2_pretrained_flant5xxl.pth": 0.433,
}
total = sum(published.values())
trained = sum(size for name, size in published.items() if name[:2] in ("VL", "AL"))
print(f"{total:.1f} GB to download; Video-LLaMA itself trained {trained / total:.1%} of it\n")
full = empty_model(workload("video_llama_7b"))  # all parts of a chat at true size, no numbers


def count(module):
    return sum(tensor.numel() for tensor in module.parameters())


eyes = count(full.image_encoder.vit) + count(full.image_encoder.vit.blocks[0])
print(f"LLaMA-2 7B, 2 bytes each:          {2 * count(full.llm) / 1e9:.2f} GB")
print(f"ViT with 40 blocks, 2 bytes each:  {2 * eyes / 1e9:.2f} GB")
print(f"vision branch, 4 bytes each:       {4 * count(full.vision_branch) / 1e9:.3f} GB")
assert abs(2 * count(full.llm) / 1e9 - 13.48) < 0.01, "is LLaMA-2 counted in half precision?"

# %% [markdown]
# The first two agree with the table (the ViT's file has 40 blocks. The original builds 39 and drops the last one without a word).
#
# **Predict:** the vision branch should be a file of 88 MB. It is one of 266 MB, three times as much. What is in the other two thirds?

# %%
with_moments = 3 * 4 * count(full.vision_branch) / 1e6
assert abs(with_moments - 266) < 2, "three numbers of 4 bytes each: are both moments counted?"
print(f"{with_moments:.0f} MB: weights and two moments")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The state of the optimizer. AdamW keeps two moments for each number that it trains, and the original saves them beside the weights:
# `{"model", "optimizer", "config", "scaler", "epoch"}`. Three numbers for each trained one, four bytes each. Nobody needs the moments who does not go on
# training.
# </details>
#
# ## 2. What you may do with them
#
# Weights have licences, and a model made of five has five. As far as we could read them (read them yourself; this is no legal advice):
#
# | part | licence | in short |
# | --- | --- | --- |
# | LLaMA-2 | Llama 2 Community License and its Acceptable Use Policy | Meta's own repository is *gated*: you accept, then you may download. A copy elsewhere does not free you from it |
# | ImageBind | CC BY-NC-SA 4.0 | research, no commercial use |
# | BLIP-2's Q-Former (LAVIS) | BSD 3-Clause | |
# | EVA-CLIP's ViT | MIT | |
# | Video-LLaMA: code, branches | BSD 3-Clause; terms of use in its README | "a research preview intended for non-commercial use only" |
#
# The strictest link decides for the whole: **learning and research, yes; a product, no.** The videos of WebVid, on which the branches were trained,
# have terms of their own, too. minivl itself is MIT, and holds none of these weights.
#
# If a repository is gated, `minivl download` stops with a sentence that says so: accept its licence on its page, then `hf auth login`, then give
# the command again. It goes on where it stopped.

# %% [markdown]
# ## 3. Will it fit? Plan before you download
#
# In a chat, the GPU holds
#
# $$ \text{memory} = \underbrace{\textstyle\sum \text{numbers} \times \text{bytes}}_{\text{weights}} + \text{KV cache} + \text{activations} + \text{CUDA context} $$
#
# The KV cache is what the language model remembers of each token: a key and a value of width $D$ in each of $n$ layers, 2 bytes each:
# $\;2 \cdot n \cdot L \cdot D \cdot 2$ bytes for $L$ tokens.
#
# Bytes per number depend on the format. In 4 bits, a block of 64 numbers shares a scale of one byte, and 256 such scales share one of four bytes:
# $\frac12 + \frac1{64} + \frac{4}{64 \cdot 256}$ bytes a number (QLoRA's nf4 with double quantisation, which `bitsandbytes` computes). In 8 bits it is
# one byte a number, and a scale of four bytes for each row.

# %% tags=["component"]
def kv_cache_bytes(layers, tokens, width, bytes_each=2):
    keys_and_values = 2
    return keys_and_values * layers * tokens * width * bytes_each


def linear_bytes(rows, columns, bits):
    """A weight [rows, columns] of the language model's linear layers."""
    numbers = rows * columns
    if bits == 16:
        return 2 * numbers
    if bits == 8:
        return numbers + 4 * rows
    return numbers / 2 + numbers / 64 + 4 * numbers / (64 * 256)

# %% [markdown]
# ### The same as the package
#
# `minivl memory` does the same for all parts, with activations counted by running the model's own code on tensors without numbers
# ([planning/memory.py]({{repo}}/blob/main/minivl/planning/memory.py)). Do the two agree?

# %% tags=["same"]
config = llm_config("tiny")
rows = {row.part: row.bytes for row in plan_memory("tiny", dtype="bf16", tokens=300).rows}
ours = kv_cache_bytes(config.num_hidden_layers, 300, config.hidden_size)
assert rows["KV cache"] == ours, "the KV cache differs: are there keys and values, in every layer?"
for bits in (8, 4):
    weight = torch.empty(512, 256, device="meta")
    assert math.isclose(linear_bytes(512, 256, bits), quantised_bytes(weight, f"{bits}bit")), (
        f"{bits} bits: are the scales of the blocks (or rows) counted?")
print("the same as the package's plan")

# %% [markdown]
# ### Seven billion, in three formats
#
# **Predict** for the 7B model, both senses, 2,048 tokens: how many GB in bf16? And is 4-bit a quarter of it?

# %%
plans = {dtype: plan_memory("video_llama_7b", dtype=dtype) for dtype in ("bf16", "8bit", "4bit")}
print(plans["4bit"], "\n")
for dtype, plan in plans.items():
    print(f"{dtype:5} {plan.total / 1e9:5.1f} GB")
assert plans["4bit"].total < 15e9 < plans["bf16"].total, "is LLaMA-2 in both plans?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# 17.7 GB and 8.2 GB: less than half, not a quarter. Only the linear layers of the language model shrink, from 13.5 to 3.9 GB together with its word
# embeddings. Eyes, ears and branches stay in half precision, and the KV cache has nothing to do with the weights' format.
# </details>

# %% [markdown]
# ### Which GPU holds what
#
# The same numbers as a picture, with the room that two common cards have.

# %%
figure = minivl.plots.Picture(figsize=(9, 3.1), layout="constrained")
axes = figure.add_subplot()
looks = {"language model": (course.BLUE, ""), "ViT": (course.ORANGE, "//"),
         "KV cache": (course.GREEN, ".."), "the rest": ("#BBBBBB", "xx")}
for place, plan in enumerate(plans.values()):
    sizes = {row.part: row.bytes / 1e9 for row in plan.rows if row.part in looks}
    sizes["the rest"] = plan.total / 1e9 - sum(sizes.values())
    left = 0.0
    for part, (colour, hatch) in looks.items():
        axes.barh(place, sizes[part], left=left, color=colour, hatch=hatch, edgecolor="white",
                  label=part if place == 0 else None)
        left += sizes[part]
for card, room in {"T4": 15, "L4, RTX 4090": 23}.items():
    axes.axvline(room, color="#222222", linestyle="--")
    axes.text(room + 0.2, 2.62, card, fontsize=10, va="bottom")
axes.set_yticks(range(len(plans)), list(plans))
axes.set(xlim=(0, 28), ylim=(-0.6, 3), xlabel="GB, planned, for a chat of 2,048 tokens")
axes.legend(loc="lower right", fontsize=9)
course.show(figure, alt="Stacked bars of planned memory in bf16, 8 bit and 4 bit, with the room of "
                        "two GPUs: bf16 passes the T4's, the other two stay below it")

# %% [markdown]
# So a free Colab GPU (T4, 15 GB that a program can use) holds 8 bit and 4 bit, and a card of 24 GB holds bf16. The README of the original says that
# its code *with* sound does not run on a card of 24 GB: it loads all six senses of ImageBind, of which a chat needs one.
#
# These are plans. No GPU was at hand to measure the 7B model on; `minivl memory --measure` compares plan and GPU where there is one.
#
# ### Half precision comes in two kinds
#
# Both take two bytes. bf16 has the range of fp32 and few digits; fp16 has more digits and ends at 65,504. A T4 computes in fp16 only; a card of compute
# capability 8 or more (A100, L4, RTX 30 and later) does both. minivl looks at the card and takes bf16 where it can.

# %% [markdown]
# ## 4. One switch
#
# Everything below runs on a folder of published files. With `WANTED = False` that folder is the replica
# ([course/replica.py]({{repo}}/blob/main/minivl/course/replica.py)): the weights of the tiny model under the original's names, with the same
# oddities, in 20 MB. With `WANTED = True`, and a GPU, it is the real thing: the first run downloads 21 GB, which takes a while and needs the room.

# %%
WANTED = False  # True: you have a GPU, 45 GB of disk, and have read section 2
REAL = WANTED and torch.cuda.is_available()
assert REAL or not WANTED, "no GPU here: on Colab choose Runtime, Change runtime type, T4"

work = Path(tempfile.mkdtemp())
if REAL:
    from minivl.published.download import download_official

    official = download_official("7b", Path("official"))  # goes on where an earlier run stopped
    options = {"quantization": "4bit"}
else:
    official = replica.write_replica(work / "Video-LLaMA-2-7B-Finetuned")
    options = {"config": tiny(), "device": "cpu"}
for file in sorted(official.rglob("*.[pb][ti][hn]")):
    print(f"{file.stat().st_size / 1e6:6.1f} MB  {file.relative_to(official)}")

# %% [markdown]
# The command line does the same: `minivl download 7b --to official`. Without `config=`, the sizes are those of 7B, and the prompt format follows from
# the files' names.
#
# ## 5. A pickle is a program
#
# A `.pth` file is a Python pickle, and a pickle may say "call this function" while it is read. Here is a harmless one,
# read first by Python and then by minivl:

# %%
class Surprise:
    def __reduce__(self):  # what to call when somebody reads me
        return print, ("this line was printed by a file",)


bad = pickle.dumps({"blocks.0.attn.qkv.weight": Surprise()}, protocol=2)
_ = pickle.loads(bad)

(work / "bad.pth").write_bytes(bad)
try:
    read_official(work / "bad.pth")
    refused = ""
except minivl.WeightsError as error:
    refused = str(error).replace(f"{work}/", "")
print(refused)
assert "could run code" in refused, "the pickle was read: is weights_only=True still there?"

# %% [markdown]
# It could as well have deleted your files. So minivl reads with `weights_only=True`: tensors and plain containers, nothing else. After converting
# (section 10) there are no pickles left.
#
# ## 6. Two and a half thousand names
#
# A state dict maps names to tensors. The whole 7B model of the original has 2,521 of them. The list was recorded from the original's classes and
# comes with minivl ([official_keys.txt]({{repo}}/blob/main/minivl/course/official_keys.txt)): `visual_encoder.blocks.0.attn.qkv.weight`,
# `Qformer.bert.encoder.layer.11.crossattention.self.key.bias` and so on.
#
# The names are those of the original's classes; ours are called otherwise. And our attention has three matrices where the original stacks query, key
# and value into one. So a loader has to translate.
#
# ### How not to do it
#
# The original loads every file with `strict=False` and throws the result away: what fits is taken, the rest is nobody's business. Let us write such a
# loader, with a list of replacements for the names, and give it a file whose names have one prefix too many.

# %%
REPLACEMENTS = [("blocks.", "layers."), ("norm1", "attention_norm"), ("norm", "normalise")]


def naive_name(official):
    for old, new in REPLACEMENTS:
        official = official.replace(old, new)
    return official


print(naive_name("blocks.3.norm1.weight"), naive_name("surprise"))
layer = nn.Linear(4, 4)
before = layer.weight.clone()
file = {"module.weight": torch.ones(4, 4), "module.bias": torch.ones(4)}  # a prefix too many
_ = layer.load_state_dict({naive_name(n): tensor for n, tensor in file.items()}, strict=False)
assert torch.equal(layer.weight, before), "with a wrong prefix nothing fits: was it loaded?"
print("no error, and nothing was loaded")

# %% [markdown]
# Three faults in one cell:
#
# - a later replacement hits what an earlier one wrote (`attention_normalise`), so the order decides,
# - an unknown name comes out as if nothing were wrong,
# - and the layer keeps its random weights without a word. A model with one such part talks nonsense, and nobody knows why.
#
# So here every name has one of three fates. It is **renamed** to one of ours; or **left out** for a reason that is written down; or it is an
# **error** that names it.

# %% [markdown]
# ### A translator for the ViT
#
# **Whole names** are matched against a table of patterns. A name that no row knows is an error.

# %% tags=["component"]
VIT_ROWS = {
    r"visual_encoder\.cls_token": "class_token",
    r"visual_encoder\.pos_embed": "positions",
    r"visual_encoder\.patch_embed\.proj\.(weight|bias)": r"patch.\1",
    r"visual_encoder\.blocks\.(\d+)\.norm1\.(weight|bias)": r"blocks.\1.attention_norm.\2",
    r"visual_encoder\.blocks\.(\d+)\.norm2\.(weight|bias)": r"blocks.\1.feed_forward_norm.\2",
    r"visual_encoder\.blocks\.(\d+)\.attn\.q_bias": r"blocks.\1.attention.query.bias",
    r"visual_encoder\.blocks\.(\d+)\.attn\.v_bias": r"blocks.\1.attention.value.bias",
    r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.weight": r"blocks.\1.attention.{}.weight",
    r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(weight|bias)": r"blocks.\1.attention.out.\2",
    r"visual_encoder\.blocks\.(\d+)\.mlp\.fc1\.(weight|bias)": r"blocks.\1.feed_forward.up.\2",
    r"visual_encoder\.blocks\.(\d+)\.mlp\.fc2\.(weight|bias)": r"blocks.\1.feed_forward.down.\2",
}


def our_name(official):
    for pattern, ours in VIT_ROWS.items():
        if found := re.fullmatch(pattern, official):
            return "image_encoder.vit." + found.expand(ours)
    raise KeyError(official)

# %% [markdown]
# ### ... and for its tensors
#
# The tensors themselves need three small changes: the stacked matrix is cut into three, and the leading ones of `[1, P, width]` and `[1, 1, width]` go.

# %% tags=["component"]
def convert_vit(weights):
    converted = {}
    for official, tensor in weights.items():
        name = our_name(official)
        if "{}" in name:  # query, key and value, stacked
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                converted[name.format(part)] = third
        elif name.endswith("class_token"):
            converted[name] = tensor.flatten()
        elif name.endswith("positions"):
            converted[name] = tensor.squeeze(0)
        else:
            converted[name] = tensor
    return converted

# %% tags=["same"]
random = torch.Generator().manual_seed(0)
weights = {name: torch.randn([min(n, 6) for n in shape], generator=random)
           for name, shape in replica.official_shapes().items()
           if name.startswith("visual_encoder.")}
ours, theirs = convert_vit(weights), convert_official(weights)
assert ours.keys() == theirs.keys(), (
    f"names differ: {sorted(ours.keys() ^ theirs.keys())[:3]}; is a row missing?")
assert all(torch.equal(ours[name], theirs[name]) for name in ours), (
    "a tensor differs: are query, key and value cut in this order?")
print(f"{len(weights)} names of the original, {len(ours)} of ours, the same as the package")

# %% [markdown]
# ### All of them, at true size
#
# The package has such rows for every part ([published/keys.py]({{repo}}/blob/main/minivl/published/keys.py)). On the meta device we can do the whole
# accounting of the 7B model now, without one byte of weights.
#
# **Predict:** ImageBind has six senses. What share of the 2,521 tensors do we *not* need?

# %%
shapes = replica.official_shapes()
print(len(shapes), "names")
without_numbers = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
loaded = {name: tensor.shape for name, tensor in convert_official(without_numbers).items()}
needed = expected_shapes(video_llama_7b(), PARTS)
why = Counter(unused_because(name) or "used" for name in shapes)
for reason, number in why.most_common():
    print(f"{number:5}  {reason}")
assert loaded == needed, "a weight of ours is missing or has another shape: which row is wrong?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Three in ten: 742 belong to senses that Video-LLaMA never uses, and 3 are buffers. 323 are the language model's, which comes from files of its
# own, and 1,453 are used. The `assert` says the important thing: what the table makes of the 2,521 is *exactly* what our modules expect, name by name and shape by shape.
# </details>

# %% [markdown]
# ## 7. Load
#
# One call finds the files by their contents (file names have changed over the years), reads, translates, checks, and puts each tensor straight onto
# its device. It prints what it used, and what it left out and why.

# %%
model = minivl.VideoLlama.from_official(official, **options)
scale = model.imagebind.audio.log_logit_scale.exp().item()
print(f"audio vectors have norm {scale:.0f}")
if not REAL:
    shipped = course.tiny_model().state_dict()
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in model.state_dict().items()), (
        "a tensor differs from the shipped model's: was it renamed twice?")
    print("every tensor is that of the shipped tiny model, bit for bit")

# %% [markdown]
# Look at `imagebind_huge.pth`: one tensor was not used because "a later file has it too, and wins". It is `log_logit_scale`, the number that ImageBind
# multiplies its audio vectors with. The original saves all buffers with the audio branch, this one among them, and there, too, the later file wins. (In the
# published files it is 20 at first. The tiny model has 1.)
#
# With a wrong file the sentence names the file and the weight: "eva_vit_g.pth has an unknown weight, ...", "... lacks the weight ...", "... it is of a
# model of another size".

# %% [markdown]
# ## 8. Two turns of chat
#
# The same three lines as in notebook 00. Only the model is another.

# %%
clip_file = CLIPS / "dog_then_train.mp4"
chat = minivl.Chat(model)
chat.watch(clip_file)
questions = ("what do you see?", "what do you hear first?")
answers = [chat.ask(question, max_new_tokens=48) for question in questions]
for question, answer in zip(questions, answers, strict=True):
    print(f"{question:26}{answer}")
assert REAL or answers == ["a dog, then a train", "a dog"], "is the folder from this run?"

talk = Conversation(STYLES["llama2"])  # what the 7B model reads for the same clip
talk.add("USER", upload_message(talk.style, video=True, image=False, audio=True))
talk.add("USER", questions[0])
print("\n" + talk.prompt())

# %% [markdown]
# The replica answers as the tiny model does, since it *is* the tiny model. The 7B model answers in sentences. Of sound expect little: its authors
# themselves call its understanding of audio unsatisfactory.
#
# The text below the answers is the same conversation in the format of LLaMA-2, as the 7B model reads it. Each `<ImageHere>` is replaced by vectors of a
# soft prompt: 8 of the sound, then 32 of the picture. The runs of 17 and 18 blanks come from a broken line
# in the original's source. Its answers were made with them, so minivl writes them, too.

# %% [markdown]
# ## 9. The shapes of 7B, without memory
#
# `minivl.trace` shows the replica's tensors. For the 7B model, the meta device is enough: the modules from section 1 run, and only shapes come out.
#
# **Predict:** eight frames of 224 pixels, patches of 14. How many vectors enter the image Q-Former for a clip, and how many does the language model get?

# %%
mel = torch.empty(1, 8, 1, 128, 204, device="meta")
with torch.no_grad():
    for T in (8, 32):
        frames = torch.empty(1, T, 3, 224, 224, device="meta")
        patches, tokens = full.image_encoder.vit(frames[0]), full.encode_frames(frames)
        video = full.video_prompt(tokens)
        print(f"T = {T}: ViT {list(patches.shape)}, frame tokens {list(tokens.shape)}, "
              f"video soft prompt {list(video.shape)}")
        assert video.shape == (1, 32, 4096), "the queries decide on the length, not the frames"
    segments = full.encode_segments(mel)
    audio = full.audio_prompt(segments)
print(f"M = 8: ImageBind {list(segments.shape)}, audio soft prompt {list(audio.shape)}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# 8 × 257 = 2,056 patch vectors of width 1,408 enter; 32 vectors of width 4,096 come out, for 8 frames and for 32. All that LLaMA knows about the
# picture is in these 131,072 numbers.
# </details>

# %% [markdown]
# ## 10. Convert once
#
# `convert` writes a folder of safetensors and a `config.json`. Reading it needs no search, no renaming and no pickle. Every tensor keeps its format, so
# the converted model answers the same. On the command line: `minivl convert official video-llama-7b`.

# %% tags=["nbval-ignore-output"]
folder = work / "video-llama"
_ = convert(official, folder, **({} if REAL else {"config": tiny()}))
print(sorted(path.name for path in folder.iterdir()))
pickles = [path.name for path in folder.rglob("*") if path.suffix in (".pth", ".bin")]
assert not pickles, f"{pickles} are pickles: was the language model's folder copied as it was?"

model = chat = None  # a GPU may not have room for two
reload = {"device": "cuda", "quantization": "4bit"} if REAL else {}
again = minivl.Chat(minivl.VideoLlama.from_pretrained(folder, **reload))
again.watch(clip_file)
said = [again.ask(question, max_new_tokens=48) for question in questions]
assert said == answers, "converted weights answer otherwise: did a number format change?"
print("the same answers from safetensors")

# %% [markdown]
# ## 11. How do we know that it is the same model?
#
# A shape that fits proves little. Three kinds of proof stand behind this code ([docs/original.md]({{repo}}/blob/main/docs/original.md)):
#
# - **Names and shapes**, as in section 6: all 2,521, at true size.
# - **Numbers.** The original's own classes were run at tiny size with random weights, and their inputs and outputs recorded. Ours reproduce them: token ids,
#   labels and texts exactly, everything up to the soft prompts within 1e-5, losses and logits within 1e-4.
# - **A second witness.** transformers' BLIP-2 classes, for the ViT and the Q-Former.
#
# ### A test of the tests
#
# A test that cannot fail proves nothing. So 24 details were made wrong on purpose, in the original and here, and the two had to move equally far.
#
# **Predict** for three such mistakes, each against the tolerance of 1e-5: the ViT's norms with eps 1e-5 instead of 1e-6; time positions one frame
# late; a class token of zeros. Which can be seen, and which matters most?

# %% tags=["nbval-ignore-output"]
def moved(spoil):
    """The largest change of the video soft prompt when `spoil` has changed eyes or branch."""
    tiny_model = course.tiny_model()
    eyes, branch = copy.deepcopy((tiny_model.image_encoder, tiny_model.vision_branch))
    pixels = minivl.video.normalise(minivl.load_video(clip_file, size=64).frames[None])
    with torch.no_grad():
        right = branch(eyes(pixels))
        spoil(eyes, branch)
        return (branch(eyes(pixels)) - right).abs().max().item()


def wrong_eps(eyes, branch):
    for norm in (m for m in eyes.vit.modules() if isinstance(m, nn.LayerNorm)):
        norm.eps = 1e-5


def late_positions(eyes, branch):
    branch.positions.weight.data = branch.positions.weight.roll(1, 0)


def no_class_token(eyes, branch):
    eyes.vit.class_token.data.zero_()


changes = {change.__name__: moved(change) for change in (wrong_eps, late_positions, no_class_token)}
print({name: f"{size:.0e}" for name, size in changes.items()})
assert min(changes.values()) > 1e-5, "below the tolerance: would a test see it?"
assert max(changes, key=changes.get) == "late_positions", "shifted time should matter most"

# %% [markdown]
# <details><summary>Answer</summary>
#
# All three can be seen. Late positions move the soft prompt most, by far. The eps, which nobody would find by reading answers, moves it by less than one
# ten-thousandth: a test with a tolerance of 1e-3 would have let it pass.
# </details>

# %% [markdown]
# ### What is not proven
#
# - The published files themselves could not be fetched while minivl was written. Nobody has compared an answer of our 7B model with the original's.
# - All comparisons are in fp32 on a CPU. The original runs in half precision on a GPU.
# - Which pixels a decoder gives for a file was compared by averages.
#
# If you run this notebook with `WANTED = True`, you are among the first to see it. Tell us what it says.

# %% [markdown]
# ## 12. Mistakes that the weights have learned
#
# The original has bugs. Weights that were trained with them need them, so `config.original_quirks` is on for 7B, and off for tiny. Two of them;
# the rest is a table in [docs/original.md]({{repo}}/blob/main/docs/original.md).
#
# **The end is never heard.** Eight segments of two seconds are placed at $k\,(d - 2) / 8$ for $k = 0 \dots 7$. Divided by 8, not by 7.

# So of 20 seconds the last segment starts at 15.75 and ends at 17.75. Exercise 11.4 mends it.
#
# **Bright pixels turn black.** The crops of training are enlarged with bicubic interpolation, which overshoots at edges: 270.7 where 255 is white. The
# original casts this to a byte without clamping, and 270 becomes 14.

# %% [markdown]
# ### The gap between seeing and hearing
#
# One that no switch can mend in published weights: the audio branch learned from *picture* vectors of norm 1, and is used on *sound* vectors of norm 20 (section 7). For
# branches that you train yourself, `config.match_norms` closes the gap: [notebook 12](12_train_the_real_eyes_and_ears.ipynb).

# %% [markdown]
# ## Recap
#
# - The 7B model is six files and folders from two places, 21 GB, under five licences, of which the strictest decides. What Video-LLaMA itself trained is a fortieth of
#   the bytes.
# - Memory can be planned before anything is downloaded: 17.7 GB in bf16, 8.2 GB in 4 bit. Only the language model's linear layers shrink.
# - A `.pth` file is a program unless it is read as data.
# - A loader that says nothing is dangerous. Here each of the 2,521 names is renamed, left out for a written reason, or an error.
# - Equality was proven on recorded numbers at tiny size, and on names and shapes at true size; the published files are still to be tried.

# %% [markdown]
# ## Exercises
#
# ### Exercise 11.1: thirteen billion in 4 bits · ★☆☆ · 10 minutes
# How many GB are the weights of the 13B language model if its linear layers are in 4 bits? It has width 5,120, 40 layers, a hidden width of
# 13,824 in the feed-forward, and a vocabulary of 32,000. A layer has four matrices of width × width (attention) and three of width × hidden. Word
# embeddings and `lm_head` (vocabulary × width each) stay at 2 bytes a number. Norms are too small to matter.
#
# <details><summary>Hint</summary>
#
# `linear_bytes` from section 3 tells the bytes of a number in 4 bits: `linear_bytes(1, 1, 4)`.
# </details>

# %% tags=["exercise"] exercise="11.1"
gigabytes = None  # a number, 1 GB = 10**9 bytes

# %% tags=["checker"] exercise="11.1"
course.check(n11.thirteen, gigabytes)

# %% tags=["solution"] exercise="11.1"
width, hidden, words = 5120, 13824, 32000
linear = 40 * (4 * width * width + 3 * width * hidden)
byte = 1 / 2 + 1 / 64 + 4 / (64 * 256)
gigabytes = (linear * byte + 2 * 2 * words * width) / 1e9

# %% [markdown] tags=["why"] exercise="11.1"
# 7.2 GB. Word embeddings and lm_head are 2.5 % of the numbers and 9 % of the bytes. With eyes, ears, a KV cache and the rest, the README plans
# 12.2 GB: the 13B model fits a free Colab GPU, too.

# %% tags=["wrong"] exercise="11.1" hint="word embeddings"
numbers = 40 * (4 * 5120**2 + 3 * 5120 * 13824) + 2 * 32000 * 5120
gigabytes = numbers * (1 / 2 + 1 / 64 + 1 / 4096) / 1e9

# %% tags=["wrong"] exercise="11.1" hint="scales"
gigabytes = (40 * (4 * 5120**2 + 3 * 5120 * 13824) / 2 + 2 * 2 * 32000 * 5120) / 1e9

# %% tags=["wrong"] exercise="11.1" hint="2 bytes for every number"
gigabytes = 2 * 13.0e9 / 1e9

# %% [markdown]
# ### Exercise 11.2: account for every name · ★★☆ · 15 minutes
# Write the bookkeeping of a strict loader. `names` are the names in a file, `expected` is the set of names that the model needs, and `reasons` maps
# patterns (for the *beginning* of a name, as `re.match` takes them) to texts. Return `(used, left_out)`: the set of names that are used, and a dict from each name
# that is left out to its reason. Raise `KeyError` with the name for one that is neither, and for one that the model needs and the file lacks.
#
# <details><summary>Hint</summary>
#
# Three branches in a loop over `names`, and one comparison after it.
# </details>

# %% tags=["exercise"] exercise="11.2"
def account(names, expected, reasons):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="11.2"
course.check(n11.account, account)

# %% tags=["solution"] exercise="11.2"
def account(names, expected, reasons):
    used, left_out = set(), {}
    for name in names:
        why = next((text for pattern, text in reasons.items() if re.match(pattern, name)), None)
        if name in expected:
            used.add(name)
        elif why is not None:
            left_out[name] = why
        else:
            raise KeyError(name)
    if missing := expected - used:
        raise KeyError(min(missing))
    return used, left_out

# %% [markdown] tags=["why"] exercise="11.2"
# The original does none of this, and a wrong prefix goes unnoticed. `strict=True` alone would not do either: published files hold a good deal that
# nobody needs, and "unexpected" must not become a habit.

# %% tags=["wrong"] exercise="11.2" hint="strict=False"
def account(names, expected, reasons):
    used = {name for name in names if name in expected}
    left_out = {n: text for n in names for pattern, text in reasons.items() if re.match(pattern, n)}
    if missing := expected - used:
        raise KeyError(min(missing))
    return used, left_out

# %% tags=["wrong"] exercise="11.2" hint="lacks"
def account(names, expected, reasons):
    used, left_out = set(), {}
    for name in names:
        why = next((text for pattern, text in reasons.items() if re.match(pattern, name)), None)
        if name in expected:
            used.add(name)
        elif why is not None:
            left_out[name] = why
        else:
            raise KeyError(name)
    return used, left_out

# %% tags=["wrong"] exercise="11.2" hint="beginning"
def account(names, expected, reasons):
    used, left_out = set(), {}
    for name in names:
        why = next((text for pattern, text in reasons.items() if re.search(pattern, name)), None)
        if name in expected:
            used.add(name)
        elif why is not None:
            left_out[name] = why
        else:
            raise KeyError(name)
    if missing := expected - used:
        raise KeyError(min(missing))
    return used, left_out

# %% [markdown]
# ### Exercise 11.3: four bits by hand · ★★★ · 20 minutes
# Take a weight `[out, in]` and return a weight of the same shape whose numbers would fit into 4 bits: cut it into blocks of 64 numbers (row by row),
# give each block the scale `largest absolute value / 7`, and round every number to the nearest multiple of its block's scale (−7 to 7: 15 levels).
# The checker then puts such weights into the tiny model's language model and asks it what it hears first.
#
# <details><summary>Hint</summary>
#
# `weight.reshape(-1, 64)`, `abs().amax(1, keepdim=True)`, `round()`, and back into the old shape.
# </details>

# %% tags=["exercise"] exercise="11.3"
def four_bits(weight):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="11.3"
course.check(n11.four_bits, four_bits)

# %% tags=["solution"] exercise="11.3"
def four_bits(weight):
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True) / 7
    return ((blocks / scale).round() * scale).reshape(weight.shape)

# %% [markdown] tags=["why"] exercise="11.3"
# Each weight is off by up to half a level, and the errors of many weights cancel in a sum. nf4 does better with the same bits: its levels
# are not equally far apart but lie where a normal distribution has its numbers, densely around zero.

# %% tags=["wrong"] exercise="11.3" hint="whole matrix"
def four_bits(weight):
    scale = weight.abs().max() / 7
    return (weight / scale).round() * scale

# %% tags=["wrong"] exercise="11.3" hint="towards zero"
def four_bits(weight):
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True) / 7
    return ((blocks / scale).int() * scale).reshape(weight.shape)

# %% tags=["wrong"] exercise="11.3" hint="absolute"
def four_bits(weight):
    blocks = weight.reshape(-1, 64)
    scale = blocks.amax(1, keepdim=True) / 7
    return ((blocks / scale).round() * scale).reshape(weight.shape)

# %% [markdown]
# ### Exercise 11.4: hear the end · ★★☆ · 10 minutes
# Find the bug in the original's line and mend it: return the starts, in seconds, of `count` segments of two seconds, equally far apart, the first at 0, the last one
# ending with the sound. A sound shorter than two seconds starts all segments at 0. One segment alone starts at 0, too.
#
# ```python
# return [k * max(duration - 2, 0) / count for k in range(count)]  # the original's line
# ```
#
# <details><summary>Hint</summary>
#
# Eight fence posts have seven gaps.
# </details>

# %% tags=["exercise"] exercise="11.4"
def starts(duration, count):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="11.4"
course.check(n11.starts, starts)

# %% tags=["solution"] exercise="11.4"
def starts(duration, count):
    gaps = max(count - 1, 1)
    return [k * max(duration - 2, 0) / gaps for k in range(count)]

# %% [markdown] tags=["why"] exercise="11.4"
# minivl does this where `original_quirks` is off, and gives short sounds fewer segments besides: eight copies of the same second would differ in nothing but their
# position. With the published weights the bug has to stay.

# %% tags=["wrong"] exercise="11.4" hint="end is never heard"
def starts(duration, count):
    return [k * max(duration - 2, 0) / count for k in range(count)]

# %% tags=["wrong"] exercise="11.4" hint="taken off"
def starts(duration, count):
    return [k * duration / max(count - 1, 1) for k in range(count)]

# %% tags=["wrong"] exercise="11.4" hint="division by zero"
def starts(duration, count):
    return [k * max(duration - 2, 0) / (count - 1) for k in range(count)]

# %% [markdown]
# ## What to read next
#
# - [notebook 12](12_train_the_real_eyes_and_ears.ipynb): the same eyes and ears in front of a language model of 1.1 billion parameters, with branches that you train
# - [docs/original.md]({{repo}}/blob/main/docs/original.md): minivl beside the original, line by line, with every known difference
# - [published/weights.py]({{repo}}/blob/main/minivl/published/weights.py): the loader, 240 lines
# - [planning/memory.py]({{repo}}/blob/main/minivl/planning/memory.py): the table of section 3
