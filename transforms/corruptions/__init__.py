"""The 15 common corruptions of Hendrycks and Dietterich (ICLR 2019), each at severities 1 to 5.

This is our own implementation, with the constants of the benchmark for large pictures (ImageNet-C). It takes
pictures of any size. Where their size matters, it follows Michaelis et al. (Benchmarking Robustness in Object
Detection, 2019): the waves of fog and elastic deformation scale with the picture, blurs and flakes have fixed
sizes in pixels. Frost is drawn, not photographed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from transforms.corruptions import blur, digital, noise, weather
from utils.seeding import generator

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""RGB picture (uint8 H x W x 3), severity (1 to 5) and generator -> a new picture of the same size."""

CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
"""In the benchmark's order."""

SEVERITIES = (1, 2, 3, 4, 5)

SEED = 2019
"""Every score is made with the same draws, so this is no setting."""


def corrupted(picture: np.ndarray, corruption: str, severity: int, name: str) -> np.ndarray:
    """The ``picture`` called ``name``, uint8 H x W x 3, after a corruption.

    The random draws depend on the name, the corruption and the severity alone.
    """
    words = (name.encode("utf-8", "surrogateescape"), corruption.encode())
    rng = generator(SEED, *map(zlib.crc32, words), severity)
    return CORRUPTIONS[corruption](picture, severity, rng)
