"""Class weights from how often a class occurs, and cross entropy weighted by them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL


def class_planes(label: Tensor, classes: int) -> Tensor:
    """One bool plane per class: int64 B x H x W -> B x ``classes`` x H x W; other values are in none."""
    return label.unsqueeze(1) == torch.arange(classes, device=label.device).view(1, -1, 1, 1)


def frequency_weights(counts: Tensor, bound: float, batch_weighting: bool = False) -> Tensor:
    """Class weights 1 + ``bound`` (1 - share of the class), and 1 where the class does not occur.

    Args:
        counts: B x classes, how often every class occurs in every picture.
        bound: weight of a vanishingly rare class, less 1.
        batch_weighting: the shares are those of the whole batch, the same for all of its pictures.

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
    ignore_label: int = IGNORE_LABEL,
) -> Tensor:
    """Cross entropy with class weights of every picture's own, in float32 at least.

    The weighted mean over the labelled pixels of every picture (0 if there are none), with
    :func:`frequency_weights` of its classes; then the mean over the pictures. The published code takes their
    sum (``reduction="sum"``), which makes the loss grow with the batch.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or ``ignore_label``.
    """
    logits = at_least_float32(logits)
    counts = class_planes(label, logits.shape[1]).sum((2, 3)).to(logits)
    weights = frequency_weights(counts, bound, batch_weighting)
    labelled = label != ignore_label
    pixels = torch.where(labelled, label, 0).flatten(1)
    pixel_weights = torch.where(labelled.flatten(1), weights.gather(1, pixels), 0)
    costs = F.cross_entropy(logits, label, ignore_index=ignore_label, reduction="none").flatten(1)
    total = pixel_weights.sum(1)
    pictures = (costs * pixel_weights).sum(1) / torch.where(total > 0, total, 1)
    return pictures.mean() if reduction == "mean" else pictures.sum()
