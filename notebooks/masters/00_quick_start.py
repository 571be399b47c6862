# %% [markdown]
# # Quick start: a small model that watches and hears
# {{badge}}
#
# **What you will be able to do.** Load a Video-LLaMA ([Zhang, Li & Bing 2023](https://arxiv.org/abs/2306.02858)) of four million
# parameters, show it clips with sound, and ask what it sees, what it hears, in which order, and whether the two belong together. Say what
# stands between a file and an answer, tensor by tensor. Compute one answer by hand, with nothing but tensors.
#
# **What you need to know.** Python, tensors and their shapes in PyTorch, and that a language model predicts the next token. No other
# notebook.
#
# **Time.** 25 minutes to read, an hour with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}}
# of memory. Nothing is downloaded: the weights are in the package. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import torch
from IPython.display import Audio, Video, display

import minivl
from minivl import course, plots
from minivl.course import n00
from minivl.course.passport import show_passport
from minivl.demo import CLIPS  # the folder of the clips that come with the package
from minivl.soft_prompt import AUDIO_SLOT, VIDEO_SLOT

# %%
course.show(course.overview(), alt="The boxes of Video-LLaMA: frames, sound, words, LLM, answer.")

# %% [markdown]
# ## 1. The model
#
# This is figure 1 of the paper. Three rows flow into one language model: what is seen (above), what is said (middle), what is heard (below).
#
# - The parts marked `*` are *frozen*. Each of them had learned something before: to describe a picture, to recognise a sound, to answer
#   questions about a text. Nothing that comes later changes them.
# - The parts marked `+` are the two *branches*, the only parts that Video-LLaMA trains (paper, section 2.2). A branch turns what an encoder
#   says into a few vectors of the language model's own width: a **soft prompt**. It stands in the question where words would stand.

# %% [markdown]
# The weights come with the package. `course.tiny_model()` is `minivl.VideoLlama.from_pretrained("tiny")`, loaded once and kept for all cells.
#
# **Predict:** which of the five parts below has the most parameters? And which share of them all is trained?

# %%
model = course.tiny_model()
sizes = {}
for name in ("image_encoder", "vision_branch", "imagebind", "audio_branch", "llm"):
    parameters = list(getattr(model, name).parameters())
    sizes[name] = sum(p.numel() for p in parameters)
    learns = any(p.requires_grad for p in parameters)
    print(f"{name:15}{sizes[name]:>10,}  {'+ trained' if learns else '* frozen'}")

trained = sizes["vision_branch"] + sizes["audio_branch"]
share = trained / sum(sizes.values())
print(f"{share:.0%} of {sum(sizes.values()):,} parameters are trained")
assert not model.llm.get_input_embeddings().weight.requires_grad, "is the language model frozen?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# The language model, as in the large model, though here by little. Between a fifth and a quarter is trained. In the 7B model the two
# branches have 45 million parameters of about 9 billion, half a percent. It is the same picture with larger numbers, and the same code:
# [`config.py`]({{repo}}/blob/main/minivl/config.py) holds both sets of numbers.
#
# </details>

# %% [markdown]
# ## 2. A clip, as you see it
#
# Play it, with sound. It was drawn and synthesised by us, as everything that this small model has ever seen: coloured shapes that move, and
# ten things that sound. That is its whole world. A home video would be answered in these words, and wrongly.

# %% tags=["nbval-ignore-output"]
path = CLIPS / "dog_then_train.mp4"
Video(str(path), embed=True, width=256)

# %% [markdown]
# ### ... and as the model sees it
#
# The model does not watch all of it. It takes `T = 8` frames at equal distances (paper, section 2.1.1), each squashed to 64 x 64 pixels,
# and is told nothing else about the picture. What happens between two frames has not happened.

# %%
clip = minivl.load_video(path)
course.show(plots.show_frames(clip), alt="Eight frames: four with a dog, then four with a train.")
print("frames:", list(clip.frames.shape), clip.frames.dtype)
print("seconds:", clip.timestamps.tolist())
assert clip.frames.shape[0] == 8, "does load_video take eight frames?"

