"""What several corruptions need: pixels as fractions, blurs, zoom, clouds."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

# What rounding errors of float32 may take away from a whole grey level.
ROUNDING = 1e-3


def as_fractions(picture: np.ndarray) -> np.ndarray:
    """uint8 pixels as float32 in [0, 1]."""
    return picture * np.float32(1 / 255)


def in_three_channels(plane: np.ndarray) -> np.ndarray:
    """H x W as H x W x 3."""
    # Numpy takes far longer to spread a plane over channels that lie next to each other.
    return cv2.merge((plane, plane, plane))


def as_picture(fractions: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] as uint8; others become the nearest of the two ends.

    Fractions of a grey level are cut off, not rounded, as in the benchmark's pictures.
    """
    return as_levels(fractions * np.float32(255))


def as_levels(levels: np.ndarray) -> np.ndarray:
    """The same for pixels in [0, 255]."""
    levels = levels + np.float32(ROUNDING)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def gaussian(
    pixels: np.ndarray, sigma: tuple[float, float], reach: float, border: int = cv2.BORDER_REPLICATE
) -> np.ndarray:
    """float32 ``pixels`` blurred by ``sigma`` (down, across) pixels; the filter ends at ``reach`` sigma."""
    down, across = (2 * int(reach * each + 0.5) + 1 for each in sigma)
    return cv2.GaussianBlur(pixels, (across, down), sigma[1], sigmaY=sigma[0], borderType=border)


def disk(radius: int, softness: float) -> np.ndarray:
    """The kernel of a lens out of focus, float32: an even disk; its rim is blurred by ``softness`` pixels."""
    half, side = (8, 3) if radius <= 8 else (radius, 5)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    even = (x**2 + y**2 <= radius**2).astype(np.float32)
    return cv2.GaussianBlur(even / even.sum(), (side, side), softness)


def smeared(pixels: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """float32 ``pixels`` smeared to one side along a line at ``angle`` degrees; edges repeat.

    The line has 2 ``radius`` + 1 whole pixels, whose weights fall like a Gaussian of ``sigma`` pixels.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    direction = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    rows, columns = (np.ceil(steps * part - 0.5).astype(int) for part in direction)
    top, left = rows.min(), columns.min()
    kernel = np.zeros((rows.max() - top + 1, columns.max() - left + 1), dtype=np.float32)
    np.add.at(kernel, (rows - top, columns - left), weights / weights.sum())
    return cv2.filter2D(pixels, -1, kernel, anchor=(int(-left), int(-top)), borderType=cv2.BORDER_REPLICATE)


def zoomed(pixels: np.ndarray, factor: float) -> np.ndarray:
    """The centre of float32 ``pixels``, enlarged ``factor`` >= 1 times to their size, linearly.

    The corners of the enlarged part are the centres of its corner pixels.
    """
    axes = []
    for side in pixels.shape[:2]:
        part = math.ceil(side / factor)
        axes.append(((part - 1) / max(1, round(part * factor) - 1), (side - part) // 2))
    (down, top), (across, left) = axes
    matrix = np.array([[across, 0, left], [0, down, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def plasma(side: int, fading: float, rng: Generator) -> np.ndarray:
    """Clouds in [0, 1]: float32, square, with at least ``side`` pixels a side; opposite edges fit together.

    Diamond-square algorithm (Fournier, Fussell, Carpenter, 1982). From one scale to the next finer one the
    noise is divided by ``fading`` squared.
    """
    full = max(2, 1 << (side - 1).bit_length())
    heights = np.zeros((full, full), dtype=np.float32)
    step, noise = full, 1.0

    def put(top: int, left: int, neighbours: np.ndarray) -> None:
        drawn = 2 * rng.random(neighbours.shape, dtype=np.float32) - 1
        heights[top::step, left::step] = neighbours / 4 + np.float32(noise) * drawn

    while step > 1:
        half = step // 2
        corners = heights[::step, ::step]
        rows = corners + np.roll(corners, -1, 0)
        put(half, half, rows + np.roll(rows, -1, 1))
        centres = heights[half::step, half::step]
        put(0, half, centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1))
        put(half, 0, centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0))
        step, noise = half, noise / fading**2
    heights -= heights.min()
    return heights / heights.max()
