# %% [markdown]
# # Soft prompts: a video between words
# {{badge}}
#
# **What you will be able to do.** Put a video into a sentence: project it to the language model's width, splice it between embedded words, pad a batch of such rows on
# the right side. Say which tokens a training learns from and compute its loss by hand. Ask what a soft prompt says, in words, and test it: scale it, zero a vector, swap it
# with another clip's. Show that the gradient reaches the branch and nothing else.
#
# **What you need to know.** That a language model reads embedded tokens and predicts the next one; cross-entropy. From [notebook 03](03_the_qformer.ipynb), that the Video
# Q-Former brings back `Qv` vectors.
#
# **Time.** 35 minutes to read, an hour and a quarter with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of
# memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import string

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

import minivl
from minivl import course
from minivl import soft_prompt as package
from minivl.conversation import LLAMA2, STYLES, TINY, VICUNA, Conversation
from minivl.course import moving_shapes, n04
from minivl.demo import CLIPS
from minivl.plots import Picture
from minivl.soft_prompt import IGNORE, IMAGE_HERE, VIDEO_SLOT
from minivl.supervision import conversation_example

# %%
figure = course.overview("video linear", "words", "splice", "LLM")
course.show(figure, alt="Video-LLaMA: linear layer, words, splice and LLM are framed.")

# %% [markdown]
# ## 1. One linear layer
#
# The Video Q-Former has brought back `Qv = 8` vectors of 128 numbers. The language model reads vectors of `D = 192` numbers, its word embeddings. Between the two stands the smallest
# thing that can be: one linear layer, for each vector on its own (paper, section 2.1.1; `llama_proj` in the original).
#
# $$ p_q = W v_q + b \qquad W: [D, 128] $$
#
# No softmax, no lookup in a table of words. What comes out is *any* point of the space in which the words are points. That is why it is called a **soft** prompt.

# %% tags=["same"]
torch.manual_seed(0)
to_llm = minivl.branches.VisionLanguageBranch(minivl.tiny().vision_branch, llm_width=192).to_llm
weight, bias, v = to_llm.weight.detach(), to_llm.bias.detach(), torch.randn(8, 128)

slow = torch.empty(8, 192)
for q in range(8):
    for d in range(192):
        slow[q, d] = (weight[d] * v[q]).sum() + bias[d]
assert torch.allclose(slow, to_llm(v), atol=1e-5), "is the bias added, and is W read row by row?"
assert torch.allclose(v @ weight.T + bias, to_llm(v), atol=1e-5), "is W transposed?"
print(f"equal; {weight.numel() + bias.numel():,} parameters, at 7B {768 * 4096 + 4096:,}")

# %% [markdown]
# ## 2. Slots
#
# In which place of the sentence do the vectors stand? The prompt says it, by a placeholder: `<Video><ImageHere></Video> what do you see?`. The tokenizer knows nothing of it, so the text is cut
# there, its pieces are tokenised, and between them come `Qv` **slots**: numbers that can be no word. In minivl a slot is negative. (The original adds a 32,001st token, `<ImageHere>`, looks up
# word 0 in its place and replaces what it got.)

# %% tags=["component"]
def to_ids(tokenizer, prompt, slot, length):
    """A prompt with one <ImageHere> -> token ids, with `length` slots in its place."""
    before, after = prompt.split(IMAGE_HERE)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in (before, after)]
    return ids[0] + [slot] * length + ids[1]

# %% [markdown]
# Our small tokenizer has one token for a word. LLaMA's has pieces of words and a first token `<s>`, which is written once, before the first piece; the package's `tokenize` knows that.

# %% [markdown]
# ## 3. The splice
#
# Walk along the ids. At a word, take its row of the embedding table. At a slot, take the next vector of the soft prompt:
#
# $$ [\,E(w_1) \dots E(w_i)\;\; p_1 \dots p_{Q_v}\;\; E(w_{i+1}) \dots E(w_L)\,] $$
#
# ### In loops, and without
#
# First in loops; then for the whole batch at once. `masked_scatter` fills the places where a mask is True with the elements of another tensor, in reading order. The ids are clamped first, because
# a table has no row −201.

# %% tags=["component"]
def splice_slow(ids, table, soft):
    """ids [B, L], table [words, D], soft [B, Q, D] -> what the language model reads [B, L, D]."""
    following = iter(rearrange(soft, "b q d -> (b q) d"))
    rows = [[table[i] if i >= 0 else next(following) for i in row] for row in ids.tolist()]
    return torch.stack([torch.stack(row) for row in rows])


def splice(ids, table, soft):
    """The same without loops."""
    embedded = table[ids.clamp(min=0)]  # [B, L, D]; a slot gets word 0 for a moment
    here = (ids < 0)[..., None]  # [B, L, 1]
    return embedded.masked_scatter(here, soft)

