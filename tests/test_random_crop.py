"""The random crop of training: the original's pixels, with its overshoot wrapped or clamped, and where boxes lie."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from minivl.errors import InputError
from minivl.random_crop import crop_box, random_resized_crop, resize_crop
from minivl.video import normalise

GOLDENS = Path(__file__).parent / "goldens"
PIXELS = load_file(GOLDENS / "pixels.safetensors")
RULE = json.loads((GOLDENS / "frames.json").read_text())
CROP = RULE["pixels_file"]["train_crop"]
BOX = CROP["top"], CROP["left"], CROP["height"], CROP["width"]


def frames_of(key: str) -> Tensor:
    """The original keeps channels before frames."""
    return rearrange(PIXELS[key], "c T h w -> T c h w")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_crop_gives_the_pixels_of_the_original() -> None:
    cropped = resize_crop(frames_of("eval.in"), BOX, CROP["size"], original=True)
    assert torch.equal(cropped, frames_of("train.after_uint8"))
    assert torch.allclose(normalise(cropped), frames_of("train.out"), atol=1e-6)


def test_without_the_bug_only_what_overshoots_is_different() -> None:
    exact = frames_of("train.crop_resized_float")
    outside = (exact < 0) | (exact >= 256)
    clamped = resize_crop(frames_of("eval.in"), BOX, CROP["size"])
    wrapped = resize_crop(frames_of("eval.in"), BOX, CROP["size"], original=True)
    assert int(outside.sum()) == RULE["pixels_file"]["out_of_range_values"]
    assert torch.equal(clamped[~outside], wrapped[~outside])
    assert torch.equal(clamped[outside], (exact[outside] > 0) * torch.tensor(255, dtype=torch.uint8))
    assert (clamped[outside] != wrapped[outside]).all()


@pytest.mark.parametrize("case", ["image_eval", "image_eval_up"])
def test_a_still_image_is_resized_as_the_original_does(case: str) -> None:
    image = rearrange(PIXELS[f"{case}.in"], "h w c -> 1 c h w")
    height, width = image.shape[-2:]
    for original in (False, True):  # PIL clamps
        whole = resize_crop(image, (0, 0, height, width), 14, original)
        assert torch.allclose(normalise(whole)[0], PIXELS[f"{case}.out"], atol=1e-6)


def test_a_still_image_is_cut_before_it_is_resized() -> None:
    """What lies outside of the box leaves no trace."""
    image = PIXELS["image_eval.in"]
    cut = Image.fromarray(image[5:25, 3:18].numpy()).resize((8, 8), Image.Resampling.BICUBIC)
    cropped = resize_crop(rearrange(image, "h w c -> 1 c h w"), (5, 3, 20, 15), 8)
    assert np.array_equal(rearrange(cropped, "1 c h w -> h w c").numpy(), np.array(cut))


@pytest.mark.parametrize("size", [8, 224])
@pytest.mark.parametrize("length", [1, 8])
def test_all_frames_of_a_video_show_the_same_box(length: int, size: int) -> None:
    picture = torch.randint(256, (1, 3, 60, 90), dtype=torch.uint8)
    cropped = random_resized_crop(picture.repeat(length, 1, 1, 1), size, seeded(0))
    assert cropped.shape == (length, 3, size, size) and cropped.dtype == torch.uint8
    assert all(torch.equal(frame, cropped[0]) for frame in cropped)


def test_the_generator_decides() -> None:
    frames = torch.randint(256, (2, 3, 60, 90), dtype=torch.uint8)
    first, again, other = (random_resized_crop(frames, 32, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (240, 320), (320, 240)])
@pytest.mark.parametrize("area", [(0.5, 1.0), (0.08, 0.2)])
def test_boxes_keep_to_their_limits(height: int, width: int, area: tuple[float, float]) -> None:
    generator = seeded(0)
    boxes = [crop_box(height, width, generator, area) for _ in range(500)]
    for top, left, h, w in boxes:
        assert 0 <= top <= height - h and 0 <= left <= width - w
        assert area[0] - 0.01 <= h * w / (height * width) <= area[1] + 0.01  # sides are whole pixels
        assert 3 / 4 - 0.02 <= w / h <= 4 / 3 + 0.02


def test_boxes_are_everywhere_and_of_every_size() -> None:
    generator = seeded(0)
    top, left, h, w = torch.tensor([crop_box(200, 200, generator) for _ in range(2000)]).T.double()
    share, aspect = h * w / 200**2, w / h
    # A box that is large and wide does not fit and is drawn again: large ones are rarer than in an even draw (0.75).
    assert 0.66 < share.mean() < 0.72 and share.min() < 0.51 and share.max() > 0.97
    assert abs(aspect.log().mean()) < 0.02  # as many wide ones as tall ones
    assert aspect.min() < 0.76 and aspect.max() > 1.31
    room = h < 190
    assert abs((top / (200 - h))[room].mean() - 0.5) < 0.03
    assert (top == 0).any() and (top + h == 200).any() and (left == 0).any() and (left + w == 200).any()


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (10, 100, (0, 43, 10, 13)),  # 4:3 in the middle
        (100, 10, (43, 0, 13, 10)),  # 3:4
        (1, 1, (0, 0, 1, 1)),
    ],
)
def test_a_picture_too_narrow_for_any_box_gives_its_middle(height: int, width: int, box: tuple[int, ...]) -> None:
    assert crop_box(height, width, seeded(0)) == box


@pytest.mark.parametrize(
    ("frames", "size", "area", "says"),
    [
        (torch.zeros(2, 3, 8, 8), 4, (0.5, 1.0), "torch.float32 [2, 3, 8, 8]: give uint8 [T, 3, H, W]"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), 4, (0.5, 1.0), "[2, 8, 8, 3]: give uint8 [T, 3, H, W]"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 4, (0.5, 1.0), "with T at least 1"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 0, (0.5, 1.0), "size is 0: give the side of a square"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 4, (0.0, 1.0), "area is (0.0, 1.0): give the least"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 4, (1.0, 0.5), "area is (1.0, 0.5): give the least"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 4, (50, 100), "area is (50, 100): give the least"),
    ],
)
def test_wrong_input_is_explained(frames: Tensor, size: int, area: tuple[float, float], says: str) -> None:
    with pytest.raises(InputError) as caught:
        random_resized_crop(frames, size, seeded(0), area=area)
    assert says in str(caught.value)
