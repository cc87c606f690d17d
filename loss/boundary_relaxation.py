"""Boundary label relaxation (Zhu et al., Improving Semantic Segmentation via Video Propagation and Label
Relaxation, CVPR 2019, section 3.3), as the RobustNet family has it.

A pixel at a boundary may belong to any class within one pixel of it: what counts is the probability of them
together. Targets are multi-hot planes made on the label's own device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.class_balance import class_planes, frequency_weights
from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL


def relaxed_planes(label: Tensor, classes: int, strict: Sequence[int] = ()) -> Tensor:
    """The classes within one pixel of every pixel, in both directions and diagonally.

    Args:
        label: int64 B x H x W, 0 to ``classes`` - 1, or ``classes``: void. Outside the picture is void.
        strict: classes whose pixels keep their own class alone.

    Returns:
        bool B x (``classes`` + 1) x H x W, the last plane void.
    """
    planes = class_planes(F.pad(label, (1, 1, 1, 1), value=classes), classes + 1)
    rows = planes[..., :-2, :] | planes[..., 1:-1, :] | planes[..., 2:, :]
    relaxed = rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]
    for name in strict:
        relaxed = torch.where((label == name).unsqueeze(1), planes[..., 1:-1, 1:-1], relaxed)
    return relaxed


def boundary(label: Tensor) -> Tensor:
    """Pixels with another label above, below, left or right of them: B x H x W -> bool B x H x W."""
    result = torch.zeros_like(label, dtype=torch.bool)
    rows, columns = label[..., 1:, :] != label[..., :-1, :], label[..., 1:] != label[..., :-1]
    result[..., 1:, :] |= rows
    result[..., :-1, :] |= rows
    result[..., 1:] |= columns
    result[..., :-1] |= columns
    return result


def relaxed_cross_entropy(
    logits: Tensor,
    label: Tensor,
    relax: bool = True,
    strict: Sequence[int] = (),
    bound: float = 1.0,
    batch_weighting: bool = False,
    ignore_label: int = IGNORE_LABEL,
) -> Tensor:
    """Cross entropy of relaxed labels, weighted by class, in float32 at least.

    With the classes T allowed at a pixel, b their number, w the class weights and p the probabilities, a
    pixel costs -1/b (sum of w over T) log(sum of p over T), and 0 where T is empty; a picture costs the sum
    of its N pixels with a class divided by N + 1; the batch costs the mean of its pictures. Without
    relaxation, T is a pixel's own class and pixels at a boundary count twice.

    As published, a void pixel beside a class has that class allowed, and void counts in the class shares of
    :func:`loss.class_balance.frequency_weights`.

    Args:
        logits: B x classes x H x W.
        label: int64 B x H x W, train ids or ``ignore_label``.
        relax: False after ``--rlx_off_iter``.
        strict: classes that are never relaxed.
        bound: see :func:`loss.class_balance.frequency_weights`.
        batch_weighting: class shares of the batch, not of every picture.
    """
    logits = at_least_float32(logits)
    classes = logits.shape[1]
    label = torch.where(label == ignore_label, classes, label)
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
    # A pixel without a class is allowed all: log(1) is a 0 that has a gradient, where log(0) has none.
    possible = logits.masked_fill(~(allowed | ~valid.unsqueeze(1)), -torch.inf)
    log_probability = possible.logsumexp(1) - logits.logsumexp(1)
    costs = -pixel_weights * torch.where(allowed, class_weights, 0).sum(1) * log_probability
    return (costs.sum((1, 2)) / (valid.sum((1, 2)) + 1)).mean()