# %% [markdown]
# ### The sound as a picture
#
# The sound is cut into `M` segments of two seconds. Each becomes a *log-mel spectrogram*: 128 rows (low tones at the bottom, in steps that
# sound equally far apart) and 204 columns (10 ms each). The audio encoder reads a sound as if it were an image.
#
# **Predict:** you saw the dog first. In which of the two segments below do you expect its barks, and what do barks look like?

# %%
sound = minivl.load_audio(path)
course.show(plots.show_mel(sound), alt="A waveform, and below it two log-mels of two seconds each.")
print("log-mel segments:", list(sound.mel.shape))
print("they start at:", [round(s, 2) for s in sound.starts.tolist()], "seconds")

# %% [markdown]
# <details><summary>Answer</summary>
#
# In segment 1: pairs of short arches, each a stack of overtones that rise and fall together. Segment 2 is the train: steam (broad patches)
# and a whistle (flat lines, several notes at once). The stripe at the end of each segment is padding: two seconds give 198 columns, the
# encoder wants 204.
#
# </details>

# %% [markdown]
# ## 3. The tensor passport
#
# Now the whole way, from the file to the answer's first word. `minivl.trace` runs the model once and writes down every tensor that goes by.
# The picture is drawn from that run: one card for each tensor. The bar in a card is as long as the tensor is large.
#
# **Predict:** where on the way from frames to the soft prompt does the data shrink most?

# %%
passport = minivl.trace(model, clip, sound, "what do you hear first?")
course.show(show_passport(passport), alt="Cards of tensors: sight left, hearing right, words below")
counted = passport.parameters("frozen") + passport.parameters("trained")
assert passport.parameters("trained") == trained, "are both branches in the trace?"
print(f"{len(passport.stages)} tensors, {counted:,} parameters")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Twice, and both times a Q-Former does it. The image Q-Former makes `K = 8` vectors of the 65 patches of each frame. The Video Q-Former
# makes `Qv = 8` of the 64 that are left. What reaches the language model is 0.006 MB, a sixteenth of the pixels and less than a fortieth of
# the patches.
#
# </details>

# %% [markdown]
# ### Three more things to see in it
#
# - *Positions are cheap.* Time enters the model as 4,096 numbers that are added: a row for each of up to 32 frames.
# - *Lengths.* The vectors of a soft prompt are 16 long, those of words shorter. Nothing in the training asks for equal lengths.
# - *Both senses meet late.* There is no fusion network. Sight and sound meet as neighbours in a sentence, inside the language model.

# %% [markdown]
# ### How long is a soft prompt?
#
# Every frame becomes 8 vectors, so eight frames are 64.
#
# **Predict:** how many vectors does the language model receive for the picture? How many for a single frame, or for 32?

# %%
for count in (1, 4, 8, 32):
    some = minivl.load_video(path, num_frames=count)
    tokens = model.encode_frames(some.frames[None])  # [B=1, T, K, width]
    soft = model.video_prompt(tokens)  # [B=1, Qv, D]
    vectors = tokens.shape[1] * tokens.shape[2]
    print(f"{count:2} frames: {vectors:3} frame vectors -> soft prompt {list(soft.shape)}")
    assert soft.shape[1] == 8, "is the length of the prompt the number of queries?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# `Qv = 8`, always. The Q-Former of the branch has eight learned *queries*; each of them looks at all frame vectors and brings back one. The
# length of the prompt is the number of queries, not of frames. So an hour of video costs the language model as much as a second, and holds
# no more. [Notebook 03](03_the_qformer.ipynb) builds this part.
#
# </details>

