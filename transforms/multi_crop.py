"""Several crops of one unlabelled picture, clean and noisy, and the maps between each crop and the canvas.

Araslanov and Roth, "Self-supervised augmentation consistency for adapting semantic segmentation", CVPR 2021,
section 3: the teacher's predictions for the clean crops are mapped to the canvas, averaged and mapped back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image

from transforms.geometric import Centroid, Label, Size, as_size, crop_image, draw_window, resize_label
from transforms.photometric import ColourJitter, gaussian_blur
from transforms.pipeline import WEAK_JITTER, Sample, to_tensors

Range = tuple[float, float]
"""(least, greatest) value of a uniform random number."""


@dataclass(frozen=True)
class Placement:
    """The place of a crop on a canvas of the size ``canvas``. Crops are resized to the size of the canvas.

    The crop covers ``size`` pixels from row ``top`` and column ``left`` on; it may extend beyond the canvas.
    With ``mirrored``, these are rows and columns of the mirrored canvas.
    """

    canvas: Size
    top: int
    left: int
    size: Size
    mirrored: bool

    def to_canvas(self) -> list[list[float]]:
        """The 2 x 3 matrix for ``affine_grid`` (``align_corners=False``) that samples canvas from crop.

        It maps coordinates of the canvas to coordinates of the crop, each (x, y) from -1 to 1.
        """
        sign, (scale_y, shift_y), (scale_x, shift_x) = self._axes()
        return [[sign / scale_x, 0.0, -shift_x / scale_x], [0.0, 1 / scale_y, -shift_y / scale_y]]

    def to_crop(self) -> list[list[float]]:
        """The inverse of :meth:`to_canvas`: the matrix that samples crop from canvas."""
        sign, (scale_y, shift_y), (scale_x, shift_x) = self._axes()
        return [[sign * scale_x, 0.0, sign * shift_x], [0.0, scale_y, shift_y]]

    def _axes(self) -> tuple[float, tuple[float, float], tuple[float, float]]:
        """-1 if mirrored, else 1; then (scale, shift) of the crop along y and along x.

        The scale is its size as a share of the canvas; the shift is its centre on a canvas from -1 to 1. They
        come from whole pixels, so the maps are exact. The published code uses the random factor instead.
        """
        along_y, along_x = (
            (size / whole, (2 * start + size) / whole - 1)
            for size, start, whole in zip(self.size, (self.top, self.left), self.canvas, strict=True)
        )
        return -1.0 if self.mirrored else 1.0, along_y, along_x

    def cut(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The crop of a picture, uint8 H x W x 3, and where it is outside the picture, bool H x W.

        Both have the size of the canvas. Pixels outside are black.
        """
        if self.mirrored:
            canvas = canvas[:, ::-1]
        spans = list(zip((self.top, self.left), self.size, self.canvas, strict=True))
        inside = tuple(slice(max(start, 0), start + size) for start, size, _ in spans)
        beyond = [(max(-start, 0), max(start + size - whole, 0)) for start, size, whole in spans]
        # Edges are repeated, so that resizing mixes no black into the picture.
        pixels = np.pad(canvas[inside], [*beyond, (0, 0)], mode="edge")
        shown = np.zeros(canvas[inside].shape[:2], dtype=bool)
        padding = resize_label(np.pad(shown, beyond, constant_values=True), self.canvas)
        if self.size != self.canvas:
            pixels = np.asarray(Image.fromarray(pixels).resize(self.canvas[::-1], Image.Resampling.BICUBIC))
        return blackened(pixels, padding), padding


