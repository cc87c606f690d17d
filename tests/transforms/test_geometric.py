"""Crop first, resize after: the same pixels as resizing the whole picture first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.geometric import (
    JointTransform,
    MirrorAndResize,
    as_size,
    crop_image,
    crop_label,
    draw_window,
    nearest_indices,
    resize_label,
)
from utils.seeding import generator

BICUBIC, NEAREST = Image.Resampling.BICUBIC, Image.Resampling.NEAREST


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Noise of middle greys: Pillow clips overshoot between its two passes, whose order varies with size."""
    pixels = np.random.default_rng(seed).integers(64, 192, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def blocks(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 19, (height, width), dtype=np.uint8)


def resize_then_crop(image: Image.Image, label: np.ndarray, window, ignore: int = 255):
    """The definition: the whole picture resized, padded generously, cut."""
    height, width = window.scaled
    rows, columns = window.size
    large = np.asarray(image.resize((width, height), BICUBIC))
    label = resize_label(label, window.scaled)
    around = ((rows, rows), (columns, columns))
    large = np.pad(large, (*around, (0, 0)))
    label = np.pad(label, around, constant_values=ignore)
    cut = (
        slice(window.top + rows, window.top + 2 * rows),
        slice(window.left + columns, window.left + 2 * columns),
    )
    return large[cut], label[cut]


SIZES = st.tuples(st.integers(5, 60), st.integers(5, 60))


@settings(max_examples=60)
@given(
    native=SIZES,
    crop=SIZES,
    scale=st.floats(0.3, 2.5),
    point=st.none() | st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    nopad=st.booleans(),
    seed=st.integers(0, 99),
)
def test_crop_first_equals_resize_first(native, crop, scale, point, nopad, seed) -> None:
    centroid = point and (int(point[0] * native[1]), int(point[1] * native[0]))
    window = draw_window(native, crop, scale, centroid, nopad, generator(seed))
    image, label = picture(*native), blocks(*native)
    expected_image, expected_label = resize_then_crop(image, label, window)
    difference = np.asarray(crop_image(image, window)).astype(int) - expected_image
    # Rounded after each pass: on noise, ties may add up to a second level in a rare pixel.
    assert abs(difference).max() <= 2
    assert (crop_label(label, window) == expected_label).all()


def test_crop_first_is_within_one_level_but_for_rare_pixels() -> None:
    waves = (
        np.sin(np.add.outer(np.arange(90) / 5, np.arange(140) / 7))[..., None] * np.array([90, 60, -80]) + 127
    )
    image, label = Image.fromarray(waves.astype(np.uint8)), blocks(90, 140)
    for seed in range(40):
        scale = generator(seed).uniform(0.5, 2.0)
        window = draw_window((90, 140), (64, 64), scale, None, False, generator(seed))
        expected_image, expected_label = resize_then_crop(image, label, window)
        difference = abs(np.asarray(crop_image(image, window)).astype(int) - expected_image)
        assert (difference > 1).mean() < 0.001
        assert difference.max() <= 2
        assert (crop_label(label, window) == expected_label).all()


@settings(max_examples=60)
@given(
    native=SIZES,
    crop=SIZES,
    scale=st.floats(0.3, 2.5),
    point=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    nopad=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_crop_contains_the_centroid(native, crop, scale, point, nopad, seed) -> None:
    x, y = int(point[0] * native[1]), int(point[1] * native[0])
    window = draw_window(native, crop, scale, (x, y), nopad, generator(seed))
    height, width = window.scaled
    assert window.top <= min(int(y * scale), height - 1) < window.top + window.size[0]
    assert window.left <= min(int(x * scale), width - 1) < window.left + window.size[1]
    if nopad:
        assert window.top >= 0
        assert window.top + window.size[0] <= window.scaled[0]


@settings(max_examples=60)
@given(
    native=SIZES,
    crop=SIZES,
    scales=st.tuples(st.floats(0.3, 1), st.floats(1, 2.5)),
    point=st.none() | st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    nopad=st.booleans(),
    seed=st.integers(0, 99),
)
def test_nothing_but_the_rows_used_is_looked_at(native, crop, scales, point, nopad, seed) -> None:
    centroid = point and (int(point[0] * native[1]), int(point[1] * native[0]))
    transform = JointTransform(crop, *scales, nopad, rotate=5)
    rows = transform.rows_used(native, centroid, generator(seed))
    image, label = picture(*native), blocks(*native)
    expected = transform(image, label, centroid, generator(seed))
    pixels = np.asarray(image).copy()
    for outside in (slice(0, rows.start), slice(rows.stop, None)):
        pixels[outside], label[outside] = 0, 77
    result = transform(Image.fromarray(pixels), label, centroid, generator(seed))
    assert np.array_equal(np.asarray(result[0]), np.asarray(expected[0]))
    assert np.array_equal(result[1], expected[1])


def test_a_small_crop_uses_few_rows() -> None:
    transform = JointTransform(8, 2.0, 2.0)
    used = [transform.rows_used((64, 64), (30, 20), generator(seed)) for seed in range(20)]
    assert all(20 in rows and len(rows) <= 12 for rows in used)


def test_padding_is_half_of_what_is_missing_plus_one() -> None:
    tops = {draw_window((10, 40), (16, 16), 1.0, None, False, generator(seed)).top for seed in range(60)}
    # 6 rows missing: 4 above and 4 below, and a crop of 16 out of these 18 rows.
    assert tops == {-4, -3, -2}
    image = Image.new("RGB", (40, 10), (200, 200, 200))
    window = draw_window((10, 40), (16, 16), 1.0, None, False, generator(0))
    filled = np.asarray(crop_image(image, window)).min(axis=(1, 2)) == 0
    ignored = (crop_label(np.zeros((10, 40), np.uint8), window) == 255).all(axis=1)
    assert filled.sum() == 6
    assert (filled == ignored).all()


def test_positions_are_uniform_without_and_around_a_centroid() -> None:
    lefts = [draw_window((32, 32), (8, 8), 1.0, None, False, generator(seed)).left for seed in range(600)]
    assert set(lefts) == set(range(25))
    around = [draw_window((32, 32), (8, 8), 1.0, (20, 3), False, generator(seed)) for seed in range(300)]
    assert {window.left for window in around} == set(range(13, 21))
    assert {window.top for window in around} == set(range(4))


def test_nopad_keeps_the_shape_of_the_crop() -> None:
    window = draw_window((30, 100), (60, 80), 1.0, None, True, generator(0))
    assert window.size == (30, 40)


def test_nearest_is_pillows() -> None:
    label = blocks(37, 53)
    for size in ((20, 90), (37, 53), (74, 106), (111, 17)):
        expected = np.asarray(Image.fromarray(label).resize(size[::-1], NEAREST))
        assert (resize_label(label, size) == expected).all()
    assert nearest_indices(4, 2).tolist() == [1, 3]


@pytest.mark.parametrize("nopad", [False, True])
@pytest.mark.parametrize("rotate", [0.0, 10.0])
@pytest.mark.parametrize("crop_size", [24, (16, 48)])
def test_image_and_label_stay_aligned(nopad: bool, rotate: float, crop_size) -> None:
    # A picture whose grey is its label times 10: whatever happens to both must keep that away from edges.
    label = np.kron(blocks(4, 6), np.ones((12, 12), dtype=np.uint8))
    image = Image.fromarray(np.repeat((label * 10)[..., None], 3, axis=-1))
    transform = JointTransform(crop_size, 0.4, 2.0, nopad, rotate)
    agreements = []
    for seed in range(12):
        new_image, new_label = transform(image, label, None, generator(seed))
        expected = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
        assert new_label.shape == expected == (new_image.height, new_image.width)
        grey = np.asarray(new_image)[..., 0].astype(int)
        valid = new_label != 255
        agreements.append((abs(grey - new_label * 10.0)[valid] <= 6).mean())
        assert (grey[~valid] <= 60).mean() > 0.7 if (~valid).any() else True
    assert np.mean(agreements) > 0.75


def test_flip_mirrors_both_and_happens_half_the_time() -> None:
    label = np.tile(np.arange(16, dtype=np.uint8), (16, 1))
    image = Image.fromarray(np.repeat(label[..., None], 3, axis=-1))
    transform = JointTransform(16, 1.0, 1.0)
    flips = 0
    for seed in range(200):
        new_image, new_label = transform(image, label, None, generator(seed))
        assert (np.asarray(new_image)[..., 0] == new_label).all()
        flips += int(new_label[0, 0] == 15)
    assert 70 < flips < 130


def test_without_a_label() -> None:
    image, label = JointTransform(8)(picture(20, 20), None, None, generator(0))
    assert image.size == (8, 8)
    assert label is None


def test_pre_size_is_what_counts_as_scale_one() -> None:
    """A picture of 40 x 20 at pre_size 80 is the picture of 160 x 80, cropped from the same place."""
    small = picture(20, 40)
    large = small.resize((160, 80), Image.Resampling.BICUBIC)
    first, _ = JointTransform(32, 1.0, 1.0, pre_size=80)(small, None, None, generator(3))
    second, _ = JointTransform(32, 1.0, 1.0)(large, None, None, generator(3))
    assert abs(np.asarray(first).astype(int) - np.asarray(second)).max() <= 2


def test_whole_pictures_are_mirrored_half_the_time_and_resized() -> None:
    image, label = picture(40, 60), blocks(40, 60)
    transform, flips = MirrorAndResize((16, 48)), 0
    for seed in range(100):
        new_image, new_label = transform(image, label, (59, 0), generator(seed))
        plain = (image, Image.fromarray(label))
        flipped = tuple(each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in plain)
        flip = np.array_equal(new_image, flipped[0].resize((48, 16), Image.Resampling.BICUBIC))
        chosen = flipped if flip else plain
        assert np.array_equal(new_image, chosen[0].resize((48, 16), Image.Resampling.BICUBIC))
        assert np.array_equal(new_label, chosen[1].resize((48, 16), NEAREST))
        flips += flip
    assert 30 < flips < 70
    unlabelled, none = transform(image, None, None, generator(0))
    assert np.array_equal(unlabelled, transform(image, label, None, generator(0))[0])
    assert none is None


@pytest.mark.parametrize("size", [24, (24, 24), [24, 24]])
def test_a_size_is_a_pair_or_the_side_of_a_square(size: int | tuple[int, int] | list[int]) -> None:
    assert as_size(size) == (24, 24)
