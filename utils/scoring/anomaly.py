"""How well a network's doubt shows what it was never trained on: three anomaly scores, and AP, AUROC, FPR95.

The scores are the maximum softmax probability (Hendrycks and Gimpel, "A Baseline for Detecting Misclassified
and Out-of-Distribution Examples in Neural Networks", ICLR 2017), the maximum logit (Hendrycks et al.,
"Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022), and the entropy of the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from utils.scoring.metrics import Measure, count_values
from utils.scoring.scores import percent, text_table

KNOWN, ANOMALY = 0, 1
"""The labels of pixels; those with another one are ignored."""
SCORE_NAMES = {"max_softmax": "max softmax", "max_logit": "max logit", "entropy": "entropy"}
BITS = 20
"""How many bits of a float32 score count: the sign, the exponent and 11 bits of the mantissa."""
BINS = 2**BITS


def anomaly_scores(answers: torch.Tensor, probabilities: bool = False) -> dict[str, torch.Tensor]:
    """Each score of :data:`SCORE_NAMES`, float32 H x W, of logits C x H x W; higher is more anomalous.

    The scores are 1 - the largest softmax, the negative largest logit, and the entropy of the softmax in
    nats. If ``answers`` are ``probabilities``, there is no largest logit.
    """
    answers = answers.float()
    softmax = answers if probabilities else answers.softmax(0)
    scores = {"max_softmax": 1 - softmax.amax(0), "entropy": torch.special.entr(softmax).sum(0)}
    return scores if probabilities else {**scores, "max_logit": -answers.amax(0)}


def bins_of(scores: torch.Tensor) -> torch.Tensor:
    """The bin of each float32 score, int32 from 0 to :data:`BINS` - 1, in the order of the scores.

    A bin holds scores that differ by less than a share of 2**-11. NaN is in no particular bin.
    """
    # Adding zero turns -0 into 0.
    bits = (scores + 0.0).view(torch.int32)
    # Bits of positive floats, read as an integer, have the floats' order; those of negative ones its reverse.
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered >> (32 - BITS)) + BINS // 2


@dataclass(frozen=True)
class Detection:
    """How well a score tells anomalous pixels (positive) from known ones.

    All numbers are in [0, 1], or NaN if there are no pixels of one kind. ``ap`` is the average precision, the
    sum of precision times gain in recall over all thresholds, without interpolation. ``auroc`` is the area
    under the curve of true over false positive rate. ``fpr95`` is the lowest false positive rate of the
    thresholds that find at least 95 % of the anomalous pixels.
    """

    ap: float
    auroc: float
    fpr95: float


@dataclass(frozen=True)
class AnomalyScore:
    """What one network scored on one track: score name -> detection, and how much was counted.

    ``folder`` is where the pictures are.
    """

    detections: Mapping[str, Detection]
    pictures: int
    known_pixels: int
    anomalous_pixels: int
    folder: str = ""


def detection(known: np.ndarray, anomalous: np.ndarray) -> Detection:
    """The detection of scores in bins, lowest first, that hold so many pixels; int64 (bins,) each.

    Pixels in one bin count as equal in score.
    """
    filled = np.flatnonzero(known + anomalous)[::-1]
    false, true = known[filled], anomalous[filled]
    false_above, true_above = false.cumsum(), true.cumsum()
    negatives, positives = int(known.sum()), int(anomalous.sum())
    if not negatives or not positives:
        return Detection(math.nan, math.nan, math.nan)
    precision = true_above / (true_above + false_above)
    # Twice the number of pairs of an anomalous and a known pixel in the right order; equal ones count half.
    right = int((false * (2 * true_above - true)).sum())
    enough = int(np.argmax(20 * true_above >= 19 * positives))
    return Detection(
        ap=float((precision * true).sum() / positives),
        auroc=right / (2 * negatives * positives),
        fpr95=int(false_above[enough]) / negatives,
    )


class AnomalyCounts(Measure):
    """How many known and anomalous pixels have each score, in bins of :func:`bins_of`.

    With ``probabilities``, what :meth:`update` gets for logits are probabilities.
    """

    def __init__(self, device: torch.device | str = "cpu", probabilities: bool = False) -> None:
        self.probabilities = probabilities
        self.names = [name for name in SCORE_NAMES if not (probabilities and name == "max_logit")]
        sizes: dict[str, tuple[int, ...]] = dict.fromkeys(self.names, (2, BINS))
        sizes |= {"undefined": (), "pictures": ()}
        self.totals = {
            name: torch.zeros(size, dtype=torch.int64, device=device) for name, size in sizes.items()
        }

    @property
    def undefined(self) -> int:
        """How many times a score of a pixel that counts was NaN."""
        return int(self.totals["undefined"])

    @torch.no_grad()
    def update(
        self, prediction: torch.Tensor, label: torch.Tensor, logits: torch.Tensor | None = None
    ) -> None:
        """Count a batch by ``label``, integers B x H x W, and ``logits``, B x C x H x W."""
        assert logits is not None
        # One picture at a time, because the scores need as much memory as the logits, twice.
        for truth, answers in zip(label, logits, strict=True):
            counts = (truth == KNOWN) | (truth == ANOMALY)
            scores = anomaly_scores(answers, self.probabilities)
            for name in self.names:
                score = scores[name]
                # To mask pixels out, the host would have to wait for the device.
                cells = torch.where(counts, bins_of(score) + truth.int() * BINS, 2 * BINS)
                cells = torch.where(counts & score.isnan(), 2 * BINS + 1, cells)
                counted = count_values(cells.flatten(), 2 * BINS + 2)
                self.totals[name] += counted[: 2 * BINS].view(2, BINS)
                self.totals["undefined"] += counted[-1]
        self.totals["pictures"] += label.shape[0]

    def score(self) -> AnomalyScore:
        """What the counted pixels score."""
        counts = {name: self.totals[name].cpu().numpy() for name in self.names}
        known, anomalous = counts[self.names[0]].sum(1).tolist()
        detections = {name: detection(*of_score) for name, of_score in counts.items()}
        return AnomalyScore(detections, int(self.totals["pictures"]), known, anomalous)


def anomaly_table(scores: Mapping[str, AnomalyScore]) -> str:
    """One row per track and score, in percent."""
    rows = [["anomalies", "AP", "AUROC", "FPR95", "pictures"]]
    rows += [
        [f"{track} ({SCORE_NAMES[name]})", *map(percent, asdict(each).values()), str(score.pictures)]
        for track, score in scores.items()
        for name, each in score.detections.items()
    ]
    return text_table(rows)


def anomaly_results(scores: Mapping[str, AnomalyScore]) -> dict[str, Any]:
    """The entry ``anomaly`` of ``results.json``, if there are scores: fractions in [0, 1], null for NaN."""

    def content(score: AnomalyScore) -> dict[str, Any]:
        counted = {"images": score.pictures, "known_pixels": score.known_pixels}
        counted |= {"anomalous_pixels": score.anomalous_pixels}
        numbers = {
            name: {key: None if math.isnan(value) else value for key, value in asdict(each).items()}
            for name, each in score.detections.items()
        }
        return {"folder": score.folder, **counted, **numbers}

    return {"anomaly": {track: content(score) for track, score in scores.items()}} if scores else {}