# %% tags=["same"]
tokenizer = course.tiny_model().tokenizer
prompt = f"###Human: <Video>{IMAGE_HERE}</Video> what do you see?###Assistant:"
ids = to_ids(tokenizer, prompt, VIDEO_SLOT, 3)
assert ids == package.tokenize(tokenizer, prompt, [(VIDEO_SLOT, 3)]), "is each piece encoded alone?"
print(*(f"{i}:{tokenizer.convert_ids_to_tokens(i) if i >= 0 else '(slot)'}" for i in ids))

torch.manual_seed(0)
words, soft = nn.Embedding(200, 6), torch.randn(2, 3, 6)
batch = torch.tensor([ids, [VIDEO_SLOT] * 3 + [4] * (len(ids) - 3)])
expected = package.splice(batch, words, {VIDEO_SLOT: soft})
message = "do the vectors go to their own row, in reading order?"
assert torch.equal(splice_slow(batch, words.weight, soft), expected), message
assert torch.equal(splice(batch, words.weight, soft), expected), message
try:
    package.splice(batch, words, {VIDEO_SLOT: torch.randn(3, 3, 6)})
except minivl.InputError as error:
    print("three soft prompts for two rows:", error)

# %% [markdown]
# ### What is not there
#
# The last line is why the package counts first. `masked_scatter` complains about too few numbers, but what is too many it drops without a word: our `splice` would take the first two
# prompts, and whose they are nobody would ask.
#
# And there is no new layer in the language model, no new token type, no mark that says "this is a picture". The model cannot tell
# the vectors from words, except by what they are. Positions are counted as if they were words, 0 to L − 1.

# %% [markdown]
# ## 4. A batch: padding, on the right side
#
# Rows of a batch have different lengths, a tensor has one. So short rows are filled up, and an **attention mask** says 1 for what is there, 0 for padding.
#
# - In **training** one pads on the right: the fill stands behind everything that is read, and no label is on it.
# - In **generation** one pads on the left, so that all rows *end* together: the next token is predicted from the last position of each row.

# %% tags=["component"]
def pad(rows, pad_id, left=False):
    """Rows of ids -> ids [B, L], attention mask [B, L]."""
    longest = max(len(row) for row in rows)
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        fill, off, on = [pad_id] * gap, [0] * gap, [1] * len(row)
        ids.append(fill + row if left else row + fill)
        mask.append(off + on if left else on + off)
    return torch.tensor(ids), torch.tensor(mask)

# %% tags=["same"]
rows = [[5, -201, -201, 8], [9], [3, 4]]
right, left = package.pad(rows, rows, 0)[:2], package.pad_left(rows, 0)
for ours, theirs in ((pad(rows, 0), right), (pad(rows, 0, left=True), left)):
    same = [torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert all(same), "is the mask 0 exactly on the fill?"
print("right", pad(rows, 0)[0].tolist())
print("left ", pad(rows, 0, left=True)[0].tolist())

# %% [markdown]
# ### On the wrong side
#
# **Predict:** two questions about a red circle that moves left, one short and one long, in one batch. What does the model answer if they are padded on the wrong side?

# %%
model = course.tiny_model()
table = model.llm.get_input_embeddings().weight.detach()  # [words, D]
clip = minivl.load_video(CLIPS / "red_circle_moves_left.mp4")
with torch.no_grad():
    circle = model.soft_prompts(frames=clip.frames[None])[VIDEO_SLOT]  # [1, Qv, D]


def ask_padded(questions, left):
    text = f"###Human: <Video>{IMAGE_HERE}</Video> {{}}###Assistant:"
    rows = [to_ids(tokenizer, text.format(q), VIDEO_SLOT, 8) for q in questions]
    ids, mask = pad(rows, model.pad_id, left)
    embedded = splice(ids, table, circle.expand(len(rows), -1, -1))
    new = model.llm.generate(inputs_embeds=embedded, attention_mask=mask, max_new_tokens=6)
    return [model.read(row) for row in new.tolist()]


asked = ["what colour is it?", "what do you see first in this video?"]
for side, left in (("left", True), ("right", False)):
    print(f"padded on the {side}:", ask_padded(asked, left))
assert ask_padded(asked, left=True)[0] == "red", "does the row end with 'Assistant:'?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# On the right, the short row ends with padding, and from there the model has to go on: it says something that has nothing to do with the colour. The long row, which has no padding, is
# answered as before. A bug of this kind does not crash and spares the longest row of each batch: test it with two rows of different length.
#
# </details>

# %% [markdown]
# ## 5. Which tokens count
#
# Training is next-token prediction, but not on everything. The question is given, the soft prompt is no word at all: what is to be learned is the answer, and the stop text `###` that ends it, so
# that the model learns to stop. Every token gets a **label**: its own id if it has to be predicted, −100 (`IGNORE`) if not.

# %% [markdown]
# ### A writer of dialogues
#
# Stage 1 knows captions only: soft prompt, caption, end (`caption_example` of [`supervision.py`]({{repo}}/blob/main/minivl/supervision.py)). Stage 2 has dialogues. Here they are written in the tiny model's format:

# %% tags=["component"]
def write_dialogue(tokenizer, turns, slot, length):
    """(question, answer) turns, with <ImageHere> in the first question -> ids, labels."""
    ids, labels = [], []
    for number, (question, answer) in enumerate(turns):
        if number == 0:
            asked = to_ids(tokenizer, f"###Human: {question}###Assistant:", slot, length)
        else:  # the "###" that ended the answer before opens this turn too
            asked = tokenizer.encode(f"Human: {question}###Assistant:", add_special_tokens=False)
        said = tokenizer.encode(f"{answer}###", add_special_tokens=False)
        ids += asked + said
        labels += [IGNORE] * len(asked) + said
    return ids, labels

# %% [markdown]
# ### Few tokens
#
# **Predict:** two turns, "what colour is it?" – "red" and "which way does it move?" – "it moves left". Of the 34 tokens, how many have a label?

# %% tags=["same"]
tokenizer = course.tiny_model().tokenizer
turns = [(f"<Video>{IMAGE_HERE}</Video> what colour is it?", "red")]
turns += [("which way does it move?", "it moves left")]
ids, labels = write_dialogue(tokenizer, turns, VIDEO_SLOT, 8)
example = conversation_example(tokenizer, TINY, turns, VIDEO_SLOT, 8)
assert (ids, labels) == (example.ids, example.labels), "is the stop text after each answer learned?"

figure = Picture(figsize=(10, 1.6), layout="constrained")
axes = figure.add_subplot(xlim=(0, 17), ylim=(2, 0))
axes.axis("off")
for place, (i, label) in enumerate(zip(ids, labels, strict=True)):
    word = f"p{place - 2}" if i < 0 else tokenizer.convert_ids_to_tokens(i)
    colour = "white" if i < 0 else "#DDDDDD" if label == IGNORE else course.YELLOW
    weight, hatch = "normal" if label == IGNORE else "bold", "//" if i < 0 else ""
    y, x = divmod(place, 17)
    box = axes.fill_between((x, x + 0.94), y + 0.1, y + 0.8, facecolor=colour, edgecolor="grey")
    box.set_hatch(hatch)
    text = axes.text(x + 0.47, y + 0.45, word.replace("Assistant:", "Assist:"), weight=weight)
    text.set(ha="center", va="center", fontsize=8.5)
    text.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 1})
