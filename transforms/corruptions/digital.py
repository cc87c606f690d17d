"""Changes by processing: brightness, contrast, elastic deformation, coarse pixels, JPEG."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from transforms.corruptions.filters import as_levels, gaussian

BRIGHTENING = (0.1, 0.2, 0.3, 0.4, 0.5)
CONTRASTS = (0.4, 0.3, 0.2, 0.1, 0.05)
ELASTIC_AMOUNT = (12.5, 16.25, 21.25, 25.0, 30.0)
PIXEL_SCALES = (0.6, 0.5, 0.4, 0.3, 0.25)
JPEG_QUALITIES = (25, 18, 15, 10, 7)


def brightness(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """A greater value in HSV; hue and saturation stay."""
    channels = cv2.split(picture)
    brightest = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    levels = np.arange(256, dtype=np.float32)
    brighter = np.minimum(levels + np.float32(255 * BRIGHTENING[severity - 1]), 255)
    factor = cv2.LUT(brightest, brighter / np.maximum(levels, 1))
    # Black has no hue, so it becomes grey.
    grey = cv2.LUT(brightest, np.where(levels > 0, 0, brighter))
    return cv2.merge([as_levels(channel * factor + grey) for channel in channels])


def contrast(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Closer to the picture's mean colour."""
    mean = np.array(cv2.mean(picture)[:3])
    table = as_levels((np.arange(256)[:, None] - mean) * CONTRASTS[severity - 1] + mean)
    return cv2.LUT(picture, table[None])


def elastic_transform(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Every pixel moves by a smooth random field, on average by about one pixel to two or three.

    This is the form of Michaelis et al. (2019) for pictures of any size: the waves are as long as a share of
    the sides, and the random affine map is left out. Labels do not move with the picture.
    """
    height, width = picture.shape[:2]
    amount = np.float32(ELASTIC_AMOUNT[severity - 1] * 0.005 * height)
    sigma = 0.01 * height, 0.01 * width
    moved = []
    for along in np.meshgrid(np.arange(width), np.arange(height)):
        drawn = 2 * rng.random((height, width), dtype=np.float32) - 1
        moved.append(along.astype(np.float32) + amount * gaussian(drawn, sigma, 3, cv2.BORDER_REFLECT))
    pixels = picture.astype(np.float32)
    return as_levels(cv2.remap(pixels, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def pixelate(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Fewer pixels, each shown as a block."""
    scale = PIXEL_SCALES[severity - 1]
    image = Image.fromarray(picture)
    few = [max(1, int(side * scale)) for side in image.size]
    return np.asarray(image.resize(few, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST))


def jpeg_compression(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Written as JPEG of low quality, in memory, and read again."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITIES[severity - 1])
    with Image.open(file) as image:
        return np.asarray(image)
