"""The confusion matrix and the scores that are computed from it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from utils.distributed import all_reduce_sum

M = TypeVar("M", bound="Measure")


class Measure:
    """Something that is counted over the pixels of many pictures: ``totals``, int64 tensors on the device.

    As they are integers, a result does not depend on how the pictures were spread over processes. The sum of
    two measures is the measure of the pictures of both.
    """

    totals: dict[str, torch.Tensor]

    def update(
        self, prediction: torch.Tensor, label: torch.Tensor, logits: torch.Tensor | None = None
    ) -> None:
        """Count a batch of class maps, integers B x H x W; labels outside 0..C-1 are ignored.

        A measure of confidence also needs ``logits``, B x C x H x W. Nothing here waits for the device.
        """
        raise NotImplementedError

    def reduce(self: M) -> M:
        """Sum over all processes, in place; returns itself."""
        for total in self.totals.values():
            all_reduce_sum(total)
        return self

    def __add__(self: M, other: M) -> M:
        both = copy.copy(self)
        both.totals = {name: total + other.totals[name] for name, total in self.totals.items()}
        return both


class ConfusionMatrix(Measure):
    """Pixel counts, rows = ground truth, columns = prediction."""

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        sizes = {"counts": (num_classes, num_classes), "pictures": ()}
        self.totals = {
            name: torch.zeros(size, dtype=torch.int64, device=device) for name, size in sizes.items()
        }

    @property
    def counts(self) -> torch.Tensor:
        """int64 (classes, classes)."""
        return self.totals["counts"]

    @property
    def pictures(self) -> torch.Tensor:
        """How many pictures were counted, int64 ()."""
        return self.totals["pictures"]

    @torch.no_grad()
    def update(
        self, prediction: torch.Tensor, label: torch.Tensor, logits: torch.Tensor | None = None
    ) -> None:
        label, prediction = label.to(self.counts.device), prediction.to(self.counts.device)
        # Ignored pixels get their own rows before and after the matrix. To mask them out, the host would have
        # to wait for the device, because the shape would depend on the data.
        rows = label.clamp(-1, self.num_classes).add_(1)
        cells = torch.add(prediction, rows, alpha=self.num_classes).flatten()
        counted = count_values(cells, (self.num_classes + 2) * self.num_classes)
        self.totals["counts"] += counted.view(-1, self.num_classes)[1:-1]
        self.totals["pictures"] += label.shape[0]

    def numpy(self) -> np.ndarray:
        """Counts as an int64 array on the host."""
        return self.counts.cpu().numpy()


def count_values(values: torch.Tensor, number: int) -> torch.Tensor:
    """How often each of 0 .. ``number`` - 1 occurs in integer ``values`` of one axis; int64 (number,)."""
    # On a GPU, bincount makes the host wait for the device to learn the size of the result.
    return torch.bincount(values, minlength=number) if values.is_cpu else count_by_order(values, number)


def count_by_order(values: torch.Tensor, number: int) -> torch.Tensor:
    """How often each of 0 .. ``number`` - 1 occurs in ``values``, int64 N without others: int64 (number,).

    Sorting and searching does not wait for a device.
    """
    ordered = values.int().sort().values
    numbers = torch.arange(number + 1, dtype=torch.int32, device=values.device)
    return torch.searchsorted(ordered, numbers).diff()


SPARE_CELLS = 1024


def count_where(
    cells: torch.Tensor, counted: torch.Tensor, number: int, values: torch.Tensor | None = None
) -> torch.Tensor:
    """How often each of 0 .. ``number`` - 1 occurs in ``cells`` where ``counted`` is true; int64 (number,).

    ``cells`` is int32 or int64, ``counted`` bool, both of one shape. With ``values``, whole numbers of any
    dtype and this shape, it is their sum instead; sums of absolute values must stay below 2**53. Unlike
    :func:`count_values`, this sorts nothing on a GPU, which pays off where the pixels have many cells.
    """
    cells, counted = cells.flatten(), counted.flatten()
    if cells.is_cpu:  # bincount makes the host wait for a GPU.
        weights = None if values is None else values.flatten().double()
        inside = torch.where(counted, cells, number)
        return torch.bincount(inside, weights, minlength=number + 1)[:number].long()
    # Additions to one place of a GPU's memory wait for each other, so the pixels left out go to many places.
    spare = torch.arange(len(cells), device=cells.device) % SPARE_CELLS + number
    cells = cells.long()
    added = torch.ones_like(cells) if values is None else values.flatten().long()
    sums = added.new_zeros(number + SPARE_CELLS)
    return sums.scatter_add_(0, torch.where(counted, cells, spare), added)[:number]


@dataclass(frozen=True)
class ClassScores:
    """Scores per class, all in [0, 1] and NaN where the class is absent; arrays of length num_classes."""

    iou: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    pixel_accuracy: float

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that are present; NaN if there is none."""
        return mean_present(self.iou)


def mean_present(values: np.ndarray) -> float:
    """Mean over the entries that are not NaN; NaN if all are."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def class_scores(
    counts: np.ndarray,
    classes: Sequence[int] | None = None,
    merge: Mapping[int, int] | None = None,
    count_false_classes: bool = False,
) -> ClassScores:
    """Scores of the confusion matrix ``counts`` (int64, K x K, rows ground truth).

    Args:
        classes: the class ids that are scored (default: all). The others get NaN. A pixel of another class
            that is predicted as a scored class still counts against that class.
        merge: class id -> class id it is counted as, in labels and predictions alike (e.g. rider -> bicycle).
        count_false_classes: a class without a labelled pixel is not absent (NaN) but has the IoU 0 as soon
            as one pixel is predicted as it, as in the published numbers of the RobustNet family.
    """
    counts = counts.astype(np.float64)
    for source, target in (merge or {}).items():
        for axis in (counts, counts.T):
            axis[target] += axis[source]
            axis[source] = 0
    correct, labelled, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    union = labelled + predicted - correct
    scored = np.zeros(len(counts), dtype=bool)
    scored[list(range(len(counts)) if classes is None else classes)] = True
    present = scored & ((union if count_false_classes else labelled) > 0)

    def ratio(numerator: np.ndarray, denominator: np.ndarray, where: np.ndarray) -> np.ndarray:
        result = np.full(len(counts), np.nan)
        return np.divide(numerator, denominator, out=result, where=where & (denominator > 0))

    total = counts.sum()
    return ClassScores(
        iou=ratio(correct, union, present),
        precision=ratio(correct, predicted, present),
        recall=ratio(correct, labelled, present),
        pixel_accuracy=float(correct.sum() / total) if total else float("nan"),
    )