# %% [markdown]
# ## 4. Ask
#
# `Chat` watches once and answers as often as you like. Here every question starts a new conversation, so that no answer helps the next.
# The last question is one that neither sense can answer alone.
#
# Does it get them right? The clips were drawn from scenes that we wrote, so the true answers are known, to the word. This is what the small
# world is for: every claim can be measured, and [notebook 10](10_is_it_true.ipynb) does. One clip proves little.

# %%
chat = minivl.Chat(model)
chat.watch(path)


def ask(*questions):
    for question in questions:
        chat.reset()  # forget what was said, not what was seen
        print(f"{question:38}{chat.ask(question)}")
    return chat.history[-1][1]  # the last answer


ask("what do you see?", "what do you see first?")
assert ask("what do you see last?") == "a train", "is it another clip?"
ask("what do you hear first?", "what do you hear last?")
assert ask("do you hear a bell?") == "no", "is hearing switched on?"
assert ask("does the sound match the picture?") == "yes", "are both senses switched on?"

# %% [markdown]
# ### Word by word
#
# Answers can be streamed, token by token, as chat windows do. The pieces put together are the answer. The questions about this clip are about
# motion and looks:

# %%
chat.watch(CLIPS / "red_circle_moves_left.mp4")
pieces = list(chat.ask_stream("which way does it move?"))
print(pieces)
ask("what colour is it?", "what shape is it?", "what do you see?")
assert "".join(pieces) == "it moves left", "do the pieces put together give the answer?"

# %% [markdown]
# ### Where it fails
#
# A demonstration shows what works. Here is what does not.
#
# **Predict:** a model of 150 words is asked "is there a dragon?", then for the colour of a dog. After that, what it sees *last* in a clip
# where one red circle is there all the time. What does it answer?

# %%
chat.watch(path)
ask("is there a dragon?", "what colour is it?")
print("notes:", chat.notes)
chat.watch(CLIPS / "red_circle_moves_left.mp4")
ask("what do you see last?")
chat.watch(CLIPS / "three_shapes.mp4")
assert ask("how many objects are there?") == "three", "is it another clip?"
_ = ask("what do you see?")
print("true: a green cross, a yellow star and a purple square")

# %% [markdown]
# <details><summary>Answer</summary>
#
# It says yes to the dragon. The word is not in its vocabulary, so it reads "is there a *something*?"; `chat.notes` says so. Its dogs have
# no colour word, so no training question asked for one; it makes one up. The question for the last thing has no true answer, and a thing is
# named all the same that is neither seen nor heard. And of three shapes it names one wrongly, though it counts them well: a complete
# description is right for 81 of 100 clips (README).
#
# A model that always answers is not a model that always knows. [Notebook 10](10_is_it_true.ipynb) measures the difference.
#
# </details>

# %% [markdown]
# ## 5. One sense off
#
# In this clip, picture and sound disagree. Play it when the cell has run.
#
# **Predict:** what will the model answer to "what do you hear?" with both senses? With its eyes closed? And with its ears closed: will it
# guess a cat?

# %% tags=["nbval-ignore-output"]
odd = CLIPS / "cat_but_drum.mp4"
display(Video(str(odd), embed=True, width=256))
for sight, hearing in ((True, True), (False, True), (True, False)):
    print(f"sight={sight}, hearing={hearing}")
    chat.watch(odd, sight=sight, hearing=hearing)
    ask("what do you see?", "what do you hear?")
chat.watch(odd)
assert ask("does the sound match the picture?") == "no", "are both senses switched on?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# With a sense switched off, its soft prompt is not in the question at all. The language model was taught to say so when it is asked about
# it, instead of guessing from the other sense. Guessing what a cat should sound like would be a *hallucination*, the best known weakness of
# such models.
#
# </details>

# %% [markdown]
# ### It noticed that they disagree
#
# The last line was asked with both senses on, and the model compared them. That is less obvious than it looks: the branches were trained
# apart, and the audio branch on pictures only. It never heard a sound in its training (paper, section 2.1.2; [notebook
# 08](08_an_ear_trained_by_eye.ipynb)).

