"""Colour jitter and blurs against their references."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.filters import gaussian
from torchvision.transforms import functional

from transforms.photometric import (
    COVARIANCE_PHOTOMETRIC,
    ColourJitter,
    OccasionalBlur,
    Photometric,
    bilateral_blur,
    gaussian_blur,
)
from utils.seeding import generator


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("sigma", [0.15, 0.3, 0.62, 0.9, 1.3])
def test_gaussian_is_scikit_images_rounded(pixels: np.ndarray, sigma: float) -> None:
    expected = 255 * gaussian(pixels / 255, sigma, mode="nearest", truncate=4.0, channel_axis=-1)
    blurred = gaussian_blur(pixels, sigma)
    assert abs(blurred - np.rint(expected)).max() <= 1
    # Rounding has no bias; cutting decimals off would give -0.5.
    assert abs((blurred - expected).mean()) < 0.1


def test_bilateral_smooths_noise_and_stays_in_place() -> None:
    clean = np.full((40, 50, 3), 60, dtype=np.uint8)
    clean[:, 25:] = 200
    noise = np.random.default_rng(0).normal(0, 6, clean.shape)
    noisy = (clean + noise).clip(0, 255).astype(np.uint8)
    errors = [abs(picture.astype(int) - clean) for picture in (noisy, bilateral_blur(noisy, 0.75))]
    away_from_the_edge = np.r_[:20, 30:50]
    before, after = (error[:, away_from_the_edge].mean() for error in errors)
    assert after < 0.7 * before


def test_identity_jitter_and_probability(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    never = ColourJitter(0.8, 0.8, 0.8, 0.3, probability=0.0)
    assert all(never(image, generator(seed)) is image for seed in range(20))
    half = ColourJitter(0.8, 0.8, 0.8, 0.3, probability=0.5)
    untouched = sum(half(image, generator(seed)) is image for seed in range(200))
    assert 70 < untouched < 130
    nothing = ColourJitter(0.0, 0.0, 0.0, 0.0)(image, generator(0))
    assert abs(np.asarray(nothing).astype(int) - pixels).max() <= 6  # through 8-bit HSV and back


def test_jitter_factors_have_torchvisions_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[float]] = {}
    for name in ("brightness", "contrast", "saturation", "hue"):
        monkeypatch.setattr(
            functional,
            f"adjust_{name}",
            lambda image, factor, name=name: drawn.setdefault(name, []).append(factor),
        )
    orders = set()
    for seed in range(300):
        drawn_before = set(drawn)
        ColourJitter(0.4, 0.4, 2.0, 0.1)(None, generator(seed))
        orders.add(tuple(drawn)) if not drawn_before else None
    for name, (low, high) in {
        "brightness": (0.6, 1.4),
        "contrast": (0.6, 1.4),
        "saturation": (0.0, 3.0),
        "hue": (-0.1, 0.1),
    }.items():
        width = high - low
        assert len(drawn[name]) == 300
        assert low <= min(drawn[name]) < low + 0.05 * width
        assert high - 0.05 * width < max(drawn[name]) <= high


def test_covariance_view_always_changes_and_is_reproducible(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    results = [COVARIANCE_PHOTOMETRIC(image, generator(seed)) for seed in range(5)]
    assert all(result.dtype == np.uint8 and (result != pixels).mean() > 0.5 for result in results)
    assert (COVARIANCE_PHOTOMETRIC(image, generator(3)) == results[3]).all()


def test_no_change_asked_for(pixels: np.ndarray) -> None:
    assert (Photometric()(Image.fromarray(pixels), generator(0)) == pixels).all()


def test_occasional_blur_is_pillows_of_a_radius_up_to_one(pixels: np.ndarray) -> None:
    image, blurred = Image.fromarray(pixels), 0
    strongest = np.asarray(image.filter(ImageFilter.GaussianBlur(1.0))).std()
    for seed in range(200):
        result = OccasionalBlur()(image, generator(seed))
        assert (result.dtype, result.shape) == (np.uint8, pixels.shape)
        if not np.array_equal(result, pixels):
            blurred += 1
            assert strongest <= result.std() < pixels.std()
    # A radius close to 0 changes nothing either.
    assert 60 < blurred < 125
    assert np.array_equal(OccasionalBlur(probability=0)(image, generator(0)), pixels)
    rng = generator(7)
    rng.random()
    expected = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3)))
    assert np.array_equal(OccasionalBlur(1, 3)(image, generator(7)), expected)
