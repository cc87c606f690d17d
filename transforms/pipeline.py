"""The transforms of a sample: for training, for scores, and for covariance statistics.

Each is called with (RGB picture, label, centroid, generator) and returns named tensors: every view as uint8
3 x H x W, and ``label`` as uint8 H x W if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from PIL import Image

from transforms.device_photometric import CROP, encoded
from transforms.geometric import Centroid, JointTransform, Label, MirrorAndResize, Size, as_size, resize_label
from transforms.photometric import COVARIANCE_PHOTOMETRIC, ColourJitter, OccasionalBlur, Photometric
from utils.ignore_label import IGNORE_LABEL

Sample = dict[str, torch.Tensor]

PhotometricChange = Callable[[Image.Image, Generator], np.ndarray]
"""A change of colour and sharpness: RGB picture to uint8 H x W x 3."""

PHOTOMETRIC_VIEWS: dict[str, PhotometricChange] = {
    "image_jittered": COVARIANCE_PHOTOMETRIC,
    "image_plain": Photometric(),
}
"""The views beside "image" that a method may ask for: the same crop, changed in another way or not at all."""

WEAK_JITTER = (0.4, 0.4, 0.4, 0.1)
"""RobustNet's jitter of "image": the amounts for brightness, contrast, saturation and hue."""

_PADDING_LABEL = 254
"""Marks the padding while a label is cropped; it is neither a class nor the ignore label."""


class _JointThenViews:
    """A joint change of picture and label, then a photometric change per view."""

    def __init__(
        self,
        joint: JointTransform | MirrorAndResize,
        image: PhotometricChange,
        views: Sequence[str],
        on_device: bool = False,
    ) -> None:
        self.joint = joint
        self.on_device = on_device
        further = {name: PHOTOMETRIC_VIEWS[name] for name in views if name != "image"}
        self.photometric: Mapping[str, PhotometricChange] = {"image": image, **further}

    def __call__(self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator) -> Sample:
        image, label = self.joint(image, label, centroid, rng)
        if self.on_device:
            drawn = {name: change.draw(rng) for name, change in self.photometric.items()}
            return {**to_tensors({CROP: np.asarray(image)}, label), **encoded(drawn)}
        return to_tensors({name: change(image, rng) for name, change in self.photometric.items()}, label)


class TrainTransform(_JointThenViews):
    """RobustNet's training transform: joint scale, crop and flip, then photometric changes per view.

    ``color_aug`` is the probability of the colour jitter (0 switches it off), and ``color_jitter`` says how
    much it changes brightness, contrast, saturation and hue. ``gblur`` and ``bblur`` choose a Gaussian or a
    bilateral blur (bilateral wins). ``views`` are the views to make: "image" always, and names
    in :data:`PHOTOMETRIC_VIEWS`.

    With ``marks_padding``, which needs a label, a sample also has ``padding``, bool H x W, which is true
    where the crop shows no part of the picture. With ``on_device``, a sample has the crop and random numbers
    instead of its views, and :mod:`transforms.device_photometric` makes the views; it cannot do ``bblur``.
    The other arguments are those of :class:`~transforms.geometric.JointTransform`.
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
        pre_size: int | None = None,
        color_jitter: Sequence[float] = WEAK_JITTER,
        marks_padding: bool = False,
        on_device: bool = False,
    ) -> None:
        self.marks_padding = marks_padding
        filling = _PADDING_LABEL if marks_padding else IGNORE_LABEL
        joint = JointTransform(crop_size, scale_min, scale_max, crop_nopad, rrotate, filling, pre_size)
        jitter = ColourJitter(*color_jitter, probability=color_aug) if color_aug > 0 else None
        blur = "bilateral" if bblur else "gaussian" if gblur else None
        super().__init__(joint, Photometric(jitter, blur), views, on_device)

    def rows_used(self, native: Size, centroid: Centroid, rng: Generator) -> range:
        """See :meth:`~transforms.geometric.JointTransform.rows_used`."""
        return self.joint.rows_used(native, centroid, rng)

    def __call__(self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator) -> Sample:
        sample = super().__call__(image, label, centroid, rng)
        if self.marks_padding:
            padding = sample["label"] == _PADDING_LABEL
            sample |= {"label": sample["label"].masked_fill(padding, IGNORE_LABEL), "padding": padding}
        return sample


class MaxSquareTransform(_JointThenViews):
    """The training transform of maximum squares (Chen et al., ICCV 2019) and of SNR's segmentation.

    Each picture is mirrored with probability 0.5 and resized as a whole to ``crop_size``, which is (height,
    width) or the side of a square. It is slightly blurred with probability 0.5. ``views`` as in
    :class:`TrainTransform`.
    """

    def __init__(self, crop_size: int | Sequence[int], views: Sequence[str] = ("image",)) -> None:
        super().__init__(MirrorAndResize(as_size(crop_size)), OccasionalBlur(), views)


class CovarianceTransform:
    """Two views of the whole picture for ISW's statistics: unchanged, and strongly jittered and blurred."""

    def __call__(self, image: Image.Image, label: Label, centroid: Centroid, rng: Generator) -> Sample:
        views = {"image": np.asarray(image), "image_jittered": COVARIANCE_PHOTOMETRIC(image, rng)}
        return to_tensors(views, label)


