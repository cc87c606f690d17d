"""Photometric changes of batches against those of single pictures, with the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_waits import CPU, META, NoHostWaits, autocast_on_meta, forbid_reading
from PIL import Image
from torch.utils.data import default_collate

from transforms.device_photometric import CROP, changed_views, encoded
from transforms.photometric import (
    COVARIANCE_PHOTOMETRIC,
    ColourJitter,
    Jitter,
    Photometric,
    gaussian_blur,
    jittered,
)
from transforms.pipeline import TrainTransform
from utils.device import to_device
from utils.seeding import generator

VIEWS = ("image", "image_jittered", "image_plain")


@pytest.fixture
def pixels() -> np.ndarray:
    """A picture of all colours, smooth but for some noise, as photographs are."""
    rng = np.random.default_rng(0)
    waves = np.add.outer(np.arange(48) / 9, np.arange(64) / 7)[..., None] + [0.0, 2.0, 4.0]
    return (127 + 110 * np.sin(waves) + rng.normal(0, 4, (48, 64, 3))).clip(0, 255).astype(np.uint8)


def on_device(pixels: np.ndarray, drawn: list[tuple[Jitter, float]]) -> np.ndarray:
    """The changes of ``drawn``, each of a copy of the picture, as one batch."""
    crop = torch.from_numpy(pixels).permute(2, 0, 1)
    batch = default_collate([{CROP: crop, **encoded({"image": each})} for each in drawn])
    changed = changed_views(batch)
    assert set(changed) == {"image"}
    assert changed["image"].dtype == torch.uint8
    return changed["image"].permute(0, 2, 3, 1).numpy()


def on_cpu(pixels: np.ndarray, jitter: Jitter, sigma: float) -> np.ndarray:
    changed = np.asarray(jittered(Image.fromarray(pixels), jitter))
    return gaussian_blur(changed, sigma) if sigma else changed


@pytest.mark.parametrize(
    ("name", "amounts"),
    [
        ("brightness", (0.0, 0.3, 1.0, 1.8)),
        ("contrast", (0.0, 0.3, 1.0, 1.8)),
        ("saturation", (0.0, 0.3, 1.0, 1.8)),
        ("hue", (-0.5, -0.1, 0.0, 0.05, 0.3)),
    ],
)
def test_every_operation_is_pillows(pixels: np.ndarray, name: str, amounts: tuple[float, ...]) -> None:
    drawn = [(((name, amount),), 0.0) for amount in amounts]
    for result, each in zip(on_device(pixels, drawn), drawn, strict=True):
        difference = abs(result.astype(int) - on_cpu(pixels, *each))
        # A hue at the border of two of Pillow's 256 may fall to the other one.
        assert (difference > 1).mean() < 0.005
        assert difference.mean() < 0.02


def test_grey_stays_grey_whatever_the_hue() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=-1)
    assert np.array_equal(on_device(grey, [((("hue", 0.3),), 0.0)])[0], grey)


def test_blur_is_opencvs_per_picture(pixels: np.ndarray) -> None:
    sigmas = (0.0, 0.15, 0.4, 0.62, 0.9, 1.3)
    for result, sigma in zip(on_device(pixels, [((), sigma) for sigma in sigmas]), sigmas, strict=True):
        difference = result.astype(int) - on_cpu(pixels, (), sigma)
        assert abs(difference).max() <= 1
        assert abs(difference.mean()) < 0.05


@pytest.mark.parametrize(
    "photometric", [COVARIANCE_PHOTOMETRIC, Photometric(ColourJitter(0.4, 0.4, 0.4, 0.1, 0.5), "gaussian")]
)
def test_random_draws_of_a_batch_do_what_they_do_alone(pixels: np.ndarray, photometric: Photometric) -> None:
    seeds = range(30)
    results = on_device(pixels, [photometric.draw(generator(seed)) for seed in seeds])
    expected = np.stack([photometric(Image.fromarray(pixels), generator(seed)) for seed in seeds])
    difference = abs(results.astype(int) - expected)
    assert difference.mean(axis=(1, 2, 3)).max() < 0.5
    # The same draws were made, so that the distributions are the same, too.
    assert abs(results.mean(axis=(1, 2)) - expected.mean(axis=(1, 2))).max() < 0.1
    assert len({result.tobytes() for result in results}) == len(seeds)


def test_the_training_transform_makes_the_same_views_on_either_side(pixels: np.ndarray) -> None:
    label = np.random.default_rng(1).integers(0, 19, pixels.shape[:2], dtype=np.uint8)
    image, settings = Image.fromarray(pixels), {"scale_min": 0.8, "scale_max": 1.5, "views": VIEWS}
    on_cpu, for_device = TrainTransform(32, **settings), TrainTransform(32, **settings, on_device=True)
    samples = [
        [transform(image, label, (20, 20), generator(seed)) for seed in range(6)]
        for transform in (on_cpu, for_device)
    ]
    assert samples[1][0][CROP].dtype == torch.uint8
    assert [name for name, value in samples[1][0].items() if value.dim() == 3] == [CROP]
    expected, batch = (default_collate(each) for each in samples)
    changed = changed_views(batch)
    assert set(changed) == set(expected)
    assert torch.equal(changed["label"], expected["label"])
    assert torch.equal(changed["image_plain"], expected["image_plain"])
    for view in VIEWS:
        assert (changed[view].float() - expected[view].float()).abs().mean() < 0.5


def test_a_batch_of_finished_views_is_left_alone_and_precision_does_not_matter(pixels: np.ndarray) -> None:
    finished = {"image": torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "name": ["a"]}
    assert changed_views(finished) is finished
    drawn = [COVARIANCE_PHOTOMETRIC.draw(generator(seed)) for seed in range(5)]
    expected = on_device(pixels, drawn)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(on_device(pixels, drawn), expected)


@pytest.mark.parametrize("device", [CPU, META], ids=str)
def test_nothing_waits_for_the_device(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [{"image": Photometric(ColourJitter(0.4, 0.4, 0.4, 0.1)).draw(generator(n))} for n in range(6)]
    numbers = default_collate([encoded(each) for each in drawn])
    batch = {CROP: torch.zeros(6, 3, 16, 16, dtype=torch.uint8), **numbers}
    forbid_reading(monkeypatch)
    autocast_on_meta(monkeypatch)
    with NoHostWaits(device):
        assert changed_views(to_device(batch, device))["image"].device == device
