"""Sliding windows: every pixel is covered, and weighs one in all, for pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from utils.scoring.sliding_window import MODES, Inference, averaged, predict_picture, scaled_pictures

pytestmark = pytest.mark.reliability

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60))
WINDOWS = st.builds(
    Inference,
    mode=st.sampled_from(MODES),
    crop_size=st.integers(1, 70),
    overlap=st.floats(0, 0.9),
    scales=st.lists(st.floats(0.3, 2.2), min_size=1, max_size=3).map(tuple),
    flip=st.booleans(),
    tile_batch=st.integers(1, 8),
)


def noise(size: tuple[int, int], seed: int = 0) -> Tensor:
    """A picture, uint8 1 x 3 x H x W."""
    pixels = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(seed))
    return pixels.byte()


def constant(batch: Tensor) -> Tensor:
    """A network that says the same everywhere, two classes."""
    return torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).expand(len(batch), 2, *batch.shape[2:])


def brightness(batch: Tensor) -> Tensor:
    """A network that looks at single pixels, two classes."""
    mean = batch.float().mean(1, keepdim=True) / 255
    return torch.cat([mean, 1 - 2 * mean], dim=1)


@given(SIZES, WINDOWS)
def test_the_weights_of_every_pixel_sum_to_one(size: tuple[int, int], settings: Inference) -> None:
    scores = averaged(constant, settings)(noise(size))
    expected = constant(torch.empty(1, 1, *size))
    if settings.mode == "pooling" and averaged(constant, settings) is not constant:
        expected = expected.softmax(1)
    assert scores.shape == (1, 2, *size)
    torch.testing.assert_close(scores, expected, atol=2e-5, rtol=1e-5)


@given(SIZES, st.integers(1, 70), st.floats(0, 0.9), st.booleans(), st.integers(0, 9))
def test_tiles_change_nothing_that_a_pixel_says_of_itself(
    size: tuple[int, int], crop: int, overlap: float, flip: bool, seed: int
) -> None:
    """At scale 1, tiled and mirrored or not, every pixel's own answer arrives at its own place."""
    picture = noise(size, seed)
    scores = averaged(brightness, Inference("sliding", crop, overlap, flip=flip))(picture)
    torch.testing.assert_close(scores, brightness(picture), atol=1e-5, rtol=1e-5)


@given(SIZES, WINDOWS)
def test_the_network_sees_no_tile_larger_than_it_may(size: tuple[int, int], settings: Inference) -> None:
    seen: list[tuple[int, int]] = []

    def watching(batch: Tensor) -> Tensor:
        seen.append((batch.shape[2], batch.shape[3]))
        return constant(batch)

    image = Image.fromarray(noise(size)[0].permute(1, 2, 0).numpy())
    pictures = scaled_pictures(image, settings)
    prediction = predict_picture(watching, pictures, size, settings, torch.device("cpu"), True)
    assert (prediction.classes.shape, prediction.confidence.shape) == (size, size)
    assert (prediction.classes == 0).all()
    np.testing.assert_allclose(
        prediction.confidence, constant(torch.empty(1, 1, 1, 1)).softmax(1)[0, 0].item(), atol=1e-4
    )
    allowed = set()
    for scale, picture in zip(settings.scales, pictures, strict=True):
        side = settings.tile_side(scale)
        allowed.add(tuple(min(side or length, length) for length in picture.shape[1:]))
    assert set(seen) == allowed
