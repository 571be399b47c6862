# %% [markdown]
# # Chat: a conversation about a clip, and what stands behind each answer
# {{badge}}
#
# **What you will be able to do.** Talk about a clip of your own in a window. Say what the language model reads at the second question. Open
# an answer: which words were likely, which frames were attended, what it would say with one sense less. Write sampling, top-p, beams and
# the KV cache yourself, equal to the package.
#
# **What you need to know.** Soft prompts ([notebook 04](04_soft_prompts.ipynb)) and the Q-Former ([notebook 03](03_the_qformer.ipynb)).
#
# **Time.** 35 minutes to read, an hour with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}}
# of memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import tempfile
import time
from pathlib import Path

import torch
from einops import rearrange
from torch.nn import functional as F

import minivl
from minivl import course, plots
from minivl.answer_plot import show_answer_trace
from minivl.answer_trace import trace_answer
from minivl.course import n09
from minivl.demo import CLIPS
from minivl.toyworld.mp4 import render_mp4
from minivl.toyworld.scenes import sample_scene
from minivl.widgets import ChatApp

# %%
course.show(
    course.overview("words", "splice", "LLM", "answer"),
    alt="The model with words, splice, language model and answer highlighted.",
)

# %% [markdown]
# ## 1. The window
#
# Choose a sample or upload a video, an image or a sound. Type a question and press Enter. Switch a sense off. Open what stands behind an
# answer. A mistake, such as a text file with the name of a video, is a sentence in the window, and nothing is lost by it. (On a page that
# only shows notebooks the window is missing: it needs a running kernel.)

# %% tags=["app", "nbval-ignore-output"]
app = ChatApp(course.tiny_model(), clip=CLIPS / "dog_then_train.mp4")
app

# %% [markdown]
# ### The same without a browser
#
# Every button has a method: `load` takes a path (a clip of your own, here one that we film now), `upload` a name and bytes, as the upload
# button does, and `ask` waits for the answer. We try it on a second window that is never shown. What a window does is what `minivl.Chat`
# does, so from the next section on we use `Chat`.

# %%
own = Path(tempfile.mkdtemp()) / "my_clip.mp4"
render_mp4(own, sample_scene(1_234_569))  # in your notebook: the path of a clip that you have
unseen = ChatApp(course.tiny_model())
unseen.load(own)
for question in ("what do you see?", "what do you hear?"):
    print(f"{question:38}{unseen.ask(question)}")

chat = minivl.Chat(course.tiny_model())
chat.watch(own)
answers = [chat.ask(question) for question in ("what do you see?", "what do you hear?")]
exported = [turn["answer"] for turn in unseen.export()["turns"]]
assert answers == exported, "were the same questions asked in the same order?"

# %% [markdown]
# ## 2. A conversation is one long text
#
# A language model has no memory between two calls. What it knows of the first question is what stands in the prompt of the second.
#
# **Predict:** the prompt of the first question holds `<ImageHere>` for the video and `<AudioHere>` for the sound. What does the prompt of
# the second question look like? How often is the video in it?

# %%
model = course.tiny_model()
chat.watch(CLIPS / "dog_then_train.mp4")
for question in ("what do you see first?", "what do you hear last?", "is there a bell?"):
    _ = chat.ask(question)
    print(f"{len(chat.turns[-1].ids)} positions read, then the answer:\n  {chat.prompt}\n")
assert chat.prompt.count("<ImageHere>") == 1, "is the video shown once, at the beginning?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The old prompt, the answer, the next question: the text only grows. The video is in it once, at the beginning. `###Human:` and
# `###Assistant:` say whose turn it is. They are not magic: the language model has learned that an answer stands after the one and before
# the other (other models use other marks, [`conversation.py`]({{repo}}/blob/main/minivl/conversation.py)).
#
# </details>

# %% [markdown]
# ### The senses, one by one
#
# The clip shows a cat, and a drum is heard. With a sense switched off, its part is missing from the prompt; a new conversation begins.
#
# **Predict:** the three questions below, under three conditions. In which of the nine cases will the model say that it cannot answer?

