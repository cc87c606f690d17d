"""How well a prediction meets the boundaries between classes: boundary IoU and boundary F.

Both see a pixel's neighbours in a square window of (2 d + 1) x (2 d + 1) pixels that ends at the picture's
border. The distance d is a share of the picture's diagonal: 3 pixels at 1024 x 512. Ignored pixels are
nobody's neighbours, in the label and in the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from utils.scoring.metrics import Measure, class_scores, count_where, mean_present

DISTANCE_SHARE = 3 / math.hypot(512, 1024)
"""The distance d as a share of the picture's diagonal."""

NO_CLASS = 255
BITS = 31
"""How many classes a set of them in an int32 has room for."""


def boundary_distance(height: int, width: int) -> int:
    """The distance d in a picture of this size, in whole pixels, at least 1."""
    return max(1, round(DISTANCE_SHARE * math.hypot(height, width)))


def pooled(
    values: Tensor, distance: int, combine: Callable[[Tensor, Tensor], Tensor], neutral: int
) -> Tensor:
    """``combine`` all ``values`` (B x H x W) in the window of every pixel.

    Taking a value twice must not matter to ``combine``, such as minimum, maximum, or; ``neutral`` is the
    value outside the picture, which must not matter either.
    """
    window = 2 * distance + 1
    for axis, padding in ((2, (distance, distance)), (1, (0, 0, distance, distance))):
        values, covered = F.pad(values, padding, value=neutral), 1
        # Each step looks as far again as all steps before it.
        while covered < window:
            step = min(covered, window - covered)
            length = values.shape[axis] - step
            values = combine(values.narrow(axis, 0, length), values.narrow(axis, step, length))
            covered += step
    return values


def boundary_band(classes: Tensor, counted: Tensor, distance: int) -> Tensor:
    """The pixels whose window holds another class, bool B x H x W.

    ``classes`` is uint8 B x H x W, each below 255. Only pixels that are ``counted`` (bool) are in the band or
    somebody's neighbours. The band of one class alone is that of all classes, where the map has that class.
    """
    ignored = (~counted).byte() * NO_CLASS
    lowest = pooled(classes | ignored, distance, torch.minimum, NO_CLASS)
    # 0 is no larger than any class, so it does not change the maximum of a window with a counted pixel.
    highest = pooled(classes & ~ignored, distance, torch.maximum, 0)
    return counted & (lowest != highest)


def near_own_class(
    classes: Tensor, others: Tensor, contour: Tensor, distance: int, num_classes: int
) -> Tensor:
    """Whether the window of a pixel of ``classes`` holds a pixel of ``contour`` of the same class in
    ``others``; all B x H x W, uint8, uint8 and bool; the result is bool.
    """
    near = torch.zeros_like(contour)
    for first in range(0, num_classes, BITS):
        last = first + BITS - 1
        own, other = (each.clamp(first, last).int().sub_(first) for each in (classes, others))
        mine, theirs = ((each >= first) & (each <= last) for each in (classes, others))
        # Each pixel holds a set of classes, and the window's set is their union.
        union = pooled((contour & theirs).int() << other, distance, torch.bitwise_or, 0)
        near |= mine & (union >> own).bitwise_and_(1).bool()
    return near


@dataclass(frozen=True)
class BoundaryScores:
    """Boundary IoU and boundary F per class, in [0, 1] and NaN where the class is absent."""

    iou: np.ndarray
    f: np.ndarray

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that are present; NaN if there is none."""
        return mean_present(self.iou)

    @property
    def mean_f(self) -> float:
        """Mean over the classes that are present; NaN if there is none."""
        return mean_present(self.f)


class Boundaries(Measure):
    """Counts of pixels at boundaries, for networks of up to 254 classes.

    ``totals``: ``bands`` (classes + 1, classes + 1) is the confusion matrix of the two bands, rows = label;
    its last row and column are the pixels that are in only one band, or in none. ``contours`` (2, classes, 2)
    counts the pixels at the contours of the label [0] and of the prediction [1], per class, that are far [0]
    from or near [1] the same class's contour in the other map.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        sizes = {"bands": (num_classes + 1, num_classes + 1), "contours": (2, num_classes, 2)}
        self.totals = {
            name: torch.zeros(size, dtype=torch.int64, device=device) for name, size in sizes.items()
        }

    @torch.no_grad()
    def update(self, prediction: Tensor, label: Tensor, logits: Tensor | None = None) -> None:
        number, distance = self.num_classes, boundary_distance(label.shape[-2], label.shape[-1])
        device = self.totals["bands"].device
        label, prediction = label.to(device), prediction.to(device)
        counted = (label >= 0) & (label < number)
        maps = [label.clamp(0, number - 1).byte(), prediction.byte()]
        bands = [boundary_band(classes, counted, distance) for classes in maps]
        rows, columns = (
            torch.where(band, classes, number).int() for band, classes in zip(bands, maps, strict=True)
        )
        cells = rows.mul_(number + 1).add_(columns)
        matrix = count_where(cells, bands[0] | bands[1], (number + 1) ** 2)
        self.totals["bands"] += matrix.view(number + 1, number + 1)
        contours = [boundary_band(classes, counted, 1) for classes in maps]
        for side, (own, other) in enumerate(((0, 1), (1, 0))):
            near = near_own_class(maps[own], maps[other], contours[other], distance, number)
            cells = maps[own].int().mul_(2).add_(near)
            self.totals["contours"][side] += count_where(cells, contours[own], 2 * number).view(number, 2)

    def scores(
        self, classes: Sequence[int] | None = None, count_false_classes: bool = False
    ) -> BoundaryScores:
        """The scores of what was counted; the arguments are those of ``metrics.class_scores``.

        Boundary IoU (Cheng et al., "Boundary IoU", CVPR 2021, equation 1): intersection over union of the two
        bands of a class. Boundary F (Csurka et al., "What is a good evaluation measure for semantic
        segmentation?", BMVC 2013; Perazzi et al., CVPR 2016, section 4): the harmonic mean of precision and
        recall of contour pixels. A contour is the band of distance 1. A contour pixel is met if the same
        class has a contour pixel in the other map within the distance d. All pictures' pixels count together.
        """
        scored = list(range(self.num_classes) if classes is None else classes)
        iou = class_scores(self.totals["bands"].cpu().numpy(), scored, None, count_false_classes).iou
        contours = self.totals["contours"].cpu().numpy().astype(np.float64)
        labelled, predicted = contours.sum(2)
        met, right = contours[..., 1]
        recall, precision = met / labelled.clip(1), right / predicted.clip(1)
        f = 2 * precision * recall / np.where(met + right > 0, precision + recall, 1)
        present = np.isin(np.arange(self.num_classes), scored)
        present &= (labelled + predicted if count_false_classes else labelled) > 0
        return BoundaryScores(iou[:-1], np.where(present, f, np.nan))
