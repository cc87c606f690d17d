"""The semantic disentanglement contrastive loss of BlindNet (SDCL; Ahn et al., CVPR 2024)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from loss.class_contrast import contrast
from loss.pixel_sampling import group_pixels
from loss.precision import at_least_float32

ANCHORS_PER_PICTURE = 1000


class Confusions(NamedTuple):
    """Pixels that are predicted rightly in the original view but not in the jittered view, with negatives.

    Attributes:
        anchors: int64 A, batch-wide numbers of these pixels (``loss.pixel_sampling``).
        negatives: int64 B x classes x patch, batch-wide numbers of pixels that are labelled as each class.
        rows: int64 A, the row of an anchor's negatives in ``negatives.flatten(0, 1)``: that of its picture
            and of the class it is mistaken for.
        is_real: bool A, whether an entry is an anchor. The other entries only fill up, so that A does not
            depend on the pictures.
    """

    anchors: Tensor
    negatives: Tensor
    rows: Tensor
    is_real: Tensor


def sample_confusions(
    label: Tensor,
    prediction: Tensor,
    jittered_prediction: Tensor,
    num_classes: int,
    patch: int,
    generator: torch.Generator,
) -> Confusions:
    """Choose anchors, and negatives for them.

    An anchor is a pixel that is predicted as it is labelled in the original view, and as another class in the
    jittered view. At least ``patch`` pixels of the picture must be labelled as that wrong class. Of these,
    ``patch`` random ones are the negatives of all anchors of the picture with the same wrong class. At most
    1000 x B anchors of the batch are kept, chosen at random.

    Args:
        label: int64 B x H x W, train ids; pixels with any other value are ignored.
        prediction, jittered_prediction: int64 B x H x W, train ids only.
        generator: on the device of the maps.
    """
    label, prediction, wrong = (x.flatten(1) for x in (label, prediction, jittered_prediction))
    pictures, pixels = label.shape
    known = (label >= 0) & (label < num_classes)
    grouped = group_pixels(torch.where(known, label, num_classes), num_classes + 1, generator)
    is_anchor = known & (prediction == label) & (wrong != prediction)
    is_anchor &= grouped.counts.gather(1, wrong) >= patch
    noise = torch.rand(pictures * pixels, generator=generator, device=label.device)
    number = pictures * min(ANCHORS_PER_PICTURE, pixels)
    anchors = torch.where(is_anchor.flatten(), noise, 2.0).topk(number, largest=False, sorted=False).indices
    classes = torch.arange(num_classes, device=label.device)[:, None].expand(pictures, num_classes, patch)
    places = torch.arange(patch, device=label.device).expand_as(classes)
    rows = anchors // pixels * num_classes + wrong.flatten()[anchors]
    return Confusions(anchors, grouped.pixels(classes, places), rows, is_anchor.flatten()[anchors])


def disentanglement(
    query: Tensor, key: Tensor, negatives: Tensor, confusions: Confusions, temperature: float
) -> Tensor:
    """Mean :func:`loss.class_contrast.contrast` of the anchors; without an anchor 0, with zero gradients.

    Args:
        query, key: embeddings of unit length of the anchors, A x D, in the jittered and the original view; no
            gradient flows to ``key``.
        negatives: embeddings of the negatives in the jittered view, (B * classes * patch) x D.
        temperature: similarities are divided by it.
    """
    patch = confusions.negatives.shape[2]
    with torch.autocast(query.device.type, enabled=False):
        query, key, negatives = (at_least_float32(x) for x in (query, key.detach(), negatives))
        positive = (query * key).sum(dim=1) / temperature
        similarity = query @ negatives.T / temperature
        columns = patch * confusions.rows[:, None] + torch.arange(patch, device=query.device)
        losses = contrast(positive, similarity.gather(1, columns))
        real = confusions.is_real.to(losses.dtype)
        return (losses * real).sum() / real.sum().clamp(min=1)
