"""The family's joint transform of picture and label: scale, crop, flip, rotate.

What is described: resize the whole picture by a random factor, then cut a crop out of it. What is done:
find the crop first and resize only the part of the picture it comes from, which gives the same pixels for a
fraction of the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

Size = tuple[int, int]
"""(height, width) in pixels."""


def as_size(crop_size: int | Sequence[int]) -> Size:
    """(height, width) of what is given as that pair or as the side of a square."""
    if isinstance(crop_size, int):
        return crop_size, crop_size
    height, width = crop_size
    return height, width


@dataclass(frozen=True)
class Window:
    """A crop of a resized picture, possibly reaching over its edges.

    ``scaled`` is the size the whole picture is resized to; the crop covers rows ``top`` to ``top +
    size[0]`` and columns ``left`` to ``left + size[1]`` of it. What lies outside is filled.
    """

    scaled: Size
    top: int
    left: int
    size: Size


def draw_window(
    native: Size,
    crop: Size,
    scale: float,
    centroid: tuple[int, int] | None,
    nopad: bool,
    rng: np.random.Generator,
) -> Window:
    """A random crop of a picture of ``native`` size resized by ``scale``, around any ``centroid`` given.

    ``centroid`` is (x, y) in native pixels; the crop contains it. A resized picture smaller than the crop
    is padded on both sides by half of what is missing plus one; with ``nopad`` the crop shrinks instead,
    keeping its shape.
    """
    height, width = (max(1, int(length * scale)) for length in native)
    if nopad:
        shrink = min(1.0, height / crop[0], width / crop[1])
        crop = (max(1, int(crop[0] * shrink)), max(1, int(crop[1] * shrink)))
    x, y = (None, None) if centroid is None else centroid
    top = _draw_start(height, crop[0], None if y is None else int(y * scale), rng)
    left = _draw_start(width, crop[1], None if x is None else int(x * scale), rng)
    return Window((height, width), top, left, crop)


def _draw_start(length: int, crop: int, centre: int | None, rng: np.random.Generator) -> int:
    """First row (column) of the crop along one axis; negative where padding is needed."""
    padding = (crop - length) // 2 + 1 if crop > length else 0
    last = length + 2 * padding - crop
    if centre is None:
        start = int(rng.integers(0, last + 1))
    else:
        centre = min(centre, length - 1) + padding
        start = min(max(int(rng.integers(centre - crop + 1, centre + 1)), 0), last)
    return start - padding


def crop_image(image: Image.Image, window: Window, fill: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """``window`` of ``image`` resized bicubically; only the part of ``image`` under the window is touched."""
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
    canvas = Image.new(image.mode, window.size[::-1], fill)
    canvas.paste(part, (left - window.left, top - window.top))
    return canvas


def crop_label(label: np.ndarray, window: Window, ignore_label: int = 255) -> np.ndarray:
    """``window`` of ``label`` (H x W) resized to its nearest pixels, ``ignore_label`` outside."""
    (top, bottom), (left, right) = _inside(window)
    rows = nearest_indices(label.shape[0], window.scaled[0])[top:bottom]
    columns = nearest_indices(label.shape[1], window.scaled[1])[left:right]
    part = label[rows[0] : rows[-1] + 1][rows - rows[0]][:, columns]
    if part.shape == window.size:
        return part
    canvas = np.full(window.size, ignore_label, dtype=label.dtype)
    canvas[top - window.top : bottom - window.top, left - window.left : right - window.left] = part
    return canvas


def resize_label(label: np.ndarray, size: Size) -> np.ndarray:
    """``label`` (H x W) resized to its nearest pixels."""
    rows, columns = (nearest_indices(old, new) for old, new in zip(label.shape, size, strict=True))
    return label[rows][:, columns]


def nearest_indices(old: int, new: int) -> np.ndarray:
    """The index of the old pixel nearest to each new pixel's centre, in exact integer arithmetic."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def _inside(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, one past the last) row and column of the window that lie in the resized picture."""
    (height, width), (rows, columns) = window.scaled, window.size
    return (
        (max(window.top, 0), min(window.top + rows, height)),
        (max(window.left, 0), min(window.left + columns, width)),
    )


@dataclass(frozen=True)
class JointTransform:
    """Random scale, crop (around a centroid if one is given), horizontal flip and rotation.

    ``crop_size`` is the side of a square or (height, width); the result always has it. Scale factors are
    uniform in [``scale_min``, ``scale_max``], angles in [-``rotate``, ``rotate``] degrees (0 draws none).
    ``pre_size``, a short side in pixels, is the size that counts as scale 1 instead of the picture's own.
    ``nopad`` crops less instead of padding and resizes the crop. Order and borders are those of the
    published code, except that padding moves the centroid along and the crop always contains it.
    """

    crop_size: int | Sequence[int]
    scale_min: float = 0.5
    scale_max: float = 2.0
    nopad: bool = False
    rotate: float = 0.0
    ignore_label: int = 255
    pre_size: int | None = None

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> tuple[Image.Image, np.ndarray | None]:
        """The transformed RGB picture and uint8 label, both of ``crop_size``; no label stays none."""
        crop = as_size(self.crop_size)
        window = self._window((image.height, image.width), centroid, rng)
        flip = rng.random() < 0.5
        angle = rng.uniform(-self.rotate, self.rotate) if self.rotate else 0.0
        image = self._finish_image(crop_image(image, window), crop, flip, angle)
        if label is None:
            return image, None
        return image, self._finish_label(crop_label(label, window, self.ignore_label), crop, flip, angle)

    def rows_used(self, native: Size, centroid: tuple[int, int] | None, rng: np.random.Generator) -> range:
        """The rows that a call with this generator looks at in a picture of ``native`` size."""
        window = self._window(native, centroid, rng)
        top, bottom = _inside(window)[0]
        step = native[0] / window.scaled[0]
        # The bicubic filter reaches two pixels, of the coarser grid, beyond what it makes.
        reach = 2 * max(step, 1)
        first, end = math.floor(top * step - reach) - 1, math.ceil(bottom * step + reach) + 1
        return range(max(first, 0), min(end, native[0]))

    def _window(self, native: Size, centroid: tuple[int, int] | None, rng: np.random.Generator) -> Window:
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
            label = np.asarray(picture.rotate(angle, Image.Resampling.NEAREST, fillcolor=self.ignore_label))
        return label


@dataclass(frozen=True)
class MirrorAndResize:
    """Horizontal flip with probability 0.5, then the whole picture resized to ``size`` (height, width).

    Pictures bicubically, labels to nearest pixels; the aspect is not kept.
    """

    size: Size

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> tuple[Image.Image, np.ndarray | None]:
        """The RGB picture and uint8 label, both of ``size``; no label stays none.

        Any ``centroid`` is in it: the whole picture is.
        """
        flip = rng.random() < 0.5
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = image.resize(self.size[::-1], Image.Resampling.BICUBIC)
        if label is None:
            return image, None
        return image, resize_label(label[:, ::-1] if flip else label, self.size)
