import numpy as np
import pytest
import torch
from host_waits import NoHostWaits
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.metrics import ConfusionMatrix, class_scores, count_by_order, mean_present


def brute_force(prediction: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), dtype=np.int64)
    for p, t in zip(prediction.ravel(), label.ravel(), strict=True):
        if 0 <= t < classes:
            counts[t, p] += 1
    return counts


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 6))
def test_counts_equal_a_loop_over_pixels(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes + 1, (2, 5, 7))
    label[label == classes] = 255
    label[0, 0, :2] = -1, 1000
    prediction = rng.integers(0, classes, (2, 5, 7))
    matrix = ConfusionMatrix(classes)
    matrix.update(torch.from_numpy(prediction), torch.from_numpy(label))
    assert (matrix.numpy() == brute_force(prediction, label, classes)).all()
    assert matrix.pictures == 2


@given(values=st.lists(st.integers(0, 11), max_size=60))
def test_counting_by_order_counts_and_waits_for_no_device(values: list[int]) -> None:
    given, expected = torch.tensor(values, dtype=torch.int64), [values.count(number) for number in range(12)]
    with NoHostWaits():
        counts = count_by_order(given, 12)
    assert counts.dtype == torch.int64
    assert counts.tolist() == expected


def test_precision_and_recall_are_not_swapped() -> None:
    # Ten pixels of class 0, of which six are found; two pixels of class 1 are taken for class 0.
    scores = class_scores(np.array([[6, 4], [2, 8]]))
    assert scores.recall[0] == pytest.approx(6 / 10)
    assert scores.precision[0] == pytest.approx(6 / 8)
    assert scores.iou[0] == pytest.approx(6 / 12)
    assert scores.pixel_accuracy == pytest.approx(14 / 20)


def test_absent_classes_are_left_out_of_the_mean() -> None:
    counts = np.diag([5, 5, 0])
    scores = class_scores(counts)
    assert np.isnan(scores.iou[2])
    assert scores.miou == 1


def test_a_class_that_is_only_predicted_counts_zero_in_published_numbers_alone() -> None:
    counts = np.array([[8, 2], [0, 0]])
    assert class_scores(counts).miou == pytest.approx(0.8)
    assert class_scores(counts, count_false_classes=True).miou == pytest.approx(0.4)


def test_merged_classes_are_one_class_in_labels_and_predictions() -> None:
    # Class 1 is counted as class 2: its pixels are right when predicted as either.
    counts = np.array([[4, 0, 0], [0, 1, 2], [0, 3, 5]])
    scores = class_scores(counts, classes=[0, 2], merge={1: 2})
    assert scores.iou[2] == 1
    assert np.isnan(scores.iou[1])
    assert scores.miou == 1


def test_pixels_of_unscored_classes_still_count_against_scored_ones() -> None:
    counts = np.array([[5, 0], [5, 0]])
    scores = class_scores(counts, classes=[0])
    assert scores.miou == pytest.approx(0.5)


def test_mean_of_nothing_is_absent() -> None:
    assert np.isnan(mean_present(np.array([np.nan])))
    assert np.isnan(class_scores(np.zeros((3, 3), dtype=np.int64)).miou)
