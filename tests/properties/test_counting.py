"""Scores against a count of single pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.metrics import ConfusionMatrix, class_scores

pytestmark = pytest.mark.reliability

Pixels = list[tuple[int, int]]
"""(label, prediction) of every labelled pixel."""


@st.composite
def segmentations(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of classes, predictions and labels, B x H x W; labels outside the classes mean nothing."""
    classes = draw(st.integers(1, 19))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    predictions = rng.integers(0, classes, shape)
    labels = np.where(
        rng.random(shape) < 0.2, rng.choice([255, classes, -1], shape), rng.integers(0, classes, shape)
    )
    return classes, predictions, labels


def labelled_pixels(classes: int, predictions: np.ndarray, labels: np.ndarray) -> Pixels:
    pairs = zip(labels.ravel().tolist(), predictions.ravel().tolist(), strict=True)
    return [(label, prediction) for label, prediction in pairs if 0 <= label < classes]


def counted(classes: int, predictions: np.ndarray, labels: np.ndarray, cuts: list[int]) -> ConfusionMatrix:
    """The matrix of these pictures, given batch by batch."""
    matrix = ConfusionMatrix(classes)
    for of_batch in np.split(np.arange(len(labels)), sorted(cuts)):
        matrix.update(torch.from_numpy(predictions[of_batch]), torch.from_numpy(labels[of_batch]))
    return matrix


@given(segmentations(), st.lists(st.integers(0, 4), max_size=3))
def test_counts_are_those_of_the_pixels_in_any_batches(segmentation, cuts: list[int]) -> None:
    classes, _, labels = segmentation
    matrix = counted(*segmentation, cuts)
    expected = np.zeros((classes, classes), dtype=np.int64)
    for label, prediction in labelled_pixels(*segmentation):
        expected[label, prediction] += 1
    assert (matrix.numpy() == expected).all()
    assert matrix.pictures == len(labels)


@given(segmentations(), st.data(), st.booleans())
def test_scores_are_those_of_sets_of_pixels(segmentation, data: st.DataObject, false_classes: bool) -> None:
    """IoU, precision and recall from the definition, also of merged classes and of some classes alone."""
    classes = segmentation[0]
    numbers = st.integers(0, classes - 1)
    scored = data.draw(st.none() | st.sets(numbers))
    merge = (
        dict([data.draw(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1]))])
        if (classes > 1 and data.draw(st.booleans()))
        else {}
    )
    pixels = labelled_pixels(*segmentation)
    merged = [(merge.get(label, label), merge.get(prediction, prediction)) for label, prediction in pixels]
    scores = class_scores(
        counted(*segmentation, []).numpy(), None if scored is None else sorted(scored), merge, false_classes
    )
    ious = []
    for number in range(classes):
        labelled = {i for i, (label, _) in enumerate(merged) if label == number}
        predicted = {i for i, (_, prediction) in enumerate(merged) if prediction == number}
        wanted = scored is None or number in scored
        present = wanted and bool(labelled | predicted if false_classes else labelled)
        expected = {
            "iou": (labelled & predicted, labelled | predicted),
            "precision": (labelled & predicted, predicted),
            "recall": (labelled & predicted, labelled),
        }
        for name, (part, whole) in expected.items():
            value = getattr(scores, name)[number]
            if present and whole:
                assert math.isclose(value, len(part) / len(whole), rel_tol=1e-12, abs_tol=1e-12)
            else:
                assert math.isnan(value)
        ious += [scores.iou[number]] if present else []
    right = sum(label == prediction for label, prediction in merged)
    for value, expected in (
        (scores.pixel_accuracy, (right, len(merged))),
        (scores.miou, (sum(ious), len(ious))),
    ):
        assert (
            math.isclose(value, expected[0] / expected[1], rel_tol=1e-12)
            if expected[1]
            else math.isnan(value)
        )
