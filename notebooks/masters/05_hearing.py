# %% [markdown]
# # Hearing: from air pressure to eight vectors
# {{badge}}
#
# **What you will be able to do.** Turn a waveform into the log-mel picture that ImageBind reads, from nothing but sums and cosines, and show that it equals
# torchaudio's. Say which two seconds of a sound the model hears, and which it never does. Build the unusual parts of ImageBind's audio trunk. Measure whether a
# sound and a picture of the same thing really meet in one space, and turn the vectors of a sound into a soft prompt.
#
# **What you need to know.** What patches are ([notebook 01](01_video_to_features.ipynb)), what positions are for ([notebook 02](02_time.ipynb)), and the
# Q-Former ([notebook 03](03_the_qformer.ipynb)). No signal processing.
#
# **Time.** 40 minutes to read, an hour more with the exercises. All cells run in about {{seconds}} seconds on two CPU cores and need {{memory}} of
# memory. Nothing is downloaded. GPU: not needed (no GPU time was measured).

# %% tags=["set-up"]
...

# %% tags=["imports"]
import math

import torch
from einops import rearrange, repeat
from torch import nn
from torch.nn import functional as F

import minivl  # before torchaudio: it lets its Python half load beside any torch
from IPython.display import Audio, display
from torchaudio.compliance.kaldi import fbank

from minivl import audio, course, mel, plots
from minivl.config import video_llama_7b
from minivl.course import n05
from minivl.demo import CLIPS
from minivl.soft_prompt import AUDIO_SLOT
from minivl.toyworld.exam import prompt_ids
from minivl.toyworld.render import render_still
from minivl.toyworld.scenes import CHOOSING_SEED, SIZES, THINGS, Scene, Sound, Thing, sample_scene
from minivl.toyworld.sounds import render_sound
from minivl.transformer import Attention
from minivl.video import normalise

_ = torch.set_grad_enabled(False)  # nothing is trained here

# %%
course.show(
    course.overview(
        "sound", "mel", "ImageBind", "segment positions", "Audio Q-Former", "audio linear"
    ),
    alt="The whole model; the row of boxes from the sound to its soft prompt is highlighted.",
)

# %% [markdown]
# ### The way of a sound, in shapes
#
# | step | tiny model | 7B model | sections |
# | --- | --- | --- | --- |
# | waveform, 16,000 samples a second | `[n]` | the same | 1 |
# | log-mels of `M` segments | `[M, 1, 128, 204]` | the same | 2 to 6 |
# | ImageBind's audio trunk, **frozen** | `[M, 64]` | `[M, 1024]` | 7, 8 |
# | segment positions, Audio Q-Former, linear layer, **trained** | `[8, 192]` | `[8, 4096]` | 9 |
#
# Eight vectors come out, whether the sound was a click or a symphony. They stand in the prompt as eight words would.

# %% [markdown]
# ## 1. A sound is a row of numbers
#
# A microphone measures the pressure of the air. Minivl takes 16,000 measurements a second, which is enough for tones up to 8,000 Hz, and so does the original.
# Here is a large dog and a small one (a large thing sounds an octave lower in our rendered world). Play both.

# %% tags=["nbval-ignore-output"]
barks = [Scene(seed=3, things=(), sounds=(Sound("dog", size),)) for size in ("large", "small")]
waves = torch.stack([torch.from_numpy(render_sound(bark))[:32_000] for bark in barks])  # [2, n]
for wave in waves:
    display(Audio(wave[:20_000].numpy(), rate=16_000))
print(list(waves.shape), [round(x, 3) for x in waves[0, 8000:8008].tolist()])
assert waves.abs().max() <= 1, "are the samples scaled to -1..1?"

# %% [markdown]
# Nothing in these eight numbers says *dog*. Shift the sound by a thousandth of a second and every number is another one, though it sounds the same. What stays
# is *which tones are in it, and when*. That is what we compute now, in five steps, and it is Kaldi's recipe for speech, which ImageBind took over:
#
# > frames → window → Fourier transform → mel bands → logarithm

# %% [markdown]
# ## 2. Frames, and why they are faded
#
# A frame is 400 samples (25 ms), and one starts every 160 samples (10 ms). In that time a voice hardly changes. With $s$ for the waveform, frame $f$ is
#
# $$x_f[n] = s[160 f + n] \qquad n = 0 \dots 399$$
#
# **Predict:** how many frames do two seconds, 32,000 samples, have? It is not 200.

# %% [markdown]
# Three things are done to a frame. Its *mean* is taken off: a constant pressure is no tone. High tones are raised, because natural sounds have little of
# them (*pre-emphasis*). And both ends are faded out by a *Hann window* $w$: a frame is cut out of the sound, and a cut is a click.
#
# $$y[n] = x[n] - 0.97\, x[n-1] \qquad w[n] = \tfrac12 - \tfrac12 \cos\frac{2 \pi n}{399} \qquad z[n] = w[n]\, y[n]$$
#
# The first sample has none before it; Kaldi takes $x[0]$ itself for $x[-1]$. First in loops, then for all frames at once:

# %% tags=["component"]
FRAME, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms, and the next power of two


