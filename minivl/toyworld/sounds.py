"""A scene's sound: one synthesiser for each of the ten things, background noise, loudness.

Most things repeat a short *grain* (one stroke, chirp, bark ...) once in a period of at most a second:

    wave(t) = sum_k grain(t - (k - phase) * period)

so any two seconds hold the whole sound. Frequencies are multiplied by `pitch`: 1 for a small thing, 1/2 for a
large one, each ± 6 %. Pitch, tempo, phase, loudness and noise are drawn from the scene's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from minivl.toyworld.scenes import DURATION, Scene, Sound

Wave = np.ndarray  # [n] float32
Synthesiser = Callable[[np.random.Generator, int, int, float], Wave]  # (rng, n, rate, pitch) -> [n]

PITCH = {"small": 1.0, "large": 0.5}
FADE = 0.008  # seconds, at both ends of an event
EVENT, FLOOR = 4, 5  # streams of random numbers, beside those of render.py


def render_sound(scene: Scene, rate: int = 16_000) -> Wave:
    """The sound of a whole clip: [4 * rate] float32 in [-1, 1]. No sounds: only the background noise."""
    return render_events(scene.sounds, scene.seed, rate)


def render_events(sounds: tuple[Sound, ...], seed: int, rate: int = 16_000, duration: float = DURATION) -> Wave:
    """Each sound between its `start` and `end` (seconds), in background noise of -60 to -35 dB.

    The loudest peak of the events lies between 0.1 and 0.9. Returns [duration * rate] float32 in [-1, 1].
    """
    floor = np.random.default_rng((seed, FLOOR))
    wave = floor.standard_normal(round(duration * rate), np.float32)
    wave *= np.float32(10 ** (floor.uniform(-60, -35) / 20))
    loudness = np.exp(floor.uniform(np.log(0.1), np.log(0.9)))
    for index, sound in enumerate(sounds):
        rng = np.random.default_rng((seed, EVENT, index))
        first, last = round(sound.start * rate), min(round(sound.end * rate), len(wave))
        pitch = PITCH[sound.size] * rng.uniform(0.94, 1.06)
        event = SYNTHESISERS[sound.name](rng, last - first, rate, pitch)
        peak = max(float(event.max()), -float(event.min()), 1e-9)
        wave[first:last] += event * _edges(last - first, rate) * np.float32(loudness / peak)
        loudness *= rng.uniform(0.7, 1.0)
    return np.clip(wave, -1, 1, out=wave)


# ---- building blocks


@cache
def _time(n: int, rate: int) -> Wave:
    return np.arange(n, dtype=np.float32) / np.float32(rate)  # [n] seconds


@cache
def _edges(n: int, rate: int) -> Wave:
    """1 everywhere but for a short rise from and fall to 0 at the ends."""
    t = _time(n, rate)
    return np.minimum(np.minimum(t, t[::-1]) / np.float32(FADE), np.float32(1))


def _tone(cycles: Wave) -> Wave:
    """A sine of a phase that is counted in cycles."""
    return np.sin(np.float32(2 * np.pi) * (cycles % np.float32(1)))


def _glide(frequencies: Wave, rate: int) -> Wave:
    """The phase in cycles [n] of a tone that has frequency [n] Hz at each sample."""
    return (np.cumsum(frequencies, dtype=np.float64) / rate).astype(np.float32)


def _harmonics(cycles: Wave, weights: Sequence[float]) -> Wave:
    """Overtones 1, 2, 3 ... of a phase in cycles, with these weights: read from a table of one period."""
    table = np.arange(2048, dtype=np.float32) / 2048
    period = sum(w * _tone((k + 1) * table) for k, w in enumerate(weights))
    return np.asarray(period, np.float32)[(cycles * np.float32(2048)).astype(np.int64) % 2048]


def _noise(rng: np.random.Generator, n: int, rate: int, low: float, high: float) -> Wave:
    """Noise between `low` and `high` Hz with soft sides, of standard deviation 1."""
    frequencies = np.fft.rfftfreq(n, 1 / rate).astype(np.float32)  # [n/2 + 1]
    below, above = np.float32(low) / (frequencies + 1), frequencies / np.float32(high)
    gain = 1 / (1 + (below * below * below) ** 2 + (above * above * above) ** 2)
    wave: Wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(n, np.float32)) * gain, n)
    return wave / wave.std()


def _repeat(grains: list[Wave], period: float, phase: float, n: int, rate: int) -> Wave:
    """The grains in turn, one every `period` seconds, the first `phase` of a period before the beginning."""
    wave = np.zeros(n, np.float32)
    for k in range(int(n / (period * rate)) + 3):
        onset, grain = round((k - phase) * period * rate), grains[k % len(grains)]
        first, last = max(0, onset), min(n, onset + len(grain))
        if first < last:
            wave[first:last] += grain[first - onset : last - onset]
    return wave


# ---- the ten things: (rng, n samples, rate, pitch) -> [n]


def bell(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Partials that are no multiples of each other, struck and dying away, the high ones first."""
    t = _time(int(1.3 * rate), rate)
    partials = ((1.0, 1.0, 2.5), (2.0, 0.5, 3.5), (2.76, 0.7, 4.5), (4.1, 0.35, 7.0))  # ratio, weight, decay
    stroke = sum(w * np.exp(-d * t) * _tone(900 * pitch * r * t) for r, w, d in partials)
    stroke = np.asarray(stroke * np.minimum(t / np.float32(0.003), 1), np.float32)
    return _repeat([stroke], rng.uniform(0.6, 0.9), rng.uniform(), n, rate)


