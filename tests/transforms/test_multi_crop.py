"""Groups of crops: where they come from, what noise they have, and the affine maps between them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from transforms.multi_crop import MultiCropNoise, MultiCropTransform, Placement
from utils.seeding import generator

SIZE = (48, 80)
WITHOUT_NOISE = MultiCropNoise(blur=(0.01, 0.01), jitter_probability=0, grey_probability=0)


@pytest.fixture
def gradient() -> Image.Image:
    """Red grows to the right, green downwards: the colour says where in the picture a pixel is."""
    rows, columns = np.mgrid[0:96, 0:160]
    pixels = np.stack([columns * 255 / 159, rows * 255 / 95, np.full(rows.shape, 128)], axis=2)
    return Image.fromarray(pixels.round().astype(np.uint8))


def warp(pictures: Tensor, theta: Tensor, mode: str = "bilinear") -> Tensor:
    """Pictures T x C x H x W sampled by affine maps T x 2 x 3; zero outside."""
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode=mode, align_corners=False)


def homogeneous(theta: Tensor) -> Tensor:
    return torch.cat([theta, torch.tensor([[[0.0, 0.0, 1.0]]]).expand(len(theta), 1, 3)], dim=1)


def test_a_group(gradient: Image.Image) -> None:
    transform = pickle.loads(pickle.dumps(MultiCropTransform(SIZE)))
    sample = transform(gradient, None, None, generator(0))
    assert {name: (value.dtype, tuple(value.shape)) for name, value in sample.items()} == {
        "image": (torch.uint8, (4, 3, *SIZE)),
        "image_clean": (torch.uint8, (4, 3, *SIZE)),
        "padding": (torch.bool, (4, *SIZE)),
        "affine": (torch.float32, (4, 2, 3)),
        "affine_inverse": (torch.float32, (4, 2, 3)),
    }
    assert not sample["padding"].any()
    again = transform(gradient, None, None, generator(0))
    assert all(torch.equal(sample[name], again[name]) for name in sample)
    other = transform(gradient, None, None, generator(1))
    assert not torch.equal(sample["image_clean"], other["image_clean"])
    assert MultiCropTransform(32, group_size=2)(gradient, None, None, generator(0))["image"].shape == (
        *(2, 3),
        *(32, 32),
    )


@pytest.mark.parametrize("zoom", [(0.5, 1.0), (1.0, 1.8), (0.3, 2.0)])
def test_affine_maps_are_inverse(gradient: Image.Image, zoom: tuple[float, float]) -> None:
    for seed in range(20):
        sample = MultiCropTransform(SIZE, zoom=zoom)(gradient, None, None, generator(seed))
        forth, back = (homogeneous(sample[name]) for name in ("affine", "affine_inverse"))
        assert (forth @ back - torch.eye(3)).abs().max() < 1e-6
        assert (back @ forth - torch.eye(3)).abs().max() < 1e-6


@pytest.mark.parametrize("zoom", [(0.5, 1.0), (1.0, 1.8)])
def test_crops_lie_on_the_canvas(gradient: Image.Image, zoom: tuple[float, float]) -> None:
    """Copy 0 is the whole canvas; the others, mirrored or not, agree with it wherever both see it."""
    transform = MultiCropTransform(SIZE, zoom=zoom, noise=WITHOUT_NOISE)
    mirrored, compared = set(), 0
    for seed in range(12):
        sample = transform(gradient, None, None, generator(seed))
        assert torch.equal(sample["image"], sample["image_clean"])
        clean, padding = sample["image_clean"].float(), sample["padding"]
        assert (clean[padding[:, None].expand_as(clean)] == 0).all()
        assert (clean[:, 2][~padding] == 128).all()
        onto_canvas = warp(clean, sample["affine"])
        covered = warp((~padding).float()[:, None], sample["affine"])[:, 0] > 0.999
        both = covered & covered[:1]
        error = ((onto_canvas - onto_canvas[:1]).abs() * both[:, None]).amax((0, 2, 3))
        # Bicubic against bilinear interpolation of a gradient of 3 and 5 grey levels per pixel.
        assert error[0] < 3
        assert error[1] < 5
        mean = ((onto_canvas - onto_canvas[:1]) * both[:, None]).sum((2, 3)) / both.sum((1, 2))[:, None]
        assert mean.abs().max() < 0.3
        compared += int(both[1:].sum())
        mirrored |= {(number, sign) for number, sign in enumerate(sample["affine"][:, 0, 0].sign().tolist())}
        back = warp(onto_canvas[:1].expand_as(clean), sample["affine_inverse"])
        seen = warp(covered[:1, None].float().expand(4, 1, *SIZE), sample["affine_inverse"])[:, 0] > 0.999
        difference = ((back - clean).abs() * (seen & ~padding)[:, None]).amax((0, 2, 3))
        assert (difference < torch.tensor([3.0, 5.0, 1.0])).all()
    assert compared > 12 * 3 * SIZE[0] * SIZE[1] * 0.15
    assert mirrored == {(number, sign) for number in range(4) for sign in (-1.0, 1.0)}


def test_the_first_crop_is_the_canvas(gradient: Image.Image) -> None:
    for seed in range(5):
        sample = MultiCropTransform(SIZE)(gradient, None, None, generator(seed))
        sign = sample["affine"][0, 0, 0].item()
        assert (
            sample["affine"][0].tolist() == sample["affine_inverse"][0].tolist() == [[sign, 0, 0], [0, 1, 0]]
        )
        assert abs(sign) == 1


def test_guided_flips_can_be_off(gradient: Image.Image) -> None:
    transform = MultiCropTransform(SIZE, guided_hflip=False)
    directions = set()
    for seed in range(20):
        sample = transform(gradient, None, None, generator(seed))
        assert (sample["affine"][:, 0, 0] > 0).all()
        red = sample["image_clean"][:, 0].float()
        directions.add(bool(red[0, :, -1].mean() > red[0, :, 0].mean()))
    assert directions == {False, True}  # The canvas itself is mirrored or not.


def test_a_smaller_canvas_is_padded_and_marked() -> None:
    white = Image.new("RGB", (160, 96), (255, 255, 255))
    sample = MultiCropTransform(SIZE, zoom=(2.0, 2.0), noise=WITHOUT_NOISE)(white, None, None, generator(0))
    assert not sample["padding"][0].any()
    for clean, padding in zip(sample["image_clean"][1:], sample["padding"][1:], strict=True):
        assert padding.float().mean() == pytest.approx(0.75, abs=0.03)
        assert (clean == torch.where(padding, 0, 255)).all()
    # The whole canvas is in every crop: it comes back complete.
    assert (warp((~sample["padding"]).float()[:, None], sample["affine"])[:, :, 1:-1, 1:-1] > 0.4).all()


def test_affine_maps_are_those_of_the_paper() -> None:
    placement = Placement(canvas=(40, 80), top=4, left=20, size=(20, 40), mirrored=True)
    # Centre of the crop: row 14 of 40, column 40 of 80, hence 0.3 half heights above the middle.
    assert placement.to_canvas() == [[-2.0, 0.0, -0.0], [0.0, 2.0, pytest.approx(0.6)]]
    assert placement.to_crop() == [[-0.5, 0.0, -0.0], [0.0, 0.5, pytest.approx(-0.3)]]


def test_how_often_and_how_far() -> None:
    picture = Image.new("RGB", (160, 96), (10, 90, 200))
    transform = MultiCropTransform((8, 16))
    groups = [transform(picture, None, None, generator(seed)) for seed in range(400)]
    affine = torch.stack([group["affine_inverse"] for group in groups])
    mirrored = (affine[..., 0, 0] < 0).float().mean(0)
    assert ((mirrored - 0.5).abs() < 0.1).all()
    factors = affine[:, 1:, 0, 0].abs()
    assert (affine[:, 0, 0, 0].abs() == 1).all()
    assert 0.5 <= factors.min() < 0.55
    assert 0.9 < factors.max() <= 1
    noisy = torch.stack([group["image"] for group in groups]).float().mean((-1, -2)).flatten(0, 1)
    grey = (noisy[:, 0] == noisy[:, 1]) & (noisy[:, 1] == noisy[:, 2])
    unchanged = (noisy == torch.tensor([10.0, 90.0, 200.0])).all(1)
    assert grey.float().mean() == pytest.approx(0.2, abs=0.03)
    assert unchanged.float().mean() == pytest.approx(0.5 * 0.8, abs=0.04)
    clean = torch.stack([group["image_clean"] for group in groups])
    assert (clean == torch.tensor([10, 90, 200]).view(3, 1, 1)).all()


def test_every_noisy_crop_is_blurred() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    noise = MultiCropNoise(jitter_probability=0, grey_probability=0)
    contrasts = [noise(pixels, generator(seed)).astype(float).std() / pixels.std() for seed in range(200)]
    assert max(contrasts) <= 1
    # A deviation of two pixels leaves about a seventh of the contrast of white noise.
    assert min(contrasts) == pytest.approx(1 / (2 * 2 * np.pi**0.5), abs=0.02)
    assert max(contrasts) > 0.99


def test_canvases_are_enlarged_and_cut(gradient: Image.Image) -> None:
    """At the greatest scale the canvas shows 1 / 1.1 of the picture's width and height."""
    extents = []
    transform = MultiCropTransform(SIZE, group_size=1, noise=WITHOUT_NOISE)
    for seed in range(40):
        red = transform(gradient, None, None, generator(seed))["image_clean"][0, 0].float().mean(0)
        extents.append(((red.max() - red.min()) / 255).item())
    assert min(extents) == pytest.approx(1 / 1.1, abs=0.03)
    assert max(extents) > 0.97
    with pytest.raises(ValueError, match="target_scale"):
        MultiCropTransform(SIZE, target_scale=(0.9, 1.1))
