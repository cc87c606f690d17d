"""Weather: snow, frost on the pane, fog."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from transforms.corruptions.filters import (
    as_fractions,
    as_levels,
    as_picture,
    in_three_channels,
    plasma,
    smeared,
    zoomed,
)
from transforms.corruptions.frost_panes import PANES, pane

SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
"""Mean and deviation of the flakes' light, their enlargement, the least light that shows, radius and sigma of
their fall, and the share of the picture that keeps its colour."""

FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Weights of the picture and of the frost."""

FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""Thickness, and how fast the fog's detail fades from one scale to the next."""


def snow(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Falling flakes, the same turned upside down, and a world that is whiter and has less colour."""
    mean, deviation, size, least, radius, sigma, share = SNOW[severity - 1]
    flakes = mean + deviation * rng.standard_normal(picture.shape[:2], dtype=np.float32)
    flakes = zoomed(flakes, size)
    flakes[flakes < least] = 0
    flakes = smeared(flakes.clip(0, 1), radius, sigma, angle=rng.uniform(-135, -45))
    flakes = np.round(flakes * 255) / np.float32(255)
    pixels = as_fractions(picture)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) * np.float32(1.5) + np.float32(0.5)
    whitened = share * pixels + (1 - share) * np.maximum(pixels, in_three_channels(grey))
    return as_picture(whitened + in_three_channels(flakes + flakes[::-1, ::-1]))


def frost(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Frost on the pane before the camera: a random part of one of the five panes.

    The benchmark uses five photographs of frost. Those here are drawn (see ``frost_panes``), so scores are
    close to the benchmark's but not comparable digit by digit.
    """
    of_picture, of_frost = FROST[severity - 1]
    height, width = picture.shape[:2]
    frozen = pane(int(rng.integers(len(PANES))))
    scale = max(height / frozen.shape[0], width / frozen.shape[1])
    if scale > 1:
        size = [round(scale * side) for side in frozen.shape[1::-1]]
        frozen = cv2.resize(frozen, size, interpolation=cv2.INTER_CUBIC)
    top = int(rng.integers(frozen.shape[0] - height + 1))
    left = int(rng.integers(frozen.shape[1] - width + 1))
    frozen = frozen[top : top + height, left : left + width]
    return as_levels(np.float32(of_picture) * picture + np.float32(of_frost) * frozen)


def fog(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """White clouds of all sizes, and less light behind them."""
    thickness, fading = FOG[severity - 1]
    height, width = picture.shape[:2]
    pixels = as_fractions(picture)
    brightest = pixels.max()
    clouds = thickness * plasma(max(height, width), fading, rng)[:height, :width]
    return as_picture((pixels + in_three_channels(clouds)) * (brightest / (brightest + thickness)))