alt = "A dialogue in boxes: hatched soft prompt, grey questions, yellow bold answers with ###."
course.show(figure, alt=alt)
print(sum(label != IGNORE for label in labels), "of", len(labels), "tokens are learned")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Six: *red*, `###`, *it*, *moves*, *left*, `###`. All that both branches ever learn comes from such few tokens. In one pass all of them are predicted at once: each sees only what
# stands before it.
#
# </details>

# %% [markdown]
# ### The same dialogue in other formats
#
# A chat model was fine-tuned with one way of writing "your turn", and understands that one best. Vicuna (`###`) and LLaMA-2 (`[INST]`) are those of the original. To see every character, we use a
# tokenizer with one token a letter. Under each line, `~` marks what is learned; `v` is a vector of the soft prompt, `¶` a new line.

# %%
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

pieces = {piece: i for i, piece in enumerate(["<unk>", *string.printable])}
letters = Tokenizer(models.BPE(pieces, [], unk_token="<unk>"))
letters = PreTrainedTokenizerFast(tokenizer_object=letters, unk_token="<unk>")
short = [(f"<Video>{IMAGE_HERE}</Video> what?", "red"), ("where?", "left")]
for style in (TINY, VICUNA, LLAMA2):
    example = conversation_example(letters, style, short, VIDEO_SLOT, 2)
    read = "".join("v" if i < 0 else letters.convert_ids_to_tokens(i) for i in example.ids)
    print(style.name, read.replace("\n", "¶"), sep="\n")
    print("".join(" " if label == IGNORE else "~" for label in example.labels))
    assert example.labels[read.index("red")] != IGNORE, "is the answer learned in every format?"

# %% [markdown]
# Look at Vicuna's line: there `###Assistant:` is learned too, although it stands in every prompt, and the `###` before the first question. Nobody needs that; the original's mask leaves them in,
# and its weights were trained so. `supervision.py` keeps it, to the letter.

# %% [markdown]
# ### Chat: up to where the model goes on
#
# For an answer, the text has to end where the model should take over. A format is three templates: how the conversation opens, how a later question is put, how an answer is written down.

# %% tags=["same"]
def write(style, turns, system=""):
    """(question, answer) turns, the last answer None -> the text that the model has to continue."""
    text = ""
    for number, (question, answer) in enumerate(turns):
        text += (style.question if number else style.opening).format(system=system, text=question)
        text += "" if answer is None else style.answer.format(text=answer)
    return text


