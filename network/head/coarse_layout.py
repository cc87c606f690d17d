"""The semantic layout that DIIA derives from its own coarse prediction (Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from loss.segmentation import IGNORE_LABEL

# 0.99 was meant for probabilities. The published code applies it to logits, whose medians are nearly always
# larger.
HIGHEST_THRESHOLD = 0.99


def coarse_layout(logits: Tensor, per_image: bool = False) -> Tensor:
    """The most likely class of every pixel, or 255 if its logit is below the threshold of the class.

    The threshold of a class is the median logit of the pixels where it is the most likely, but at most 0.99.

    With ``per_image`` each picture has its own medians, so that the rest of the batch does not matter.
    Otherwise they are over the whole batch, as in the published training. Logits B x classes x H x W, to
    which no gradient flows back -> int64 B x H x W.
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
    """Median of each group, by one sort and without waiting for the device.

    The median of n sorted members is the member at n / 2, counted from 0 and rounded half to even, as
    published. The median of three members is therefore the largest.

    ``values``: float32, N; ``groups``: int64, N, in [0, ``number``) -> float32, ``number``; any value for a
    group without members.
    """
    bits = values.view(torch.int32)
    # The bits of positive floats, read as integers, have the order of the floats; those of negative floats
    # have the reverse order, which the exclusive or undoes.
    ranks = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    ordered, order = torch.sort((groups << 32) + ranks)
    first_keys = (torch.arange(number + 1, device=values.device) << 32) - 2**31
    starts = torch.searchsorted(ordered, first_keys)
    counts = starts.diff()
    half = counts // 2  # If the count is odd, 0.5 is cut off here, and an odd half is rounded up below.
    middle = starts[:-1] + half + (counts & half & 1)
    return values[order[middle.clamp(max=len(values) - 1)]]
