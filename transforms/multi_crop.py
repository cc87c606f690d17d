"""Several crops of one unlabelled picture, clean and noisy, and the way from each to their common canvas.

Araslanov and Roth, "Self-supervised augmentation consistency for adapting semantic segmentation", CVPR 2021,
section 3: what a teacher says of the clean crops is brought to the canvas, averaged, and brought back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from transforms.geometric import Size, as_size, crop_image, draw_window, resize_label
from transforms.photometric import ColourJitter, gaussian_blur
from transforms.pipeline import WEAK_JITTER

Range = tuple[float, float]
"""(least, greatest) of a uniform draw."""


@dataclass(frozen=True)
class Placement:
    """Where on a canvas of ``canvas`` pixels a crop comes from; crops are resized to the canvas's size.

    The crop covers ``size`` pixels from row ``top`` and column ``left`` on, which may lie outside, of the
    canvas as it is or, with ``mirrored``, of the mirrored one.
    """

    canvas: Size
    top: int
    left: int
    size: Size
    mirrored: bool

    def to_canvas(self) -> list[list[float]]:
        """2 x 3 for ``affine_grid`` (``align_corners=False``): the crop sampled by it is the canvas.

        Coordinates of the canvas -> coordinates of the crop, each (x, y) from -1 to 1.
        """
        (scale_y, shift_y), (scale_x, shift_x) = self._axes()
        sign = -1.0 if self.mirrored else 1.0
        return [[sign / scale_x, 0.0, -shift_x / scale_x], [0.0, 1 / scale_y, -shift_y / scale_y]]

    def to_crop(self) -> list[list[float]]:
        """The inverse of :meth:`to_canvas`: the canvas sampled by it is the crop."""
        (scale_y, shift_y), (scale_x, shift_x) = self._axes()
        sign = -1.0 if self.mirrored else 1.0
        return [[sign * scale_x, 0.0, sign * shift_x], [0.0, scale_y, shift_y]]

    def _axes(self) -> list[tuple[float, float]]:
        """(size of the crop, position of its centre) along y and x, where the canvas is from -1 to 1.

        Of the whole pixels that the crop covers, so that the affine maps are exact; the published ones use
        the factor that was drawn.
        """
        starts = (self.top, self.left)
        return [
            (size / whole, (2 * start + size) / whole - 1)
            for size, start, whole in zip(self.size, starts, self.canvas, strict=True)
        ]

    def cut(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The crop of a picture uint8 H x W x 3, at its size, and where it is outside of it, bool H x W.

        What is outside is black.
        """
        if self.mirrored:
            canvas = canvas[:, ::-1]
        spans = list(zip((self.top, self.left), self.size, self.canvas, strict=True))
        inside = tuple(slice(max(start, 0), start + size) for start, size, _ in spans)
        beyond = [(max(-start, 0), max(start + size - whole, 0)) for start, size, whole in spans]
        # Edges are repeated outwards, so that no black is mixed into the resized picture.
        pixels = np.pad(canvas[inside], [*beyond, (0, 0)], mode="edge")
        here = np.zeros(canvas[inside].shape[:2], dtype=bool)
        padding = resize_label(np.pad(here, beyond, constant_values=True), self.canvas)
        if self.size != self.canvas:
            pixels = np.asarray(Image.fromarray(pixels).resize(self.canvas[::-1], Image.Resampling.BICUBIC))
        return blackened(pixels, padding), padding


def blackened(pixels: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """``pixels`` (uint8 H x W x 3) with black where ``padding`` (bool H x W)."""
    return np.where(padding[..., None], np.uint8(0), pixels) if padding.any() else pixels


@dataclass(frozen=True)
class MultiCropNoise:
    """What is done to the student's crops: blur always, colour jitter and loss of colour at times.

    ``blur`` is the range of the Gaussian's deviation in pixels, ``jitter_probability`` that of a change of
    brightness, contrast, saturation and hue, ``grey_probability`` that of no colour.
    """

    blur: Range = (0.1, 2.0)
    jitter: Sequence[float] = WEAK_JITTER
    jitter_probability: float = 0.5
    grey_probability: float = 0.2

    def __call__(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 H x W x 3 to the same."""
        blurred = gaussian_blur(pixels, rng.uniform(*self.blur))
        image = ColourJitter(*self.jitter, probability=self.jitter_probability)(Image.fromarray(blurred), rng)
        if rng.random() < self.grey_probability:
            image = image.convert("L").convert("RGB")
        return np.asarray(image)


@dataclass(frozen=True)
class MultiCropTransform:
    """``group_size`` crops of one picture at ``crop_size``, as DA-SAC's target pictures.

    The picture is resized to ``crop_size`` times a factor of ``target_scale``, cropped to ``crop_size`` at
    random and mirrored or not: the canvas. Each crop is mirrored or not again (unless ``guided_hflip`` is
    off); the first is the whole canvas, the others are cut out of it at a factor of ``zoom`` and resized to
    its size. A factor above 1 shows the canvas smaller, with padding around it.

    A sample has, T being ``group_size``:

    ================== ======================= =====================================================
    ``image``          uint8 T x 3 x H x W     the student's crops, each with a ``noise`` of its own
    ``image_clean``    uint8 T x 3 x H x W     the teacher's, the same crops without
    ``padding``        bool T x H x W          where a crop shows no part of the picture; black in both
    ``affine``         float32 T x 2 x 3       crop -> canvas, see :meth:`Placement.to_canvas`
    ``affine_inverse`` float32 T x 2 x 3       canvas -> crop
    ================== ======================= =====================================================

    Raises:
        ValueError: factors of ``target_scale`` below 1, which would leave a part of the canvas empty.
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

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        """The group of an RGB picture; any ``label`` or ``centroid`` is left out."""
        canvas = self._canvas(image, rng)
        placements = [self._place(number, rng) for number in range(self.group_size)]
        clean, paddings = zip(*(each.cut(canvas) for each in placements), strict=True)
        noisy = [
            blackened(self.noise(pixels, rng), without)
            for pixels, without in zip(clean, paddings, strict=True)
        ]
        return {
            "image": _stacked(noisy),
            "image_clean": _stacked(clean),
            "padding": torch.from_numpy(np.stack(paddings)),
            "affine": torch.tensor([each.to_canvas() for each in placements]),
            "affine_inverse": torch.tensor([each.to_crop() for each in placements]),
        }

    def _canvas(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """The pixels that the crops of a group share, uint8 H x W x 3."""
        size = as_size(self.crop_size)
        window = draw_window(size, size, rng.uniform(*self.target_scale), None, False, rng)
        pixels = np.asarray(crop_image(image, window))
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels

    def _place(self, number: int, rng: np.random.Generator) -> Placement:
        """Where crop ``number`` of a group comes from."""
        canvas = as_size(self.crop_size)
        mirrored = self.guided_hflip and rng.random() < 0.5
        if number == 0:
            return Placement(canvas, 0, 0, canvas, mirrored)
        factor = rng.uniform(*self.zoom)
        size = tuple(max(1, int(length * factor)) for length in canvas)
        # Above the factor 1 the canvas lies anywhere in the crop, as below it the crop in the canvas.
        rooms = [whole - length for whole, length in zip(canvas, size, strict=True)]
        top, left = (int(rng.integers(min(room, 0), max(room, 0) + 1)) for room in rooms)
        return Placement(canvas, top, left, (size[0], size[1]), mirrored)


def _stacked(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Pictures uint8 H x W x 3 as one tensor T x 3 x H x W."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
