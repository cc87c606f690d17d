"""Boundaries of classes: the bands of all classes at once are those of each class alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from utils.scoring import boundary
from utils.scoring.boundary import Boundaries, boundary_band, boundary_distance, near_own_class

HAND_MADE = """
    0 0 0 0 0 1 1 1
    0 0 0 0 0 1 1 1
    0 0 0 0 0 1 1 1
    0 0 0 0 0 1 1 1
    0 0 0 0 0 1 1 1
    0 0 0 0 0 1 1 1
    0 0 0 0 0 . . .
    0 0 0 0 0 . 2 2
"""
ITS_BAND = """
    . . . . # # . .
    . . . . # # . .
    . . . . # # . .
    . . . . # # . .
    . . . . # # . .
    . . . . # # . .
    . . . . # . . .
    . . . . . . . .
"""


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def test_the_band_of_a_hand_made_map() -> None:
    """The picture's border is no boundary, and ignored pixels (dots) separate without being one."""
    cells = [[255 if cell == "." else int(cell) for cell in row] for row in rows(HAND_MADE)]
    classes = torch.tensor([cells], dtype=torch.uint8)
    band = boundary_band(classes.clamp(max=2), classes < 3, 1)
    assert band[0].tolist() == [[cell == "#" for cell in row] for row in rows(ITS_BAND)]


def test_the_distance_is_a_share_of_the_diagonal() -> None:
    assert boundary_distance(512, 1024) == 3
    assert boundary_distance(1024, 2048) == 6
    assert boundary_distance(64, 128) == boundary_distance(1, 1) == 1


def window_of(mask: np.ndarray, distance: int) -> np.ndarray:
    """Whether the window of a pixel has a pixel of ``mask``."""
    return ndimage.binary_dilation(mask, np.ones((2 * distance + 1,) * 2))


def slow_band(mask: np.ndarray, counted: np.ndarray, distance: int) -> np.ndarray:
    """``mask`` without its erosion by the window; ignored pixels and the outside erode nothing."""
    eroded = ndimage.binary_erosion(mask | ~counted, np.ones((2 * distance + 1,) * 2), border_value=1)
    return mask & ~eroded


def maps(seed: int, size: tuple[int, int], classes: int) -> tuple[Tensor, Tensor]:
    """Prediction and label of blocks, which differ by a shift and some noise; some pixels are ignored."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, classes, (size[0] // 4 + 1, size[1] // 4 + 1))
    label = np.kron(blocks, np.ones((4, 4), dtype=np.int64))[: size[0], : size[1]]
    prediction = np.roll(label, rng.integers(-2, 3, 2), (0, 1))
    noise = rng.random(size) < 0.05
    prediction = np.where(noise, rng.integers(0, classes, size), prediction)
    label = np.where(rng.random(size) < 0.1, 255, label)
    return torch.from_numpy(prediction)[None], torch.from_numpy(label)[None]


def slow_scores(
    prediction: np.ndarray, label: np.ndarray, classes: int, distance: int
) -> tuple[list[float], list[float]]:
    """Boundary IoU and boundary F of each class, class by class."""
    counted, ious, fs = label < classes, [], []
    for number in range(classes):
        truth, guess = ((each == number) & counted for each in (label, prediction))
        of_truth, of_guess = (slow_band(mask, counted, distance) for mask in (truth, guess))
        union = (of_truth | of_guess).sum()
        ious.append((of_truth & of_guess).sum() / union if of_truth.any() else np.nan)
        of_truth, of_guess = (slow_band(mask, counted, 1) for mask in (truth, guess))
        right = (of_guess & window_of(of_truth, distance)).sum()
        met = (of_truth & window_of(of_guess, distance)).sum()
        precision, recall = right / max(1, of_guess.sum()), met / max(1, of_truth.sum())
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        fs.append(f if of_truth.any() else np.nan)
    return ious, fs


@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    distance=st.integers(1, 5),
)
def test_scores_are_those_of_a_loop_over_classes(seed: int, height: int, width: int, distance: int) -> None:
    prediction, label = maps(seed, (height, width), 4)
    measure = Boundaries(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "boundary_distance", lambda height, width: distance)
        measure.update(prediction, label)
    scores = measure.scores()
    ious, fs = slow_scores(prediction[0].numpy(), label[0].numpy(), 4, distance)
    np.testing.assert_allclose(scores.iou, ious)
    np.testing.assert_allclose(scores.f, fs)


def test_sets_of_classes_may_be_larger_than_a_number_has_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, label = (each.clamp(max=6).byte() for each in maps(0, (30, 40), 7))
    contour = boundary_band(label, torch.ones_like(label, dtype=torch.bool), 1)
    expected = near_own_class(prediction, label, contour, 2, 7)
    monkeypatch.setattr(boundary, "BITS", 3)
    assert torch.equal(near_own_class(prediction, label, contour, 2, 7), expected)
    assert expected.any()


def test_many_classes() -> None:
    prediction, label = maps(1, (40, 40), 200)
    measure = Boundaries(200)
    measure.update(prediction, label)
    ious, fs = slow_scores(prediction[0].numpy(), label[0].numpy(), 200, 1)
    np.testing.assert_allclose(measure.scores().iou, ious)
    np.testing.assert_allclose(measure.scores().f, fs)


def test_a_perfect_prediction_scores_one_beside_ignored_pixels() -> None:
    _, label = maps(2, (40, 60), 5)
    # What is predicted where nothing is labelled does not matter.
    prediction = torch.where(label == 255, torch.arange(60) % 5, label)
    measure = Boundaries(5)
    measure.update(prediction, label)
    assert measure.scores().mean_iou == measure.scores().mean_f == 1


def test_one_class_alone_has_no_boundary() -> None:
    label = torch.zeros(1, 20, 20, dtype=torch.int64)
    measure = Boundaries(3)
    measure.update(label, label)
    assert np.isnan([measure.scores().mean_iou, measure.scores().mean_f]).all()


def test_a_class_that_is_only_predicted_counts_zero_in_published_numbers_alone() -> None:
    label = torch.zeros(1, 20, 20, dtype=torch.int64)
    label[:, :10] = 1
    prediction = label.clone()
    prediction[:, :, 15:] = 2
    measure = Boundaries(3)
    measure.update(prediction, label)
    skipped, zero = measure.scores(), measure.scores(count_false_classes=True)
    assert np.isnan([skipped.iou[2], skipped.f[2]]).all()
    assert zero.iou[2] == zero.f[2] == 0
    assert np.isnan(measure.scores(classes=[0]).f[1])