chat = [(f"<Video>{IMAGE_HERE}</Video> what?", "red"), ("where?", None)]
for style in STYLES.values():
    theirs = Conversation(style)
    for question, answer in chat:
        theirs.add(style.roles[0], question)
        _ = answer and theirs.add(style.roles[1], answer)
    assert write(style, chat) == theirs.prompt(), "does a later question have its own template?"
    print(f"{style.name:8}{write(style, chat)!r}")

# %% [markdown]
# ## 6. The loss, by hand
#
# For one batch, with $w_l$ the token at place $l$ and $A$ the places that have a label,
#
# $$ \text{loss} = -\frac{1}{|A|} \sum_{l \in A} \log p(w_l \mid \text{all before } l) $$
#
# The model's output at place $l - 1$ is what predicts place $l$. So logits and labels are shifted against each other by one. And the mean is over all labelled tokens *of the batch*, so a long
# answer weighs more than a short one.

# %% tags=["component"]
def loss_slow(logits, labels):
    """logits [B, L, words], labels [B, L] -> a number."""
    total, count = 0.0, 0
    for b in range(len(labels)):
        for place in range(1, labels.shape[1]):
            if labels[b, place] != IGNORE:
                chances = logits[b, place - 1].softmax(dim=-1)  # the place before predicts it
                total -= chances[labels[b, place]].log()
                count += 1
    return total / count


def loss(logits, labels):
    """The same without loops."""
    predicted = rearrange(logits[:, :-1], "b l words -> (b l) words")
    return F.cross_entropy(predicted, labels[:, 1:].flatten(), ignore_index=IGNORE)

# %% tags=["same"]
torch.manual_seed(0)
model, made_up = course.tiny_model(), torch.randn(2, 8, 192)
rows = []
for colour, more in (("red", "it moves left"), ("a green star", "no")):
    turns = [(f"<Video>{IMAGE_HERE}</Video> what do you see?", colour), ("is it?", more)]
    rows.append(write_dialogue(model.tokenizer, turns, VIDEO_SLOT, 8))
ids, mask, labels = package.pad(*map(list, zip(*rows, strict=True)), model.pad_id)
with torch.no_grad():
    expected = model.loss(ids, mask, labels, {VIDEO_SLOT: made_up})
    embedded = splice(ids, model.llm.get_input_embeddings().weight, made_up)
    logits = model.llm(inputs_embeds=embedded, attention_mask=mask).logits  # [B, L, words]
for ours in (loss_slow(logits, labels), loss(logits, labels)):
    assert torch.allclose(ours, expected, atol=1e-4), "are logits and labels shifted by one?"
print("three versions, the same loss, for two rows of different length")

# %% [markdown]
# ### What the loss sees
#
# Word by word: how surprised is the trained model by each learned token, given this clip's soft prompt, and given that of another clip (a dog, then a train)?
#
# **Predict:** which of the tokens are surprising with the wrong clip, and which are not?

# %%
turns = [(f"<Video>{IMAGE_HERE}</Video> what colour is it?", "red")]
turns += [("which way does it move?", "it moves left"), ("what shape is it?", "a circle")]
ids, labels = (torch.tensor([x]) for x in write_dialogue(tokenizer, turns, VIDEO_SLOT, 8))
other = minivl.load_video(CLIPS / "dog_then_train.mp4")
learned = labels[0, 1:] != IGNORE
with torch.no_grad():
    dog = model.soft_prompts(frames=other.frames[None])[VIDEO_SLOT]
surprise, wanted = [], labels[0, 1:][learned]
for soft in (circle, dog):
    with torch.no_grad():
        logits = model.llm(inputs_embeds=splice(ids, table, soft)).logits[0, :-1]
    surprise.append(F.cross_entropy(logits[learned], wanted, reduction="none"))

figure = Picture(figsize=(8, 2.8), layout="constrained")
axes, places = figure.add_subplot(), torch.arange(int(learned.sum()))
axes.bar(places - 0.2, surprise[0], 0.4, color=course.BLUE, label="its own clip")
axes.bar(places + 0.2, surprise[1], 0.4, color=course.ORANGE, hatch="//", label="another clip")
axes.set_xticks(places, tokenizer.convert_ids_to_tokens(wanted.tolist()))
axes.set_ylabel("loss of the token")
axes.legend()
course.show(figure, alt="Bars for tokens: tall for words of content, with another clip only.")
assert surprise[0].max() < 1 < surprise[1].max(), "are the two soft prompts exchanged?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# With its own clip nothing is: the blue bars are too small to be seen. With the other clip the words of content are: *red*, *left*, and most of all *moves*, because nothing moves there. (*circle* is not: knowing of no shape,
# the model guesses it.) What follows from the question alone (*it*, *a*, the `###` at the end) does not depend on the clip: the language model knew it already. This is why a branch can learn with a frozen language model: the form of an answer is there, only the content is missing, and only the missing part makes a gradient.
#
# </details>

