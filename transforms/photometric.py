"""Changes of colour and sharpness that leave the label alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageFilter
from skimage.restoration import denoise_bilateral
from torchvision.transforms import functional

JITTERS = ("brightness", "contrast", "saturation", "hue")

Jitter = tuple[tuple[str, float], ...]
"""Changes of colour in their order: what of :data:`JITTERS`, and its factor or shift. None is no change."""

GAUSSIAN_SIGMA = (0.15, 1.30)
"""Range of a Gaussian blur's deviation in pixels."""


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
        return jittered(image, self.draw(rng))

    def draw(self, rng: np.random.Generator) -> Jitter:
        """What is done to one picture."""
        if rng.random() >= self.probability:
            return ()
        return tuple((name, self._amount(name, rng)) for name in map(JITTERS.__getitem__, rng.permutation(4)))

    def _amount(self, name: str, rng: np.random.Generator) -> float:
        if name == "hue":
            return rng.uniform(-self.hue, self.hue)
        return _factor(getattr(self, name), rng)


def jittered(image: Image.Image, jitter: Jitter) -> Image.Image:
    """An RGB picture after the changes of ``jitter``."""
    for name, amount in jitter:
        image = getattr(functional, f"adjust_{name}")(image, amount)
    return image


def _factor(amount: float, rng: np.random.Generator) -> float:
    return rng.uniform(max(0.0, 1.0 - amount), 1.0 + amount)


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """``image`` (uint8 H x W x 3) blurred by ``sigma`` pixels, cut at 4 sigma, edges repeated.

    Rounded to the nearest grey level; the published code cut decimals off, which darkens by half a level.
    """
    side = 2 * blur_radius(sigma) + 1
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)


def blur_radius(sigma: float) -> int:
    """How many pixels a Gaussian of ``sigma`` pixels reaches to each side, cut at 4 sigma."""
    return int(4 * sigma + 0.5)


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

    Gaussian: sigma uniform in :data:`GAUSSIAN_SIGMA`. Bilateral: spatial sigma uniform in [0.05, 0.75].
    """

    jitter: ColourJitter | None = None
    blur: Literal["gaussian", "bilateral"] | None = None

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """RGB picture to uint8 H x W x 3."""
        jitter, sigma = self.draw(rng)
        pixels = np.asarray(jittered(image, jitter))
        if self.blur == "gaussian":
            return gaussian_blur(pixels, sigma)
        return bilateral_blur(pixels, sigma) if self.blur == "bilateral" else pixels

    def draw(self, rng: np.random.Generator) -> tuple[Jitter, float]:
        """The jitter and the blur's sigma, 0 without blur, of one picture."""
        jitter = () if self.jitter is None else self.jitter.draw(rng)
        if self.blur == "gaussian":
            least, greatest = GAUSSIAN_SIGMA
            return jitter, least + (greatest - least) * rng.random()
        return jitter, rng.uniform(0.05, 0.75) if self.blur == "bilateral" else 0.0


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
