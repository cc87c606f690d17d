"""Whole pipelines: names, shapes, types, and what belongs together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from transforms.pipeline import (
    CovarianceTransform,
    EvaluationTransform,
    MaxSquareTransform,
    TrainTransform,
    centre_crop,
)
from utils.seeding import generator


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8))


@pytest.fixture
def label() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 19, (50, 80), dtype=np.uint8)


@pytest.mark.parametrize("blur", [{"gblur": True}, {"gblur": False}, {"bblur": True}])
def test_training_sample(image: Image.Image, label: np.ndarray, blur: dict[str, bool]) -> None:
    transform = TrainTransform(32, **blur, rrotate=5, views=("image", "image_jittered"))
    sample = pickle.loads(pickle.dumps(transform))(image, label, (40, 20), generator(0))
    assert set(sample) == {"image", "image_jittered", "label"}
    for view in ("image", "image_jittered"):
        assert (sample[view].dtype, tuple(sample[view].shape)) == (torch.uint8, (3, 32, 32))
        assert sample[view].is_contiguous()
    assert (sample["label"].dtype, tuple(sample["label"].shape)) == (torch.uint8, (32, 32))


def test_a_further_view_shows_the_same_crop_and_leaves_the_first_alone(
    image: Image.Image, label: np.ndarray
) -> None:
    one = TrainTransform(32)(image, label, None, generator(5))
    two = TrainTransform(32, views=("image", "image_jittered"))(image, label, None, generator(5))
    assert torch.equal(one["image"], two["image"])
    assert torch.equal(one["label"], two["label"])
    assert not torch.equal(two["image"], two["image_jittered"])


def test_no_colour_change_without_jitter_and_blur(image: Image.Image, label: np.ndarray) -> None:
    plain = TrainTransform((50, 80), 1.0, 1.0, color_aug=0, gblur=False)
    sample = plain(image, label, None, generator(0))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(sample["image"], pixels) or torch.equal(sample["image"], pixels.flip(-1))


@pytest.mark.parametrize("rotate", [0.0, 40.0])
def test_padding_is_marked(image: Image.Image, label: np.ndarray, rotate: float) -> None:
    label[:10] = 255
    flags = {"scale_min": 0.3, "scale_max": 0.5, "color_aug": 0, "gblur": False, "rrotate": rotate}
    shown = 0
    for seed in range(5):
        plain = TrainTransform(32, **flags)(image, label, None, generator(seed))
        sample = TrainTransform(32, **flags, marks_padding=True)(image, label, None, generator(seed))
        padding = sample.pop("padding")
        assert (padding.dtype, tuple(padding.shape)) == (torch.bool, (32, 32))
        assert all(torch.equal(sample[name], value) for name, value in plain.items())
        assert (sample["label"][padding] == 255).all()
        shown += int((sample["label"][~padding] == 255).sum())
        # Bicubic rotation lets the picture's edge bleed into what is around it.
        outside = sample["image"].amax(0) == 0
        assert (outside != padding).float().mean() < (0.1 if rotate else 0.01)
        assert 0 < padding.sum() < 32 * 32
    assert shown > 0


def test_maximum_squares_take_whole_pictures(image: Image.Image, label: np.ndarray) -> None:
    transform = pickle.loads(pickle.dumps(MaxSquareTransform((20, 32), ("image", "image_plain"))))
    blurred = 0
    for seed in range(20):
        sample = transform(image, label, None, generator(seed))
        small = np.asarray(image.resize((32, 20), Image.Resampling.BICUBIC))
        plain = sample["image_plain"]
        pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)
        assert (plain.float() - pixels).abs().max() <= 1 or (plain.flip(-1).float() - pixels).abs().max() <= 1
        assert sample["label"].shape == (20, 32)
        blurred += int(not torch.equal(sample["image"], plain))
    assert 3 < blurred < 17
    unlabelled = transform(image, None, None, generator(0))
    assert set(unlabelled) == {"image", "image_plain"}
    assert MaxSquareTransform(24)(image, label, None, generator(0))["image"].shape == (3, 24, 24)


def test_covariance_views_are_whole_pictures(image: Image.Image) -> None:
    sample = CovarianceTransform()(image, None, None, generator(0))
    assert set(sample) == {"image", "image_jittered"}
    assert tuple(sample["image_jittered"].shape) == (3, 50, 80)
    assert torch.equal(sample["image"], torch.from_numpy(np.array(image)).permute(2, 0, 1))


def test_evaluation_sizes(image: Image.Image, label: np.ndarray) -> None:
    def size(**settings) -> tuple[int, ...]:
        sample = EvaluationTransform(**settings)(image, label)
        assert tuple(sample["image"].shape[1:]) == tuple(sample["label"].shape)
        return tuple(sample["label"].shape)

    assert size() == (50, 80)
    assert size(size=(30, 20)) == (30, 20)
    assert size(height=33) == (33, int(80 / 50 * 33))
    assert size(height=33, crop=33) == (33, 33)
    assert size(crop=64) == (64, 64)


def test_centre_crop_pads_and_cuts_evenly() -> None:
    cropped = centre_crop(np.arange(12, dtype=np.uint8).reshape(2, 6), 4, fill=255)
    assert cropped.tolist() == [[255] * 4, [1, 2, 3, 4], [7, 8, 9, 10], [255] * 4]
    one_row_too_few = centre_crop(np.zeros((3, 5), np.uint8), 4, fill=255)
    assert one_row_too_few.tolist() == [[0] * 4] * 3 + [[255] * 4]
