"""Pictures of what a network says: class colours, colours over the picture, confidence as grey."""

from __future__ import annotations

import numpy as np
from PIL import Image


def colour_picture(train_ids: np.ndarray, palette: np.ndarray) -> Image.Image:
    """RGB picture of class numbers, uint8 H x W, in ``palette`` (uint8 classes x 3); others are black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    return Image.fromarray(table[train_ids])


def overlay_picture(image: Image.Image, colours: Image.Image, opacity: float = 0.5) -> Image.Image:
    """``colours`` laid over the RGB ``image`` of the same size; ``opacity`` in [0, 1], 1 hides the image."""
    return Image.blend(image, colours, opacity)


def confidence_picture(confidence: np.ndarray) -> Image.Image:
    """Grey picture of probabilities, float H x W in [0, 1]: black is 0, white is 1."""
    return Image.fromarray((confidence.clip(0, 1) * 255).round().astype(np.uint8))
