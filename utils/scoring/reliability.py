"""Whether a network knows when it is wrong: calibration, and how well confidence tells right from wrong.

The confidence of a pixel is the softmax probability of the predicted class. All that is kept of a picture are
whole numbers: the confidences of right and of wrong pixels in a fine histogram, and sums in a fixed unit. So
results do not depend on how pictures are spread over processes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.device import moved
from utils.scoring.boundary import DISTANCE_SHARE, Boundaries, BoundaryScores
from utils.scoring.metrics import Measure, count_where

BINS = 15
"""Bins of the expected calibration error, of equal width (Guo et al., ICML 2017)."""
UNIT = 2.0**-20
"""Confidences and squared errors are rounded to multiples of this before they are summed."""
LOWEST, HIGHEST, CELLS_PER_LOGIT = -8, 40, 1024
"""The fine histogram is even in log(p / (1 - p)), because most confidences p are near 1."""
FARTHEST = -43.0
"""Logits so far below the greatest count as this far. The squares of smaller probabilities are denormal, and
processors are many times slower with such numbers.
"""
CELLS = (HIGHEST - LOWEST) * CELLS_PER_LOGIT + BINS - 1
"""Cells of the fine histogram."""
STRIP_VALUES = {"cpu": 2**20}
MANY_VALUES = 2**24
"""Probabilities that are computed at a time: they fit a processor's cache, and keep a GPU busy."""


