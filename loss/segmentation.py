"""Losses of labelled pixels, and class weights from the frequencies of classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from utils.ignore_label import IGNORE_LABEL

MeanOver = Literal["labelled", "all"]
"""The pixels over which a mean is taken. With "all", pixels without a label are counted too, and cost 0."""


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
    """:func:`cross_entropy` of logits B x classes x h x w and the label, which is resized to h x w."""
    small = nearest_label(label, (logits.shape[-2], logits.shape[-1]))
    return cross_entropy(logits, small, class_weights, mean_over)


def nearest_label(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels or predicted classes resized by nearest neighbour: int64 B x H x W -> B x h x w.

    Row ``i`` of the result is row floor(i H / h) of ``label``; columns likewise. Classes are never mixed.
    """
    # interpolate takes float32, which is exact for every label up to 2^24.
    return F.interpolate(label.unsqueeze(1).float(), size, mode="nearest").squeeze(1).long()


def class_planes(label: Tensor, classes: int) -> Tensor:
    """One bool plane per class: int64 B x H x W -> B x ``classes`` x H x W; other labels have no plane."""
    return label.unsqueeze(1) == torch.arange(classes, device=label.device).view(1, -1, 1, 1)


def frequency_weights(counts: Tensor, bound: float, batch_weighting: bool = False) -> Tensor:
    """Class weights, B x classes: 1 + ``bound`` (1 - share of the class), or 1 if it does not occur.

    ``counts``, B x classes, are the numbers of pixels. With ``batch_weighting`` the shares are those in the
    whole batch, equal for all its pictures.
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
    the pictures (``reduction="sum"``), and so its loss grows with the batch. Logits and label are as in
    :func:`cross_entropy`.
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
