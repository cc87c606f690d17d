"""Common corruptions: what each keeps, how strong it is, and that it can be repeated."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from transforms.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from transforms.corruptions.blur import shuffled
from transforms.corruptions.filters import plasma, smeared, zoomed
from transforms.corruptions.frost_panes import HEIGHT, PANES, WIDTH, pane
from utils.seeding import generator

# In the benchmark, too, not every step makes these stronger.
UNEVEN = ("glass_blur", "snow", "frost", "fog")


def scene(height: int = 128, width: int = 192) -> np.ndarray:
    """Soft patches of all sizes, like a photograph: the larger, the stronger."""
    rng = np.random.default_rng(0)
    picture = np.full((height, width, 3), 80.0)
    for rows, deviation in ((4, 40), (8, 30), (16, 20), (32, 14), (64, 10)):
        patches = rng.normal(0, deviation, (rows, 2 * rows, 3))
        picture += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def strength(picture: np.ndarray, name: str, severity: int, seed: int = 0) -> float:
    """The mean change of a value, in grey levels."""
    changed = CORRUPTIONS[name](picture, severity, generator(seed))
    return float(np.abs(changed.astype(int) - picture).mean())


def test_the_benchmark_has_fifteen() -> None:
    assert len(CORRUPTIONS) == 15
    assert SEVERITIES == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_and_type_stay_and_the_original_is_untouched(name: str) -> None:
    picture = scene()
    changed = corrupted(picture, name, 3, "a")
    assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
    assert (changed != picture).mean() > 0.05
    assert (picture == scene()).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_rises_with_severity(name: str) -> None:
    picture = scene()
    strengths = [np.mean([strength(picture, name, each, seed) for seed in range(4)]) for each in SEVERITIES]
    steps = np.diff(strengths)
    assert strengths[-1] > 1.2 * strengths[0]
    assert (steps > 0).all() or name in UNEVEN


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_picture_twice_and_another_name(name: str) -> None:
    first, again, other = (corrupted(scene(), name, 4, named) for named in ("a", "a", "b"))
    assert (first == again).all()
    draws_nothing = name in {
        *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
    }
    assert (first == other).all() == draws_nothing


def test_kinds_and_severities_draw_different_numbers() -> None:
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    noises = [corrupted(grey, "impulse_noise", severity, "a") != 128 for severity in (4, 5)]
    # With the same draws, every pixel that breaks at severity 4 would break at 5.
    assert (noises[0] & ~noises[1]).any()


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (2, 3), (11, 40)], ids=str)
def test_any_size(name: str, size: tuple[int, int]) -> None:
    for severity in SEVERITIES:
        assert corrupted(scene(*size), name, severity, "a").shape == (*size, 3)


def test_a_picture_larger_than_a_pane_of_frost() -> None:
    black = np.zeros((HEIGHT + 7, WIDTH + 300, 3), dtype=np.uint8)
    assert (corrupted(black, "frost", 1, "a").max(axis=2) > 0).mean() > 0.99


@pytest.mark.parametrize("level", [0, 255])
def test_pictures_of_one_grey_level(level: int) -> None:
    grey = np.full((40, 60, 3), level, dtype=np.uint8)
    still = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "contrast", "elastic_transform")
    for name in (*still, "pixelate", "jpeg_compression"):
        assert (corrupted(grey, name, 5, "a") == grey).all(), name


def test_frost_looks_like_its_table() -> None:
    for number, look in enumerate(PANES):
        assert np.abs(pane(number).mean((0, 1)) - look.colour).max() < 3
        assert abs(pane(number).std((0, 1)).max() - look.deviation) < 3
    with pytest.raises(ValueError, match="read-only"):
        pane(0)[0, 0] = 0


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_shuffled_pixels_are_those_of_the_loop(reach: int) -> None:
    height, width = 23, 31
    drawn = generator(7).integers(-reach, reach, (height - 2 * reach, width - 2 * reach, 2), dtype=np.int8)
    loop = np.arange(height * width).reshape(height, width)
    for row, draws in zip(range(height - reach, reach, -1), drawn, strict=True):
        for column, (across, down) in zip(range(width - reach, reach, -1), draws, strict=True):
            loop[row, column] = loop[row + down, column + across]
    assert (shuffled(height, width, reach, generator(7)) == loop.ravel()).all()


@pytest.mark.parametrize("angle", [-135, -90, -20, 0, 33, 45])
def test_a_point_becomes_a_line_at_the_angle(angle: float) -> None:
    point = np.zeros((61, 61), dtype=np.float32)
    point[30, 30] = 1
    line = smeared(point, 10, 8, angle)
    assert line.sum() == pytest.approx(1, abs=1e-4)
    assert line[30, 30] > 0.09
    rows, columns = np.nonzero(line > 1e-4)
    farthest = np.hypot(rows - 30, columns - 30).argmax()
    drawn = np.degrees(np.arctan2(30 - rows[farthest], 30 - columns[farthest]))
    assert abs(drawn - angle) < 5 or abs(abs(drawn - angle) - 180) < 5


def test_zooming_keeps_the_centre() -> None:
    columns = np.tile(np.arange(101, dtype=np.float32), (51, 1))
    assert (zoomed(columns, 1.0) == columns).all()
    larger = zoomed(columns, 2.0)
    assert larger[25, 50] == pytest.approx(50, abs=1)
    assert larger[0, -1] - larger[0, 0] == pytest.approx(50, abs=1)


def test_clouds_fill_the_range_and_repeat() -> None:
    clouds = plasma(100, 2.0, generator(1))
    assert clouds.shape == (128, 128)
    assert (clouds.min(), clouds.max()) == (0, 1)
    inside = np.abs(np.diff(clouds, axis=0)).mean()
    assert np.abs(clouds[0] - clouds[-1]).mean() < 2 * inside
    rough = plasma(100, 1.2, generator(1))
    assert np.abs(np.diff(rough, axis=0)).mean() > 2 * inside