# %% [markdown]
# ## 7. What does a soft prompt say?
#
# The vectors stand where words stand. So ask of each: which words are nearest to it? Nearest by angle (cosine), because lengths differ.
#
# **Predict:** do you expect readable words? And are the vectors shorter than words, as long, or longer?

# %%
def cosines(vectors):
    return F.normalize(vectors, dim=-1) @ F.normalize(table, dim=-1).T  # [..., words]


near = {}
for name, soft in (("red circle moves left", circle), ("dog, then train", dog)):
    value, index = cosines(soft[0]).max(dim=-1)
    near[name] = [tokenizer.convert_ids_to_tokens(int(i)) for i in index]
    print(f"{name:22}", " ".join(f"{word:7}" for word in near[name]))
    print(f"{'   cosine':22}", " ".join(f"{v:<7.2f}" for v in value))
noise = torch.randn(1000, 192, generator=torch.Generator().manual_seed(0))
print(f"nearest cosine of random vectors, mean: {cosines(noise).max(dim=-1).values.mean():.2f}")
of_words, of_prompt = (x.norm(dim=-1).mean() for x in (table, circle))
print(f"length: words {of_words:.1f}, soft prompt {of_prompt:.1f}")
assert {"circle", "red", "left"} <= set(near["red circle moves left"]), "is the cosine over D?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# They can be read. *circle, red, red, circle, left, large* for the one clip, *dog, train, dog, then* for the other; query 3, which in notebook 03 looked at the early frames, says *dog*, queries 2
# and 7, which looked at the late ones, say *train*. Nobody asked for words: the only aim in training was that the answers come out right.
#
# But do not read too much into it. A cosine of 0.5 means that the word explains a quarter of the vector's squared length; three quarters are something else. And the vectors are more than ten times as long as words.
#
# </details>

# %% [markdown]
# ### Over many clips
#
# Two clips prove little. So draw 32 clips of one coloured shape that moves, which no training has seen (seeds from 500,000 on), and ask of each slot: of the six colour words, is the nearest one the true colour? The same for shapes
# and directions.

# %%
scenes, frames = moving_shapes.draw(course.steps(32, smoke=6))  # frames [N, T, 3, H, W]
with torch.no_grad():
    soft = model.soft_prompts(frames=frames)[VIDEO_SLOT]  # [N, Qv, D]
kinds = {"colour": moving_shapes.COLOURS, "shape": moving_shapes.SHAPES}
kinds["direction"] = moving_shapes.DIRECTIONS
share = torch.empty(3, 8)
for row, (kind, words) in enumerate(kinds.items()):
    of_words = cosines(soft)[..., tokenizer.convert_tokens_to_ids(list(words))]  # [N, Qv, words]
    true = torch.tensor([words.index(getattr(scene, kind)) for scene in scenes])
    share[row] = (of_words.argmax(dim=-1) == true[:, None]).float().mean(dim=0)
print(f"{'slot':10}", *(f"{slot:>5}" for slot in range(1, 9)), " chance")
for kind, row in zip(kinds, share, strict=True):
    print(f"{kind:10}", *(f"{s:5.2f}" for s in row), f"{1 / len(kinds[kind]):7.2f}")
assert share[0, 1] > 0.9, "slot 2 should say the colour: is the cosine taken with the words' rows?"

# %% [markdown]
# The slots have shared out the work, and in the same way for every clip: 2 and 3 say the colour, 1 and 4 the shape, 5 the direction, 7 something of colour and shape. Slots 6 and 8 say none of the
# three; their nearest word above was a size.

# %% [markdown]
# ### Are the words enough, and how loud must they be?
#
# Throw the vectors away and put the embedding of the nearest word into each slot: an ordinary, hard prompt of eight words. And since the vectors are more than ten times as long
# as words: is it their length that makes the model listen?
#
# **Predict:** what share of the questions is still answered with nearest words? And if all eight vectors are multiplied by 100, by 0.01, by 0.0001?

# %%
def accuracies(soft):
    """Soft prompts [N, Qv, D] -> shares of right answers: colour, shape, direction."""
    return moving_shapes.accuracies(model, scenes, soft)


nearest = table[cosines(soft).argmax(dim=-1)]  # [N, Qv, D]
results = {"soft prompts": accuracies(soft), "nearest words": accuracies(nearest)}
for factor in (100, 0.01, 0.0001, 0):
    results[f"times {factor:g}"] = accuracies(soft * factor)
print(f"{'':17}", *(f"{kind:>10}" for kind in kinds))
for name, row in results.items():
    print(f"{name:17}", *(f"{share:10.2f}" for share in row))
message = "are the words' rows put into the slots, not the cosines?"
assert course.SMOKE or results["nearest words"][0] > 0.9, message

