"""Pseudo labels of DA-SAC and the loss that uses them (Araslanov and Roth, CVPR 2021).

A pixel gets a label where the teacher is certain enough. The running class prior, which is the mean
probability of every class, tells which classes are rare. A rare class needs less certainty, and its pixels
cost more.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.class_balance import class_planes
from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL

Confidence = Literal["per_image", "batch_mean", "none"]
CONFIDENCES: tuple[Confidence, ...] = ("per_image", "batch_mean", "none")
# A class keeps its initial prior if its mean probability in the first batch is not larger than this.
SMALLEST_SHARE = 1e-8


class PseudoLabels(NamedTuple):
    """Labels of a batch.

    Attributes:
        label: int64 B x H x W, the most probable class, or 255 where it is not probable enough.
        confidence: float B x H x W, the probability of the most probable class, also where the label is 255.
    """

    label: Tensor
    confidence: Tensor


def updated_prior(prior: Tensor, share: Tensor, momentum: float, is_first: Tensor) -> Tensor:
    """The running class prior after one more batch, ``momentum`` x old + (1 - momentum) x ``share``.

    Args:
        prior: float C.
        share: float C, mean probability of every class in the batch.
        momentum: 0 to 1.
        is_first: bool, without dimensions: whether this is the first batch. Then ``share`` replaces the prior
            of the classes that the batch has.
    """
    prior = torch.where(is_first & (share > SMALLEST_SHARE), share, prior)
    return momentum * prior + (1 - momentum) * share


def thresholds(
    peak: Tensor, prior: Tensor, upper: float, beta: float, lower: float = 0.0, discount: bool = True
) -> Tensor:
    """The probability that a class must exceed in a picture to become a label, B x C (eq. 3).

    It is ``upper`` x ``peak`` x (1 - exp(-prior / ``beta``)), but at least ``lower``. The lower bound is in
    the published code, not in the paper. Without ``discount`` the factor with the prior is left out.

    Args:
        peak: float B x C, the highest probability of a class in the picture.
        prior: float C.
    """
    factor = 1 - torch.exp(-prior / beta) if discount else torch.ones_like(prior)
    return (upper * peak * factor).clamp(min=lower)


def pseudo_labels(
    probability: Tensor, prior: Tensor, upper: float, beta: float, lower: float = 0.0, discount: bool = True
) -> PseudoLabels:
    """Label each pixel with its most probable class, if that is more probable than its :func:`thresholds`.

    Args:
        probability: B x C x H x W; 0 in every class where there is nothing to label.
        prior: float C.
        upper, beta, lower, discount: see :func:`thresholds`.
    """
    probability = at_least_float32(probability.detach())
    confidence, best = probability.max(1)
    planes = class_planes(best, probability.shape[1])
    peak = torch.where(planes, probability, 0).amax((2, 3))
    least = thresholds(peak, at_least_float32(prior), upper, beta, lower, discount)
    least = least.gather(1, best.flatten(1)).view_as(confidence)
    return PseudoLabels(torch.where(confidence > least, best, IGNORE_LABEL), confidence)


def focal_confidence_loss(
    logits: Tensor, labels: PseudoLabels, prior: Tensor, power: float, confidence: Confidence = "per_image"
) -> Tensor:
    """Cross entropy of pseudo labels x (1 - prior of the class)^power x confidence (eq. 6).

    It is the mean over ALL pixels: pixels without a label are counted and cost 0. It is computed in float32
    at least.

    Args:
        logits: B x C x H x W.
        prior: float C.
        confidence: "per_image" multiplies every pixel by the teacher's confidence in it, as in the paper.
            "batch_mean" multiplies the mean cost over the batch at a place by the mean confidence there. The
            released code does this by mistake: the result depends on how many pictures a process has.
            "none" leaves the confidence out.
    """
    logits = at_least_float32(logits)
    weights = (1 - prior.to(logits).clamp(min=0)) ** power
    cost = F.cross_entropy(logits, labels.label, weights, ignore_index=IGNORE_LABEL, reduction="none")
    if confidence == "none":
        return cost.mean()
    certain = labels.confidence.to(cost)
    if confidence == "batch_mean":
        return (cost.mean(0) * certain.mean(0)).mean()
    return (cost * certain).mean()