# %%
odd = CLIPS / "cat_but_drum.mp4"
questions = ("what do you see?", "what do you hear?", "does the sound match the picture?")
for sight, hearing in ((True, True), (False, True), (True, False)):
    chat.watch(odd, sight=sight, hearing=hearing)
    print(f"sight={sight}, hearing={hearing}:  {chat.prompt.replace('###Human: ', '')}")
    for question in questions:
        chat.reset()
        print(f"    {question:36}{chat.ask(question)}")
    assert ("<AudioHere>" in chat.prompt) == hearing, "is the missing sense still in the prompt?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# In two: "what do you see?" without sight, "what do you hear?" without hearing. To be asked about a missing sense was in the training. To
# compare a sense with one that is missing was not, so there it answers something, as if it knew. What a model says when it cannot know is a
# matter of its training, not of its honesty.
#
# </details>

# %% [markdown]
# ## 3. What stands behind an answer
#
# `trace_answer` opens the last answer of a chat. The layout says what the model read: words, 8 vectors of video, 8 vectors of sound. The
# picture shows the five likeliest words in each place of the answer, and how the queries of each Q-Former shared their attention out over
# frames and segments.

# %%
chat.watch(CLIPS / "dog_then_train.mp4")
_ = chat.ask("what do you hear last?")
trace = trace_answer(chat)
for piece in trace.layout:
    print(f"{piece.kind:6}{piece.tokens:3}  {piece.text}")
print("answer:", trace.answer, "| with one sense less:", trace.without)
figure = show_answer_trace(trace)
course.show(figure, alt="Likeliest first words; attention on eight frames and two segments.")
assert sum(piece.tokens for piece in trace.layout) == len(chat.turns[-1].ids), "is a piece missing?"

# %% [markdown]
# ### Attention is not a reason
#
# Two ways to look behind an answer, and they say different things. *Attention* shows where the queries looked: at the frames unevenly, and
# at the dog's half of the sound more than at the train's, though the question was for the last. *Taking a sense away* shows what the answer
# depended on, and here it shows something awkward. Blindfolded, the model says "a train": it hears it. Muted, it says "a train" as well. It
# cannot hear, it was asked what it hears, and it names what it *sees*. To "what do you hear?" it admits that it can not hear (section 2),
# to this question it does not. A right answer may have a wrong reason.

# %% [markdown]
# ### Does it look where the question points?
#
# **Predict:** we ask for the *first* thing, then for the *last*. On which frames do the video queries look in each case?

# %%
looked = {}
for question in ("what do you see first?", "what do you see last?"):
    chat.reset()
    print(f"{question:26}{chat.ask(question)}")
    looked[question] = trace_answer(chat).frames
first, last = looked.values()
print("largest difference of the attention:", float((first - last).abs().max()))
assert torch.equal(first, last), "was it the same clip?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# At the same frames, to the last bit. The Q-Former never sees the question. It writes its eight vectors once, when the clip is watched, and
# they have to serve every question that may come. What depends on the question happens later, in the language model's own attention.
# ([InstructBLIP](https://arxiv.org/abs/2305.06500), another model, gives the question to its Q-Former.)
#
# </details>

# %% [markdown]
# ## 4. Choosing the next word
#
# The model gives a number $z_i$ to each token of its vocabulary. *Temperature* $\tau$ divides these logits before the softmax,
#
# $$p_i = \frac{e^{z_i / \tau}}{\sum_j e^{z_j / \tau}}$$
#
# and *top-p* keeps the smallest set of likeliest tokens whose probabilities reach $p$, and draws from that set alone. Greedy is $\tau \to
# 0$. First naively, one token after the other:

# %% tags=["component"]
def nucleus_slowly(probabilities, top_p):
    """[vocabulary] -> the same with everything outside the smallest set set to 0; sums to 1."""
    kept, reached = torch.zeros_like(probabilities), 0.0
    for token in probabilities.argsort(descending=True):
        kept[token] = probabilities[token]
        reached += float(probabilities[token])
        if reached >= top_p:
            break
    return kept / kept.sum()


# %% [markdown]
# ### Without a loop
#
# A token is kept if what stands *before* it in the sorted row has not yet reached $p$. So the likeliest token is always kept, whatever $p$
# is.

