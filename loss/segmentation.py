"""Losses of labelled pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32

IGNORE_LABEL = 255

MeanOver = Literal["labelled", "all"]
"""Which pixels a mean is over; with "all", those without a label count, too, and cost 0."""


def cross_entropy(
    logits: Tensor,
    label: Tensor,
    class_weights: Tensor | None = None,
    ignore_label: int = IGNORE_LABEL,
    mean_over: MeanOver = "labelled",
) -> Tensor:
    """Cross entropy, mean over the labelled pixels, or their weighted mean, in float32 at least.

    With ``mean_over`` "all" its sum, weighted or not, divided by the number of all pixels. A batch without a
    labelled pixel costs 0 and has zero gradients, where torch's own mean is NaN.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or ``ignore_label``.
        class_weights: float, one per class.
    """
    logits = at_least_float32(logits)
    if class_weights is not None:
        class_weights = class_weights.to(logits.dtype)
    total = F.cross_entropy(logits, label, weight=class_weights, ignore_index=ignore_label, reduction="sum")
    if mean_over == "all":
        return total / label.numel()
    labelled = label != ignore_label
    if class_weights is None:
        return total / labelled.sum().clamp(min=1)
    weight = torch.where(labelled, class_weights[torch.where(labelled, label, 0)], 0).sum()
    return total / torch.where(weight > 0, weight, 1)


def auxiliary_cross_entropy(
    logits: Tensor,
    label: Tensor,
    class_weights: Tensor | None = None,
    ignore_label: int = IGNORE_LABEL,
    mean_over: MeanOver = "labelled",
) -> Tensor:
    """:func:`cross_entropy` of logits B x classes x h x w at a lower resolution than their label B x H x W.

    The label is brought to theirs by nearest neighbour, so no class is ever interpolated.
    """
    small = nearest_label(label, (logits.shape[-2], logits.shape[-1]))
    return cross_entropy(logits, small, class_weights, ignore_label, mean_over)


def nearest_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels or predicted classes, int64 B x H x W -> B x h x w by nearest neighbour, so none is ever mixed.

    Row ``i`` is row floor(i H / h) of ``label``, columns likewise.
    """
    # Every label up to 2^24 is exact in float32, which is what interpolate takes.
    return F.interpolate(label.unsqueeze(1).float(), size, mode="nearest").squeeze(1).long()
