"""The data set class: a split of any catalogued data set as samples."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from datasets.definitions.spec import DatasetSpec
from datasets.files.pairing import Pair, as_found, list_pairs
from datasets.files.reading import read_label
from utils.errors import UserError
from utils.images import read_image, read_size
from utils.scoring.classes import CITYSCAPES_19, ClassSet
from utils.seeding import generator

# Last key of the generators of further source domains, apart from the keys of other uses.
_SOURCES = 10


class Draw(NamedTuple):
    """One sample to be made: everything its random choices depend on, apart from the seed.

    ``position`` is the draw's own number in its epoch; ``centroid``, (x, y) in native pixels, is a point
    the crop must contain; ``source`` is the number of the source domain, where there are several.
    """

    index: int
    epoch: int
    position: int
    centroid: tuple[int, int] | None = None
    source: int = 0


class Transform(Protocol):
    """Picture and train ids to tensors by name; all randomness comes from ``rng``."""

    def __call__(
        self,
        image: Image.Image,
        label: np.ndarray | None,
        centroid: tuple[int, int] | None,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]: ...


@runtime_checkable
class PartialTransform(Protocol):
    """A transform that can say which rows of a picture a call will look at.

    ``rows_used`` is given (height, width), the centroid and a generator in the state the call will get.
    """

    def rows_used(
        self, native: tuple[int, int], centroid: tuple[int, int] | None, rng: np.random.Generator
    ) -> range: ...


class SegmentationSet(Dataset):
    """One split of one data set.

    A sample is what ``transform`` returns (see :mod:`transforms.pipeline`) plus ``constants``, ``name`` (str)
    and ``index`` (int). Its label is in the classes of a network that has just ``classes``, ``IGNORE_LABEL``
    where it has none. It is a pure function of (``seed``, draw): the same on any worker, rank, or after any
    resume. With ``labelled=False`` label files are neither looked for nor read. Raises :class:`UserError`
    naming the file or folder at fault.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        split: str,
        root: Path,
        transform: Transform,
        seed: int = 0,
        labelled: bool = True,
        classes: ClassSet = CITYSCAPES_19,
    ) -> None:
        self.classes = classes
        self.split = split
        self.root = Path(root)
        self.transform = transform
        self.seed = seed
        self.pairs = list_pairs(spec, split, self.root, labelled)
        self.spec = as_found(spec, split, self.root) if labelled else spec
        self.constants: dict[str, torch.Tensor] = {}
        """What every sample of this data set has, beside what ``transform`` returns."""
        self.boost: list[Pair] = []
        """Pictures that only draws around a centroid name, by indices from ``len(self)`` on."""

    def __len__(self) -> int:
        return len(self.pairs)

    def with_pairs(self, split: str, pairs: list[Pair]) -> SegmentationSet:
        """The same data set with other pictures, which are called ``split``."""
        other = copy.copy(self)
        other.split, other.pairs = split, pairs
        return other

    def pair(self, index: int) -> Pair:
        """The picture and label that a draw's index names."""
        return self.pairs[index] if index < len(self.pairs) else self.boost[index - len(self.pairs)]

    def __getitem__(self, key: int | Draw) -> dict[str, torch.Tensor | str | int]:
        draw = key if isinstance(key, Draw) else Draw(int(key), 0, int(key))
        pair = self.pair(draw.index)
        rows = self._rows_used(draw)
        image = read_image(pair.image, rows)
        label = None if pair.label is None else read_label(pair.label, self.spec.coding, rows)
        if label is not None and label.shape != (image.height, image.width):
            raise UserError(
                f"{pair.image} is {image.width}x{image.height} but its label {pair.label} is "
                f"{label.shape[1]}x{label.shape[0]}; remove the pair"
            )
        if label is not None and self.classes != CITYSCAPES_19:
            label = cv2.LUT(label, self.classes.class_of_train_id)
        transformed = self.transform(image, label, draw.centroid, self._generator(draw))
        return {**transformed, **self.constants, "name": pair.name, "index": draw.index}

    def _generator(self, draw: Draw) -> np.random.Generator:
        """Every call gives the same numbers."""
        return generator(self.seed, draw.epoch, draw.position, _SOURCES * draw.source)

    def _rows_used(self, draw: Draw) -> range | None:
        """Which rows of the picture have to be read; None for all."""
        if not isinstance(self.transform, PartialTransform):
            return None
        width, height = read_size(self.pair(draw.index).image)
        return self.transform.rows_used((height, width), draw.centroid, self._generator(draw))

    def read_label(self, index: int) -> np.ndarray:
        """Train ids of one picture, uint8 H x W, at native size."""
        return read_label(self.pair(index).label, self.spec.coding)
