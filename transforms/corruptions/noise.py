"""Noise: of a dim sensor, of counted photons, of broken pixels."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from transforms.corruptions.filters import as_fractions, as_picture

GAUSSIAN_DEVIATION = (0.08, 0.12, 0.18, 0.26, 0.38)
PHOTONS = (60, 25, 12, 5, 3)
BROKEN_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)


def gaussian_noise(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Normal noise on every value; its deviation is a share of the range."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= GAUSSIAN_DEVIATION[severity - 1]
    return as_picture(noise + as_fractions(picture))


def shot_noise(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """Every value is a count of photons, Poisson; white is as many on average as the table says."""
    photons = PHOTONS[severity - 1]
    counts = rng.poisson(as_fractions(picture) * photons)
    return as_picture(counts.astype(np.float32) / np.float32(photons))


def impulse_noise(picture: np.ndarray, severity: int, rng: Generator) -> np.ndarray:
    """A share of the values is black or white, half of it each; the colours of a pixel are apart."""
    share = BROKEN_SHARE[severity - 1]
    drawn = rng.random(picture.shape, dtype=np.float32)
    corrupted = picture.copy()
    corrupted[drawn < share] = 0
    corrupted[drawn < share / 2] = 255
    return corrupted