@dataclass(frozen=True)
class EvaluationTransform:
    """Resizes and crops a picture before it is scored; by default it keeps its own size.

    ``size`` resizes to exactly this (height, width). ``height`` resizes to this height and keeps the aspect
    ratio: the width is int(w / h * height). ``crop`` then cuts out the central square of this side; a smaller
    picture is padded with black, its label with ``IGNORE_LABEL``. ``factor`` resizes both sides by this.
    Pictures are resized bicubically, labels to nearest pixels. With ``whole_label`` the label keeps its own
    size, and scores have to be resized to it.
    """

    size: Size | None = None
    height: int | None = None
    crop: int | None = None
    factor: float | None = None
    whole_label: bool = False

    def __call__(
        self, image: Image.Image, label: Label, centroid: Centroid = None, rng: Generator | None = None
    ) -> Sample:
        size = self.size
        if self.height is not None:
            size = (self.height, max(1, int(image.width / image.height * self.height)))
        if self.factor is not None:
            size = tuple(max(1, round(side * self.factor)) for side in (image.height, image.width))
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BICUBIC)
            if label is not None and not self.whole_label:
                label = resize_label(label, size)
        pixels = np.asarray(image)
        if self.crop is not None:
            pixels = centre_crop(pixels, self.crop, 0)
            label = None if label is None else centre_crop(label, self.crop, IGNORE_LABEL)
        return to_tensors({"image": pixels}, label)


def centre_crop(pixels: np.ndarray, side: int, fill: int) -> np.ndarray:
    """The central square of ``pixels`` (H x W or H x W x C), padded with ``fill`` where they are smaller."""
    for axis in (0, 1):
        start = round((pixels.shape[axis] - side) / 2)
        if pixels.shape[axis] < side:
            padding = [(0, 0)] * pixels.ndim
            padding[axis] = (-start, side - pixels.shape[axis] + start)
            pixels = np.pad(pixels, padding, constant_values=fill)
        else:
            pixels = pixels[(slice(None),) * axis + (slice(start, start + side),)]
    return pixels


def to_tensors(views: Mapping[str, np.ndarray], label: Label) -> Sample:
    """Views (uint8 H x W x 3) and a label (uint8 H x W) as the tensors of a sample."""
    # OpenCV splits the channels four times faster than a permuted copy would.
    sample = {name: torch.from_numpy(np.stack(cv2.split(pixels))) for name, pixels in views.items()}
    if label is not None:
        sample["label"] = torch.from_numpy(label.copy())
    return sample