# %% tags=["component"]
def nucleus(probabilities, top_p):
    """As nucleus_slowly, with one sort and one running sum."""
    ordered, tokens = probabilities.sort(descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = torch.zeros_like(probabilities).scatter(0, tokens, ordered * (before < top_p))
    return kept / kept.sum()


@torch.no_grad()
def sample(llm, row, ends, temperature, top_p, seed, most=64):
    """A row [L, D] -> the ids of a drawn answer. ends: the ids that end one."""
    said, embedding = [], llm.get_input_embeddings()
    with torch.random.fork_rng():  # the random numbers of everything else go on undisturbed
        torch.manual_seed(seed)
        while len(said) < most:
            logits = llm(inputs_embeds=row[None]).logits[0, -1]  # [vocabulary]
            chances = nucleus((logits / temperature).softmax(-1), top_p)
            token = int(torch.multinomial(chances[None], 1))
            if token in ends:
                break
            said.append(token)
            row = torch.cat([row, embedding(torch.tensor([token]))])  # [L + 1, D]
    return said


# %% [markdown]
# ### The same as the package
#
# The package leaves this to transformers. With the same seed, our draws have to be the same words. The clip shows three shapes of different
# colours, so "what colour is it?" has three answers, and a temperature of 1.5 should show them all.

# %% tags=["same"]
package = course.tiny_model()
talk = minivl.Chat(package)
talk.watch(CLIPS / "three_shapes.mp4")
_ = talk.ask("what colour is it?")
prompt = torch.tensor([talk.turns[-1].ids])
row = package.embed(prompt, talk.perceived.soft)[0].detach()  # [L, D]
chances = package.llm(inputs_embeds=row[None]).logits[0, -1].detach().softmax(-1)
assert torch.allclose(nucleus(chances, 0.9), nucleus_slowly(chances, 0.9)), "is the last one kept?"

drawn = []
for seed in range(10):
    talk.reset()
    theirs = talk.ask("what colour is it?", temperature=1.5, top_p=0.95, seed=seed)
    ours = sample(package.llm, row, (2, 3), temperature=1.5, top_p=0.95, seed=seed)
    drawn.append(package.read(ours))
    assert drawn[-1] == theirs, f"seed {seed}: is the temperature applied before top-p?"
print(drawn)

# %% [markdown]
# ### What temperature does to the chances
#
# **Predict:** at temperature 1, green has 0.67, yellow 0.25 and purple 0.06. What has green at temperature 0.5, and at 2? Can a temperature
# change which word is likeliest?

# %%
figure = plots.Picture(figsize=(9, 2.6), layout="constrained")
shown = chances.topk(5).indices
names = [package.tokenizer.decode(token) for token in shown]
looks = ((0.5, course.BLUE, ""), (1.0, course.SKY, "//"), (2.0, course.ORANGE, ".."))
axes = figure.add_subplot(ylabel="probability", ylim=(0, 1.1))
for shift, (temperature, colour, hatch) in enumerate(looks):
    heated = (chances.log() / temperature).softmax(-1)
    places = [place + 0.27 * (shift - 1) for place in range(5)]
    label = f"temperature {temperature}"
    bars = axes.bar(places, heated[shown], 0.25, color=colour, hatch=hatch, label=label)
    _ = axes.bar_label(bars, fmt="%.2f", fontsize=9)
_ = axes.set_xticks(range(5), names)
_ = axes.legend()
course.show(figure, alt="Bars for five words: the higher the temperature, the more equal they are.")
assert heated.argmax() == chances.argmax(), "does a temperature change which word is likeliest?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# 0.87 and 0.33. It changes how often, never which comes first. Look back at what was drawn at 1.5: mostly the three colours that are there,
# and one answer that is nonsense. That is the price of a tail: one unlikely word, and the model goes on from there as if it had meant it.
# Top-p cuts the tail off, and here it did not cut enough. The original samples at $\tau = 1$ with $p = 0.9$; our default is greedy, so that
# an answer can be tested.
#
# </details>

# %% [markdown]
# ## 5. Beams
#
# Greedy takes the best word at each step, and may regret it later. *Beams* keep $k$ unfinished answers side by side, and return the one
# with the highest mean log-probability
#
# $$\frac{1}{n} \sum_{t=1}^{n} \log p(w_t \mid w_1 \dots w_{t-1})$$
#
# of those that ended. $2k$ candidates are looked at in each step, since up to $k$ of them may be at their end.

# %% tags=["component"]
@torch.no_grad()
def beam_search(llm, row, ends, beams, most=64):
    """A row [L, D] -> the finished answers as (ids, mean log-probability), the best first."""
    embedding = llm.get_input_embeddings()
    running, finished = [((), 0.0)], []  # (ids, sum of the log-probabilities)
    while len(running[0][0]) < most:
        candidates = []
        for ids, score in running:
            longer = torch.cat([row, embedding(torch.tensor(ids, dtype=torch.long))])
            logs = llm(inputs_embeds=longer[None]).logits[0, -1].log_softmax(-1)
            best = logs.topk(2 * beams)
            candidates += [
                ((*ids, int(token)), score + float(log))
                for log, token in zip(best.values, best.indices)
            ]
        candidates = sorted(candidates, key=lambda c: -c[1])[: 2 * beams]
        finished += [(ids, s / len(ids)) for ids, s in candidates[:beams] if ids[-1] in ends]
        finished = sorted(finished, key=lambda f: -f[1])[:beams]
        running = [c for c in candidates if c[0][-1] not in ends][:beams]
        hope = running[0][1] / len(running[0][0])
        if len(finished) == beams and hope <= finished[-1][1]:
            break
    return finished


# %% [markdown]
# ### The same as the package
#
# "what shape is it?" of three shapes is a bad question, so the model is unsure, and beams differ from greedy:

# %% tags=["same"]
package = course.tiny_model()
talk = minivl.Chat(package)
talk.watch(CLIPS / "three_shapes.mp4")
for question in ("what shape is it?", "what do you see?"):
    talk.reset()
    print(f"greedy          {talk.ask(question)}")
    prompt = torch.tensor([talk.turns[-1].ids])
    start = package.embed(prompt, talk.perceived.soft)[0].detach()  # [L, D]
    for beams in (2, 4):
        found = beam_search(package.llm, start, ends=(2, 3), beams=beams)
        ours = package.read(list(found[0][0]))
        talk.reset()
        theirs = talk.ask(question, num_beams=beams)
        assert ours == theirs, "are finished answers compared by their mean, the end included?"
    print(f"4 beams {found[0][1]:6.2f}  {ours}\n")

# %% [markdown]
# ### Likelier is not truer
#
# The clip shows a cross, a star and a square. Beams find what the model believes most; if it believes something wrong, they find that more
# surely.

# %% [markdown]
# ## 6. The KV cache: why nothing has to be read twice
#
# Each new question makes the prompt longer, and so does each word of an answer. Must the model read everything again? In attention,
#
# $$y_t = \sum_{s \le t} \text{softmax}_s\!\left(\frac{q_t \cdot k_s}{\sqrt{c}}\right) v_s$$
#
# position $t$ reads only positions $s \le t$. So no key and no value of what was read can change through what comes later. This is
# *causality*.
#
# **Predict:** we replace the last vector of a prompt by noise. At how many of the other positions do the logits change?

# %%
before = model.llm(inputs_embeds=row[None]).logits[0].detach()  # [L, vocabulary]
changed = row.clone()
changed[-1] = torch.randn(192, generator=torch.Generator().manual_seed(0))
after = model.llm(inputs_embeds=changed[None]).logits[0].detach()
moved = (before - after).abs().amax(dim=-1) > 1e-4  # [L]
print(f"{int(moved.sum())} of {len(row)} positions changed")
assert moved[-1] and not moved[:-1].any(), "is a position changed by what comes after it?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# At none. Only the last position itself changed. So keys and values may be kept: that is the whole of the KV cache.
#
# </details>

# %% [markdown]
# ### A LLaMA of four functions
#
# To see the cache at work we write the language model ourselves: the same weights, our own arithmetic. LLaMA normalises by the root mean
# square, and tells positions by turning queries and keys: each pair of numbers $(a, b)$ at position $t$ is turned by an angle $t \theta_i$
# (*rotary positions*).

# %% tags=["component"]
def norm(x, weight, eps=1e-6):
    """RMS norm: x [L, D] -> [L, D]."""
    return weight * x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()


def rotate(x, positions, base=10_000.0):
    """Turn queries or keys x [L, heads, c] by angles that grow with the position."""
    half = x.shape[-1] // 2
    angles = positions[:, None] * base ** -(torch.arange(half) / half)  # [L, c / 2]
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


# %% [markdown]
# ### Attention with a memory
#
# `cache` is a list, empty at first, then `[keys, values]` of all that was read. New positions append theirs, and attend to all. Without the
# two lines that use it, this is attention as you know it.

# %% tags=["component"]
def attend(x, attention, positions, cache, heads=4):
    """New positions x [n, D] -> [n, D]; the cache grows by n keys and values."""
    q, k, v = (
        rearrange(project(x), "n (h c) -> n h c", h=heads)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    q, k = rotate(q, positions), rotate(k, positions)
    if cache:
        k, v = torch.cat([cache[0], k]), torch.cat([cache[1], v])  # [L, h, c]
    cache[:] = [k, v]
    scores = torch.einsum("qhc,khc->hqk", q, k) / q.shape[-1] ** 0.5
    later = torch.arange(len(k))[None] > positions[:, None]  # [n, L]
    weights = scores.masked_fill(later, -torch.inf).softmax(-1)
    return attention.o_proj(torch.einsum("hqk,khc->qhc", weights, v).flatten(1))


@torch.no_grad()
def read(llm, vectors, caches):
    """New vectors [n, D], behind what the caches have read -> logits [n, vocabulary]."""
    start = len(caches[0][0]) if caches[0] else 0
    positions, x = torch.arange(start, start + len(vectors)), vectors
    for layer, cache in zip(llm.model.layers, caches):
        y = norm(x, layer.input_layernorm.weight)
        x = x + attend(y, layer.self_attn, positions, cache)
        y = norm(x, layer.post_attention_layernorm.weight)
        x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
    return llm.lm_head(norm(x, llm.model.norm.weight))


# %% [markdown]
# ### The same as the package, in one piece, in two, or word by word
#
# The first line reads everything at once, with empty caches: attention as it was before. The others read in pieces. All have to give the
# logits of transformers' own LLaMA.

# %% tags=["same"]
llm = course.tiny_model().llm
vectors = torch.randn(40, 192, generator=torch.Generator().manual_seed(0))  # [L, D]
theirs = llm(inputs_embeds=vectors[None]).logits[0].detach()  # [L, vocabulary]
for cuts in ([40], [30, 10], [1] * 40):
    caches = [[] for _ in llm.model.layers]
    logits = torch.cat([read(llm, part, caches) for part in vectors.split(cuts)])
    far = float((logits - theirs).abs().max())
    assert far < 1e-4, "does a position know where it stands, and does it see only what is before?"
    kept = sum(t.numel() for cache in caches for t in cache)
    print(f"read in {len(cuts):2} pieces: equal; {kept:,} numbers kept")

# %% [markdown]
# ### What it is worth at the next question
#
# The original keeps the soft prompts between two questions, but no keys and values: for each question the language model reads the whole
# conversation again. First a long conversation, and the cache that is left of it:

# %%
chat.watch(CLIPS / "dog_then_train.mp4")
while not chat.turns or len(chat.turns[-1].ids) < 440:  # the model reads 512 positions at most
    for question in ("what do you see first?", "do you hear a bell?", "is there a dog?"):
        _ = chat.ask(question)
known = len(chat.turns[-1].ids)
_ = chat.ask("what do you hear last?")

ids = torch.tensor([chat.turns[-1].ids])
whole = model.embed(ids, chat.perceived.soft)[0].detach()  # [L, D]
kept = [[] for _ in model.llm.model.layers]
_ = read(model.llm, whole[:known], kept)  # the work of the earlier questions
print(f"{len(chat.turns)} questions; {len(whole)} positions, {len(whole) - known} of them new")

# %% [markdown]
# Then the last question both ways, each of them seven times, in turns. What counts is the time to the first word, since for the words after
# it both ways use a cache.
#
# **Predict:** how many times faster is it to read 12 positions than 464?

# %% tags=["nbval-ignore-output"]
def timed_answer(vectors, caches):
    """(seconds to the first word, the ids of the answer)."""
    start, seconds, said = time.perf_counter(), 0.0, []
    while True:
        token = int(read(model.llm, vectors, caches)[-1].argmax())
        seconds = seconds or time.perf_counter() - start
        if token in (2, 3):  # an end, or "###"
            return seconds, said
        said.append(token)
        vectors = model.llm.get_input_embeddings()(torch.tensor([token])).detach()


again, cached = [], []
for _ in range(7):
    again.append(timed_answer(whole, [[] for _ in kept]))
    cached.append(timed_answer(whole[known:], [list(cache) for cache in kept]))
(slow, first_way), (fast, second_way) = min(again), min(cached)
print(f"{1000 * slow:.1f} ms and {1000 * fast:.1f} ms: {slow / fast:.0f} times faster")
assert first_way == second_way, "does the cache hold what the model has read, and no more?"
assert model.read(second_way) == chat.turns[-1].answer, "is it the answer of the package?"
assert slow > 5 * fast, "is the cache used? Or is the machine busy with something else?"

# %% [markdown]
# ### The price, and the gain
#
# <details><summary>Answer</summary>
#
# Not 39 times, for some of the work is the same for one position as for a hundred. Ten to forty times were measured here, on a machine that
# had other work to do.
#
# </details>
#
# The answer is the same, since the numbers are. The longer the conversation, the larger the factor: the one way costs what was said so far,
# the other only what is new. At a first question the cache helps too: each word of an answer is one new position instead of a prompt. For
# the 7B model the price is in exercise 9.3.

# %% [markdown]
# ## 7. Streaming
#
# Words are shown while the answer is being written. Two things must be held back: the beginning of the stop text (a `#` may be the first of
# `###`), and a half-written character. `Chat` gives the pieces to a function, or as an iterator. Put together they are the answer, to the
# letter.

# %%
chat.watch(CLIPS / "three_shapes.mp4")
pieces = []
answer = chat.ask("describe the video", stream=pieces.append)
print(pieces)
chat.reset()
assert "".join(chat.ask_stream("describe the video")) == answer, "is a piece missing?"
chat.reset()
late = []
best = chat.ask("describe the video", stream=late.append, num_beams=3)
assert late == [best], "beams are compared at the end: can a piece be shown before?"
print("with beams:", len(late), "piece")

# %% [markdown]
# ## 8. Mistakes are sentences
#
# Whatever is wrong with a file, a question or a number is a `MinivlError` with one sentence: what is wrong, and the way out. After it the
# chat is as it was. The window shows the same sentences.

# %%
renamed = own.parent / "notes.mp4"
renamed.write_text("These are my notes. They are no video.")
attempts = {
    "a text file": lambda: chat.watch(renamed),
    "a file that is not there": lambda: chat.watch("no_such_clip.mp4"),
    "no question": lambda: chat.ask("  "),
    "no sense": lambda: chat.watch(own, sight=False, hearing=False),
    "a number": lambda: chat.ask("what do you see?", temperature=0.7, top_p=0.0),
}
said = list(chat.history)
for name, attempt in attempts.items():
    try:
        attempt()
    except minivl.MinivlError as error:
        sentence = str(error).replace(str(own.parent), "...").replace(str(Path.cwd()), "...")
        print(f"{name}:\n    {sentence}")
assert chat.history == said, "has a failed attempt changed the conversation?"

# %% [markdown]
# ## Recap
#
# - A conversation is one text that grows. Clip and sound are in it once, as soft prompts, at its beginning; a sense that is off is not in
#   it at all.
# - The Q-Former never sees the question. What it wrote when the clip was watched has to serve all questions.
# - Attention shows where a model looked. Only taking something away shows what an answer depends on.
# - Temperature and top-p change the draw, not the ranking; beams find the likeliest answer, which need not be the true one.
# - Causality is why keys and values can be kept. With them a question costs what is new, and the answer is the same.

# %% [markdown]
# ## Exercises
#
# The first two are about choosing and reading; the third is arithmetic about a language model that is 3,700 times larger than ours.

# %% [markdown]
# ### Exercise 9.1: another way to cut · ★☆☆ · 10 minutes
#
# *Min-p* keeps every token that is at least `share` times as likely as the likeliest one, and draws from those. Write it: `probabilities
# [vocabulary]` and `share` (0 to 1) go in, the new probabilities `[vocabulary]` come out.
#
# <details><summary>Hint</summary>
#
# `torch.where`, or a product with a mask. What do probabilities have to add up to?
#
# </details>

# %% tags=["exercise"] exercise="9.1"
def min_p(probabilities, share):
    raise NotImplementedError("your code: [vocabulary] -> [vocabulary]")

# %% tags=["checker"] exercise="9.1"
course.check(n09.min_p, min_p)

# %% tags=["solution"] exercise="9.1"
def min_p(probabilities, share):
    kept = probabilities * (probabilities >= share * probabilities.max())
    return kept / kept.sum()

# %% [markdown] tags=["why"] exercise="9.1"
# Where the model is sure, min-p keeps one word; where it is unsure, many. Top-p does something similar, but lets a long tail of unlikely
# words in when it takes many of them to reach p.

# %% tags=["wrong"] exercise="9.1" hint="likeliest"
def min_p(probabilities, share):
    kept = probabilities * (probabilities >= share)
    return kept / kept.sum()

# %% tags=["wrong"] exercise="9.1" hint="add up to 1"
def min_p(probabilities, share):
    return probabilities * (probabilities >= share * probabilities.max())

# %% tags=["wrong"] exercise="9.1" hint="ratios"
def min_p(probabilities, share):
    kept = probabilities >= share * probabilities.max()
    return kept.float() / kept.sum()

# %% [markdown]
# ### Exercise 9.2: how much of the cache is still true · ★★☆ · 15 minutes
#
# The cache has read the tokens `known`. Now the prompt `new` has to be read. The two may differ: the answer was cut at its stop text, or a
# question was asked again in other words. Write a function that gets the two lists of token ids and returns how many positions of the cache
# can be kept. Mind one thing: to predict the next word, the model has to read at least one position.
#
# <details><summary>Hint</summary>
#
# A key depends on everything before it. What follows the first difference is of no use, even if it looks the same.
#
# </details>

# %% tags=["exercise"] exercise="9.2"
def still_true(known, new):
    raise NotImplementedError("your code: two lists of ids -> a number")

# %% tags=["checker"] exercise="9.2"
course.check(n09.still_true, still_true)

# %% tags=["solution"] exercise="9.2"
def still_true(known, new):
    limit = min(len(known), len(new) - 1)
    for place in range(limit):
        if known[place] != new[place]:
            return place
    return limit

# %% [markdown] tags=["why"] exercise="9.2"
# `Chat._generate` does the same: it trusts no cache to its end. When a sampled answer is replaced by another ("again" in the window),
# everything up to the question is kept, and the old answer is dropped.

# %% tags=["wrong"] exercise="9.2" hint="differ"
def still_true(known, new):
    return min(len(known), len(new) - 1)

# %% tags=["wrong"] exercise="9.2" hint="at least one position"
def still_true(known, new):
    same = [a == b for a, b in zip(known, new)]
    return same.index(False) if False in same else len(same)

# %% tags=["wrong"] exercise="9.2" hint="first difference"
def still_true(known, new):
    return min(sum(a == b for a, b in zip(known, new)), len(new) - 1)

# %% [markdown]
# ### Exercise 9.3: the price of the cache · ★★☆ · 5 minutes
#
# LLaMA-2-7B has 32 layers of width 4,096 (all heads together). Keys and values are kept in bfloat16, 2 bytes a number. How many gigabytes
# (10^9 bytes) is the cache of one conversation of 2,048 positions?
#
# <details><summary>Hint</summary>
#
# How many numbers are kept for one position, in one layer? Look at what `attend` puts into its cache.
#
# </details>

# %% tags=["exercise"] exercise="9.3"
cache_gigabytes = None

# %% tags=["checker"] exercise="9.3"
course.check(n09.cache_gigabytes, cache_gigabytes)

# %% tags=["solution"] exercise="9.3"
cache_gigabytes = 2 * 32 * 4096 * 2048 * 2 / 1e9

# %% [markdown] tags=["why"] exercise="9.3"
# A good gigabyte for each person who is talking, half a megabyte for each position, beside 13.5 GB of weights that all of them share:
# thirteen such conversations need as much as the model.

# %% tags=["wrong"] exercise="9.3" hint="keys and values"
cache_gigabytes = 32 * 4096 * 2048 * 2 / 1e9

# %% tags=["wrong"] exercise="9.3" hint="2 bytes"
cache_gigabytes = 2 * 32 * 4096 * 2048 * 4 / 1e9

# %% tags=["wrong"] exercise="9.3" hint="layers"
cache_gigabytes = 2 * 4096 * 2048 * 2 / 1e9

# %% [markdown]
# ## What to read next
#
# - [Notebook 10](10_is_it_true.ipynb): how often the answers are true, and how sure one may be of that.
# - [Notebook 11](11_the_real_thing.ipynb): the same chat with the weights that the authors published.
# - The code: [`chat.py`]({{repo}}/blob/main/minivl/chat.py) (the cache between questions),
#   [`generation.py`]({{repo}}/blob/main/minivl/generation.py) (where an answer ends),
#   [`sampling.py`]({{repo}}/blob/main/minivl/sampling.py), [`answer_trace.py`]({{repo}}/blob/main/minivl/answer_trace.py) and
#   [`widgets/`]({{repo}}/blob/main/minivl/widgets) (the window).
