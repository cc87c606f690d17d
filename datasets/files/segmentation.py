"""The data set class: the samples of one split of any data set in the catalog."""

from __future__ import annotations

import copy
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from datasets.definitions.spec import DatasetSpec
from datasets.files.pairing import Pair, as_found, list_pairs
from datasets.files.reading import read_label
from transforms.geometric import Centroid, Label
from transforms.pipeline import Sample
from utils.errors import UserError
from utils.images import read_image, read_size
from utils.scoring.classes import ClassSet
from utils.seeding import generator


class RandomUse(IntEnum):
    """What a generator is for. This is its last key, so generators for different uses draw different numbers.

    The generator of a sample of source domain n has the key n * ``SAMPLE``.
    """

    EPOCH_LIST = 1
    EPOCH_ORDER = 2
    COVARIANCE_PICTURES = 3
    DOMAIN_ORDER = 4
    TARGET_SEED = 5
    IMPORTANCE_DRAWS = 6
    REPLACEMENT = 7
    SAMPLE = 10


class Draw(NamedTuple):
    """A sample that is to be made: all that its random choices depend on, apart from the seed.

    ``index`` is the number of the picture in its data set, ``position`` the number of the draw in its epoch.
    ``centroid``, (x, y) in the picture's own pixels, is a point that the crop must contain. ``source`` is the
    number of the source domain.
    """

    index: int
    epoch: int
    position: int
    centroid: Centroid = None
    source: int = 0


Transform = Callable[[Image.Image, Label, Centroid, np.random.Generator], Sample]
"""Turns a picture and its train ids into named tensors; all random choices come from the generator.

It may have a method ``rows_used``, which says which rows of a picture it needs. That gets (height, width),
the centroid, and a generator in the same state as the later call.
"""


class SegmentationSet(Dataset):
    """One split of one data set.

    A sample is what ``transform`` returns (see :mod:`transforms.pipeline`) plus ``constants``, ``name`` and
    ``group`` (str) and ``index`` (int). Its label holds the class numbers of ``classes``, by default all of
    the data set's own, else ``IGNORE_LABEL``. A sample depends on (``seed``, draw) alone: it is the same on
    any worker, on any rank and after any resume. With ``labelled=False``, nothing looks for label files or
    reads them. Raises :class:`UserError` with the file or folder that is wrong.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        split: str,
        root: Path,
        transform: Transform,
        seed: int = 0,
        labelled: bool = True,
        classes: ClassSet | None = None,
    ) -> None:
        self.split, self.root = split, Path(root)
        self.transform, self.seed, self.classes = transform, seed, classes or spec.classes.whole
        if labelled and self.classes.of.names != spec.classes.names:
            raise UserError(
                f"{spec.name}: has the classes of {spec.classes.in_words}, but the network those of "
                f"{self.classes.of.in_words}; declare the data set in a --catalog file with "
                f'like = "{spec.name}", classes = "{self.classes.of.name}" and a map'
            )
        self.pairs = list_pairs(spec, split, self.root, labelled)
        self.spec = as_found(spec, split, self.root) if labelled else spec
        self.constants: dict[str, torch.Tensor] = {}
        """Further entries of every sample; they are the same in all samples."""
        self.boost: list[Pair] = []
        """Further pictures, with indices from ``len(self)`` on, that are drawn only around centroids."""

    def __len__(self) -> int:
        return len(self.pairs)

    def with_pairs(self, split: str, pairs: list[Pair]) -> SegmentationSet:
        """A copy of this data set with the pictures ``pairs`` and the name ``split`` for them."""
        other = copy.copy(self)
        other.split, other.pairs = split, pairs
        return other

    def pair(self, index: int) -> Pair:
        """The picture and label with this index."""
        return self.pairs[index] if index < len(self.pairs) else self.boost[index - len(self.pairs)]

    def __getitem__(self, key: int | Draw) -> dict[str, torch.Tensor | str | int]:
        draw = key if isinstance(key, Draw) else Draw(int(key), 0, int(key))
        pair = self.pair(draw.index)
        # The crop is drawn twice from the same generator: first to know which rows to read, then to cut it.
        rows = self._rows_used(draw)
        image = read_image(pair.image, rows)
        label = None if pair.label is None else read_label(pair.label, self.spec.coding, rows)
        if label is not None and label.shape != (image.height, image.width):
            raise UserError(
                f"{pair.image} is {image.width}x{image.height} but its label {pair.label} is "
                f"{label.shape[1]}x{label.shape[0]}; remove the pair"
            )
        if label is not None and not self.classes.is_whole:
            label = cv2.LUT(label, self.classes.class_of_train_id)
        transformed = self.transform(image, label, draw.centroid, self._generator(draw))
        described = {"name": pair.name, "index": draw.index, "group": pair.group}
        return {**transformed, **self.constants, **described}

    def _generator(self, draw: Draw) -> np.random.Generator:
        """The generator of one sample; with each call it starts afresh."""
        return generator(self.seed, draw.epoch, draw.position, RandomUse.SAMPLE * draw.source)

    def _rows_used(self, draw: Draw) -> range | None:
        """The rows of the picture that have to be read; None for all rows."""
        if not hasattr(self.transform, "rows_used"):
            return None
        width, height = read_size(self.pair(draw.index).image)
        return self.transform.rows_used((height, width), draw.centroid, self._generator(draw))

    def read_label(self, index: int) -> np.ndarray:
        """The train ids of one label at its own size, uint8 H x W."""
        return read_label(self.pair(index).label, self.spec.coding)
