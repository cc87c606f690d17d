"""Changes of colour and sharpness, which do not change the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter
from skimage.restoration import denoise_bilateral
from torchvision.transforms import functional

JITTERS = ("brightness", "contrast", "saturation", "hue")

Jitter = tuple[tuple[str, float], ...]
"""Changes of colour in their order, each as (name in :data:`JITTERS`, factor or hue shift); may be empty."""

GAUSSIAN_SIGMA = (0.15, 1.30)
"""The range of a Gaussian blur's standard deviation, in pixels."""


@dataclass(frozen=True)
class ColourJitter:
    """With ``probability``, random changes of brightness, contrast, saturation and hue, in random order.

    Factors are uniform in [max(0, 1 - amount), 1 + amount]; the hue shift is uniform in [-hue, hue] turns of
    the colour circle (hue is at most 0.5). This is the distribution of torchvision's ColorJitter, but the
    generator is passed in.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float = 1.0

    def __call__(self, image: Image.Image, rng: Generator) -> Image.Image:
        return jittered(image, self.draw(rng))

    def draw(self, rng: Generator) -> Jitter:
        """The changes of one picture."""
        if rng.random() >= self.probability:
            return ()
        amounts = (self.brightness, self.contrast, self.saturation)
        ranges = [(max(0.0, 1.0 - amount), 1.0 + amount) for amount in amounts] + [(-self.hue, self.hue)]
        return tuple((JITTERS[kind], rng.uniform(*ranges[kind])) for kind in rng.permutation(4))


def jittered(image: Image.Image, jitter: Jitter) -> Image.Image:
    """The RGB picture ``image`` after the changes of ``jitter``."""
    for name, amount in jitter:
        image = getattr(functional, f"adjust_{name}")(image, amount)
    return image


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` (uint8 H x W x 3) blurred by ``sigma`` pixels. The filter ends at 4 sigma; edges repeat.

    Results are rounded to the nearest grey level. The published code rounds down, which darkens pictures by
    half a level.
    """
    side = 2 * blur_radius(sigma) + 1
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)


def blur_radius(sigma: float) -> int:
    """How many pixels a Gaussian of ``sigma`` pixels, which ends at 4 sigma, reaches to each side."""
    return int(4 * sigma + 0.5)


def bilateral_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` (uint8 H x W x 3) smoothed except at edges; ``sigma`` is the spatial deviation in pixels.

    The window (here 5 x 5) and the colour deviation (that of the picture) are scikit-image's defaults, as in
    the published code.
    """
    blurred = denoise_bilateral(image, sigma_spatial=sigma, mode="edge", channel_axis=-1)
    return (blurred * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Photometric:
    """Colour jitter, then a blur of random strength; both are optional.

    The sigma of a Gaussian blur is uniform in :data:`GAUSSIAN_SIGMA`, the spatial sigma of a bilateral blur
    in [0.05, 0.75].
    """

    jitter: ColourJitter | None = None
    blur: Literal["gaussian", "bilateral"] | None = None

    def __call__(self, image: Image.Image, rng: Generator) -> np.ndarray:
        """RGB picture to uint8 H x W x 3."""
        jitter, sigma = self.draw(rng)
        pixels = np.asarray(jittered(image, jitter))
        if self.blur == "gaussian":
            return gaussian_blur(pixels, sigma)
        return bilateral_blur(pixels, sigma) if self.blur == "bilateral" else pixels

    def draw(self, rng: Generator) -> tuple[Jitter, float]:
        """The jitter and the blur's sigma (0 without blur) of one picture."""
        jitter = () if self.jitter is None else self.jitter.draw(rng)
        if self.blur == "gaussian":
            least, greatest = GAUSSIAN_SIGMA
            return jitter, least + (greatest - least) * rng.random()
        return jitter, rng.uniform(0.05, 0.75) if self.blur == "bilateral" else 0.0


@dataclass(frozen=True)
class OccasionalBlur:
    """With ``probability``, a Gaussian blur of a radius uniform in [0, ``radius``]; otherwise no change.

    The radius is the standard deviation in pixels. Pillow approximates the Gaussian by three box filters.
    """

    probability: float = 0.5
    radius: float = 1.0

    def __call__(self, image: Image.Image, rng: Generator) -> np.ndarray:
        """RGB picture to uint8 H x W x 3."""
        if rng.random() < self.probability:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, self.radius)))
        return np.asarray(image)


COVARIANCE_PHOTOMETRIC = Photometric(ColourJitter(0.8, 0.8, 0.8, 0.3), "gaussian")
"""The strong change that shows which feature covariances depend on style (ISW, Choi et al., CVPR 2021)."""
