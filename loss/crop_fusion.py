"""Fusion of the predictions of several crops of a picture (DA-SAC, Araslanov and Roth, CVPR 2021).

A group is T crops of one picture, which is called the canvas. Crops and canvas have the same size in pixels.
Two affine maps, float 2 x 3, say where a crop lies, in the convention of
``torch.nn.functional.affine_grid`` with ``align_corners=False``: ``affine`` takes a place of the canvas to
its place in the crop, and ``affine_inverse`` takes a place of the crop to its place on the canvas. All
functions compute in float32 at least, also under autocast.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32

Fusion = Literal["mean", "min_entropy", "none"]
FUSIONS: tuple[Fusion, ...] = ("mean", "min_entropy", "none")
SMALLEST_TOTAL = 1e-3
# A place of the canvas has no prediction if the crops cover it by less than this.
SMALLEST_COVER = 0.1


def refine(
    probability: Tensor, affine: Tensor, affine_inverse: Tensor, fusion: Fusion, crops: slice = slice(None)
) -> Tensor:
    """The fused prediction of a group, cut out again for each of its crops.

    Args:
        probability: G x T x C x H x W, for all crops of each group; 0 in every class where a crop shows no
            part of the picture.
        affine, affine_inverse: G x T x 2 x 3.
        fusion: as in :func:`fuse`, or "none": every crop keeps its own prediction.
        crops: a slice: which crops are returned (t of them).

    Returns:
        G x t x C x H x W, 0 in every class where there is no prediction.
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
        grid = F.affine_grid(
            affine.flatten(0, 1).to(maps), list(maps.flatten(0, 1).shape), align_corners=False
        )
        placed = F.grid_sample(maps.flatten(0, 1), grid, align_corners=False).view_as(maps)
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