def prepare_in_loops(wave):
    """A wave as a list of n numbers -> a list of F prepared frames of 400 numbers."""
    prepared = []
    for first in range(0, len(wave) - FRAME + 1, HOP):
        frame = wave[first : first + FRAME]
        mean = sum(frame) / FRAME
        frame = [x - mean for x in frame]
        raised = [frame[n] - 0.97 * frame[max(n - 1, 0)] for n in range(FRAME)]
        fade = [0.5 - 0.5 * math.cos(2 * math.pi * n / (FRAME - 1)) for n in range(FRAME)]
        prepared.append([x * w for x, w in zip(raised, fade)])
    return prepared


def prepare(waves):
    """Waves [M, n] -> prepared frames [M, F, 400]."""
    frames = waves.unfold(-1, FRAME, HOP)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    return (frames - 0.97 * before) * torch.hann_window(FRAME, periodic=False)

# %% [markdown]
# ## 3. Which tones are in it
#
# The Fourier transform compares the frame with a cosine and a sine of each frequency. Where they go up and down together, the sum is large. Squaring and adding both
# makes it independent of *when* in the frame the tone has its peaks. That is what we wanted to be rid of.
#
# $$P_k = \Big| \sum_{n=0}^{399} z[n]\, e^{-2 \pi i k n / 512} \Big|^2 \qquad k = 0 \dots 256$$
#
# Frequency number $k$ is $k \cdot 16000 / 512 = 31.25\,k$ Hz. The frame is continued with zeros up to 512, since a power of two is fast.
#
# **Predict:** a flute plays 1,000 Hz. Which $k$ is the largest?

# %% tags=["component"]
def power_in_loops(frame, k):
    """One frame (a list of numbers) -> how much of frequency number k is in it."""
    angles = [2 * math.pi * k * n / FFT for n in range(len(frame))]
    real = sum(x * math.cos(a) for x, a in zip(frame, angles))
    imaginary = sum(x * math.sin(a) for x, a in zip(frame, angles))
    return real**2 + imaginary**2


def power(frames):
    """Frames [..., 400] -> power [..., 257], by the fast Fourier transform."""
    return torch.fft.rfft(frames, n=FFT).abs().square()

# %% tags=["same"]
torch.manual_seed(0)
wave = torch.sin(2 * math.pi * 1000 * torch.arange(1000) / 16_000) + 0.1 * torch.randn(1000)
slow, fast = prepare_in_loops(wave.tolist()), prepare(wave[None])[0]  # 4 frames
message = "is the mean of each frame taken off before the pre-emphasis?"
assert torch.allclose(torch.tensor(slow), fast, atol=1e-5), message
spectrum = power(fast)
for k in (0, 7, 32, 256):
    by_hand = torch.tensor(power_in_loops(slow[2], k))
    message = "is the angle 2 pi k n / 512?"
    assert torch.allclose(by_hand, spectrum[2, k], rtol=1e-3, atol=1e-3), message
print("two seconds have", prepare(torch.zeros(1, 32_000)).shape[1], "frames")
print("1000 Hz is loudest in k =", spectrum[2].argmax().item())

# %% [markdown]
# <details><summary>Answer</summary>
#
# $1 + \lfloor (32000 - 400) / 160 \rfloor = 198$ frames: the last ones must still fit. And 1,000 Hz is $k = 1000 / 31.25 = 32$.
#
# </details>
#
# The loops need 400 multiplications for each of 257 frequencies of each of 198 frames: 20 million, twice. The fast transform finds the same numbers with a
# small part of that.

# %% [markdown]
# ## 4. Tones as an ear tells them apart
#
# 257 equal steps of 31 Hz are not how we hear. From 100 to 131 Hz is a big step in pitch, from 7,000 to 7,031 Hz nobody notices one. The **mel** scale bends the axis
# so that equal steps sound equally far apart:
#
# $$m = 1127 \ln\!\big(1 + f / 700\big)$$
#
# On that scale we place 128 triangles between 20 Hz and 8,000 Hz. They are equally wide *in mel*, and each begins at its left neighbour's top. The energy in
# band $b$ is the power under its triangle. Paper, section 2.1.2: "128 mel-spectrogram bins".

# %% tags=["component"]
LOW, HIGH = (1127 * math.log(1 + hz / 700) for hz in (20, 8000))  # mel
WIDTH = (HIGH - LOW) / 129  # from the foot of a triangle to its top


def triangle(hz, band):
    """How much a frequency counts in a band: from 0 at a foot to 1 at the top."""
    steps = (1127 * math.log(1 + hz / 700) - LOW) / WIDTH - band  # 0: left foot, 2: right foot
    return max(0.0, min(steps, 2 - steps))


def mel_bank():
    """All triangles at all frequencies: [257, 128]."""
    mels = 1127 * torch.log(1 + torch.arange(257) * 31.25 / 700)
    left, top, right = (LOW + (torch.arange(128) + step) * WIDTH for step in (0, 1, 2))
    rising, falling = (mels[:, None] - left) / (top - left), (right - mels[:, None]) / (right - top)
    return torch.minimum(rising, falling).clamp_min(0)

# %% [markdown]
# ### What fading is for, and how narrow a triangle is
#
# **Predict** two things before you look at the figure. *Left:* the spectrum of a pure tone of 1,010 Hz, with the window and without. Which of the two spills over into
# frequencies that are not in the sound? *Right:* every fourth triangle, drawn at the frequency numbers. Are there triangles so narrow that none falls under them?