def blackened(pixels: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """``pixels`` (uint8 H x W x 3), black where ``padding`` (bool H x W) is true."""
    return np.where(padding[..., None], np.uint8(0), pixels) if padding.any() else pixels


@dataclass(frozen=True)
class MultiCropNoise:
    """The noise of the student's crops: always blur, sometimes colour jitter, sometimes no colour.

    ``blur`` is the range of the Gaussian's standard deviation in pixels, ``jitter`` how much brightness,
    contrast, saturation and hue change with ``jitter_probability``. With ``grey_probability`` a crop is grey.
    """

    blur: Range = (0.1, 2.0)
    jitter: Sequence[float] = WEAK_JITTER
    jitter_probability: float = 0.5
    grey_probability: float = 0.2

    def __call__(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
        """uint8 H x W x 3 to the same."""
        blurred = gaussian_blur(pixels, rng.uniform(*self.blur))
        image = ColourJitter(*self.jitter, probability=self.jitter_probability)(Image.fromarray(blurred), rng)
        if rng.random() < self.grey_probability:
            image = image.convert("L").convert("RGB")
        return np.asarray(image)


@dataclass(frozen=True)
class MultiCropTransform:
    """``group_size`` crops of one picture, each of size ``crop_size``, as in DA-SAC's target pictures.

    First the canvas is made: the picture is resized to ``crop_size`` times a factor in ``target_scale``,
    cropped to ``crop_size`` at random, and mirrored with probability 0.5. The first crop is the whole canvas.
    The others are parts of it whose sides are shorter by a factor in ``zoom``; they are resized to its size.
    A factor above 1 shows the whole canvas smaller, with padding around it. With ``guided_hflip``, each crop
    is mirrored with probability 0.5.

    The entries of a sample, with T = ``group_size``:

    ================== ======================= =====================================================
    ``image``          uint8 T x 3 x H x W     the student's crops, each with its own ``noise``
    ``image_clean``    uint8 T x 3 x H x W     the teacher's crops: the same ones without noise
    ``padding``        bool T x H x W          where a crop shows no part of the picture; black in both
    ``affine``         float32 T x 2 x 3       makes the canvas from the crop (``affine_grid``)
    ``affine_inverse`` float32 T x 2 x 3       makes the crop from the canvas (``affine_grid``)
    ================== ======================= =====================================================

    Raises:
        ValueError: ``target_scale`` allows factors below 1, which would leave a part of the canvas empty.
    """

    crop_size: int | Sequence[int]
    group_size: int = 4
    target_scale: Range = (1.0, 1.1)
    zoom: Range = (0.5, 1.0)
    guided_hflip: bool = True
    noise: MultiCropNoise = MultiCropNoise()

    def __post_init__(self) -> None:
        if min(self.target_scale) < 1:
            raise ValueError(f"target_scale {self.target_scale}: must be 1 or more")

    def __call__(self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator) -> Sample:
        """The group of an RGB picture; ``label`` and ``centroid`` are not used."""
        canvas = self._canvas(image, rng)
        placements = [self._place(number, rng) for number in range(self.group_size)]
        clean, paddings = zip(*(each.cut(canvas) for each in placements), strict=True)
        pairs = zip(clean, paddings, strict=True)
        noisy = [blackened(self.noise(pixels, rng), padding) for pixels, padding in pairs]
        return {
            "image": _stacked(noisy),
            "image_clean": _stacked(clean),
            "padding": torch.from_numpy(np.stack(paddings)),
            "affine": torch.tensor([each.to_canvas() for each in placements]),
            "affine_inverse": torch.tensor([each.to_crop() for each in placements]),
        }

    def _canvas(self, image: Image.Image, rng: Generator) -> np.ndarray:
        """The pixels that the crops of a group share, uint8 H x W x 3."""
        size = as_size(self.crop_size)
        # Whatever its own size is, the picture is resized to the canvas's size times the random factor.
        window = draw_window(size, size, rng.uniform(*self.target_scale), None, False, rng)
        pixels = np.asarray(crop_image(image, window))
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels

    def _place(self, number: int, rng: Generator) -> Placement:
        """A random place for crop ``number`` of a group."""
        canvas = as_size(self.crop_size)
        mirrored = self.guided_hflip and rng.random() < 0.5
        if number == 0:
            return Placement(canvas, 0, 0, canvas, mirrored)
        factor = rng.uniform(*self.zoom)
        size = tuple(max(1, int(length * factor)) for length in canvas)
        # The smaller of crop and canvas is anywhere inside the larger one.
        slack = [whole - length for whole, length in zip(canvas, size, strict=True)]
        top, left = (int(rng.integers(min(each, 0), max(each, 0) + 1)) for each in slack)
        return Placement(canvas, top, left, (size[0], size[1]), mirrored)


def _stacked(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures uint8 H x W x 3 as one tensor T x 3 x H x W."""
    return torch.stack([to_tensors({"image": pixels}, None)["image"] for pixels in pictures])
