"""Pseudo labels of DA-SAC and what they cost (Araslanov and Roth, CVPR 2021).

A class is labelled where the teacher is certain enough of it, and rare classes are labelled more readily and
cost more: what is rare is told by the running class prior, the mean probability of every class.
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
# A class whose first mean probability is no larger keeps the prior it starts with.
SMALLEST_SHARE = 1e-8


class PseudoLabels(NamedTuple):
    """Labels of a batch.

    Attributes:
        label: int64 B x H x W, the most probable class, or 255 where it is not probable enough.
        confidence: float B x H x W, its probability, of ignored pixels too.
    """

    label: Tensor
    confidence: Tensor


def updated_prior(prior: Tensor, share: Tensor, momentum: float, is_first: Tensor) -> Tensor:
    """The running class prior after one more batch, ``momentum`` x old + (1 - momentum) x ``share``.

    Args:
        prior: float C.
        share: float C, mean probability of every class in the batch.
        momentum: 0 to 1.
        is_first: bool, without dimensions: whether this is the first batch, whose shares of the classes that
            it has at all take the prior's place.
    """
    prior = torch.where(is_first & (share > SMALLEST_SHARE), share, prior)
    return momentum * prior + (1 - momentum) * share


def thresholds(
    peak: Tensor, prior: Tensor, upper: float, beta: float, lower: float = 0.0, discount: bool = True
) -> Tensor:
    """How probable a class has to be in a picture, B x C (eq. 3).

    ``upper`` x the class's highest probability in the picture x (1 - exp(-prior / ``beta``)), at least
    ``lower``, which the paper does not have but the published code does. Without ``discount`` the prior does
    not matter.

    Args:
        peak: float B x C.
        prior: float C.
    """
    factor = 1 - torch.exp(-prior / beta) if discount else torch.ones_like(prior)
    return (upper * peak * factor).clamp(min=lower)


def pseudo_labels(
    probability: Tensor,
    prior: Tensor,
    upper: float,
    beta: float,
    lower: float = 0.0,
    discount: bool = True,
) -> PseudoLabels:
    """Label each pixel with its most probable class, if more probable than that class's :func:`thresholds`.

    Args:
        probability: B x C x H x W; 0 in every class where there is nothing to label.
        prior: float C.
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

    Its mean over ALL pixels: those that are not labelled cost nothing and count. In float32 at least.

    Args:
        logits: B x C x H x W.
        prior: float C.
        confidence: "per_image" multiplies every pixel by the teacher's confidence in it, as the paper says.
            "batch_mean" multiplies the mean cost over the batch at a place by the mean confidence there, as
            the released code does by a slip of dimensions, so that there the result depends on how many
            pictures a process has. "none" leaves the confidence out.
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
