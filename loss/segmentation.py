"""Losses of labelled pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from utils.ignore_label import IGNORE_LABEL

MeanOver = Literal["labelled", "all"]
"""The pixels that a mean is over. With "all", pixels without a label are counted too, and cost 0."""


def cross_entropy(
    logits: Tensor, label: Tensor, class_weights: Tensor | None = None, mean_over: MeanOver = "labelled"
) -> Tensor:
    """Cross entropy in float32 at least: the (weighted) mean over the labelled pixels.

    With ``mean_over`` "all" it is the (weighted) sum divided by the number of all pixels. A batch without a
    labelled pixel costs 0 and has zero gradients, where torch's own mean is NaN.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or 255.
        class_weights: float, one per class.
    """
    logits = at_least_float32(logits)
    if class_weights is not None:
        class_weights = class_weights.to(logits.dtype)
    # On GPUs PyTorch adds up the pixels in no fixed order, and refuses to with --deterministic.
    reduction = "none" if torch.are_deterministic_algorithms_enabled() else "sum"
    total = F.cross_entropy(logits, label, class_weights, ignore_index=IGNORE_LABEL, reduction=reduction)
    if reduction == "none":
        total = total.sum()
    if mean_over == "all":
        return total / label.numel()
    labelled = label != IGNORE_LABEL
    if class_weights is None:
        return total / labelled.sum().clamp(min=1)
    weight = torch.where(labelled, class_weights[torch.where(labelled, label, 0)], 0).sum()
    return total / torch.where(weight > 0, weight, 1)


def auxiliary_cross_entropy(
    logits: Tensor, label: Tensor, class_weights: Tensor | None = None, mean_over: MeanOver = "labelled"
) -> Tensor:
    """:func:`cross_entropy` of logits B x classes x h x w, whose label B x H x W may have another resolution.

    The label is resized to h x w by :func:`nearest_label`.
    """
    small = nearest_label(label, (logits.shape[-2], logits.shape[-1]))
    return cross_entropy(logits, small, class_weights, mean_over)


def nearest_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels or predicted classes resized by nearest neighbour: int64 B x H x W -> B x h x w.

    Row ``i`` of the result is row floor(i H / h) of ``label``; columns likewise. Classes are never mixed.
    """
    # interpolate takes float32, which is exact for every label up to 2^24.
    return F.interpolate(label.unsqueeze(1).float(), size, mode="nearest").squeeze(1).long()