# %% [markdown]
# ## 6. A picture without sound, a sound without a picture
#
# An image is a video of one frame: the paper treats it so, and so does the code. And a sound needs no picture. What a file lacks is said in
# a note, and the conversation goes on with the sense that is left.

# %% tags=["nbval-ignore-output"]
chat.watch(CLIPS / "blue_square_and_phone.png")
course.show(plots.show_frames(chat.clip), alt="A still image: a blue square and a telephone.")
print(chat.notes)
ask("how many objects are there?", "what colour is the square?", "is there a phone?")

chat.watch(CLIPS / "bird.wav")
display(Audio(chat.sound.waveform[:32_000].numpy(), rate=16_000))  # the first two seconds
print(chat.notes)
assert chat.ask("what do you hear?") == "a bird", "is it the file with the bird?"

# %% [markdown]
# ## 7. What happens inside one answer
#
# `chat.ask` hides four steps. Here they are, without `Chat`: words become vectors, soft prompts are put between them, the language model
# scores every word of its vocabulary as the next one, and the best word is appended, until the model ends its answer.
#
# **Step 1: the question as tokens.** The tiny model knows about 150 words, one token each. The prompt has two gaps: one for the picture,
# one for the sound.

# %%
question = "what do you hear first?"
texts = ["###Human: <Video>", "</Video> <Audio>", f"</Audio> {question}###Assistant:"]


def tokens(text):
    return torch.tensor(model.tokenizer.encode(text, add_special_tokens=False))


for text in texts:
    print(model.tokenizer.tokenize(text), tokens(text).tolist())

# %% [markdown]
# ### Steps 2 and 3: soft prompts, and the splice
#
# Step 2 is what you saw in the passport: frozen encoder, then trained branch, once for each sense.
# Step 3 is a concatenation, nothing more. With $E$ the word embedding of the language model, the row that it will read is
#
# $$[\,E(\text{before}),\; v_1 \dots v_{Q_v},\; E(\text{between}),\; a_1 \dots a_{Q_a},\; E(\text{after})\,] \in \mathbb{R}^{L \times D}$$
#
# The language model cannot tell that some of these rows were a video. It was never trained on a single one of them.

# %% tags=["component"]
def splice(embedding, pieces):
    """Token ids [n] are looked up, soft prompts [Q, D] stay as they are -> one row [L, D]."""
    return torch.cat([p if p.is_floating_point() else embedding(p) for p in pieces])


# %%
E = model.llm.get_input_embeddings()
with torch.no_grad():
    video = model.video_prompt(model.encode_frames(clip.frames[None]))[0]  # [Qv, D]
    audio = model.audio_prompt(model.encode_segments(sound.mel[None]))[0]  # [Qa, D]
    before, between, after = map(tokens, texts)
    row = splice(E, [before, video, between, audio, after])
print("[L, D] =", list(row.shape))
assert len(row) == 3 + 8 + 2 + 8 + 9, "does each piece stand once, and in its place?"

# %% [markdown]
# ### Step 4: the next token
#
# One number for each word of the vocabulary comes out at the last position. A softmax makes them probabilities. The five likeliest next
# words:

# %%
with torch.no_grad():
    logits = model.llm(inputs_embeds=row[None]).logits[0, -1]  # [vocabulary]
best = logits.softmax(dim=-1).topk(5)
words = [model.tokenizer.decode(token) for token in best.indices]

figure = plots.Picture(figsize=(6, 2), layout="constrained")
axes = figure.add_subplot(xlabel="probability, logarithmic", xscale="log")
bars = axes.barh(words[::-1], best.values.flip(0), color=course.BLUE)
_ = axes.bar_label(bars, fmt="%.1g", padding=3)
_ = axes.set_xlim(1e-7, 20)
course.show(figure, alt="Five bars: one word takes nearly all of the probability.")

# %% [markdown]
# ### ... and the one after it
#
# Take the best word, append its embedding, ask again. `###` ends the answer. This is *greedy* generation: always the likeliest word, so the
# same question gets the same answer. [Notebook 09](09_chat.ipynb) samples instead, and stops computing the whole row again for every word.