# %% [markdown]
# <details><summary>Answer</summary>
#
# With the words nearly all are; only directions suffer. Here a soft prompt is little more than eight words, written by a Q-Former.
#
# Length does next to nothing, over four powers of ten. LLaMA divides every vector by its own length (RMSNorm) on the way into each layer's attention, and so reads mostly the *direction* of a vector. Only when the vectors are so short that the norm's
# epsilon outweighs them do they fade, until nothing is left to answer from. So nothing held the length back in training, and that it grew is an accident.
#
# </details>

# %% [markdown]
# ### Would a large model's prompt be readable?
#
# There is a reason why *ours* is: its language model learned from texts that stood in the very place of the soft prompt ([A1](A1_where_the_frozen_parts_come_from.ipynb)), and it knows
# nothing but 166 tokens. The branch has learned to write what this reader reads best.
#
# Do not expect it of the 7B model. Lester et al. (2021), who learned soft prompts for a large language model, found that the nearest words of one vector resemble each other, but that
# the prompt as a whole could hardly be read. We have no 7B weights here to look; [notebook 11](11_the_real_thing.ipynb) shows how to load them, and these cells run there too.

# %% [markdown]
# ## 8. Zeroed or swapped
#
# Nearness is a correlation. An intervention is better: change one slot and ask again. Two ways:
#
# - **zeroed**: the vector becomes 0; what it said is missing.
# - **swapped**: it comes from another clip, of another colour, shape and direction; now it says something else.
#
# **Predict:** slot 2 says the colour. Does the answer survive if slot 2 is zeroed? If it is swapped?

# %%
donor = moving_shapes.donors(scenes)  # for each clip another one, that differs in all three
rows = {"zeroed": torch.empty(3, 8), "swapped": torch.empty(3, 8)}
for slot in range(8):
    for name, put_in in (("zeroed", torch.zeros_like(soft)), ("swapped", soft[donor])):
        changed = soft.clone()
        changed[:, slot] = put_in[:, slot]
        rows[name][:, slot] = torch.tensor(accuracies(changed))
figure = Picture(figsize=(10, 2.7), layout="constrained")
for number, (name, values) in enumerate(rows.items()):
    axes = figure.add_subplot(1, 2, number + 1, xlabel="slot")
    axes.set_title(f"one slot {name}: share of right answers")
    axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto", extent=(0.5, 8.5, 2.5, -0.5))
    axes.set_yticks(range(3), kinds)
    for row in range(3):
        for slot in range(8):
            value = float(values[row, slot])
            text = axes.text(slot + 1, row, f"{value:.2f}", ha="center", va="center")
            text.set_color("black" if value > 0.5 else "white")
course.show(figure, alt="Zeroing a slot hurts only the direction; swapping one hurts all three.")
swapped, zeroed = rows["swapped"][0, 1], rows["zeroed"][0, 1]
assert course.SMOKE or swapped < 0.6 < zeroed, "is only one slot changed?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Zeroed: yes. The colour is written down twice, in slots 2 and 3, and the second copy is enough. Only the direction has no copy. Swapped: mostly not. Where the two slots disagree, the model believes slot 2 rather than slot 3.
#
# So "remove it and see" alone would have told us that slot 2 does not matter, which is wrong. In a system with copies an intervention has to *change* what is said.
#
# </details>

# %% [markdown]
# ## 9. The gradient reaches only the branch
#
# The language model is frozen. That is *not* the same as computing it without gradients: the only way from the loss to the branch leads backwards through all of its layers. What is switched off is
# the gradient *of its weights* (`requires_grad_(False)`), not the path.
#
# **Predict:** after `loss.backward()`, how many tensors of each part have a gradient? Which rows of the frame positions?

# %%
mine = minivl.VideoLlama.from_pretrained("tiny", parts=("vision",))  # our own: .grad stays in it
example = conversation_example(tokenizer, TINY, [(turns[0][0], "red")], VIDEO_SLOT, 8)
ids, mask, labels = package.pad([example.ids], [example.labels], mine.pad_id)
video = mine.soft_prompts(frames=other.frames[None])  # the wrong clip: there is something to learn
mine.loss(ids, mask, labels, video).backward()
for name, part in mine.named_children():
    parameters = list(part.parameters())
    print(f"{name:15}{sum(p.grad is not None for p in parameters):3} of {len(parameters)} tensors")
rows = mine.vision_branch.positions.weight.grad.norm(dim=-1)
print("rows of the frame positions with a gradient:", (rows > 0).nonzero().flatten().tolist())
assert all(p.grad is None for p in mine.llm.parameters()), "is the language model frozen?"

with torch.no_grad():
    logits = mine.llm(inputs_embeds=mine.embed(ids, video)).logits
try:
    loss(logits, labels).backward()
except RuntimeError as error:
    print("with the language model under no_grad:", str(error).split(" and")[0])