# %%
bank = mel_bank()
under = (bank > 0).sum(dim=0)  # frequency numbers under each triangle
tone = torch.sin(2 * math.pi * 1010 * torch.arange(FRAME) / 16_000)
spectra = {"cut out": power(tone), "faded": power(tone * torch.hann_window(FRAME, periodic=False))}

figure = plots.Picture(figsize=(10, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
for (name, values), line in zip(spectra.items(), ("--", "-")):
    hz = torch.arange(257) * 31.25
    _ = left.plot(hz, 10 * (values / values.max()).log10(), line, label=name)
left.set(title="a tone of 1010 Hz", xlabel="Hz", ylabel="dB", ylim=(-100, 5), xlim=(0, 4000))
left.legend(loc="upper right")
for band in range(0, 128, 4):
    _ = right.plot(hz, bank[:, band], color=(course.BLUE, course.ORANGE)[band // 4 % 2], lw=1)
right.set(title="every fourth of 128 mel bands", xlabel="Hz", ylabel="weight", xlim=(0, 4000))
course.show(
    figure,
    alt="Left: a faded tone has a narrow peak, a cut one wide skirts. Right: mel triangles.",
)
print("triangles with no frequency number:", int((under == 0).sum()))
print("with a single one:", int((under == 1).sum()), " at the most:", int(under.max()))
message = "are both feet one width from the top?"
assert abs(bank[100, 60] - triangle(100 * 31.25, 60)) < 1e-4, message

# %% [markdown]
# <details><summary>Answer</summary>
#
# *Left:* the one that was cut out. Its click lies about 40 dB below the tone, everywhere: quiet sounds beside a loud one would drown in it.
#
# *Right:* one. At the low end a triangle is 28 Hz wide at its foot, and frequency numbers stand 31 Hz apart, so one of them falls through the grid, and 24 catch a single number.
# The empty band holds the same value whatever is heard: a frame of 25 ms is too short to tell such low tones apart. It is no mistake of ours. torchaudio's bank has the same hole,
# as the next section asserts.
#
# </details>

# %% [markdown]
# ## 5. The logarithm, and the whole
#
# Twice the energy sounds like a little more, not like twice as much, hence the logarithm. Silence would be $-\infty$, so nothing is smaller than
# $\epsilon = 1.2 \cdot 10^{-7}$, whose logarithm is $-15.9$.
#
# Then the picture is brought to the form that ImageBind was trained on. It has 204 columns, so six columns of zeros follow our 198. After that everything is shifted and
# scaled by the mean and the deviation of the data that it was trained on: $(x + 4.268) / 9.138$. The order of the two matters. Exercise 5.2 is about it.

# %% tags=["component"]
def log_mel(waves):
    """Waves [M, n] -> the logarithm of the energy in each band and frame [M, 128, F]."""
    energies = power(prepare(waves)) @ mel_bank()  # [M, F, 128]
    floor = torch.finfo(torch.float32).eps
    return rearrange(energies.clamp_min(floor).log(), "m f bins -> m bins f")


def spectrogram(waves):
    """Waves [M, n] -> what the audio trunk reads [M, 1, 128, 204]."""
    columns = log_mel(waves)[..., :204]
    columns = F.pad(columns, (0, 204 - columns.shape[-1]))  # zeros on the right
    return (columns[:, None] + 4.268) / 9.138

# %% [markdown]
# ### Two witnesses
#
# The first is `fbank` of torchaudio, the function that the original calls. The second is our own
# [`minivl/mel.py`]({{repo}}/blob/main/minivl/mel.py), which does all segments at once and is compared with the original's recorded numbers in the tests.

# %% tags=["same"]
torch.manual_seed(0)
waves_in = torch.randn(2, 32_000) * torch.tensor([[1.0], [1e-3]])  # loud and quiet
kaldi = torch.stack([
    fbank(wave[None], htk_compat=True, use_energy=False, window_type="hanning",
          num_mel_bins=128, dither=0.0, sample_frequency=16_000).T
    for wave in waves_in
])  # fmt: skip
message = "is the power squared once, and not twice?"
assert torch.allclose(log_mel(waves_in), kaldi, atol=1e-4), message
message = "is there a clamp before the logarithm?"
assert torch.allclose(log_mel(waves_in), mel.log_mel(waves_in), atol=1e-4), message
message = "are the six columns added before the shift and the division?"
assert torch.allclose(spectrogram(waves_in), mel.spectrogram(waves_in), atol=1e-5), message
hole = mel_bank().sum(dim=0) == 0
assert (kaldi[:, hole] < -15.9).all(), "has torchaudio filled the band that is empty here?"
print("three times the same picture of sound, to within 1e-4:", list(spectrogram(waves_in).shape))

# %% [markdown]
# ### What is lost
#
# There is no way back. The squares have thrown away the phases, the bands have added up neighbouring frequencies, and the clamp has cut off what is very quiet. What is left is
# a smudged picture of *which tones, when*. For recognising a bark that is enough. For telling two violins apart, or where a sound comes from, it is not, and no
# language model behind it can bring that back.

# %% [markdown]
# ### How a clip looks to its ears
#
# Low tones are at the bottom. A bark is a stack of overtones that rise and fall together. Then comes a train: steam is a cloud, its whistle a few flat lines.

# %%
sound = minivl.load_audio(CLIPS / "dog_then_train.mp4")
course.show(
    plots.show_mel(sound), alt="A waveform, and below it two log-mels: barks, then a train."
)
padding = (0 + 4.268) / 9.138
message = "where does the bright stripe begin?"
assert torch.allclose(sound.mel[..., 198:], torch.tensor(padding)), message
print("the stripe at the right of each is padding:", round(padding, 3))

# %% [markdown]
# ## 6. Which two seconds?
#
# ImageBind hears two seconds at a time. So `M` *segments* are cut from a longer sound (section 2.1.2: "uniformly sample M segments of 2-second short audio clips"). The
# sentence leaves open how. We put them side by side, and the last one ends with the sound. A sound of duration $d$ has as many as fit, up to eight. The original's code
# always takes eight, and starts them at
#
# $$t_k = k \cdot \frac{\max(d - 2, 0)}{8} \qquad k = 0 \dots 7$$
#
# **Predict:** what does the original hear of a song of 34 seconds that ends with a bang? And of a door bell of two seconds?

# %% tags=["component"]
def starts(duration, most=8):
    """Ours: when each segment begins, in seconds. A quarter of the last may be missing."""
    count = min(max(int(duration / 2 + 0.25), 1), most)
    last = max(duration - 2, 0) if count > 1 else 0
    return [last * k / max(count - 1, 1) for k in range(count)]


def starts_original(duration, segments=8):
    """The original's: always eight, and the eighth does not reach the end."""
    return [k * max(duration - 2, 0) / segments for k in range(segments)]

# %% tags=["same"]
for duration in (0.5, 2.0, 3.9, 4.0, 7.0, 16.0, 34.0, 600.0):
    package = audio.place_segments(duration, 8).tolist()
    message = "does the last segment end with the sound?"
    assert torch.allclose(torch.tensor(starts(duration)), torch.tensor(package), atol=1e-5), message
    ranges = audio.place_segments_original(duration, 8)
    for mine, (first, _) in zip(starts_original(duration), ranges):
        assert abs(mine - first / 16_000) < 1e-4, "is the free time divided by 8, not by 7?"
for duration in (2, 4, 34):
    last, last_original = starts(duration)[-1] + 2, starts_original(duration)[-1] + 2
    print(f"{duration:3} s: {len(starts(duration))} segments reach {last:4.1f} s,"
          f" the original's 8 reach {last_original:4.1f} s")  # fmt: skip

# %% [markdown]
# <details><summary>Answer</summary>
#
# Of the song, everything after second 30 stays unheard. Always an eighth of $d - 2$ is lost at the end, because the free time is divided into eight steps and only seven
# are taken. The bang is missed. The door bell is heard eight times over: all eight segments are the same two seconds, told apart by nothing but their positions.
#
# </details>

# %% [markdown]
# ### Quirks
#
# Such places are called quirks in this package. `config.original_quirks` brings them back, so that the published model hears as it did for its authors.
# [docs/original.md]({{repo}}/blob/main/docs/original.md) lists them all. There is one more about sound: the original takes the mean off each segment *in place*, so segments that
# overlap change each other.

# %% [markdown]
# ## 7. ImageBind's audio trunk
#
# A log-mel is a picture of 128 x 204 pixels, and it is read like one: by a ViT. You know patches, class token, positions and pre-norm blocks from
# [notebook 01](01_video_to_features.ipynb). Here is what differs.
#
# | | image trunk | audio trunk | 7B's audio trunk |
# | --- | --- | --- | --- |
# | a patch | 8 x 8 pixels | 16 x 16 | 16 x 16, **overlapping**: a step of 10 |
# | after the patches | nothing | a LayerNorm | a LayerNorm |
# | attention | as always | **one learned key and value more** | the same |
# | the vector's norm | 1 | 1 | **20** |
#
# A 16 x 16 patch is 160 ms wide and 16 bands high. In our trunk there are 8 x 12 of them.

# %% [markdown]
# ### A token may look at nothing
#
# Softmax weights sum to 1, so every token has to spend its attention on somebody, even if nobody has what it is looking for. ImageBind's audio
# blocks add one key $\tilde k$ and one value $\tilde v$ that are learned and belong to no patch:
#
# $$\mathrm{softmax}\!\Big(\tfrac{1}{\sqrt c}\; q\,[k_1, \dots, k_S, \tilde k]^\top\Big)\,[v_1, \dots, v_S, \tilde v]$$
#
# It is PyTorch's option `add_bias_kv`, whose name says little. Note what it is *not*: no bias inside the linear layers.

# %% tags=["component"]
def attend_in_loops(q, keys, values, extra_key, extra_value):
    """One query [c] of one head reads S patches and the extra token: all are lists."""
    keys, values = [*keys, extra_key], [*values, extra_value]
    scores = [sum(a * b for a, b in zip(q, key)) / math.sqrt(len(q)) for key in keys]
    weights = [math.exp(s) / sum(math.exp(r) for r in scores) for s in scores]
    return [sum(w * value[i] for w, value in zip(weights, values)) for i in range(len(q))]


def attend(attention, x):
    """The same for all: x [n, s, width] -> [n, s, width], and the weights [n, h, s, s + 1]."""
    extra_key = repeat(attention.extra_key, "width -> n 1 width", n=len(x))
    extra_value = repeat(attention.extra_value, "width -> n 1 width", n=len(x))
    key = torch.cat([attention.key(x), extra_key], dim=1)
    value = torch.cat([attention.value(x), extra_value], dim=1)
    parts = (attention.query(x), key, value)
    q, k, v = (rearrange(part, "n s (h c) -> n h s c", h=attention.heads) for part in parts)
    weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return attention.out(rearrange(weights @ v, "n h s c -> n s (h c)")), weights

# %% tags=["same"]
torch.manual_seed(0)
package, x = Attention(12, heads=3, bias_kv=True), torch.randn(2, 5, 12)
for parameter in package.parameters():
    parameter.copy_(torch.randn_like(parameter) * 0.5)
ours = attend(package, x)[0]
assert torch.allclose(ours, package(x), atol=1e-5), "does the extra token stand behind the others?"

one = Attention(12, heads=1, bias_kv=True)  # one head, to compare with the loops
lists = (one.query(x)[0, 3], one.key(x)[0], one.value(x)[0], one.extra_key, one.extra_value)
slow = one.out(torch.tensor(attend_in_loops(*[part.tolist() for part in lists])))
assert torch.allclose(slow, attend(one, x)[0][0, 3], atol=1e-5), "is the softmax over S + 1 tokens?"

torchs = nn.MultiheadAttention(12, 3, add_bias_kv=True, batch_first=True)
for name in ("weight", "bias"):
    layers = (package.query, package.key, package.value)
    stacked = torch.cat([getattr(layer, name) for layer in layers])
    getattr(torchs, f"in_proj_{name}").copy_(stacked)
    getattr(torchs.out_proj, name).copy_(getattr(package.out, name))
_ = torchs.bias_k.copy_(package.extra_key), torchs.bias_v.copy_(package.extra_value)
message = "are query, key and value stacked in this order?"
assert torch.allclose(ours, torchs(x, x, x)[0], atol=1e-5), message
print("ours = minivl's = torch's")

# %% [markdown]
# ### From a log-mel to a vector
#
# With that, the whole trunk is a dozen lines. A convolution whose step is its kernel's size is a linear layer on patches, so we cut them with `unfold`. At the end stands
# one vector for two seconds of sound, scaled to unit length and multiplied by $s$, which is 1 in our model and 20 in the original:
#
# $$v = s \cdot \frac{u}{\lVert u \rVert} \qquad u = W\, \mathrm{LN}(\text{class token})$$

# %% tags=["component"]
def hear(trunk, mels):
    """Log-mels [n, 1, 128, 204] -> vectors [n, E], and attention to the extra token by block."""
    patches = F.unfold(mels, trunk.config.kernel, stride=trunk.config.stride)  # [n, 256, P - 1]
    x = trunk.stem_norm(patches.mT @ trunk.stem.weight.flatten(1).T)  # [n, P - 1, width]
    class_token = repeat(trunk.class_token, "width -> n 1 width", n=len(x))
    x = torch.cat([class_token, x], dim=1) + trunk.positions
    extra = []
    for block in trunk.blocks:
        read, weights = attend(block.attention, block.attention_norm(x))
        extra.append(weights[..., -1].mean())
        x = x + read
        x = x + block.feed_forward(block.feed_forward_norm(x))
    u = trunk.projection(trunk.norm(x[:, 0]))
    return u / u.norm(dim=-1, keepdim=True) * trunk.log_logit_scale.exp(), extra

# %% [markdown]
# ### Who uses the extra token?
#
# **Predict:** a token sees 97 others (itself counted) and the extra one. Who spreads attention evenly gives $1/98 = 0.010$ to each. What do the blocks of our trained
# trunk give to the extra token, when they hear the two dogs?

# %% tags=["same"]
trunk = course.tiny_model().imagebind.audio
barks = [Scene(seed=3, things=(), sounds=(Sound("dog", size),)) for size in ("large", "small")]
mels = spectrogram(torch.stack([torch.from_numpy(render_sound(bark))[:32_000] for bark in barks]))
vectors, extra = hear(trunk, mels)
message = "is the norm taken before each part, not after?"
assert torch.allclose(vectors, trunk(mels), atol=1e-5), message
assert torch.allclose(vectors.norm(dim=-1), torch.ones(2), atol=1e-4), "is v scaled to norm 1?"
assert max(extra) < 0.05, "is the extra token the last one?"
print("one vector for each segment:", list(vectors.shape), "from", len(trunk.positions), "tokens")
print("the norm in the 7B model:", video_llama_7b().imagebind.audio.logit_scale)
print("attention to the extra token, by block:", [round(share.item(), 2) for share in extra])

# %% [markdown]
# <details><summary>Answer</summary>
#
# About as much as evenly spread attention would. In our small trunk this escape is *hardly used*. It was there, it was trained, and three blocks that always
# have something to hear found no need for it. The published weights of ImageBind were not at hand, so we cannot say what they do with theirs. A part of an
# architecture is a possibility, not a function.
#
# </details>

# %% [markdown]
# ## 8. One space for sight and sound
#
# Now the reason why the authors chose ImageBind. Its trunks were trained to give a *picture* of a bell and the *sound* of a bell neighbouring vectors. Ours were
# too, on rendered pictures and sounds ([appendix A1](A1_where_the_frozen_parts_come_from.ipynb)). To see it we need the image trunk, which the shipped model leaves out
# for answering: it is only used in training.
#
# Ten things in two sizes make twenty pictures and twenty sounds, none of them from the training. Similarity is the dot product of unit vectors, so 1 is the
# most it can be.
#
# **Predict:** a small dog barks. After the small dog, which pictures are nearest: the large dog's, or those of other small things?

# %%
shared = minivl.VideoLlama.from_pretrained("tiny", parts=("audio", "image_trunk"))


def look(scenes):
    """One still of each scene -> ImageBind's image vectors [n, E]."""
    stills = torch.stack([torch.from_numpy(render_still(scene, time=1.0)) for scene in scenes])
    return shared.imagebind.image(normalise(rearrange(stills, "n h w c -> n c h w")))


def listen(scenes):
    """The first two seconds of each scene -> ImageBind's audio vectors [n, E]."""
    heard = torch.stack([torch.from_numpy(render_sound(scene))[:32_000] for scene in scenes])
    return shared.imagebind.audio(mel.spectrogram(heard))


kinds = [f"{size} {name}" for name in THINGS for size in SIZES]
alone = [
    Scene(700_000 + n, (Thing(name, size),), sounds=(Sound(name, size),))
    for n, (size, name) in enumerate(kind.split() for kind in kinds)
]
similarity = listen(alone) @ look(alone).T  # [20 sounds, 20 pictures]
message = "are rows sounds and columns pictures, in the same order?"
assert (similarity.argmax(dim=1) == torch.arange(20)).all(), message
twins = similarity[range(20), [n ^ 1 for n in range(20)]]  # the same thing in the other size
print(f"own picture {similarity.diag().mean():.1f}, the other size {twins.mean():.1f}")

figure = plots.Picture(figsize=(7.6, 6.4), layout="constrained")
axes = figure.add_subplot(xlabel="picture", ylabel="sound")
drawn = axes.imshow(similarity, cmap="cividis", vmin=-1, vmax=1)
axes.set_xticks(range(20), kinds, rotation=90)
axes.set_yticks(range(20), kinds)
_ = figure.colorbar(drawn, label="cosine", shrink=0.8)
course.show(figure, alt="Similarity of 20 sounds and 20 pictures: a bright diagonal of pairs.")

# %% [markdown]
# <details><summary>Answer</summary>
#
# The large dog's, and so it is for 17 of the 20 sounds. On the diagonal cosines are about 0.9. Beside it stand the pairs of the same thing in the other size, about 0.55. Another thing of the *same* size has
# 0.13 on average, one of the other size -0.13. So both words of "small dog" are in the vector, and the name counts more. It comes from the training: the image trunk was trained
# with words, and two pictures that share the word *dog* were drawn to vectors that share a part. The real ImageBind has its own idea of what is near, made of millions of clips.
#
# </details>

# %% [markdown]
# ### Recall@1 on clips from the toy world
#
# The matrix is too easy: each thing stands alone on its own picture, once. So take clips from seeds that no training has used, keep those that show one thing which makes its
# own sound, and ask with each sound for its picture among all of them. *Recall@1* is the share of sounds whose nearest picture is right.
#
# **Predict:** "right" can mean *the picture of this very clip*, or *a picture of the same kind of thing*. How far apart will the two numbers be?

# %%
drawn = [sample_scene(CHOOSING_SEED + n) for n in range(course.steps(1200, 300))]
single = [s for s in drawn if len(s.things) == len(s.sounds) == 1]
clips = [s for s in single if s.things[0].name == s.sounds[0].name]
names = [f"{s.sounds[0].size} {s.sounds[0].name}" for s in clips]
found = (listen(clips) @ look(clips).T).argmax(dim=1).tolist()

strict = sum(n == nearest for n, nearest in enumerate(found)) / len(clips)
by_kind = sum(names[n] == names[nearest] for n, nearest in enumerate(found)) / len(clips)
print(f"{len(clips)} clips of {len(set(names))} kinds")
print(f"recall@1, a picture of the kind {by_kind:.2f}, this clip's own picture {strict:.2f}")
print(f"a random picture of the right kind would be its own in {len(set(names)) / len(clips):.2f}")
assert by_kind > 0.9 > strict, "are sounds compared with pictures, and not with sounds?"

# %% [markdown]
# <details><summary>Answer</summary>
#
# Far apart. The space knows *what* sounds and how large it is, and nothing else: no sound says where in the picture its dog stands or what the background looks like. Among the pictures
# of its kind the choice is a lottery. Benchmarks that count only the clip's own picture would call this space poor, those that count kinds would call it perfect. Before you compare two
# recall numbers, ask what was counted as right.
#
# </details>

# %% [markdown]
# ## 9. From vectors to a soft prompt
#
# ImageBind hears each segment alone. As with frames, something must say which came first, so a learned *segment position* is added. Then an **Audio Q-Former** reads
# the segments, and a linear layer brings its answers to the width of the language model (paper, equations of section 2.1.2):
#
# $$\text{prompt} = W \cdot \mathrm{QFormer}\big([a_1 + p_1, \dots, a_M + p_M]\big) + b$$
#
# No new class is needed. It is the Video Q-Former with another input: up to eight vectors of width `E`, instead of eight tokens for each frame.

# %% tags=["same"]
package = course.tiny_model()
branch = package.audio_branch
message = "is the Audio Q-Former another class than the Video Q-Former?"
assert type(branch.qformer) is type(package.vision_branch.qformer), message
segments = F.normalize(torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
timed = segments + branch.positions.weight[:5]  # [B, M, E]
prompt = branch.qformer(timed) @ branch.to_llm.weight.T + branch.to_llm.bias
message = "is the position added before the Q-Former reads?"
assert torch.allclose(prompt, package.audio_prompt(segments), atol=1e-5), message

message = "without positions the segments are a set: does the Q-Former know an order of its own?"
forwards, backwards = branch.qformer(segments), branch.qformer(segments.flip(1))
assert torch.allclose(forwards, backwards, atol=1e-4), message
print("5 segments ->", list(prompt.shape[1:]), "and without positions their order would be lost")

# %% [markdown]
# ### Small, and the only part that is trained
#
# In the 7B model this branch has 22.9 million parameters between an ImageBind of 86 million (its audio trunk) and a language model of 6.7 billion. Whatever Video-LLaMA understands
# of sound is in ImageBind's vectors already, and the branch only says it in the language of the language model.

# %% [markdown]
# ### Does the order arrive?
#
# The clip with the dog and the train has two segments. We exchange their vectors, so that the train comes first, and ask by ear alone.
#
# **Predict** all four answers.

# %%
model = course.tiny_model()
vectors = model.encode_segments(sound.mel[None])  # [1, M = 2, E]
asked = ["what do you hear first?", "what do you hear last?"]
prompts = [prompt_ids(model, question, ("hearing",)) for question in asked]
answers = {}
for name, order in (("as it is", vectors), ("exchanged", vectors.flip(1))):
    soft = model.audio_prompt(order).expand(2, -1, -1)  # the same prompt for both questions
    answers[name] = model.answer_batch(prompts, {AUDIO_SLOT: soft})
    print(f"{name:10}", *answers[name], sep="  ")
message = "is the position added after the exchange?"
assert answers["exchanged"] == answers["as it is"][::-1], message

# %% [markdown]
# ## Recap
#
# - Sound becomes a picture: 25 ms frames every 10 ms, faded, Fourier power, 128 mel bands, logarithm. Two seconds are 198 columns, padded to 204.
# - You built it from sums and cosines, and it equals torchaudio's and the package's to within 1e-4.
# - Segments of two seconds are cut from the sound. The original never hears the end, and hears a short sound eight times.
# - ImageBind's audio trunk is a ViT with a learned extra key and value. It gives one vector for each segment.
# - Sounds and pictures of the same kind meet in one space. They agree on *what*, and on nothing else.
# - Positions and a Q-Former turn up to eight such vectors into a soft prompt of eight. Without positions the order would be lost.

# %% [markdown]
# ## Exercises
#
# ### Exercise 5.1: back from mel to Hz · ★☆☆ · 5 minutes
#
# Figures of mel bands are labelled in Hz. Write the inverse of $m = 1127 \ln(1 + f / 700)$: `mel_to_hz(mels)` gets a tensor of any shape and returns one of the same
# shape.
#
# <details><summary>Hint</summary>
#
# Solve the equation for $f$. What undoes a natural logarithm?
#
# </details>

# %% tags=["exercise"] exercise="5.1"
def mel_to_hz(mels):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="5.1"
course.check(n05.mel_to_hz, mel_to_hz)

# %% tags=["solution"] exercise="5.1"
def mel_to_hz(mels):
    return 700 * (torch.exp(mels / 1127) - 1)

# %% [markdown] tags=["why"] exercise="5.1"
# From it the width of any band follows: near 20 Hz a step of 21.8 mel is 14 Hz, near 8,000 Hz it is 168 Hz.

# %% tags=["wrong"] exercise="5.1" hint="0 mel"
def mel_to_hz(mels):
    return 700 * torch.exp(mels / 1127)

# %% tags=["wrong"] exercise="5.1" hint="natural"
def mel_to_hz(mels):
    return 700 * (10 ** (mels / 1127) - 1)

# %% tags=["wrong"] exercise="5.1" hint="undo"
def mel_to_hz(mels):
    return 1127 * torch.log(1 + mels / 700)

# %% [markdown]
# ### Exercise 5.2: find the bugs · ★★☆ · 10 minutes
#
# `finish` should do what the second half of our `spectrogram` does: log-mels `[M, 128, F]` become `[M, 1, 128, 204]`. It runs, the shape is right, and the model still answers. But two
# things are wrong, and the trunk sees something at the edges that it never saw in training. Delete the first line, find both, and mend them.
#
# <details><summary>Hint</summary>
#
# In ImageBind's data the padding is not 0. Look at the stripe in the figure of section 5: on which side is it, and which number is it?
#
# </details>

# %% tags=["exercise"] exercise="5.2"
def finish(columns):
    raise NotImplementedError("delete this line and mend the others")
    columns = (columns[..., :204] + 4.268) / 9.138
    return F.pad(columns, (204 - columns.shape[-1], 0))[:, None]

# %% tags=["checker"] exercise="5.2"
course.check(n05.finish, finish)

# %% tags=["solution"] exercise="5.2"
def finish(columns):
    columns = columns[..., :204]
    columns = F.pad(columns, (0, 204 - columns.shape[-1]))
    return (columns[:, None] + 4.268) / 9.138

# %% [markdown] tags=["why"] exercise="5.2"
# A log-mel of 0 means a rather loud band: silence is -15.9. So the padding is a bright stripe, 0.467 after the shift. Perhaps nobody wanted that, but it
# became part of the weights. Whoever "corrects" it gives the trunk pictures of a kind that it does not know.

# %% tags=["wrong"] exercise="5.2" hint="both bugs"
def finish(columns):
    columns = (columns[..., :204] + 4.268) / 9.138
    return F.pad(columns, (204 - columns.shape[-1], 0))[:, None]

# %% tags=["wrong"] exercise="5.2" hint="before the shift"
def finish(columns):
    columns = (columns[..., :204] + 4.268) / 9.138
    return F.pad(columns, (0, 204 - columns.shape[-1]))[:, None]

# %% tags=["wrong"] exercise="5.2" hint="which side"
def finish(columns):
    columns = F.pad(columns[..., :204], (204 - columns.shape[-1], 0))
    return (columns[:, None] + 4.268) / 9.138

# %% [markdown]
# ### Exercise 5.3: how many tokens has the real one? · ★★☆ · 10 minutes
#
# Write `tokens(config)`: how many tokens enter the blocks of an audio trunk with these sizes? `config` has `mel_bins`, `mel_frames`, `kernel` and `stride` (`AudioTrunkConfig`). Predict
# the number for `video_llama_7b().imagebind.audio` before you compute it: it is more than twice ours, for the same two seconds.
#
# <details><summary>Hint</summary>
#
# How often does a window of 16 fit into 128, if it moves on by 10? It is the question of section 2. And who else is there, besides patches?
#
# </details>

# %% tags=["exercise"] exercise="5.3"
def tokens(config):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="5.3"
course.check(n05.tokens, tokens)

# %% tags=["solution"] exercise="5.3"
def tokens(config):
    rows = (config.mel_bins - config.kernel) // config.stride + 1
    columns = (config.mel_frames - config.kernel) // config.stride + 1
    return rows * columns + 1

# %% [markdown] tags=["why"] exercise="5.3"
# 12 x 19 patches and the class token are 229. The overlap makes attention five to six times as dear as with our 97 tokens, but what lies on the edge of one patch lies well inside the next.
# The extra key and value are no token: they are read, and never ask.

# %% tags=["wrong"] exercise="5.3" hint="overlap"
def tokens(config):
    return (config.mel_bins // config.kernel) * (config.mel_frames // config.kernel) + 1

# %% tags=["wrong"] exercise="5.3" hint="class token"
def tokens(config):
    rows = (config.mel_bins - config.kernel) // config.stride + 1
    return rows * ((config.mel_frames - config.kernel) // config.stride + 1)

# %% tags=["wrong"] exercise="5.3" hint="inside the picture"
def tokens(config):
    return (config.mel_bins // config.stride) * (config.mel_frames // config.stride) + 1

# %% [markdown]
# ### Exercise 5.4: recall@k · ★★☆ · 15 minutes
#
# Write `recall_at(similarity, same, k)`. `similarity` `[S, P]` compares `S` sounds with `P` pictures, `same` `[S, P]` is True where a picture counts as right for a sound. Return the
# share of sounds, a number from 0 to 1, that have *at least one* right picture among their `k` nearest.
#
# <details><summary>Hint</summary>
#
# `similarity.topk(k, dim=1).indices` are the nearest pictures of each sound, and `same.gather(1, indices)` says which of them are right.
#
# </details>

# %% tags=["exercise"] exercise="5.4"
def recall_at(similarity, same, k):
    raise NotImplementedError("your code")

# %% tags=["checker"] exercise="5.4"
course.check(n05.recall_at, recall_at)

# %% tags=["solution"] exercise="5.4"
def recall_at(similarity, same, k):
    nearest = similarity.topk(k, dim=1).indices
    return same.gather(1, nearest).any(dim=1).float().mean().item()

# %% [markdown] tags=["why"] exercise="5.4"
# With the clips of section 8 and only the own picture counted as right, recall@1 is low and recall@5 nearly perfect: the own picture is among the few of its kind. Recall@k grows with k
# and with the number of right pictures, so a number without both says nothing.

# %% tags=["wrong"] exercise="5.4" hint="precision"
def recall_at(similarity, same, k):
    nearest = similarity.topk(k, dim=1).indices
    return same.gather(1, nearest).float().mean().item()

# %% tags=["wrong"] exercise="5.4" hint="each sound"
def recall_at(similarity, same, k):
    nearest = similarity.topk(k, dim=0).indices
    return same.gather(0, nearest).any(dim=0).float().mean().item()

# %% tags=["wrong"] exercise="5.4" hint="farthest"
def recall_at(similarity, same, k):
    nearest = similarity.topk(k, dim=1, largest=False).indices
    return same.gather(1, nearest).any(dim=1).float().mean().item()

# %% [markdown]
# ## What to read next
#
# - [Notebook 08](08_an_ear_trained_by_eye.ipynb): since sight and sound share a space, the audio branch can be trained on pictures, and then listen.
# - [Notebook 06](06_stage_1_captions.ipynb): how a branch is trained at all.
# - The paper, section 2.1.2, and [ImageBind](https://arxiv.org/abs/2305.05665) (Girdhar et al. 2023).
# - [`minivl/mel.py`]({{repo}}/blob/main/minivl/mel.py), [`minivl/audio.py`]({{repo}}/blob/main/minivl/audio.py) and
#   [`minivl/imagebind.py`]({{repo}}/blob/main/minivl/imagebind.py), each shorter than this notebook.
