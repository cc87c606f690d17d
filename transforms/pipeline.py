"""Which transforms a sample goes through: for training, for scores, for covariance statistics.

Every pipeline is called with (RGB picture, train ids uint8 H x W or None, centroid or None, generator) and
returns tensors by name: each view uint8 3 x H x W, ``label`` int64 H x W unless there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from transforms.device_photometric import CROP, encoded
from transforms.geometric import JointTransform, MirrorAndResize, Size, as_size, resize_label
from transforms.photometric import COVARIANCE_PHOTOMETRIC, ColourJitter, OccasionalBlur, Photometric

Photometrics = Callable[[Image.Image, np.random.Generator], np.ndarray]
"""A change of colour and sharpness: RGB picture to uint8 H x W x 3."""

PHOTOMETRIC_VIEWS: dict[str, Photometrics] = {
    "image_jittered": COVARIANCE_PHOTOMETRIC,
    "image_plain": Photometric(),
}
"""Further views a method may ask for, beside "image": the same crop under another photometric change, or
none.
"""

WEAK_JITTER = (0.4, 0.4, 0.4, 0.1)
"""RobustNet's brightness, contrast, saturation and hue jitter of "image"."""

_PADDING_LABEL = 254
"""Stands for what is outside of the picture while a label is cropped; no class and no ignored pixel is."""


class _JointThenViews:
    """A joint change of picture and label, then a photometric change per view."""

    def __init__(
        self,
        joint: JointTransform | MirrorAndResize,
        image: Photometrics,
        views: Sequence[str],
        on_device: bool = False,
    ) -> None:
        self.joint = joint
        self.on_device = on_device
        further = {name: PHOTOMETRIC_VIEWS[name] for name in views if name != "image"}
        self.photometric: Mapping[str, Photometrics] = {"image": image, **further}

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        image, label = self.joint(image, label, centroid, rng)
        if self.on_device:
            drawn = {name: change.draw(rng) for name, change in self.photometric.items()}
            return {**to_tensors({CROP: np.asarray(image)}, label), **encoded(drawn)}
        return to_tensors({name: change(image, rng) for name, change in self.photometric.items()}, label)


class TrainTransform(_JointThenViews):
    """RobustNet's training transform: joint scale, crop and flip, then photometric changes per view.

    ``color_aug`` is the probability of the colour jitter (0 switches it off), ``gblur`` / ``bblur`` choose
    the blur (bilateral wins), ``views`` names entries of :data:`PHOTOMETRIC_VIEWS` beside "image",
    ``color_jitter`` is how much the jitter changes brightness, contrast, saturation and hue. With
    ``marks_padding``, which needs a label, a sample has ``padding`` too, bool H x W, true where the crop
    shows no part of the picture. With ``on_device`` it has, instead of its views, the crop and what
    :mod:`transforms.device_photometric` makes the same views of; ``bblur`` cannot be done there. The others
    as in :class:`~transforms.geometric.JointTransform`.
    """

    def __init__(
        self,
        crop_size: int | Sequence[int],
        scale_min: float = 0.5,
        scale_max: float = 2.0,
        color_aug: float = 0.5,
        gblur: bool = True,
        bblur: bool = False,
        rrotate: float = 0.0,
        crop_nopad: bool = False,
        views: Sequence[str] = ("image",),
        ignore_label: int = 255,
        pre_size: int | None = None,
        color_jitter: Sequence[float] = WEAK_JITTER,
        marks_padding: bool = False,
        on_device: bool = False,
    ) -> None:
        self.ignore_label, self.marks_padding = ignore_label, marks_padding
        filling = _PADDING_LABEL if marks_padding else ignore_label
        joint = JointTransform(crop_size, scale_min, scale_max, crop_nopad, rrotate, filling, pre_size)
        jitter = ColourJitter(*color_jitter, probability=color_aug) if color_aug > 0 else None
        blur = "bilateral" if bblur else "gaussian" if gblur else None
        super().__init__(joint, Photometric(jitter, blur), views, on_device)

    def rows_used(self, native: Size, centroid: tuple[int, int] | None, rng: np.random.Generator) -> range:
        """As :meth:`~transforms.geometric.JointTransform.rows_used`."""
        return self.joint.rows_used(native, centroid, rng)

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        sample = super().__call__(image, label, centroid, rng)
        if self.marks_padding:
            padding = sample["label"] == _PADDING_LABEL
            sample |= {"label": sample["label"].masked_fill(padding, self.ignore_label), "padding": padding}
        return sample


class MaxSquareTransform(_JointThenViews):
    """The training transform of maximum squares (Chen et al., ICCV 2019) and of SNR's segmentation.

    Every picture is mirrored or not and resized as a whole to ``crop_size``, which is (height, width) or the
    side of a square; every second one is blurred a little. ``views`` as in :class:`TrainTransform`.
    """

    def __init__(self, crop_size: int | Sequence[int], views: Sequence[str] = ("image",)) -> None:
        super().__init__(MirrorAndResize(as_size(crop_size)), OccasionalBlur(), views)


@dataclass(frozen=True)
class CovarianceTransform:
    """Two views of the whole picture for ISW's statistics: as it is, and strongly jittered and blurred."""

    photometric: Photometric = COVARIANCE_PHOTOMETRIC

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        return to_tensors({"image": np.asarray(image), "image_jittered": self.photometric(image, rng)}, label)


@dataclass(frozen=True)
class EvaluationTransform:
    """The size a picture is scored at; by default its own.

    ``size`` (height, width) resizes to exactly that; ``height`` keeps the aspect (width int(w / h * height)).
    ``crop`` then cuts the central square of that side, padded with black and ``ignore_label`` where the
    picture is smaller. Pictures are resized bicubically, labels to nearest pixels.
    """

    size: Size | None = None
    height: int | None = None
    crop: int | None = None
    ignore_label: int = 255

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None = None,
        rng: np.random.Generator | None = None,
    ) -> dict[str, torch.Tensor]:
        size = self.size
        if self.height is not None:
            size = (self.height, max(1, int(image.width / image.height * self.height)))
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BICUBIC)
            label = None if label is None else resize_label(label, size)
        pixels = np.asarray(image)
        if self.crop is not None:
            pixels = centre_crop(pixels, self.crop, 0)
            label = None if label is None else centre_crop(label, self.crop, self.ignore_label)
        return to_tensors({"image": pixels}, label)


def centre_crop(pixels: np.ndarray, side: int, fill: int) -> np.ndarray:
    """The central square of ``pixels`` (H x W or H x W x C), padded with ``fill`` where they are fewer."""
    for axis in (0, 1):
        start = round((pixels.shape[axis] - side) / 2)
        if start < 0:
            padding = [(0, 0)] * pixels.ndim
            padding[axis] = (-start, side - pixels.shape[axis] + start)
            pixels = np.pad(pixels, padding, constant_values=fill)
        else:
            pixels = pixels[(slice(None),) * axis + (slice(start, start + side),)]
    return pixels


def to_tensors(views: Mapping[str, np.ndarray], label: np.ndarray | None) -> dict[str, torch.Tensor]:
    """Views uint8 H x W x 3 and a label uint8 H x W as the tensors of a sample."""
    # OpenCV takes channels apart four times as fast as a permuted copy.
    sample = {name: torch.from_numpy(np.stack(cv2.split(pixels))) for name, pixels in views.items()}
    if label is not None:
        sample["label"] = torch.from_numpy(label.astype(np.int64))
    return sample