# %% [markdown]
# <details><summary>Answer</summary>
#
# All 58 tensors of the vision branch, none of the frozen parts; and the first eight of the 32 rows of the positions, because the clip has eight frames. Under `no_grad` there is no path, hence no training. This is why training needs much
# more memory than a chat: the language model's activations must be kept for the way back, though its weights never change (`minivl memory --mode train`).
#
# </details>

# %% [markdown]
# ## Recap
#
# - A soft prompt is `Qv` vectors of the language model's width, made by one linear layer, spliced between embedded words in place of slots.
# - Padding: on the right to train, on the left to generate. The wrong side does not crash.
# - Labels: the answers and their stop text. Logits and labels are shifted by one; the mean is over the tokens of the batch.
# - In the tiny model soft prompts can be read: each slot says its part, close to a word. Replaced by these words they still work. That need not be so in a large model.
# - Zeroing finds only what has no copy; swapping finds what is believed. Length hardly matters, direction does.
# - The gradient passes through the frozen language model and stops at the branch's weights.

# %% [markdown]
# ## Exercises
#
# Four: code, a search for bugs, sizes of the 7B model, an experiment.
#
# ### Exercise 4.1: labels from ids alone · ★★☆ · 10 minutes
#
# Somebody hands you a row of ids in the tiny format, without labels. Write `labels_of(ids, assistant, stop)`: `ids` is a list, `assistant` the id of the token `Assistant:`, `stop` that of `###`. Return a list of
# labels: from behind each `Assistant:` to the next `###`, that included, the ids themselves; `IGNORE` everywhere else.
#
# <details><summary>Hint</summary>
#
# One pass with a switch: on behind `Assistant:`, off behind `###`. Mind the order in which you test, label and switch.
#
# </details>

# %% tags=["exercise"] exercise="4.1"
def labels_of(ids, assistant, stop):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="4.1"
course.check(n04.labels_of, labels_of)

# %% tags=["solution"] exercise="4.1"
def labels_of(ids, assistant, stop):
    labels, speaking = [], False
    for i in ids:
        labels.append(i if speaking else IGNORE)
        if i == assistant:
            speaking = True
        elif i == stop:
            speaking = False
    return labels

# %% [markdown] tags=["why"] exercise="4.1"
# Labelling before switching is what makes `Assistant:` stay outside and `###` come in. A model that never learns the `###` answers rightly and then goes on talking, in the user's name too.

# %% tags=["wrong"] exercise="4.1" hint="goes on talking"
def labels_of(ids, assistant, stop):
    labels, speaking = [], False
    for i in ids:
        speaking = speaking and i != stop
        labels.append(i if speaking else IGNORE)
        speaking = speaking or i == assistant
    return labels

# %% tags=["wrong"] exercise="4.1" hint="given, not said"
def labels_of(ids, assistant, stop):
    labels, speaking = [], False
    for i in ids:
        speaking = speaking or i == assistant
        labels.append(i if speaking else IGNORE)
        speaking = speaking and i != stop
    return labels

# %% tags=["wrong"] exercise="4.1" hint="shift"
def labels_of(ids, assistant, stop):
    labels, speaking = [], False
    for i in ids:
        labels.append(i if speaking else IGNORE)
        speaking = i == assistant or (speaking and i != stop)
    return [*labels[1:], IGNORE]

# %% [markdown]
# ### Exercise 4.2: two bugs in a loss · ★★☆ · 10 minutes
#
# This loss runs and gives a plausible number. Still two things are wrong. Delete the first line and mend it. `logits` `[B, L, words]`, `labels` `[B, L]`.
#
# <details><summary>Hint</summary>
#
# Which place predicts which? And: a row with one learned token and a row with nine, which weights should their tokens have?
#
# </details>

# %% tags=["exercise"] exercise="4.2"
def mended_loss(logits, labels):
    raise NotImplementedError("delete this line and mend the others")
    rows = []
    for row, wanted in zip(logits, labels, strict=True):
        rows.append(F.cross_entropy(row, wanted, ignore_index=IGNORE))
    return torch.stack(rows).mean()

# %% tags=["checker"] exercise="4.2"
course.check(n04.mended_loss, mended_loss)

# %% tags=["solution"] exercise="4.2"
def mended_loss(logits, labels):
    logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return F.cross_entropy(logits, labels, ignore_index=IGNORE)

# %% [markdown] tags=["why"] exercise="4.2"
# Without the shift the model is asked for the token that it has just read: a task that no video helps with, and one that would be trivial for a model whose own weights are trained, since it can copy. With a mean of row means, a token in a short
# answer would weigh many times one in a long description.

# %% tags=["wrong"] exercise="4.2" hint="has just read"
def mended_loss(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)

# %% tags=["wrong"] exercise="4.2" hint="short answer"
def mended_loss(logits, labels):
    rows = [
        F.cross_entropy(row[:-1], wanted[1:], ignore_index=IGNORE)
        for row, wanted in zip(logits, labels, strict=True)
    ]
    return torch.stack(rows).mean()