# %% tags=["component"]
@torch.no_grad()
def greedy(llm, row, end, most=64):
    """A row [L, D] that the model has to go on with -> the ids of the answer, without `end`."""
    said = []
    while len(said) < most:
        token = llm(inputs_embeds=row[None]).logits[0, -1].argmax()
        if token == end:
            break
        said.append(int(token))
        row = torch.cat([row, llm.get_input_embeddings()(token[None])])  # [L + 1, D]
    return said


# %%
by_hand = model.read(greedy(model.llm, row, end=tokens("###")[0]))  # token ids -> text
chat.watch(path)
print(by_hand)
assert by_hand == chat.ask(question), "does the prompt end with ###Assistant:?"
print("the same as chat.ask: Video-LLaMA is what you have just written")

# %% [markdown]
# ### The same as the package, for any vectors
#
# One equal answer could be luck. Here the two soft prompts are no video and no sound at all but the embeddings of eight words each, a text
# that stands in the place of a clip. (So the language model was trained: on text alone, long before there was a branch.) The row and the
# answer must be those of the package ([`soft_prompt.py`]({{repo}}/blob/main/minivl/soft_prompt.py),
# [`generation.py`]({{repo}}/blob/main/minivl/generation.py)):

# %% tags=["same"]
package = course.tiny_model()
look_up = package.llm.get_input_embeddings()


def ids_of(text):
    return torch.tensor(package.tokenizer.encode(text, add_special_tokens=False))


seen = look_up(ids_of("a small red circle that is moving left")).detach()  # [Qv, D]
heard = look_up(ids_of("a large bell, then a small dog")).detach()  # [Qa, D]
texts = ("###Human: <Video>", "</Video> <Audio>", "</Audio> describe the video###Assistant:")
words = [ids_of(text) for text in texts]
mine = splice(look_up, [words[0], seen, words[1], heard, words[2]])

slots = [VIDEO_SLOT] * 8, [AUDIO_SLOT] * 8  # the package marks a gap by negative ids
flat = [*words[0].tolist(), *slots[0], *words[1].tolist(), *slots[1], *words[2].tolist()]
soft = {VIDEO_SLOT: seen[None], AUDIO_SLOT: heard[None]}
theirs = package.embed(torch.tensor([flat]), soft)[0]
assert torch.allclose(mine, theirs, atol=1e-5), "is a soft prompt in the gap of the other sense?"
said, written = greedy(package.llm, mine, end=3), package.generate(flat, soft)
assert said == written[: len(said)], "is the best word appended before the next is asked for?"
print(package.read(said))

# %% [markdown]
# ## 8. A window for all this
#
# You need not write cells to try clips of your own. [Notebook 09](09_chat.ipynb) has a chat window: choose or upload a clip, switch a sense
# off, watch an answer being written, and open what the model looked at while it wrote. `minivl chat clip.mp4` does the same in a terminal.

# %% [markdown]
# ## Recap
#
# - A clip is eight frames and a few two-second spectrograms. Two frozen encoders turn them into vectors.
# - Two small trained branches turn those vectors into soft prompts of fixed length, in the space where the language model's words live.
# - A soft prompt is spliced between the words of the question. The frozen language model answers, one token after the other, and never
#   learns that some of its words were a video.
# - Order comes from learned positions; honesty about a missing sense comes from training on it. What was not trained, such as a question
#   without a true answer, is answered anyway.

# %% [markdown]
# ## Exercises
#
# Each has a cell to fill in and a cell that checks it. A check says what is right, or gives one hint. Change the answer and run both cells
# again.

# %% [markdown]
# ### Exercise 0.1: backwards · ★☆☆ · 5 minutes
#
# `chat.watch` also takes frames as a tensor `[T, 3, H, W]` (then there is no sound). Write a function that gets such frames and returns
# them in reverse order. What will the model see first then? Predict, then check.
#
# <details><summary>Hint</summary>
#
# `torch.flip`, or an index; which dimension is T?
#
# </details>

