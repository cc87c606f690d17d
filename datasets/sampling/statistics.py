"""Channel statistics of data sets, and how pictures of one are given those of another.

Araslanov and Roth, "Self-supervised augmentation consistency for adapting semantic segmentation", CVPR 2021:
as in their released code the source's pictures are brought to the target's mean and deviation.
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
from datasets.files.scan_cache import Arrays, cached_arrays, fingerprint
from datasets.files.segmentation import SegmentationSet
from utils.images import read_image

MOST_PICTURES = 200
"""So many pictures of a data set are measured, at equal distances."""


def measured_statistics(
    dataset: SegmentationSet, cache_dir: Path | None = None, threads: int | None = None
) -> ChannelStatistics:
    """Mean and standard deviation over all pixels of ``MOST_PICTURES`` of the pictures.

    They come from ``cache_dir`` if the pictures have not changed since. Among several processes let one call
    this first.
    """
    pairs = evenly_spaced(dataset.pairs, MOST_PICTURES)
    cache = None
    if cache_dir is not None:
        key = fingerprint((pair.name, pair.image) for pair in pairs)
        cache = Path(cache_dir) / f"{dataset.spec.name}_{dataset.split}_channels_{key}.npz"

    def measure() -> Arrays:
        description = f"channels of {dataset.spec.name} {dataset.split}"
        moments = threaded_map(lambda pair: _moments(pair.image), pairs, description, threads)
        pixels, sums, squares = (np.stack(each).sum(0) for each in zip(*moments, strict=True))
        mean = sums / pixels
        return {"mean": mean, "std": np.sqrt(squares / pixels - mean**2)}

    arrays = cached_arrays(cache, measure)
    return ChannelStatistics(tuple(arrays["mean"].tolist()), tuple(arrays["std"].tolist()))


def _moments(path: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """Pixels of a picture, and by channel the sums of its values, from 0 to 1, and of their squares."""
    image = np.asarray(read_image(path))
    mean, deviation = (each[:, 0] / 255 for each in cv2.meanStdDev(image))
    pixels = image.shape[0] * image.shape[1]
    return pixels, pixels * mean, pixels * (deviation**2 + mean**2)


def statistics_of(
    dataset: SegmentationSet, published: bool, cache_dir: Path | None = None
) -> ChannelStatistics:
    """The catalogue's statistics with ``published``, where it has any, else measured ones."""
    known = dataset.spec.statistics if published else None
    return known or measured_statistics(dataset, cache_dir)


def renormalisation(source: ChannelStatistics, target: ChannelStatistics) -> Tensor:
    """Scale and shift, float32 2 x 3: pictures of ``source``, red, green and blue in 0 to 1, times the one
    plus the other have the statistics of ``target``.
    """
    (source_mean, source_std), (mean, std) = (
        (torch.tensor(each.mean, dtype=torch.float64), torch.tensor(each.std, dtype=torch.float64))
        for each in (source, target)
    )
    scale = std / source_std
    return torch.stack([scale, mean - source_mean * scale]).float()