def drum(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Low thumps whose pitch falls, with the stick's knock: strong, weak, weak."""
    t = _time(int(0.3 * rate), rate)
    thump = np.exp(-14 * t) * _tone(_glide(150 * pitch * (1 + np.exp(-30 * t)), rate))
    knock = np.exp(-250 * t) * _noise(rng, len(t), rate, 300 * pitch, 1500 * pitch)
    beat = thump + np.float32(0.25) * knock
    return _repeat([beat, beat * 0.5, beat * 0.7], rng.uniform(0.22, 0.32), rng.uniform(), n, rate)


def bird(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Groups of short whistles, each sweeping up."""
    length = rng.uniform(0.09, 0.13)
    t = _time(int(length * rate), rate) / np.float32(length)  # [n] 0..1
    chirp = np.sin(np.float32(np.pi) * t) * _tone(_glide(pitch * (2400 + 2400 * t**1.5), rate))
    gap = np.zeros(int(0.03 * rate), np.float32)
    group = np.concatenate([chirp, gap] * int(rng.integers(2, 5)))
    return _repeat([group], rng.uniform(0.65, 0.9), rng.uniform(), n, rate)


def car(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """An engine: a hum of many overtones that wanders slowly, throbbing, over a rumble."""
    t = _time(n, rate)
    wander = 1 + 0.06 * _tone(rng.uniform(0.2, 0.5) * t + rng.uniform())
    cycles = _glide(120 * pitch * wander, rate)
    hum = _harmonics(cycles, (1, 0.9, 0.7, 0.6, 0.4, 0.3, 0.2, 0.15))
    throb = 1 + 0.4 * _tone(cycles * np.float32(0.25))
    return hum * throb + np.float32(0.7) * _noise(rng, n, rate, 40, 220 * pitch)


def dog(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Barks in pairs: harsh bursts, the voice rising and falling fast."""
    t = _time(int(0.2 * rate), rate)
    arch = np.sin(np.float32(np.pi) * np.minimum(t / np.float32(0.2), 1))
    voice = _harmonics(_glide(pitch * (340 + 260 * arch), rate), (0.6, 1, 0.8, 0.5, 0.3, 0.15))
    breath = _noise(rng, len(t), rate, 500 * pitch, 2200 * pitch)
    bark = np.sqrt(arch) * np.exp(-7 * t) * (voice + np.float32(0.45) * breath)
    pair = np.concatenate([bark, np.zeros(int(0.06 * rate), np.float32), bark * np.float32(0.8)])
    return _repeat([pair], rng.uniform(0.7, 0.95), rng.uniform(), n, rate)


def rain(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """A steady hiss with drops that ping."""
    hiss = _noise(rng, n, rate, 1800 * pitch, 6000 * pitch)
    t = _time(int(0.02 * rate), rate)
    for onset in rng.integers(0, max(1, n - len(t)), int(25 * n / rate)):
        hiss[onset : onset + len(t)] += 3 * np.exp(-220 * t) * _tone(rng.uniform(2500, 5000) * pitch * t)
    return hiss


def clock(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Tick and tock: two very short knocks in turn, the second one lower."""
    t = _time(int(0.06 * rate), rate)
    click = _noise(rng, len(t), rate, 2000 * pitch, 5000 * pitch) * np.exp(-400 * t)
    strokes = [np.exp(-110 * t) * (_tone(f * pitch * t) + 0.5 * _tone(2.3 * f * pitch * t)) for f in (2600, 1900)]
    period = rng.uniform(0.3, 0.42)
    return _repeat([s + np.float32(0.5) * click for s in strokes], period, rng.uniform(), n, rate)


def train(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Steam that puffs four to six times a second, and a whistle of three notes every second."""
    t = _time(n, rate)
    puff = (t * np.float32(rng.uniform(4, 6)) + np.float32(rng.uniform())) % np.float32(1)
    steam = _noise(rng, n, rate, 250 * pitch, 1400 * pitch) * np.exp(-4 * puff)
    u = _time(int(0.5 * rate), rate)
    notes = sum(_harmonics(f * pitch * u, (1, 0.3, 0.1)) for f in (620, 740, 930))
    whistle = np.asarray(notes * _edges(len(u), rate), np.float32)
    return steam + np.float32(0.8) * _repeat([whistle], rng.uniform(0.9, 1.0), rng.uniform(), n, rate)


def cat(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """Meows: a voice that climbs, then sinks slowly, while the mouth opens and closes."""
    length = rng.uniform(0.6, 0.75)
    t = _time(int(length * rate), rate) / np.float32(length)  # [n] 0..1
    melody = pitch * (520 + 330 * np.sin(np.float32(np.pi) * t**0.6) + 12 * _tone(6 * length * t))
    cycles = _glide(melody, rate)
    mouth = np.sin(np.float32(np.pi) * t) ** 2
    closed, opened = _harmonics(cycles, (1, 0.25)), _harmonics(cycles, (0.5, 1, 0.9, 0.6, 0.35))
    meow = np.sin(np.float32(np.pi) * t**0.7) * ((1 - mouth) * closed + mouth * opened)
    return _repeat([meow.astype(np.float32)], rng.uniform(0.85, 1.0), rng.uniform(), n, rate)


def phone(rng: np.random.Generator, n: int, rate: int, pitch: float) -> Wave:
    """A ring: two tones that take turns some twenty times a second, then a pause."""
    t = _time(int(0.55 * rate), rate)
    turn = _tone(rng.uniform(18, 22) * t) > 0
    ring = _harmonics(_glide(np.where(turn, 1500 * pitch, 1180 * pitch), rate), (1, 0, 0.35, 0, 0.12))
    return _repeat([ring * _edges(len(t), rate)], rng.uniform(0.75, 0.95), rng.uniform(), n, rate)


SYNTHESISERS: dict[str, Synthesiser] = {
    s.__name__: s for s in (bell, drum, bird, car, dog, rain, clock, train, cat, phone)
}
