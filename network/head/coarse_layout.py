"""The semantic layout that DIIA reads off its own coarse prediction (Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from loss.segmentation import IGNORE_LABEL

# The published rule takes this for a probability but applies it to logits, where it nearly always binds.
HIGHEST_THRESHOLD = 0.99


def coarse_layout(logits: Tensor, per_image: bool = False) -> Tensor:
    """The most likely class of every pixel, and 255 where its logit is too low among its kind.

    The threshold of a class is the median logit of the pixels it wins, but at most 0.99.

    Args:
        logits: B x classes x H x W; no gradient flows back to them.
        per_image: a median for each picture, so that what else is in the batch does not matter; otherwise
            one over the whole batch, as in the published training.

    Returns:
        int64, B x H x W.
    """
    batch, classes = logits.shape[:2]
    scores, labels = logits.detach().max(dim=1)
    scores = scores.float()
    groups, number = labels, classes
    if per_image:
        number = batch * classes
        groups = labels + torch.arange(0, number, classes, device=labels.device).view(-1, 1, 1)
    thresholds = group_medians(scores.flatten(), groups.flatten(), number).clamp(max=HIGHEST_THRESHOLD)
    return torch.where(scores < thresholds[groups], IGNORE_LABEL, labels)


def group_medians(values: Tensor, groups: Tensor, number: int) -> Tensor:
    """Median of the members of each group, by one sort and without waiting for the device.

    Of n sorted members it is the one at n / 2, counted from 0, a half rounded to the even neighbour.

    Args:
        values: float32, N.
        groups: int64, N, in [0, ``number``).
        number: of groups.

    Returns:
        float32, ``number``; any value for a group without members.
    """
    bits = values.view(torch.int32)
    # Read as integers floats are in order, the negative ones in reverse: they are turned round.
    ranks = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    ordered, order = torch.sort((groups << 32) + ranks)
    first_keys = (torch.arange(number + 1, device=values.device) << 32) - 2**31
    starts = torch.searchsorted(ordered, first_keys)
    counts = starts.diff()
    half = counts // 2
    middle = starts[:-1] + half + (counts & half & 1)
    return values[order[middle.clamp(max=len(values) - 1)]]
