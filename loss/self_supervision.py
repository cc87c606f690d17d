"""Self-supervision by the crops of a picture (DA-SAC, Araslanov and Roth, CVPR 2021).

The teacher's predictions of several crops are fused. A pixel gets a pseudo label where the teacher is certain
enough. The running class prior, which is the mean probability of every class, tells which classes are rare. A
rare class needs less certainty, and its pixels cost more.

A group is T crops of one picture, which is called the canvas. Crops and canvas have the same size in pixels.
Two affine maps, float 2 x 3, say where a crop lies, in the convention of
``torch.nn.functional.affine_grid`` with ``align_corners=False``: ``affine`` takes a place of the canvas to
its place in the crop, and ``affine_inverse`` takes a place of the crop to its place on the canvas. All
functions compute in float32 at least; fusion does so also under autocast.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from loss.segmentation import IGNORE_LABEL, class_planes

Fusion = Literal["mean", "min_entropy", "none"]
FUSIONS: tuple[Fusion, ...] = ("mean", "min_entropy", "none")
SMALLEST_TOTAL = 1e-3  # It only prevents a division by 0.
# A place of the canvas has no prediction if the crops cover it by less than this.
SMALLEST_COVER = 0.1
Confidence = Literal["per_image", "batch_mean", "none"]
CONFIDENCES: tuple[Confidence, ...] = ("per_image", "batch_mean", "none")
# A class keeps its initial prior if its mean probability in the first batch is not larger than this.
SMALLEST_SHARE = 1e-8


def refine(
    probability: Tensor, affine: Tensor, affine_inverse: Tensor, fusion: Fusion, crops: slice = slice(None)
) -> Tensor:
    """The fused prediction of G groups, cut out again for t ``crops`` of each: G x t x C x H x W.

    ``probability`` is G x T x C x H x W, the affine maps are G x T x 2 x 3. Probabilities are 0 in every
    class where there is no prediction. ``fusion`` is as in :func:`fuse`, or "none": every crop keeps its own.
    """
    if fusion == "none":
        return probability[:, crops]
    return from_canvas(fuse(probability, affine, fusion), affine_inverse[:, crops])


def fuse(probability: Tensor, affine: Tensor, fusion: Fusion) -> Tensor:
    """Probabilities on the canvas from those of a group's crops: G x T x C x H x W -> G x C x H x W.

    "mean" takes, at every place, the mean over the crops that cover it. A crop whose border lies there counts
    by the share of the place that it covers. "min_entropy" takes the prediction of the crop that is most
    certain there. Where there is no crop, the result is 0.
    """
    with torch.autocast(probability.device.type, enabled=False):
        maps = at_least_float32(probability)
        crops = maps.flatten(0, 1)
        grid = F.affine_grid(affine.flatten(0, 1).to(maps), list(crops.shape), align_corners=False)
        placed = F.grid_sample(crops, grid, align_corners=False).view_as(maps)
        if fusion == "min_entropy":
            placed = most_certain(placed).unsqueeze(1)
        # Probabilities sum to 1, so their sum is the covered share.
        cover = placed.sum((1, 2)).unsqueeze(1)
        return torch.where(cover > SMALLEST_COVER, placed.sum(1) / cover.clamp(min=SMALLEST_TOTAL), 0)


def most_certain(placed: Tensor) -> Tensor:
    """The prediction with the lowest entropy at every place: G x T x C x H x W -> G x C x H x W.

    Only crops that cover the place are compared.
    """
    cover = placed.sum(2)
    entropy = torch.special.entr(placed / cover.clamp(min=SMALLEST_TOTAL).unsqueeze(2)).sum(2)
    best = torch.where(cover > SMALLEST_COVER, entropy, torch.inf).argmin(1)
    index = best[:, None, None].expand(-1, 1, placed.shape[2], -1, -1)
    return placed.gather(1, index).squeeze(1)


def from_canvas(canvas: Tensor, affine_inverse: Tensor) -> Tensor:
    """Each crop's part of the canvas: G x C x H x W, crops at G x T x 2 x 3 -> G x T x C x H x W.

    It is 0 where a crop reaches beyond the canvas. (The published code looks for these places on the canvas
    instead of in the crop. This makes no difference for crops within the canvas, as all published ones are.)
    """
    with torch.autocast(canvas.device.type, enabled=False):
        groups, crops = affine_inverse.shape[:2]
        maps = at_least_float32(canvas).unsqueeze(1).expand(-1, crops, -1, -1, -1).flatten(0, 1)
        grid = F.affine_grid(affine_inverse.flatten(0, 1).to(maps), list(maps.shape), align_corners=False)
        # "border": a pixel whose centre is less than half a pixel from the canvas's border still gets a full
        # prediction.
        parts = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        inside = (grid.abs() <= 1).all(3)
        return (parts * inside.unsqueeze(1)).unflatten(0, (groups, crops))


class PseudoLabels(NamedTuple):
    """Labels of a batch: the most probable class, or 255 where it is not probable enough (int64 B x H x W).

    ``confidence``, float, is the probability of the most probable class, also where the label is 255.
    """

    label: Tensor
    confidence: Tensor


def updated_prior(prior: Tensor, share: Tensor, momentum: float, is_first: Tensor) -> Tensor:
    """The running class prior after one more batch, ``momentum`` x old + (1 - momentum) x ``share``.

    ``share``, like ``prior`` float C, is the mean probability of every class in the batch. If ``is_first`` (a
    bool tensor without dimensions), ``share`` first replaces the prior of the classes that the batch has.
    """
    prior = torch.where(is_first & (share > SMALLEST_SHARE), share, prior)
    return momentum * prior + (1 - momentum) * share


def thresholds(
    peak: Tensor, prior: Tensor, upper: float, beta: float, lower: float = 0.0, discount: bool = True
) -> Tensor:
    """The probability that a class must exceed in a picture to become a label, B x C (eq. 3).

    It is ``upper`` x ``peak`` x (1 - exp(-prior / ``beta``)), but at least ``lower``. ``peak``, B x C, is the
    highest probability of a class in the picture. The lower bound is in the published code, not in the paper.
    Without ``discount`` the factor with the prior (C) is left out.
    """
    factor = 1 - torch.exp(-prior / beta) if discount else torch.ones_like(prior)
    return (upper * peak * factor).clamp(min=lower)


def pseudo_labels(
    probability: Tensor, prior: Tensor, upper: float, beta: float, lower: float = 0.0, discount: bool = True
) -> PseudoLabels:
    """Label each pixel with its most probable class, if that is more probable than its :func:`thresholds`.

    ``probability``, B x C x H x W, is 0 in every class where there is nothing to label.
    """
    probability = at_least_float32(probability.detach())
    confidence, best = probability.max(1)
    planes = class_planes(best, probability.shape[1])
    peak = torch.where(planes, probability, 0).amax((2, 3))
    least = thresholds(peak, at_least_float32(prior), upper, beta, lower, discount)
    least = least.gather(1, best.flatten(1)).view_as(confidence)
    return PseudoLabels(torch.where(confidence > least, best, IGNORE_LABEL), confidence)


def focal_confidence_loss(
    logits: Tensor, labels: PseudoLabels, prior: Tensor, power: float, confidence: Confidence = "per_image"
) -> Tensor:
    """Cross entropy of pseudo labels x (1 - prior of the class)^power x confidence (eq. 6).

    It is the mean over ALL pixels of logits B x C x H x W: pixels without a label are counted and cost 0.
    ``confidence`` "per_image" multiplies every pixel by the teacher's confidence in it, as in the paper.
    "batch_mean" multiplies the mean cost over the batch at a place by the mean confidence there. The released
    code does this by mistake: the result depends on how many pictures a process has. "none" leaves the
    confidence out.
    """
    logits = at_least_float32(logits)
    weights = (1 - prior.to(logits).clamp(min=0)) ** power
    cost = F.cross_entropy(logits, labels.label, weights, ignore_index=IGNORE_LABEL, reduction="none")
    if confidence == "none":
        return cost.mean()
    certain = labels.confidence.to(cost)
    if confidence == "batch_mean":
        return (cost.mean(0) * certain.mean(0)).mean()
    return (cost * certain).mean()
