"""RobustNet's joint transform of picture and label: scale, crop, flip, rotate.

The published transform resizes the whole picture by a random factor and then cuts out a crop. Here the crop
is chosen first, and only the part of the picture that it shows is resized. The pixels are the same, for a
fraction of the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image

from utils.ignore_label import IGNORE_LABEL

Size = tuple[int, int]
"""(height, width) in pixels."""

Label = np.ndarray | None
"""Train ids, uint8 H x W; None for a picture without a label."""

Centroid = tuple[int, int] | None
"""(x, y) of a point that the crop must contain, in pixels of the original picture; None for no such point."""


def as_size(crop_size: int | Sequence[int]) -> Size:
    """(height, width) from such a pair or from the side of a square."""
    height, width = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
    return height, width


@dataclass(frozen=True)
class Window:
    """A crop of a resized picture; it may extend beyond the edges.

    ``scaled`` is the size that the whole picture is resized to. The crop covers its rows from ``top`` to
    ``top + size[0]`` and its columns from ``left`` to ``left + size[1]``. The part outside is filled.
    """

    scaled: Size
    top: int
    left: int
    size: Size


def draw_window(
    native: Size, crop: Size, scale: float, centroid: Centroid, nopad: bool, rng: Generator
) -> Window:
    """A random crop of a picture that has the size ``native`` and is resized by ``scale``.

    If the resized picture is smaller than the crop, each side is padded by half of the difference and one
    pixel more. With ``nopad``, the crop becomes smaller instead and keeps its aspect ratio.
    """
    height, width = (max(1, int(length * scale)) for length in native)
    if nopad:
        shrink = min(1.0, height / crop[0], width / crop[1])
        crop = (max(1, int(crop[0] * shrink)), max(1, int(crop[1] * shrink)))
    x, y = (None, None) if centroid is None else (int(place * scale) for place in centroid)
    top = _draw_start(height, crop[0], y, rng)
    left = _draw_start(width, crop[1], x, rng)
    return Window((height, width), top, left, crop)


def _draw_start(length: int, crop: int, centre: int | None, rng: Generator) -> int:
    """The first row (or column) of the crop; negative or 0 if padding is needed."""
    padding = (crop - length) // 2 + 1 if crop > length else 0
    last = length + 2 * padding - crop
    if centre is None:
        start = int(rng.integers(0, last + 1))
    else:
        centre = min(centre, length - 1) + padding
        start = min(max(int(rng.integers(centre - crop + 1, centre + 1)), 0), last)
    return start - padding


def crop_image(image: Image.Image, window: Window) -> Image.Image:
    """The part of ``image`` that ``window`` shows; it alone is resized (bicubically). Black outside."""
    (top, bottom), (left, right) = _inside(window)
    height, width = window.scaled
    source_box = (
        left * image.width / width,
        top * image.height / height,
        right * image.width / width,
        bottom * image.height / height,
    )
    part = image.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=source_box)
    if (bottom - top, right - left) == window.size:
        return part
    canvas = Image.new(image.mode, window.size[::-1])
    canvas.paste(part, (left - window.left, top - window.top))
    return canvas


def crop_label(label: np.ndarray, window: Window, filling: int = IGNORE_LABEL) -> np.ndarray:
    """The part of ``label`` (H x W) that ``window`` shows, resized to nearest pixels; ``filling`` outside."""
    (top, bottom), (left, right) = _inside(window)
    rows = nearest_indices(label.shape[0], window.scaled[0])[top:bottom]
    columns = nearest_indices(label.shape[1], window.scaled[1])[left:right]
    # Indexing columns would give memory in the order of columns, which is slow to copy.
    part = label[rows].take(columns, axis=1)
    if part.shape == window.size:
        return part
    canvas = np.full(window.size, filling, dtype=label.dtype)
    canvas[top - window.top : bottom - window.top, left - window.left : right - window.left] = part
    return canvas


def resize_label(label: np.ndarray, size: Size) -> np.ndarray:
    """``label`` (H x W) resized to nearest pixels."""
    rows, columns = (nearest_indices(old, new) for old, new in zip(label.shape, size, strict=True))
    return label[rows].take(columns, axis=1)


def nearest_indices(old: int, new: int) -> np.ndarray:
    """For each new pixel, the index of the old pixel nearest to its centre, in exact integer arithmetic."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def _inside(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and the columns of the resized picture that the window shows, each as (first, last + 1)."""
    (height, width), (rows, columns) = window.scaled, window.size
    return (
        (max(window.top, 0), min(window.top + rows, height)),
        (max(window.left, 0), min(window.left + columns, width)),
    )


