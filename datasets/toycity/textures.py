"""Noise and leaf patterns. They are made once per process, from fixed keys."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from utils.seeding import generator

TILE = 256  # side of a noise tile in pixels
_TEXTURE_KEY = 20240229


@cache
def noise_tile(kind: int, octaves: int = 5, roughness: float = 0.6) -> np.ndarray:
    """A tile of smooth noise that repeats without a seam, float32 (TILE, TILE), with mean 0 and deviation 1.

    With a ``roughness`` near 1 the fine octaves are as strong as the coarse ones.
    """
    rng = generator(_TEXTURE_KEY, 1, kind)
    total = np.zeros((TILE, TILE), dtype=np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        # Wrapping before the resize and cutting after it removes the seam.
        wrapped = np.pad(coarse, 2, mode="wrap")
        factor = TILE // cells
        fine = cv2.resize(wrapped, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        total += roughness**octave * fine[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    return (total - total.mean()) / total.std()


def sample(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The values of the repeated noise tile at (x, y) in tile pixels, float32 of the shape of ``x``."""
    x = np.mod(x, TILE).astype(np.float32)
    y = np.mod(y, TILE).astype(np.float32)
    return cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


CROWNS = 8


@cache
def crown(kind: int) -> np.ndarray:
    """A tree crown lit from the upper left, uint8 (128, 128): 0 is outside, 1 to 255 are dark to bright."""
    rng = generator(_TEXTURE_KEY, 2, kind)
    side = 128
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    mask = np.zeros((side, side), dtype=np.float32)
    lit = np.zeros((side, side), dtype=np.float32)
    for _ in range(46):
        angle, reach = rng.uniform(0, 2 * np.pi), 0.34 * np.sqrt(rng.uniform())
        cx, cy = 0.5 + reach * np.cos(angle), 0.5 + 0.95 * reach * np.sin(angle)
        radius = rng.uniform(0.07, 0.15)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        clump = 0.5 - 0.5 * ((x - cx) + 1.4 * (y - cy)) / radius + 0.5 * (0.5 - cy) + rng.uniform(-0.12, 0.12)
        lit = np.where(inside, clump, lit)
        mask = np.maximum(mask, 1 - ((x - cx) ** 2 + (y - cy) ** 2) / radius**2)
    leaves = sample(noise_tile(10 + kind, 6, 0.95), x * TILE, y * TILE)
    shade = np.clip(110 + 105 * lit + 26 * leaves, 1, 255)
    inside = (mask > 0.12 + 0.05 * leaves).astype(np.uint8)
    # Only the largest patch is kept, so that no leaves float in the air.
    _, patches, sizes, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    largest = 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA]))
    return np.where(patches == largest, shade, 0).astype(np.uint8)