# %% tags=["exercise"] exercise="0.1"
def backwards(frames):
    raise NotImplementedError("your code: [T, 3, H, W] -> [T, 3, H, W]")

# %% tags=["checker"] exercise="0.1"
course.check(n00.backwards, backwards)

# %% tags=["solution"] exercise="0.1"
def backwards(frames):
    return frames.flip(0)

# %% [markdown] tags=["why"] exercise="0.1"
# It sees the train first. Nothing in a single frame says when it was taken: the branch adds a learned *position* to each frame's vectors,
# and only that tells first from last.

# %% tags=["wrong"] exercise="0.1" hint="mirror"
def backwards(frames):
    return frames.flip(-1)

# %% tags=["wrong"] exercise="0.1" hint="tensor"
def backwards(frames):
    return list(reversed(frames))

# %% tags=["wrong"] exercise="0.1" hint="one place"
def backwards(frames):
    return frames.roll(1, 0)

# %% [markdown]
# ### Exercise 0.2: deaf, by hand · ★★☆ · 15 minutes
#
# In section 5, `hearing=False` took the sound away. What does the row of vectors look like then? Write a function that gets the model, a
# video soft prompt `[Qv, D]` and a question, and returns the row `[L, D]` that the language model reads: a prompt with a video and without
# sound.
#
# <details><summary>Hint</summary>
#
# Without sound there is no gap for it and there are no `<Audio>` tags: the row has three pieces instead of five. The third begins with
# `</Video> `.
#
# </details>

# %% tags=["exercise"] exercise="0.2"
def deaf_row(model, video, question):
    raise NotImplementedError("your code: -> [L, D]")

# %% tags=["checker"] exercise="0.2"
course.check(n00.deaf_row, deaf_row)

# %% tags=["solution"] exercise="0.2"
def deaf_row(model, video, question):
    def words(text):
        ids = model.tokenizer.encode(text, add_special_tokens=False)
        return model.llm.get_input_embeddings()(torch.tensor(ids))

    after = words(f"</Video> {question}###Assistant:")
    return torch.cat([words("###Human: <Video>"), video, after])

# %% [markdown] tags=["why"] exercise="0.2"
# A sense that is switched off leaves no trace in the prompt, not even empty tags. That the model then says "i can not hear" is something
# that it learned: stage 2 of the training asks about a missing sense now and then.

# %% tags=["wrong"] exercise="0.2" hint="<Audio>"
def deaf_row(model, video, question):
    def words(text):
        ids = model.tokenizer.encode(text, add_special_tokens=False)
        return model.llm.get_input_embeddings()(torch.tensor(ids))

    after = words(f"</Video> <Audio></Audio> {question}###Assistant:")
    return torch.cat([words("###Human: <Video>"), video, after])

# %% tags=["wrong"] exercise="0.2" hint="Assistant"
def deaf_row(model, video, question):
    def words(text):
        ids = model.tokenizer.encode(text, add_special_tokens=False)
        return model.llm.get_input_embeddings()(torch.tensor(ids))

    return torch.cat([words("###Human: <Video>"), video, words(f"</Video> {question}")])

# %% tags=["wrong"] exercise="0.2" hint="between"
def deaf_row(model, video, question):
    text = f"###Human: <Video></Video> {question}###Assistant:"
    ids = model.tokenizer.encode(text, add_special_tokens=False)
    return torch.cat([video, model.llm.get_input_embeddings()(torch.tensor(ids))])

