"""How fast the toy world renders on one core: python benchmarks/render.py --clips 500"""

from __future__ import annotations

import argparse
import time

from minivl.toyworld.render import render_frames
from minivl.toyworld.scenes import sample_scene
from minivl.toyworld.sounds import render_sound


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    clips: int = parser.parse_args().clips
    scenes = [sample_scene(seed) for seed in range(clips)]
    render_frames(scenes[0]), render_sound(scenes[0])  # fill the caches first
    start = time.perf_counter()
    for scene in scenes:
        render_frames(scene)
    pictures = time.perf_counter() - start
    start = time.perf_counter()
    for scene in scenes:
        render_sound(scene)
    sounds = time.perf_counter() - start
    print(f"pictures {1000 * pictures / clips:.2f} ms a clip (8 frames of 64x64)")
    print(f"sound    {1000 * sounds / clips:.2f} ms a clip (4 s at 16 kHz)")
    print(f"together {clips / (pictures + sounds):.0f} clips a second")


if __name__ == "__main__":
    main()
