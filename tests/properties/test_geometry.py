"""Geometric transforms: picture and label stay aligned, and every pixel comes from where it should."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from transforms.geometric import (
    JointTransform,
    MirrorAndResize,
    crop_image,
    crop_label,
    draw_window,
    nearest_indices,
    resize_label,
)
from transforms.multi_crop import MultiCropNoise, MultiCropTransform, Placement
from transforms.pipeline import EvaluationTransform, MaxSquareTransform, TrainTransform
from utils.seeding import generator

pytestmark = pytest.mark.reliability

CLASSES, IGNORE = 7, 255
SIZES = st.tuples(st.integers(20, 90), st.integers(20, 90))
CROPS = st.tuples(st.integers(16, 64), st.integers(16, 64))
SCALES = st.floats(0.4, 2.5)
SEEDS = st.integers(0, 2**32 - 1)
PLACES = st.tuples(st.floats(0, 0.999), st.floats(0, 0.999))
WITHOUT_NOISE = MultiCropNoise(blur=(0.01, 0.01), jitter_probability=0, grey_probability=0)


class Coin(np.random.Generator):
    """A generator of ``seed`` whose coins always fall on one side."""

    def __init__(self, seed: int, heads: bool) -> None:
        super().__init__(np.random.PCG64(seed))
        self.heads = heads

    def random(self) -> float:
        return 0.1 if self.heads else 0.9


def areas(size: tuple[int, int], seed: int) -> np.ndarray:
    """Labels uint8 H x W of classes in patches of 10 to 20 pixels."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(10, 21))
    patches = rng.integers(0, CLASSES, (-(-size[0] // side), -(-size[1] // side)), dtype=np.uint8)
    return np.kron(patches, np.ones((side, side), dtype=np.uint8))[: size[0], : size[1]]


def painted(label: np.ndarray) -> Image.Image:
    """The picture whose colours say the class: bit b of class + 1 is channel b, full or empty; ignored is
    black.
    """
    numbers = np.where(label == IGNORE, 0, label + 1)
    return Image.fromarray(np.stack([(numbers >> bit & 1) * 255 for bit in range(3)], -1).astype(np.uint8))


def read_off(pixels: np.ndarray) -> np.ndarray:
    """The labels that colours say, of a picture H x W x 3."""
    numbers = sum((pixels[..., bit] > 127).astype(int) << bit for bit in range(3))
    return np.where(numbers == 0, IGNORE, numbers - 1)


def inner(label: np.ndarray, margin: int) -> np.ndarray:
    """Pixels whose label is that of all within ``margin`` pixels: resizing mixes no other colour in.

    None near the border, where colours from beyond the crop are mixed in.
    """
    padded = np.pad(label, margin, constant_values=254)
    around = np.lib.stride_tricks.sliding_window_view(padded, [2 * margin + 1] * 2)
    return (around.min((2, 3)) == label) & (around.max((2, 3)) == label)


def assert_aligned(pixels: np.ndarray, label: np.ndarray, margin: int) -> None:
    assert pixels.shape[:2] == label.shape
    safe = inner(label, margin)
    assert (read_off(pixels)[safe] == label[safe]).all()


def margin(scale: float) -> int:
    """How far colours mix when resized: two pixels of the coarser of both grids, and rounding."""
    return math.ceil(2 * max(scale, 1)) + 1


@given(
    size=SIZES,
    crop=CROPS,
    scale=SCALES,
    place=st.none() | PLACES,
    nopad=st.booleans(),
    rotate=st.sampled_from([0.0, 15.0]),
    seed=SEEDS,
)
def test_picture_and_label_stay_aligned(size, crop, scale, place, nopad, rotate, seed) -> None:
    label = areas(size, seed)
    centroid = place and (int(place[0] * size[1]), int(place[1] * size[0]))
    transform = JointTransform(crop, scale, scale, nopad, rotate)
    image, cut = transform(painted(label), label, centroid, generator(seed))
    assert cut.shape == crop
    # With nopad the crop may be enlarged once more; a rotation mixes two further pixels.
    enlarged = max(1.0, crop[0] / (scale * size[0]), crop[1] / (scale * size[1])) if nopad else 1.0
    wide = math.ceil(margin(scale) * (enlarged + 0.5)) if enlarged > 1 else margin(scale)
    assert_aligned(np.asarray(image), cut, wide + 2 * bool(rotate))
    if nopad and not rotate:
        assert (cut != IGNORE).all()


@given(size=SIZES, crop=CROPS, seed=SEEDS, place=st.none() | PLACES)
def test_at_scale_one_every_pixel_is_aligned(size, crop, seed, place) -> None:
    label = np.random.default_rng(seed).integers(0, CLASSES, size, dtype=np.uint8)
    centroid = place and (int(place[0] * size[1]), int(place[1] * size[0]))
    image, cut = JointTransform(crop, 1.0, 1.0)(painted(label), label, centroid, generator(seed))
    assert (read_off(np.asarray(image)) == cut).all()


def pipelines(crop: tuple[int, int]) -> dict[str, tuple[Callable, float]]:
    """Whole pipelines without a change of colour, and the largest factor they enlarge a picture by."""
    return {
        "train": (TrainTransform(crop, 0.5, 2.0, color_aug=0, gblur=False), 2.0),
        "train, a short side as scale 1": (
            TrainTransform(crop, 0.5, 1.0, color_aug=0, gblur=False, pre_size=40),
            2.0,
        ),
        "whole pictures": (MirrorAndResize(crop), 3.0),
        "evaluation": (EvaluationTransform(size=crop), 3.0),
        "evaluation, height and central crop": (EvaluationTransform(height=crop[0], crop=crop[1]), 3.0),
    }


@given(size=SIZES, crop=CROPS, name=st.sampled_from(sorted(pipelines((1, 1)))), seed=SEEDS)
def test_every_pipeline_keeps_picture_and_label_aligned(size, crop, name, seed) -> None:
    label = areas(size, seed)
    transform, factor = pipelines(crop)[name]
    result = transform(painted(label), label, None, generator(seed))
    if isinstance(result, dict):
        image, cut = result["image"].permute(1, 2, 0).numpy(), result["label"].numpy()
    else:
        image, cut = np.asarray(result[0]), result[1]
    assert_aligned(image, cut, margin(factor))


@given(size=SIZES, crop=CROPS, scale=SCALES, place=st.none() | PLACES, nopad=st.booleans(), seed=SEEDS)
def test_a_flip_is_the_mirror_image_of_the_scaled_crop(size, crop, scale, place, nopad, seed) -> None:
    label = areas(size, seed)
    centroid = place and (int(place[0] * size[1]), int(place[1] * size[0]))
    transform = JointTransform(crop, scale, scale, nopad)
    kept, mirrored = (transform(painted(label), label, centroid, Coin(seed, flip)) for flip in (False, True))
    assert (np.asarray(kept[0])[:, ::-1] == np.asarray(mirrored[0])).all()
    assert (kept[1][:, ::-1] == mirrored[1]).all()


@given(size=SIZES, crop=CROPS, first=SCALES, second=SCALES, seed=SEEDS)
def test_scales_compose(size, crop, first, second, seed) -> None:
    """A crop of the picture resized twice has the pixels of one of the picture resized once, to rounding."""
    numbered = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    between = tuple(max(1, int(length * first)) for length in size)
    window = draw_window(between, crop, second, None, False, generator(seed))
    for axis in (0, 1):
        places = numbered[..., axis]
        at_once = crop_label(places, window, filling=-1)
        in_turn = crop_label(resize_label(places, between), window, filling=-1)
        assert ((at_once == -1) == (in_turn == -1)).all()
        # Half a pixel of the native and of the middle grid, and half for the rounding of either.
        assert abs(at_once - in_turn).max() <= 1 + 0.5 * size[axis] / between[axis]


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_nearest_pixels_are_nearest(old: int, new: int) -> None:
    indices = nearest_indices(old, new)
    centres = (np.arange(new) + 0.5) * old / new
    assert ((indices >= 0) & (indices < old)).all()
    assert (abs(indices + 0.5 - centres) <= 0.5 + 1e-9).all()
    assert (np.diff(indices) >= 0).all()


@given(size=SIZES, crop=CROPS, scale=SCALES, place=PLACES, nopad=st.booleans(), seed=SEEDS)
def test_the_crop_shows_the_centroid(size, crop, scale, place, nopad, seed) -> None:
    """Some pixel of the cut label comes from the centroid, or from beside it where the picture shrinks."""
    x, y = int(place[0] * size[1]), int(place[1] * size[0])
    window = draw_window(size, crop, scale, (x, y), nopad, generator(seed))
    rows, columns = np.meshgrid(*map(np.arange, size), indexing="ij")
    cut_rows, cut_columns = (crop_label(places, window, filling=-9999) for places in (rows, columns))
    reach = max(1, math.ceil(1 / scale))
    assert ((abs(cut_rows - y) <= reach) & (abs(cut_columns - x) <= reach)).any()


@given(size=SIZES, crop=CROPS, scale=SCALES, seed=SEEDS)
def test_what_is_outside_the_picture_is_black_and_ignored(size, crop, scale, seed) -> None:
    window = draw_window(size, crop, scale, None, False, generator(seed))
    white = Image.new("RGB", size[::-1], (255, 255, 255))
    black = np.asarray(crop_image(white, window)).max(2) == 0
    ignored = crop_label(np.zeros(size, dtype=np.uint8), window) == IGNORE
    assert (black == ignored).all()
    inside = [
        max(0, min(start + length, whole) - max(start, 0))
        for start, length, whole in zip((window.top, window.left), window.size, window.scaled, strict=True)
    ]
    assert (~ignored).sum() == inside[0] * inside[1]


@given(size=SIZES, crop=CROPS, scale=SCALES, seed=SEEDS)
def test_corners_that_a_rotation_leaves_empty_are_black_and_ignored(size, crop, scale, seed) -> None:
    white = Image.new("RGB", size[::-1], (255, 255, 255))
    image, label = JointTransform(crop, scale, scale, rotate=45.0)(
        white, np.zeros(size, dtype=np.uint8), None, generator(seed)
    )
    ignored = label == IGNORE
    # Two pixels from the edge of the picture colours are mixed.
    around = np.lib.stride_tricks.sliding_window_view(np.pad(ignored, 2, "edge"), (5, 5))
    sure = around.min((2, 3)) == around.max((2, 3))
    assert ((np.asarray(image).max(2) < 128) == ignored)[sure].all()


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """Crops inside a canvas, around it, and beside it in part."""
    canvas = draw(st.tuples(st.integers(24, 64), st.integers(24, 64)))
    size = tuple(draw(st.integers(max(1, length // 3), 2 * length)) for length in canvas)
    starts = [draw(st.integers(-size[axis] // 2, canvas[axis] - (size[axis] + 1) // 2)) for axis in (0, 1)]
    return Placement(canvas, *starts, size, draw(st.booleans()))


@given(placements())
def test_affine_maps_are_inverse_and_follow_the_pixels(placement: Placement) -> None:
    forth, back = (np.array([*affine, [0, 0, 1]]) for affine in (placement.to_canvas(), placement.to_crop()))
    np.testing.assert_allclose(forth @ back, np.eye(3), atol=1e-9)
    height, width = placement.canvas
    for corner_x, corner_y in ((-1, -1), (1, 1), (-1, 1)):
        x, y, _ = back @ (corner_x, corner_y, 1)
        # The corner of the crop in pixels of the canvas, mirrored with it.
        column = placement.left + (corner_x + 1) / 2 * placement.size[1]
        column = width - column if placement.mirrored else column
        row = placement.top + (corner_y + 1) / 2 * placement.size[0]
        np.testing.assert_allclose(((x + 1) / 2 * width, (y + 1) / 2 * height), (column, row), atol=1e-9)


@given(placements(), SEEDS)
def test_crops_show_what_their_affine_map_says(placement: Placement, seed: int) -> None:
    label = areas(placement.canvas, seed)
    pixels, padding = placement.cut(np.asarray(painted(label)))
    height, width = placement.canvas
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) * 2 / height - 1, (np.arange(width) + 0.5) * 2 / width - 1, indexing="ij"
    )
    places = np.stack([x, y, np.ones_like(x)], -1) @ np.array(placement.to_crop()).T
    columns, rows = ((places[..., axis] + 1) / 2 * length for axis, length in enumerate((width, height)))
    outside = (columns < 0) | (columns > width) | (rows < 0) | (rows > height)
    on_edge = sum(
        abs(values - edge) < 1e-6
        for values, length in ((columns, width), (rows, height))
        for edge in (0, length)
    )
    assert (padding == outside)[on_edge == 0].all()
    expected = label[rows.astype(int).clip(0, height - 1), columns.astype(int).clip(0, width - 1)]
    expected = np.where(padding, IGNORE, expected).astype(np.uint8)
    enlarged = max(whole / part for whole, part in zip(placement.canvas, placement.size, strict=True))
    assert_aligned(pixels, expected, margin(enlarged))
    assert (pixels[padding] == 0).all()


@given(SIZES, st.floats(0.4, 1.0), st.floats(0.0, 0.8), SEEDS)
def test_a_group_agrees_on_its_canvas(size, least: float, more: float, seed: int) -> None:
    """Whatever two crops of a group show at one place of the canvas is of one class."""
    transform = MultiCropTransform((48, 64), 3, zoom=(least, least + more), noise=WITHOUT_NOISE)
    sample = transform(painted(areas(size, seed)), None, None, generator(seed))
    shape = [3, 3, 48, 64]
    grid = torch.nn.functional.affine_grid(sample["affine"], shape, align_corners=False)
    placed = torch.nn.functional.grid_sample(
        sample["image_clean"].float(), grid, mode="nearest", align_corners=False
    )
    seen = (grid.abs() < 1).all(3)
    labels = [read_off(crop.permute(1, 2, 0).numpy()).astype(np.uint8) for crop in placed]
    first = labels[0]
    enlargement = max(48 / size[0], 64 / size[1]) * 1.1 / least
    safe = inner(first, margin(enlargement))
    assume(safe.any())
    for other, covered in zip(labels[1:], seen[1:].numpy(), strict=True):
        both = safe & covered & (other != IGNORE) & (first != IGNORE)
        assert (other[both] == first[both]).all()


@given(size=SIZES, crop=CROPS, seed=SEEDS)
def test_whole_pictures_are_mirrored_as_a_whole(size, crop, seed) -> None:
    label = areas(size, seed)
    transform = MaxSquareTransform(crop)
    kept, mirrored = (
        transform.joint(painted(label), label, None, Coin(seed, flip)) for flip in (False, True)
    )
    again = MirrorAndResize(crop)(painted(label[:, ::-1]), label[:, ::-1], None, Coin(seed, False))
    assert (np.asarray(mirrored[0]) == np.asarray(again[0])).all()
    assert (mirrored[1] == again[1]).all()
    assert kept[1].shape == mirrored[1].shape == crop
