"""Predictions of several crops of a picture brought together (DA-SAC, Araslanov and Roth, CVPR 2021).

Crops belong to groups: T crops of one canvas. Where a crop lies is an affine map, float 2 x 3, in the
convention of ``torch.nn.functional.affine_grid`` with ``align_corners=False``: ``affine`` says for every
place of the canvas where in the crop it is, ``affine_inverse`` for every place of the crop where in the
canvas. Crops and canvas have the same size in pixels. All functions compute in float32 at least, whatever the
autocast state.
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
# A place of the canvas that the crops cover by less has no prediction.
SMALLEST_COVER = 0.1


def refine(
    probability: Tensor, affine: Tensor, affine_inverse: Tensor, fusion: Fusion, crops: slice = slice(None)
) -> Tensor:
    """Of every crop, what all crops of its group together say about it.

    Args:
        probability: G x T x C x H x W, of every group all its crops; 0 in every class where there is no
            picture.
        affine, affine_inverse: G x T x 2 x 3.
        fusion: as in :func:`fuse`; "none" gives every crop its own prediction.
        crops: whose results are wanted, t of the T.

    Returns:
        G x t x C x H x W, 0 in every class where there is no prediction.
    """
    if fusion == "none":
        return probability[:, crops]
    return from_canvas(fuse(probability, affine, fusion), affine_inverse[:, crops])


def fuse(probability: Tensor, affine: Tensor, fusion: Fusion) -> Tensor:
    """Probabilities of a group's crops on their canvas: G x T x C x H x W -> G x C x H x W.

    "mean": at every place the mean over the crops that cover it (at a crop's border, by how much it does).
    "min_entropy": the prediction of the crop that is most certain there. 0 where no crop is.
    """
    with torch.autocast(probability.device.type, enabled=False):
        maps = at_least_float32(probability)
        grid = F.affine_grid(
            affine.flatten(0, 1).to(maps), list(maps.flatten(0, 1).shape), align_corners=False
        )
        placed = F.grid_sample(maps.flatten(0, 1), grid, align_corners=False).view_as(maps)
        if fusion == "min_entropy":
            placed = most_certain(placed).unsqueeze(1)
        cover = placed.sum((1, 2)).unsqueeze(1)
        return torch.where(cover > SMALLEST_COVER, placed.sum(1) / cover.clamp(min=SMALLEST_TOTAL), 0)


def most_certain(placed: Tensor) -> Tensor:
    """At every place the prediction with the lowest entropy: G x T x C x H x W -> G x C x H x W.

    Crops that do not cover the place are not asked.
    """
    cover = placed.sum(2)
    entropy = torch.special.entr(placed / cover.clamp(min=SMALLEST_TOTAL).unsqueeze(2)).sum(2)
    best = torch.where(cover > SMALLEST_COVER, entropy, torch.inf).argmin(1)
    index = best[:, None, None].expand(-1, 1, placed.shape[2], -1, -1)
    return placed.gather(1, index).squeeze(1)


def from_canvas(canvas: Tensor, affine_inverse: Tensor) -> Tensor:
    """Each crop's part of the canvas: G x C x H x W, crops at G x T x 2 x 3 -> G x T x C x H x W.

    0 where a crop reaches beyond the canvas. (The published code looks for those places in the other frame,
    which makes no difference as long as crops lie within the canvas, as the published ones do.)
    """
    with torch.autocast(canvas.device.type, enabled=False):
        groups, crops = affine_inverse.shape[:2]
        maps = at_least_float32(canvas).unsqueeze(1).expand(-1, crops, -1, -1, -1).flatten(0, 1)
        grid = F.affine_grid(affine_inverse.flatten(0, 1).to(maps), list(maps.shape), align_corners=False)
        # A pixel whose centre is on the canvas has a whole prediction, also half a pixel from the border.
        parts = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
        inside = (grid.abs() <= 1).all(3)
        return (parts * inside.unsqueeze(1)).unflatten(0, (groups, crops))
