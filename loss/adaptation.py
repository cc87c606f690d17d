"""Losses of unlabelled target pictures: maximum squares (Chen et al., ICCV 2019) and entropy minimisation.

All functions take logits, B x classes x H x W, and compute in float32 at least. The losses make the
prediction of every pixel more certain. As a pixel becomes certain, the slope of the entropy with respect to
its probability grows without bound, but the slope of the squares grows only linearly. With the squares, easy
pixels therefore do not dominate the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.entropy import pixel_entropy
from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL, class_planes, cross_entropy


def max_square(logits: Tensor) -> Tensor:
    """Maximum squares loss: minus half the mean of the squared probabilities, over pixels and classes.

    It lies between -1 / (2 classes), where all pixels are certain, and -1 / (2 classes^2), where every class
    is equally probable in all pixels.
    """
    return -pixel_squares(logits).mean() / (2 * logits.shape[1])


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the pixels divided by the number of classes: the mean of -p log p over both."""
    return pixel_entropy(logits).mean() / logits.shape[1]


def image_weighted_max_square(logits: Tensor, ratio: float) -> Tensor:
    """Maximum squares loss with :func:`image_weights`; as published, without the factor one half."""
    return -(pixel_squares(logits) * image_weights(logits, ratio)).sum(dim=(1, 2)).mean() / logits.shape[1]


def image_weighted_entropy(logits: Tensor, ratio: float) -> Tensor:
    """Entropy with :func:`image_weights`: weighted sum over a picture, mean over pictures and classes."""
    return (pixel_entropy(logits) * image_weights(logits, ratio)).sum(dim=(1, 2)).mean() / logits.shape[1]


def pixel_squares(logits: Tensor) -> Tensor:
    """Sum of the squared probabilities of every pixel: B x classes x H x W -> B x H x W."""
    return at_least_float32(logits).softmax(1).square().sum(1)


def image_weights(logits: Tensor, ratio: float) -> Tensor:
    """Pixel weights that are smaller where the predicted class is common in the picture; without gradient.

    The weight (B x H x W) is 1 / max(h^ratio M^(1 - ratio), 1). M is the number of pixels of the picture, and
    h is the number of them that are predicted as the same class. With a ratio of 0 every pixel weighs 1 / M;
    with 1 every class that occurs has the same total weight; 0.2 is published. The weights are computed for
    each picture of a batch alone (the published code does this correctly only for batches of one picture).
    """
    logits = at_least_float32(logits.detach())
    prediction = logits.argmax(1)
    pixels = prediction[0].numel()
    counts = class_planes(prediction, logits.shape[1]).sum((2, 3)).to(logits.dtype)
    weights = 1 / (counts**ratio * pixels ** (1 - ratio)).clamp(min=1)
    return weights.gather(1, prediction.flatten(1)).view_as(prediction)


def hard_pseudo_label(logits: Tensor, threshold: float) -> Tensor:
    """Cross entropy of the predicted classes, mean over the pixels with a probability above ``threshold``.

    If there is no such pixel, the loss is 0 and has zero gradients.
    """
    with torch.no_grad():
        confidence, label = at_least_float32(logits).softmax(1).max(1)
        label = torch.where(confidence > threshold, label, IGNORE_LABEL)
    return cross_entropy(logits, label)


def guidance(main_logits: Tensor, aux_logits: Tensor, threshold: float) -> Tensor:
    """Multi-level self-guidance: cross entropy of the auxiliary output with labels made by both outputs.

    The label of a pixel is the class with the highest mean probability of the two outputs. A pixel counts if
    at least one output is more certain than ``threshold``. If no pixel counts, the loss is 0 and has zero
    gradients. The main output gets no gradient. The auxiliary logits, B x classes x h x w, are resized to the
    main ones, B x classes x H x W, bilinearly.
    """
    size = (main_logits.shape[-2], main_logits.shape[-1])
    aux_logits = F.interpolate(at_least_float32(aux_logits), size, mode="bilinear", align_corners=True)
    with torch.no_grad():
        main, auxiliary = at_least_float32(main_logits).softmax(1), aux_logits.softmax(1)
        certain = torch.maximum(main.amax(1), auxiliary.amax(1)) > threshold
        label = torch.where(certain, (main + auxiliary).argmax(1), IGNORE_LABEL)
    return cross_entropy(aux_logits, label)