# %% [markdown]
# ### Exercise 0.3: why there is a Q-Former at all · ★★☆ · 10 minutes
#
# In the 7B model a frame is 224 x 224 pixels, cut into patches of 14 x 14, and one class token is added. Its language model reads 2,048
# positions, and its video soft prompt has 32 vectors. Suppose that there were no Q-Formers, and every patch vector of 8 frames (class
# tokens included) went into the language model. Give two numbers: how many positions would the picture take, and how many times as many as
# the soft prompt?
#
# <details><summary>Hint</summary>
#
# 224 / 14 = 16 patches along each side of a frame.
#
# </details>

# %% tags=["exercise"] exercise="0.3"
positions_and_times = None  # (positions, times as many)

# %% tags=["checker"] exercise="0.3"
course.check(n00.positions_and_times, positions_and_times)

# %% tags=["solution"] exercise="0.3"
patches = (224 // 14) ** 2 + 1  # of a frame, class token included
positions_and_times = (8 * patches, 8 * patches / 32)

# %% [markdown] tags=["why"] exercise="0.3"
# Eight frames alone would fill the whole context before a single word is read. Attention costs grow with the square of the length on top of
# that.

# %% tags=["wrong"] exercise="0.3" hint="class token"
positions_and_times = (8 * 256, 64)

# %% tags=["wrong"] exercise="0.3" hint="one frame"
positions_and_times = (257, 257 / 32)

# %% tags=["wrong"] exercise="0.3" hint="tiny model"
positions_and_times = (2056, 257)

# %% [markdown]
# ### Exercise 0.4: which questions need the order? · ★★☆ · 10 minutes
#
# An experiment. Show the model the clips `dog_then_train.mp4` and `red_circle_moves_left.mp4` forwards and backwards (`clip.frames` and its
# reverse, without sound) and ask each of the five questions of `n00.FIVE` about both, in a new conversation each. Give the set of the
# questions whose answer is another one backwards, for at least one of the two clips.
#
# <details><summary>Hint</summary>
#
# Two loops, `chat.watch(frames)`, `chat.reset()`, `chat.ask(question)`. Predict the set before you run it.
#
# </details>

# %% tags=["exercise"] exercise="0.4"
need_order = None  # a set of some of the questions in n00.FIVE

# %% tags=["checker"] exercise="0.4"
course.check(n00.need_order, need_order)

# %% tags=["solution"] exercise="0.4"
need_order = set()
chat = minivl.Chat(course.tiny_model())
for name in ("dog_then_train.mp4", "red_circle_moves_left.mp4"):
    frames, answers = minivl.load_video(CLIPS / name).frames, []
    for order in (frames, frames.flip(0)):
        chat.watch(order)
        for question in n00.FIVE:
            chat.reset()
            answers.append(chat.ask(question))
    need_order |= {q for q, a, b in zip(n00.FIVE, answers[:5], answers[5:]) if a != b}

# %% [markdown] tags=["why"] exercise="0.4"
# What a thing is, is in every frame. Where it goes, and what came first, is in no frame: it is between them. These are the questions that a
# model without positions gets wrong, as [notebook 02](02_time.ipynb) shows.

# %% tags=["wrong"] exercise="0.4" hint="motion"
need_order = {"what do you see first?"}

# %% tags=["wrong"] exercise="0.4" hint="every single frame"
need_order = set(n00.FIVE)

# %% [markdown]
# ## What to read next
#
# - [Notebook 01](01_video_to_features.ipynb) begins at the beginning: how pixels become vectors.
# - The code, in the order in which data flows; every file is a section of the paper: [`video.py`]({{repo}}/blob/main/minivl/video.py) and
#   [`audio.py`]({{repo}}/blob/main/minivl/audio.py) (the input), [`qformer.py`]({{repo}}/blob/main/minivl/qformer.py) (the queries),
#   [`branches.py`]({{repo}}/blob/main/minivl/branches.py) (all that is trained, 60 lines),
#   [`soft_prompt.py`]({{repo}}/blob/main/minivl/soft_prompt.py) (the splice) and [`model.py`]({{repo}}/blob/main/minivl/model.py) (the
#   whole).
# - The [README]({{repo}}#readme) says how the tiny model was made, and how good it is.