@dataclass(frozen=True)
class JointTransform:
    """Random scale, crop (around a centroid if one is given), horizontal flip and rotation.

    ``crop_size`` is the side of a square or (height, width); the result always has this size. Scale factors
    are uniform in [``scale_min``, ``scale_max``], angles in [-``rotate``, ``rotate``] degrees (none is
    drawn for 0). Scale 1 is the picture's own size; with ``pre_size``, its shorter side then has so many
    pixels. ``nopad`` makes the crop smaller instead of padding, and then resizes it. ``filling`` is the label
    of the padding. Order and borders are those of the published code, except that the centroid moves with the
    padding and is always inside the crop.
    """

    crop_size: int | Sequence[int]
    scale_min: float = 0.5
    scale_max: float = 2.0
    nopad: bool = False
    rotate: float = 0.0
    filling: int = IGNORE_LABEL
    pre_size: int | None = None

    def __call__(
        self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator
    ) -> tuple[Image.Image, Label]:
        """The transformed RGB picture and label, both of ``crop_size``."""
        crop = as_size(self.crop_size)
        window = self._window((image.height, image.width), centroid, rng)
        flip = rng.random() < 0.5
        angle = rng.uniform(-self.rotate, self.rotate) if self.rotate else 0.0
        image = self._finish_image(crop_image(image, window), crop, flip, angle)
        if label is not None:
            label = self._finish_label(crop_label(label, window, self.filling), crop, flip, angle)
        return image, label

    def rows_used(self, native: Size, centroid: Centroid, rng: Generator) -> range:
        """The rows of a picture of size ``native`` that a call with this generator needs."""
        window = self._window(native, centroid, rng)
        top, bottom = _inside(window)[0]
        step = native[0] / window.scaled[0]
        # The bicubic filter also reads two pixels beyond the crop: two of the picture, or two of the resized
        # picture if these are larger.
        reach = 2 * max(step, 1)
        first, end = math.floor(top * step - reach) - 1, math.ceil(bottom * step + reach) + 1
        return range(max(first, 0), min(end, native[0]))

    def _window(self, native: Size, centroid: Centroid, rng: Generator) -> Window:
        scale = rng.uniform(self.scale_min, self.scale_max)
        if self.pre_size is not None:
            scale *= self.pre_size / min(native)
        return draw_window(native, as_size(self.crop_size), scale, centroid, self.nopad, rng)

    def _finish_image(self, image: Image.Image, crop: Size, flip: bool, angle: float) -> Image.Image:
        if image.size != crop[::-1]:
            image = image.resize(crop[::-1], Image.Resampling.BICUBIC)
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.rotate(angle, Image.Resampling.BICUBIC) if angle else image

    def _finish_label(self, label: np.ndarray, crop: Size, flip: bool, angle: float) -> np.ndarray:
        if label.shape != crop:
            label = resize_label(label, crop)
        if flip:
            label = label[:, ::-1]
        if angle:
            picture = Image.fromarray(np.ascontiguousarray(label))
            label = np.asarray(picture.rotate(angle, Image.Resampling.NEAREST, fillcolor=self.filling))
        return label


@dataclass(frozen=True)
class MirrorAndResize:
    """A horizontal flip with probability 0.5, then the whole picture is resized to ``size`` (height, width).

    Pictures are resized bicubically, labels to nearest pixels. The aspect ratio is not kept.
    """

    size: Size

    def __call__(
        self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator
    ) -> tuple[Image.Image, Label]:
        """The RGB picture and label, both of ``size``. ``centroid`` has no effect: all is shown."""
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            label = None if label is None else label[:, ::-1]
        image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
        return image, None if label is None else resize_label(label, self.size)