@dataclass(frozen=True)
class ConfidenceScores:
    """How far the confidence of pixels can be trusted; NaN where there is nothing to measure.

    Attributes:
        pixels, accuracy, confidence: of each of the 15 bins, arrays: how many pixels have such a confidence,
            the share of them that is right, and their mean confidence.
        auroc: probability that a right pixel has a higher confidence than a wrong one.
        aupr_success, aupr_error: average precision of finding the right pixels by high confidence, and the
            wrong ones by low confidence (Hendrycks and Gimpel, ICLR 2017).
        fpr95: the share of wrong pixels that pass the threshold which 95 % of the right pixels pass.
        brier: the mean over pixels of the squared distance between probabilities and truth, in [0, 2]
            (Brier, 1950).
        temperature: what the logits were divided by.
    """

    pixels: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray
    auroc: float
    aupr_success: float
    aupr_error: float
    fpr95: float
    brier: float
    temperature: float

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3)."""
        if not self.pixels.sum():
            return float("nan")
        gaps = np.abs(np.nan_to_num(self.accuracy) - np.nan_to_num(self.confidence))
        return float((self.pixels * gaps).sum() / self.pixels.sum())

    @property
    def content(self) -> dict[str, Any]:
        """What ``results.json`` has."""
        columns = {
            "above": np.arange(BINS) / BINS,
            "up_to": np.arange(1, BINS + 1) / BINS,
            **{name: getattr(self, name) for name in ("pixels", "accuracy", "confidence")},
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        bins = [dict(zip(columns, row, strict=True)) for row in rows]
        numbers = ("temperature", "ece", "auroc", "fpr95", "aupr_success", "aupr_error", "brier")
        return {**{name: getattr(self, name) for name in numbers}, "bins": bins}


class Confidences(Measure):
    """Counts of right and wrong pixels by confidence, with logits divided by ``temperature``.

    ``totals``: ``pixels`` and ``confidence``, int64 (2, ``CELLS``), are number and sum of the confidences of
    wrong [0] and right [1] pixels in each cell, by rising confidence; ``squared_error`` is the sum of Brier's
    squared distances. Sums are in ``UNIT``. The scores are ``probabilities``, or else logits.
    """

    def __init__(
        self,
        num_classes: int,
        device: torch.device | str = "cpu",
        temperature: float = 1.0,
        probabilities: bool = False,
    ) -> None:
        self.num_classes, self.temperature, self.probabilities = num_classes, temperature, probabilities
        sizes = {"pixels": (2, CELLS), "confidence": (2, CELLS), "squared_error": ()}
        self.totals = {
            name: torch.zeros(size, dtype=torch.int64, device=device) for name, size in sizes.items()
        }

    @torch.no_grad()
    def update(self, prediction: Tensor, label: Tensor, logits: Tensor | None = None) -> None:
        if logits is None:
            raise ValueError("confidence cannot be measured without logits")
        counted = (label >= 0) & (label < self.num_classes)
        odds, error = self._odds_and_errors(prediction, label * counted, logits)
        confidence = 1 / (1 + odds)
        cells = cells_of(confidence, odds).add_(prediction == label, alpha=CELLS)
        number, whole = 2 * CELLS, (confidence / UNIT).round_()
        self.totals["pixels"] += count_where(cells, counted, number).view(2, CELLS)
        self.totals["confidence"] += count_where(cells, counted, number, whole).view(2, CELLS)
        self.totals["squared_error"] += torch.where(counted, error / UNIT, 0).round_().sum(dtype=torch.int64)

    def _odds_and_errors(self, prediction: Tensor, label: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """:func:`odds_and_errors`, strip by strip."""
        batch, classes, height, width = scores.shape
        odds, errors = scores.new_empty((2, batch, height, width), dtype=torch.float32)
        rows = max(1, STRIP_VALUES.get(scores.device.type, MANY_VALUES) // (batch * classes * width))
        for first in range(0, height, rows):
            strip = (slice(None), slice(first, first + rows))
            logits = as_logits(scores[:, :, first : first + rows], self.probabilities)
            odds[strip], errors[strip] = odds_and_errors(
                logits, prediction[strip], label[strip], 1 / self.temperature
            )
        return odds, errors

    def scores(self) -> ConfidenceScores:
        """The scores of what was counted, computed on the host in float64."""
        (wrong, right), sums = (self.totals[name].cpu().numpy() for name in ("pixels", "confidence"))
        starts = first_cells()
        in_bins = np.add.reduceat(np.stack([wrong + right, right, sums.sum(0)]), starts, axis=1)
        count = in_bins[0].sum()
        accuracy, confidence = np.divide(
            in_bins[1:] * [[1.0], [UNIT]],
            in_bins[0],
            out=np.full((2, BINS), np.nan),
            where=in_bins[0] > 0,
        )
        return ConfidenceScores(
            in_bins[0],
            accuracy,
            confidence,
            auroc=area_under_roc(right, wrong),
            aupr_success=average_precision(right[::-1], wrong[::-1]),
            aupr_error=average_precision(wrong, right),
            fpr95=false_positive_rate(right[::-1], wrong[::-1]),
            brier=int(self.totals["squared_error"]) * UNIT / int(count) if count else float("nan"),
            temperature=self.temperature,
        )


def as_logits(scores: Tensor, probabilities: bool) -> Tensor:
    """``scores`` in float32, and if they are ``probabilities``, their logarithms.

    The softmax of the logarithms of probabilities is these probabilities again. So a temperature means the
    same for averages of probabilities, which have no logits of their own.
    """
    scores = scores.float()
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log_() if probabilities else scores


def odds_and_errors(
    logits: Tensor, prediction: Tensor, label: Tensor, factor: float
) -> tuple[Tensor, Tensor]:
    """The odds against the predicted class, (1 - p) / p, and the squared distance of the probabilities from
    the truth; float32 B x H x W, of the logits (float32 B x C x H x W) times ``factor``.

    ``prediction`` and ``label`` are int64 B x H x W. A confidence p near 1 has no room for its distance from
    1 in float32, but the odds have. Where logits are not finite, all classes count as equally probable.
    """
    prediction, label = prediction.unsqueeze(1), label.unsqueeze(1)
    others = logits - logits.gather(1, prediction)
    others = (others if factor == 1 else others.mul_(factor)).clamp_(min=FARTHEST)
    others = others.exp_().scatter_(1, prediction, 0)
    own = others.gather(1, label).squeeze(1)
    odds = others.sum(1)
    squares = others.square_().sum(1)
    right = (prediction == label).squeeze(1)
    total = 1 + odds
    error = (squares + torch.where(right, odds * odds, 1 + total * (total - 2 * own))) / (total * total)
    even = logits.shape[1] - 1
    finite = torch.isfinite(error) & torch.isfinite(odds)
    return torch.where(finite, odds, even), torch.where(finite, error, even / (even + 1))


def cells_of(confidence: Tensor, odds: Tensor) -> Tensor:
    """The cell of the fine histogram for each pixel, int32. Each cell lies in one of the 15 bins."""
    logit = odds.log().neg_().clamp_(LOWEST, HIGHEST)
    fine = logit.sub_(LOWEST).mul_(CELLS_PER_LOGIT).int().clamp_(max=CELLS - BINS)
    # Guo's bins exclude their lower edge. Both terms grow with the confidence: each sum has only one pair.
    return fine.add_((confidence * BINS).ceil_().sub_(1).clamp_(0, BINS - 1).int())


def first_cells() -> np.ndarray:
    """The first cell of each of the 15 bins."""
    inner = np.arange(1, BINS)
    fine = (np.log(inner / (BINS - inner)) - LOWEST) * CELLS_PER_LOGIT
    return np.concatenate([[0], fine.astype(np.int64) + inner])


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive has a higher score than a negative; NaN without either.

    Both are counts by rising score, int64. Here and below, pixels of one cell count as in random order.
    """
    pairs = float(positive.sum()) * float(negative.sum())
    above = positive[::-1].cumsum()[::-1] - positive / 2
    return float((negative * above).sum() / pairs) if pairs else float("nan")


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean, over the positives, of the precision down to each; NaN without any. Counts by falling score."""
    if not positive.sum():
        return float("nan")
    # The middle one of a cell's positives has half of the cell's negatives before it.
    found = positive.cumsum() - (positive - 1) / 2
    before = negative.cumsum() - negative / 2
    return float((positive * found / (found + before)).sum() / positive.sum())


def false_positive_rate(positive: np.ndarray, negative: np.ndarray, recall: float = 0.95) -> float:
    """Share of negatives above the threshold with this recall; NaN without either.

    Counts by falling score.
    """
    if not (positive.sum() and negative.sum()):
        return float("nan")
    found, wanted = positive.cumsum(), recall * positive.sum()
    cell = int(np.searchsorted(found, wanted))
    share = 1 - (found[cell] - wanted) / positive[cell]
    return float((negative[:cell].sum() + share * negative[cell]) / negative.sum())


@dataclass(frozen=True)
class ReliabilityScores:
    """What one network's confidence is worth on one set of pictures.

    ``confidences`` are those of the network as it is, and then, if one was fitted, with a temperature.
    """

    confidences: Sequence[ConfidenceScores]
    boundary: BoundaryScores

    def content(self, names: Sequence[str]) -> dict[str, Any]:
        """What ``results.json`` has; ``names`` are those of the classes."""
        first, *calibrated = (each.content for each in self.confidences)
        of_classes = {"iou": self.boundary.iou, "f": self.boundary.f}
        return {
            **first,
            "boundary_iou": self.boundary.mean_iou,
            "boundary_f": self.boundary.mean_f,
            "boundary_distance": DISTANCE_SHARE,
            **{
                f"boundary_{kind}_of_classes": dict(zip(names, values.tolist(), strict=True))
                for kind, values in of_classes.items()
            },
            **({"calibrated": calibrated[0]} if calibrated else {}),
        }


class Reliability(Measure):
    """:class:`Confidences` for each of ``temperatures``, the first of which is 1, and :class:`Boundaries`.

    ``merge``: class -> class that it is counted as. A pixel whose class is predicted as one that counts as
    the same is right, and its own class is then the predicted one. ``probabilities``: the scores are not
    logits.
    """

    def __init__(
        self,
        num_classes: int,
        device: torch.device | str = "cpu",
        temperatures: Sequence[float] = (1.0,),
        probabilities: bool = False,
        merge: Mapping[int, int] | None = None,
    ) -> None:
        self.confidences = [Confidences(num_classes, device, each, probabilities) for each in temperatures]
        self.boundaries = Boundaries(num_classes, device)
        self._counted_as = None
        if merge:
            table = torch.arange(num_classes)
            table[list(merge)] = torch.tensor(list(merge.values()))
            self._counted_as = moved(table, torch.device(device))

    @torch.no_grad()
    def update(self, prediction: Tensor, label: Tensor, logits: Tensor | None = None) -> None:
        own, maps = label, (prediction, label)
        if self._counted_as is not None:
            inside = (label >= 0) & (label < len(self._counted_as))
            merged = torch.where(inside, self._counted_as[label * inside], label)
            maps = (self._counted_as[prediction], merged)
            own = torch.where(maps[0] == merged, prediction, label)
        for each in self.confidences:
            each.update(prediction, own, logits)
        self.boundaries.update(*maps)

    def reduce(self) -> Reliability:
        for each in (*self.confidences, self.boundaries):
            each.reduce()
        return self

    def __add__(self, other: Reliability) -> Reliability:
        both = copy.copy(self)
        both.confidences = [a + b for a, b in zip(self.confidences, other.confidences, strict=True)]
        both.boundaries = self.boundaries + other.boundaries
        return both

    def scores(
        self, classes: Sequence[int] | None = None, count_false_classes: bool = False
    ) -> ReliabilityScores:
        """The scores; the arguments say which classes' boundaries count (``metrics.class_scores``)."""
        boundary = self.boundaries.scores(classes, count_false_classes)
        return ReliabilityScores([each.scores() for each in self.confidences], boundary)
