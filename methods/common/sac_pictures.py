"""A look at how DA-SAC labels a target picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image
from torch import Tensor

from loss.segmentation import IGNORE_LABEL
from loss.self_supervision import PseudoLabels
from utils.scoring.visualize import colour_picture, confidence_picture, grid_picture


def group_picture(
    views: Mapping[str, Tensor], maps: Mapping[str, Tensor], labels: PseudoLabels, palette: np.ndarray
) -> Image.Image:
    """A row for every crop of a group.

    From left to right: the clean crop, the distorted one, what the teacher says of it, what it says of all
    crops together, the pseudo labels, the confidence in them, the network's prediction. What has no label is
    black.

    Args:
        views: "image" and "noisy", uint8 T x 3 x H x W.
        maps: "teacher" and "fused", probabilities that are all 0 where there is none, and "prediction",
            T x C x H x W.
        labels: of the T crops.
        palette: uint8 classes x 3.
    """
    classes = {name: best_class(maps[name]) for name in ("teacher", "fused", "prediction")}
    rows = []
    for crop in range(len(labels.label)):
        picture = {name: photograph(view[crop]) for name, view in views.items()}
        picture |= {name: colour_picture(best[crop], palette) for name, best in classes.items()}
        picture["label"] = colour_picture(labels.label[crop].byte().cpu().numpy(), palette)
        picture["confidence"] = confidence_picture(labels.confidence[crop].float().cpu().numpy())
        order = ("image", "noisy", "teacher", "fused", "label", "confidence", "prediction")
        rows.append([picture[name] for name in order])
    return grid_picture(rows)


def best_class(maps: Tensor) -> np.ndarray:
    """The most probable classes, uint8 T x H x W, 255 where all are equal; ``maps`` T x C x H x W."""
    known = maps.amax(1) > maps.amin(1)
    return maps.argmax(1).where(known, IGNORE_LABEL).byte().cpu().numpy()


def photograph(view: Tensor) -> Image.Image:
    """A picture uint8 3 x H x W."""
    return Image.fromarray(view.permute(1, 2, 0).contiguous().cpu().numpy())
