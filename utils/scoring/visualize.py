"""Pictures of a network's inputs and outputs: crops, class colours, confidence as grey, covariances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image


def colour_picture(train_ids: np.ndarray, palette: np.ndarray) -> Image.Image:
    """Class numbers (uint8 H x W) in colours of ``palette`` (uint8 classes x 3), as RGB; others are black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    return Image.fromarray(table[train_ids])


def overlay_picture(image: Image.Image, colours: Image.Image, opacity: float = 0.5) -> Image.Image:
    """``colours`` over the RGB ``image`` of the same size. ``opacity`` is in [0, 1]; 1 hides the image."""
    return Image.blend(image, colours, opacity)


def confidence_picture(confidence: np.ndarray) -> Image.Image:
    """Grey picture of probabilities, float H x W in [0, 1]: black is 0, white is 1."""
    return Image.fromarray((confidence.clip(0, 1) * 255).round().astype(np.uint8))


def covariance_picture(covariance: np.ndarray) -> Image.Image:
    """RGB picture of correlations, float C x C: white is 0, red is an absolute value of 1 or more."""
    colour = ((1 - np.abs(covariance).clip(0, 1)) * 255).round().astype(np.uint8)
    return Image.fromarray(np.stack([np.full_like(colour, 255), colour, colour], axis=-1))


def grid_picture(rows: Sequence[Sequence[Image.Image]], side: int = 512) -> Image.Image:
    """One RGB picture of ``rows`` of pictures, which all have the same size.

    Each is shrunk to at most ``side`` pixels a side, by nearest neighbour, which mixes no colours of classes.
    """
    width, height = rows[0][0].size
    shrink = min(1.0, side / max(width, height))
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    grid = Image.new("RGB", (width * len(rows[0]), height * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x * width, y * height))
    return grid


def crop_pictures(
    batch: Mapping[str, Any], views: Sequence[str], palette: np.ndarray
) -> dict[str, Image.Image]:
    """The crops of a batch as ``<number>_<view>``, and its labels in the colours of ``palette``.

    ``batch`` is on the CPU. Its views are uint8 B x 3 x H x W, or B x T x 3 x H x W for groups of crops.
    Labelled pictures also have ``label``, uint8 B x H x W, which becomes ``<number>_label``.
    """
    pictures = {}
    for number, label in enumerate(batch.get("label", ())):
        pictures[f"{number}_label"] = colour_picture(label.numpy(), palette)
    for view in views:
        for number, crop in enumerate(batch[view].flatten(0, -4)):
            pixels = crop.permute(1, 2, 0).contiguous().numpy()
            pictures[f"{number}_{view}"] = Image.fromarray(pixels)
    return pictures
