"""Channel statistics of data sets, and the change that gives pictures of one the statistics of another.

The released code of DA-SAC (Araslanov and Roth, CVPR 2021) gives source pictures the target's statistics.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from datasets.definitions.spec import ChannelStatistics
from datasets.files.pairing import evenly_spaced
from datasets.files.parallel import threaded_map
from datasets.files.reading import Arrays, cached_arrays
from datasets.files.segmentation import SegmentationSet
from utils.images import read_image

MOST_PICTURES = 200
"""The greatest number of pictures that are measured; they are taken at equal distances."""


def measured_statistics(dataset: SegmentationSet, cache_dir: Path | None = None) -> ChannelStatistics:
    """Mean and standard deviation over all pixels of up to ``MOST_PICTURES`` pictures.

    They come from ``cache_dir`` if the pictures have not changed. If there are several processes, one of them
    should call this before the others do.
    """
    pairs = evenly_spaced(dataset.pairs, MOST_PICTURES)

    def measure() -> Arrays:
        description = f"channels of {dataset.spec.name} {dataset.split}"
        moments = threaded_map(lambda pair: _moments(pair.image), pairs, description)
        pixels, sums, squares = (np.stack(each).sum(0) for each in zip(*moments, strict=True))
        mean = sums / pixels
        return {"mean": mean, "std": np.sqrt(squares / pixels - mean**2)}

    name = f"{dataset.spec.name}_{dataset.split}_channels"
    arrays = cached_arrays(cache_dir, name, measure, ((pair.name, pair.image) for pair in pairs))
    return ChannelStatistics(*(tuple(arrays[moment].tolist()) for moment in ("mean", "std")))


def _moments(path: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of pixels of a picture, and per channel the sum of its values (0 to 1) and their squares."""
    image = np.asarray(read_image(path))
    mean, deviation = (each[:, 0] / 255 for each in cv2.meanStdDev(image))
    pixels = image.shape[0] * image.shape[1]
    return pixels, pixels * mean, pixels * (deviation**2 + mean**2)


def statistics_of(
    dataset: SegmentationSet, published: bool, cache_dir: Path | None = None
) -> ChannelStatistics:
    """The published statistics of the catalog if ``published`` and there are any, else measured ones."""
    known = dataset.spec.statistics if published else None
    return known or measured_statistics(dataset, cache_dir)


def renormalisation(source: ChannelStatistics, target: ChannelStatistics) -> Tensor:
    """The scale and the shift that give pictures of ``source`` the statistics of ``target``, float32 2 x 3.

    New picture = picture * scale + shift, for red, green and blue from 0 to 1.
    """
    source_mean, source_std, mean, std = (
        torch.tensor(each, dtype=torch.float64) for each in (source.mean, source.std, target.mean, target.std)
    )
    scale = std / source_std
    return torch.stack([scale, mean - source_mean * scale]).float()
