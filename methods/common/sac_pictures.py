"""Pictures that show how DA-SAC labels a target picture."""

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
    """A picture with one row for each crop of a group.

    A row shows from left to right: the clean crop, the distorted crop, the teacher's prediction, its
    prediction fused over all crops, the pseudo labels, their confidence, and the network's prediction. Pixels
    without a label are black.

    Args:
        views: "image" (clean) and "noisy" (distorted), uint8 T x 3 x H x W.
        maps: "teacher", "fused" and "prediction", T x C x H x W. The first two are probabilities, and 0 in
            every class where there is no prediction.
        labels: pseudo labels of the T crops.
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
    """The most probable class, or 255 where all are equal: T x C x H x W -> uint8 T x H x W."""
    known = maps.amax(1) > maps.amin(1)
    return maps.argmax(1).where(known, IGNORE_LABEL).byte().cpu().numpy()


def photograph(view: Tensor) -> Image.Image:
    """A view, uint8 3 x H x W, as a picture."""
    return Image.fromarray(view.permute(1, 2, 0).contiguous().cpu().numpy())
