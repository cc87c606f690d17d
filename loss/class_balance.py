"""Class weights from how often a class occurs, and cross entropy weighted by them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL


def class_planes(label: Tensor, classes: int) -> Tensor:
    """One bool plane per class: int64 B x H x W -> B x ``classes`` x H x W; other labels have no plane."""
    return label.unsqueeze(1) == torch.arange(classes, device=label.device).view(1, -1, 1, 1)


def frequency_weights(counts: Tensor, bound: float, batch_weighting: bool = False) -> Tensor:
    """Class weights: 1 + ``bound`` (1 - share of the class), or 1 if the class does not occur.

    Args:
        counts: B x classes, the number of pixels of each class in each picture.
        bound: a very rare class has the weight 1 + ``bound``.
        batch_weighting: take the shares from the whole batch, so that they are equal for all its pictures.

    Returns:
        float B x classes.
    """
    if batch_weighting:
        counts = counts.sum(0, keepdim=True).expand_as(counts)
    share = at_least_float32(counts) / counts.sum(1, keepdim=True).clamp(min=1)
    return 1 + bound * (1 - share) * (counts > 0)


def image_weighted_cross_entropy(
    logits: Tensor,
    label: Tensor,
    bound: float = 1.0,
    batch_weighting: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Cross entropy with separate class weights for each picture, in float32 at least.

    A picture costs the weighted mean over its labelled pixels (0 if there are none), with the weights of
    :func:`frequency_weights`. The result is the mean over the pictures. The published code takes the sum over
    the pictures (``reduction="sum"``), so that there the loss grows with the batch.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or 255.
    """
    logits = at_least_float32(logits)
    counts = class_planes(label, logits.shape[1]).sum((2, 3)).to(logits)
    weights = frequency_weights(counts, bound, batch_weighting)
    labelled = label != IGNORE_LABEL
    pixels = torch.where(labelled, label, 0).flatten(1)
    pixel_weights = torch.where(labelled.flatten(1), weights.gather(1, pixels), 0)
    costs = F.cross_entropy(logits, label, ignore_index=IGNORE_LABEL, reduction="none").flatten(1)
    total = pixel_weights.sum(1)
    pictures = (costs * pixel_weights).sum(1) / torch.where(total > 0, total, 1)
    return pictures.mean() if reduction == "mean" else pictures.sum()
