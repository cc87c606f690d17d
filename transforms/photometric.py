"""Changes of colour and sharpness that leave the label alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageFilter
from skimage.restoration import denoise_bilateral
from torchvision.transforms import functional


@dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue, in random order, with some ``probability``.

    Factors are uniform in [max(0, 1 - amount), 1 + amount], the hue shift in [-hue, hue] turns of the
    colour circle (at most 0.5): the distribution of torchvision's ColorJitter, drawn from an explicit
    generator.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float = 1.0

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        if rng.random() >= self.probability:
            return image
        for operation in rng.permutation(4):
            match int(operation):
                case 0:
                    image = functional.adjust_brightness(image, _factor(self.brightness, rng))
                case 1:
                    image = functional.adjust_contrast(image, _factor(self.contrast, rng))
                case 2:
                    image = functional.adjust_saturation(image, _factor(self.saturation, rng))
                case 3:
                    image = functional.adjust_hue(image, rng.uniform(-self.hue, self.hue))
        return image


def _factor(amount: float, rng: np.random.Generator) -> float:
    return rng.uniform(max(0.0, 1.0 - amount), 1.0 + amount)


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` (uint8 H x W x 3) blurred by ``sigma`` pixels, cut at 4 sigma, edges repeated.

    Rounded to the nearest grey level; the published code cut decimals off, which darkens by half a level.
    """
    side = 2 * int(4 * sigma + 0.5) + 1
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)


def bilateral_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` (uint8 H x W x 3) smoothed but for its edges; ``sigma`` is the spatial deviation in pixels.

    The window (5 x 5 here) and the colour deviation (the picture's own) are scikit-image's, as in the
    published code.
    """
    blurred = denoise_bilateral(image, sigma_spatial=sigma, mode="edge", channel_axis=-1)
    return (blurred * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Photometric:
    """Colour jitter, then a blur of random strength on every picture, or either alone.

    Gaussian: sigma uniform in [0.15, 1.30] pixels. Bilateral: spatial sigma uniform in [0.05, 0.75].
    """

    jitter: ColourJitter | None = None
    blur: Literal["gaussian", "bilateral"] | None = None

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """RGB picture to uint8 H x W x 3."""
        if self.jitter is not None:
            image = self.jitter(image, rng)
        pixels = np.asarray(image)
        if self.blur == "gaussian":
            pixels = gaussian_blur(pixels, 0.15 + 1.15 * rng.random())
        elif self.blur == "bilateral":
            pixels = bilateral_blur(pixels, rng.uniform(0.05, 0.75))
        return pixels


@dataclass(frozen=True)
class OccasionalBlur:
    """Gaussian blur with a ``probability``, of a radius uniform in [0, ``radius``]; else no change.

    The radius is the deviation in pixels of Pillow's approximation by three box filters.
    """

    probability: float = 0.5
    radius: float = 1.0

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """RGB picture to uint8 H x W x 3."""
        if rng.random() < self.probability:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, self.radius)))
        return np.asarray(image)


COVARIANCE_PHOTOMETRIC = Photometric(ColourJitter(0.8, 0.8, 0.8, 0.3), "gaussian")
"""The strong change whose effect on feature covariances marks style (ISW, Choi et al. CVPR 2021)."""
