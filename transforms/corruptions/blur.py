"""Blurs: of a lens out of focus, of frosted glass, of motion, of a zoom during the exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from transforms.corruptions.filters import (
    as_fractions,
    as_levels,
    as_picture,
    disk,
    gaussian,
    smeared,
    zoomed,
)

DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
"""Radius of the disk and softness of its rim, in pixels."""

GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Sigma of the blur before and after, how far pixels move, and how often."""

MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Radius and sigma of the line, in pixels."""

ZOOMS = (
    np.arange(1, 1.11, 0.01),
    np.arange(1, 1.16, 0.01),
    np.arange(1, 1.21, 0.02),
    np.arange(1, 1.26, 0.02),
    np.arange(1, 1.31, 0.03),
)
"""The enlargements that are averaged with the picture."""


def defocus_blur(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """A disk in place of every point."""
    return as_picture(cv2.filter2D(as_fractions(picture), -1, disk(*DEFOCUS[severity - 1])))


def glass_blur(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Pixels take the colour of one nearby, between two Gaussian blurs."""
    sigma, reach, times = GLASS[severity - 1]
    height, width = picture.shape[:2]
    pixels = as_levels(gaussian(picture.astype(np.float32), (sigma, sigma), 4))
    places = np.arange(height * width, dtype=np.int32)
    for _ in range(times):
        places = places[shuffled(height, width, reach, rng)]
    pixels = pixels.reshape(-1, 3)[places].reshape(picture.shape)
    return as_levels(gaussian(pixels.astype(np.float32), (sigma, sigma), 4))


def shuffled(height: int, width: int, reach: int, rng: Generator) -> np.ndarray:
    """Where each pixel of a picture takes its colour from: int32 H * W, places row by row.

    The benchmark goes through the pixels from the last to the first, but for a rim of ``reach``. Each takes
    the colour that a pixel has by then which is -``reach`` .. ``reach`` - 1 rows and columns away. The
    benchmark means to swap the two, but its code does not change the other pixel. Here, all follow their
    sources at once.
    """
    places = np.arange(height * width, dtype=np.int32)
    inner = places.reshape(height, width)[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    drawn = rng.integers(-reach, reach, (*inner.shape, 2), dtype=np.int8)[::-1, ::-1].astype(np.int32)
    sources = places.copy()
    sources[inner] = inner + drawn[..., 1] * np.int32(width) + drawn[..., 0]
    replaced = np.zeros(places.shape, dtype=bool)
    replaced[inner] = True
    # A source further on had been replaced before, so its own source counts. Each pass doubles the steps.
    follows = (sources > places) & replaced[sources]
    while (waiting := np.flatnonzero(follows)).size:
        through = sources[waiting]
        sources[waiting], follows[waiting] = sources[through], follows[through]
    return sources


def motion_blur(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """A smear along a line at most 45 degrees from the horizontal."""
    angle = rng.uniform(-45, 45)
    return as_picture(smeared(as_fractions(picture), *MOTION[severity - 1], angle))


def zoom_blur(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """The mean of the picture and of enlargements of its centre."""
    pixels = as_fractions(picture)
    factors = ZOOMS[severity - 1]
    total = pixels.copy()
    for factor in factors:
        total += zoomed(pixels, factor)
    return as_picture(total / np.float32(len(factors) + 1))