# %% tags=["wrong"] exercise="4.2" hint="the other way"
def mended_loss(logits, labels):
    logits, labels = logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten()
    return F.cross_entropy(logits, labels, ignore_index=IGNORE)

# %% [markdown]
# ### Exercise 4.3: what a soft prompt costs at 7B · ★★☆ · 10 minutes
#
# LLaMA-2-7B has 32 layers of width 4,096. For every position it has read it keeps, in every layer, a key and a value of that width (the KV cache), in bfloat16: 2 bytes a number. How many
# megabytes (1 MB = 10⁶ bytes) does the cache take
#
# 1. for the two soft prompts of a clip with sound, 32 + 8 vectors,
# 2. for the bare patches of its 8 frames, 257 a frame, if there were no Q-Former at all?
#
# <details><summary>Hint</summary>
#
# Bytes of one position: 2 (key and value) × layers × width × bytes of a number.
#
# </details>

# %% tags=["exercise"] exercise="4.3"
answer = None  # (megabytes of the soft prompts, megabytes of the patches)

# %% tags=["checker"] exercise="4.3"
course.check(n04.cache_megabytes, answer)

# %% tags=["solution"] exercise="4.3"
position = 2 * 32 * 4096 * 2  # bytes
answer = (40 * position / 1e6, 8 * 257 * position / 1e6)

# %% [markdown] tags=["why"] exercise="4.3"
# 21 MB against a gigabyte, for each clip of a batch. The Q-Former saves the language model not only positions.

# %% tags=["wrong"] exercise="4.3" hint="key and a value"
answer = (40 * 32 * 4096 * 2 / 1e6, 8 * 257 * 32 * 4096 * 2 / 1e6)

# %% tags=["wrong"] exercise="4.3" hint="every layer"
answer = (40 * 2 * 4096 * 2 / 1e6, 8 * 257 * 2 * 4096 * 2 / 1e6)

# %% tags=["wrong"] exercise="4.3" hint="2 bytes"
answer = (40 * 2 * 32 * 4096 * 4 / 1e6, 8 * 257 * 2 * 32 * 4096 * 4 / 1e6)

# %% [markdown]
# ### Exercise 4.4: transplant a shape · ★★★ · 20 minutes
#
# Find the *smallest* set of slots that carries the **shape** of one clip into another, and leaves colour and direction as they are. `moving_shapes.transplant(slots)` takes a set of slots, numbered from 1 to 8, puts these slots of
# eight donors into eight other clips, and returns three pairs: for colour, shape and direction, the share of answers that are still true of the clip, and the share that are true of the donor.
#
# Your answer is a set, such as `{2, 3}` (which carries the colour, but is not the smallest set that does). Predict from section 8 before you try.
#
# <details><summary>Hint</summary>
#
# The table "swapped" shows which slots move the shape at all. No single one of them does it for every clip.
#
# </details>

# %% tags=["exercise"] exercise="4.4"
answer = None  # a set of slots from 1 to 8

# %% tags=["checker"] exercise="4.4"
course.check(n04.carries_the_shape, answer)

# %% tags=["solution"] exercise="4.4"
likely = [{1}, {4}, {7}, {1, 4}, {1, 7}, {4, 7}, {1, 4, 7}]  # the smallest first
answer = next(slots for slots in likely if moving_shapes.transplant(slots)[1][1] > 0.9)

# %% [markdown] tags=["why"] exercise="4.4"
# Slots 1 and 4 both say the shape; if they disagree the model follows now the one, now the other, and with both swapped it always follows the donor. Slot 7 is near the shape words too, yet is not needed: nearness to a
# word (section 7) does not tell whether anybody listens.

# %% tags=["wrong"] exercise="4.4" hint="not for every clip"
answer = {1}

# %% tags=["wrong"] exercise="4.4" hint="smaller"
answer = {1, 4, 7}

# %% tags=["wrong"] exercise="4.4" hint="colour"
answer = {1, 2, 4}

# %% tags=["wrong"] exercise="4.4" hint="direction"
answer = {1, 4, 5}

# %% [markdown]
# ## What to read next
#
# - [Notebook 05](05_hearing.ipynb): the second soft prompt. [Notebook 06](06_stage_1_captions.ipynb): the loss of section 6, put to work.
# - The paper, sections 2.1.1 and 2.2. [`minivl/soft_prompt.py`]({{repo}}/blob/main/minivl/soft_prompt.py), [`supervision.py`]({{repo}}/blob/main/minivl/supervision.py),
#   [`conversation.py`]({{repo}}/blob/main/minivl/conversation.py), beside the original in [docs/original.md]({{repo}}/blob/main/docs/original.md).
# - [The Power of Scale for Parameter-Efficient Prompt Tuning](https://arxiv.org/abs/2104.08691) (Lester et al. 2021): soft prompts without any picture, and their nearest words.
