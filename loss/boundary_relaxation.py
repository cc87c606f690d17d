"""Boundary label relaxation (Zhu et al., Improving Semantic Segmentation via Video Propagation and Label
Relaxation, CVPR 2019, section 3.3), as in the RobustNet family.

A pixel at a boundary may belong to any class that occurs within one pixel of it. The loss uses the summed
probability of these classes. The targets are multi-hot planes on the device of the label.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL, class_planes, frequency_weights


def relaxed_planes(label: Tensor, classes: int, strict: Sequence[int] = ()) -> Tensor:
    """The classes in the 3 x 3 neighbourhood of every pixel: bool B x (``classes`` + 1) x H x W.

    ``label`` is int64 B x H x W. Its value ``classes`` means void and has the last plane; places outside the
    picture count as void. Pixels of the classes ``strict`` have only their own class.
    """
    planes = class_planes(F.pad(label, (1, 1, 1, 1), value=classes), classes + 1)
    rows = planes[..., :-2, :] | planes[..., 1:-1, :] | planes[..., 2:, :]
    relaxed = rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]
    for number in strict:
        relaxed = torch.where((label == number).unsqueeze(1), planes[..., 1:-1, 1:-1], relaxed)
    return relaxed


def boundary(label: Tensor) -> Tensor:
    """Pixels that have another label above, below, left or right of them: B x H x W -> bool B x H x W."""
    below, right = label[:, 1:] != label[:, :-1], label[..., 1:] != label[..., :-1]
    vertical = F.pad(below, (0, 0, 1, 0)) | F.pad(below, (0, 0, 0, 1))
    return vertical | F.pad(right, (1, 0)) | F.pad(right, (0, 1))


def relaxed_cross_entropy(
    logits: Tensor,
    label: Tensor,
    relax: bool = True,
    strict: Sequence[int] = (),
    bound: float = 1.0,
    batch_weighting: bool = False,
) -> Tensor:
    """Cross entropy of relaxed labels, weighted by class, in float32 at least.

    Let T be the set of classes that are allowed at a pixel, b the size of T, w the class weights and p the
    probabilities. The pixel costs -1/b (sum of w over T) log(sum of p over T), or 0 if T is empty. A picture
    with N pixels whose T is not empty costs their sum divided by N + 1. The result is the mean over the
    pictures. Without relaxation, T is the pixel's own class, and pixels at a boundary count twice.

    Two points are as published: a void pixel beside a class is allowed that class, and void pixels count in
    the class shares.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or 255.
        relax: whether labels are relaxed; False after ``--rlx_off_iter``.
        strict: classes that are never relaxed.
        bound, batch_weighting: see :func:`loss.segmentation.frequency_weights`.
    """
    logits = at_least_float32(logits)
    classes = logits.shape[1]
    label = torch.where(label == IGNORE_LABEL, classes, label)
    if relax:
        planes = relaxed_planes(label, classes, strict)
        counts = planes.sum((2, 3))
        pixel_weights = 1 / planes[:, :-1].sum(1).clamp(min=1).to(logits)
    else:
        planes = class_planes(label, classes + 1)
        pixel_weights = 1 + boundary(label).long()
        counts = (planes * pixel_weights.unsqueeze(1)).sum((2, 3))
    class_weights = frequency_weights(counts.to(logits), bound, batch_weighting)[:, :-1, None, None]
    allowed = planes[:, :-1]
    valid = allowed.any(1)
    # A pixel without a class is allowed all classes: log(1) is 0 and has a gradient, but log(0) has none.
    possible = logits.masked_fill(~(allowed | ~valid.unsqueeze(1)), -torch.inf)
    log_probability = possible.logsumexp(1) - logits.logsumexp(1)
    costs = -pixel_weights * torch.where(allowed, class_weights, 0).sum(1) * log_probability
    return (costs.sum((1, 2)) / (valid.sum((1, 2)) + 1)).mean()
