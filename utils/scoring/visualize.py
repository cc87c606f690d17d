"""Pictures of a network's inputs and outputs: crops, class colours, confidence as grey, covariances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 4
CAPTION = 24
"""Heights in pixels of the white between pictures, and of a line of text."""


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


def panel(rows: Sequence[Sequence[Image.Image]], captions: Sequence[str]) -> Image.Image:
    """One picture that shows ``rows`` of pictures, with captions. Each column fits its widest picture."""
    widths = [max(row[i].width for row in rows) for i in range(len(captions))]
    heights = [max(picture.height for picture in row) for row in rows]
    size = (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(rows) + 1) + CAPTION)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions):
        left = GAP + sum(widths[:column]) + GAP * column
        draw.text((left, 2), caption, fill="black", font=ImageFont.load_default(CAPTION - 8))
        for number, row in enumerate(rows):
            sheet.paste(row[column], (left, CAPTION + GAP + sum(heights[:number]) + GAP * number))
    return sheet


def with_legend(picture: Image.Image, classes: Mapping[str, Sequence[int]]) -> Image.Image:
    """``picture`` above a list of ``classes``, name -> RGB colour, in as many columns as fit."""
    font = ImageFont.load_default(CAPTION - 8)
    wide = CAPTION + 2 * GAP + max(int(font.getlength(name)) for name in classes)
    columns = max(1, (picture.width - GAP) // wide)
    rows = -(-len(classes) // columns)
    width = max(picture.width, wide + GAP)
    sheet = Image.new("RGB", (width, picture.height + rows * CAPTION + GAP), "white")
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, (name, colour) in enumerate(classes.items()):
        left = GAP + number % columns * wide
        top = picture.height + number // columns * CAPTION
        draw.rectangle((left, top + 4, left + CAPTION - 8, top + CAPTION - 4), tuple(colour), "black")
        draw.text((left + CAPTION, top + 3), name, fill="black", font=font)
    return sheet


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
