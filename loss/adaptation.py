"""Losses of unlabelled target pictures (maximum squares, Chen et al., ICCV 2019, and entropy minimisation).

All of them take logits, B x classes x H x W, and compute in float32 at least. The soft losses sharpen every
pixel's prediction. The slope of the entropy in a probability grows without bound as a pixel becomes certain,
that of the squares only linearly, so that easy pixels do not drown the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.class_balance import class_planes
from loss.entropy import pixel_entropy
from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL, cross_entropy


def max_square(logits: Tensor) -> Tensor:
    """Maximum squares loss: minus half the mean of the squared probabilities, over pixels and classes.

    From -1 / (2 classes), all pixels certain, to -1 / (2 classes^2), all of them undecided.
    """
    return -pixel_squares(logits).mean() / (2 * logits.shape[1])


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the pixels divided by the number of classes: the mean of -p log p over both."""
    return pixel_entropy(logits).mean() / logits.shape[1]


def image_weighted_max_square(logits: Tensor, ratio: float) -> Tensor:
    """Minus the squared probabilities, weighted by :func:`image_weights`, over pictures and classes.

    As published this has no factor one half, which :func:`max_square` has.
    """
    return -(pixel_squares(logits) * image_weights(logits, ratio)).sum(dim=(1, 2)).mean() / logits.shape[1]


def image_weighted_entropy(logits: Tensor, ratio: float) -> Tensor:
    """The entropies of the pixels, weighted by :func:`image_weights`, over pictures and classes."""
    return (pixel_entropy(logits) * image_weights(logits, ratio)).sum(dim=(1, 2)).mean() / logits.shape[1]


def pixel_squares(logits: Tensor) -> Tensor:
    """Sum of the squared probabilities at every position: B x classes x H x W -> B x H x W."""
    return at_least_float32(logits).softmax(1).square().sum(1)


def image_weights(logits: Tensor, ratio: float) -> Tensor:
    """Weights of the pixels by how common their predicted class is in their picture; no gradient.

    1 / max(h^ratio M^(1 - ratio), 1) with h the pixels of the picture that are predicted the same class and M
    all of its pixels. A ratio of 0 weighs all pixels 1 / M; with 1 every class that occurs counts the same.
    Every picture of a batch has weights of its own (the published code is right for batches of one).

    Args:
        logits: B x classes x H x W.
        ratio: 0 to 1; 0.2 is published.

    Returns:
        float B x H x W.
    """
    logits = at_least_float32(logits.detach())
    prediction = logits.argmax(1)
    pixels = prediction[0].numel()
    counts = class_planes(prediction, logits.shape[1]).sum((2, 3)).to(logits.dtype)
    weights = 1 / (counts**ratio * pixels ** (1 - ratio)).clamp(min=1)
    return weights.gather(1, prediction.flatten(1)).view_as(prediction)


def hard_pseudo_label(logits: Tensor, threshold: float) -> Tensor:
    """Cross entropy of the predicted classes, mean over the pixels more probable than ``threshold``.

    Where no pixel is, it costs 0 and has zero gradients.
    """
    with torch.no_grad():
        confidence, label = at_least_float32(logits).softmax(1).max(1)
        label = torch.where(confidence > threshold, label, IGNORE_LABEL)
    return cross_entropy(logits, label)


def guidance(main_logits: Tensor, aux_logits: Tensor, threshold: float) -> Tensor:
    """Multi-level self-guidance: cross entropy of the auxiliary output with labels made by both outputs.

    The label of a pixel is the class of the highest mean probability of the two, where either output is more
    certain than ``threshold``; the others do not count. Where none counts, it costs 0 and has zero gradients.
    The main output gets no gradient.

    Args:
        main_logits: B x classes x H x W.
        aux_logits: B x classes x h x w; at a lower resolution they are brought to H x W first, bilinearly.
        threshold: 0 to 1.
    """
    size = (main_logits.shape[-2], main_logits.shape[-1])
    aux_logits = F.interpolate(at_least_float32(aux_logits), size, mode="bilinear", align_corners=True)
    with torch.no_grad():
        main, auxiliary = at_least_float32(main_logits).softmax(1), aux_logits.softmax(1)
        certain = torch.maximum(main.amax(1), auxiliary.amax(1)) > threshold
        label = torch.where(certain, (main + auxiliary).argmax(1), IGNORE_LABEL)
    return cross_entropy(aux_logits, label)
