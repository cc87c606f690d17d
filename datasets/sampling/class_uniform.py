"""Class-uniform sampling: a part of each epoch has equally many draws of each class, even of rare ones.

Zhu et al., "Improving semantic segmentation via video propagation and label relaxation", CVPR 2019. Every
picture is divided into tiles. A draw of a class is a crop around the centre of its pixels (its centroid) in
one of them. Here the tiles cover the whole picture; those at its right and lower edges are narrower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.files.parallel import threaded_map
from datasets.files.reading import READING_VERSION, Arrays, cached_arrays
from datasets.files.segmentation import Draw, RandomUse, SegmentationSet
from utils.scoring.classes import CITYSCAPES
from utils.seeding import generator


@dataclass(frozen=True)
class TileCentroids:
    """Where each class is found in a data set.

    ``points`` int64 (n, 4): class, picture index, x, y (in the picture's own pixels), sorted by class.
    ``pixels`` int64 (classes,): pixels of each class. ``pictures`` int64 (classes,): pictures that show each
    class.
    """

    points: np.ndarray
    pixels: np.ndarray
    pictures: np.ndarray

    def of_class(self, train_id: int) -> np.ndarray:
        """The points of one class, int64 (n, 3): picture index, x, y."""
        first, last = np.searchsorted(self.points[:, 0], [train_id, train_id + 1])
        return self.points[first:last, 1:]


@dataclass(frozen=True)
class Additional:
    """The additional pictures that epochs up to ``--max_cu_epoch`` may draw.

    Their indices follow those of the split's own pictures. The first ``whole`` of them may be drawn without a
    centroid, the others only around one. ``centroids`` are those of own and additional pictures.
    """

    whole: int
    centroids: TileCentroids


def tile_centroids(
    label: np.ndarray, tile: int, num_classes: int = len(CITYSCAPES)
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of each class in each tile of a label (train ids, uint8 H x W), and the pixels per class.

    Returns int64 (n, 3) with rows of class, x, y (rounded down), and int64 (classes,). This works on runs of
    equal pixels along the rows, because there are about a hundred times fewer runs than pixels.
    """
    height, width = label.shape
    begins = np.empty((height, width), dtype=bool)
    np.not_equal(label[:, 1:], label[:, :-1], out=begins[:, 1:])
    begins[:, ::tile] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=height * width)
    train_ids = label.reshape(-1)[starts]
    scored = train_ids < num_classes
    starts, lengths, train_ids = starts[scored], lengths[scored], train_ids[scored].astype(np.int64)

    rows, columns = np.divmod(starts, width)
    tiles_across = -(-width // tile)
    # Cells are ordered by class, then tile.
    tiles = tiles_across * -(-height // tile)
    cells = train_ids * tiles + (rows // tile) * tiles_across + columns // tile
    size = num_classes * tiles
    count = np.bincount(cells, lengths, size)
    sum_x = np.bincount(cells, lengths * (columns + (lengths - 1) / 2), size)
    sum_y = np.bincount(cells, lengths * rows.astype(np.float64), size)
    present = np.flatnonzero(count)
    x, y = sum_x[present] // count[present], sum_y[present] // count[present]
    points = np.stack([present // tiles, x, y], 1)
    return points.astype(np.int64), count.reshape(num_classes, tiles).sum(1).astype(np.int64)


def scan(
    dataset: SegmentationSet, tile: int, cache_dir: Path | None = None, threads: int | None = None
) -> TileCentroids:
    """The tile centroids of every label of ``dataset``.

    They come from ``cache_dir`` if neither the label files nor their coding have changed; the folder of the
    data does not count. If there are several processes, one should call this before the others do.
    """

    def scan_one(index: int) -> tuple[np.ndarray, np.ndarray]:
        points, pixels = tile_centroids(dataset.read_label(index), tile, len(dataset.spec.classes))
        return np.insert(points, 1, index, axis=1), pixels

    def scan_all() -> Arrays:
        description = f"centroids of {dataset.spec.name} {dataset.split}"
        results = threaded_map(scan_one, range(len(dataset)), description, threads)
        points = np.concatenate([points for points, _ in results])
        pixels = np.stack([pixels for _, pixels in results])
        points = points[np.argsort(points[:, 0], kind="stable")]
        return {"points": points, "pixels": pixels.sum(0), "pictures": (pixels > 0).sum(0)}

    name, coding = f"{dataset.spec.name}_{dataset.split}_tile{tile}", dataset.spec.coding
    labels = ((pair.name, pair.label) for pair in dataset.pairs)
    settings = READING_VERSION, *coding.key, tile
    return TileCentroids(**cached_arrays(cache_dir, name, scan_all, labels, *settings))


def epoch_draws(
    pictures: int,
    epoch: int,
    seed: int = 0,
    centroids: TileCentroids | None = None,
    fraction: float = 0.0,
    max_cu_epoch: int | None = None,
    additional: Additional | None = None,
    train_ids: Sequence[int] = range(len(CITYSCAPES)),
) -> list[Draw]:
    """The draws of one epoch, as many as there are pictures: a pure function of (seed, epoch).

    Each of ``train_ids`` that has centroids gets int(length * fraction / len(train_ids)) draws around its
    centroids. If that number is 0, some random classes get one draw; each epoch chooses them anew. All other
    draws are pictures without a centroid. A picture, or a centroid of a class, is drawn again only after all
    others have been drawn. Without centroids, every picture is drawn once. (The published list is shorter if
    classes are missing.)

    Up to epoch ``max_cu_epoch`` the ``additional`` pictures are drawn too. Later epochs draw only from the
    ``pictures`` of the split and their ``centroids``, but have the same length.
    """
    rng = generator(seed, epoch, 0, RandomUse.EPOCH_LIST)
    length = pictures
    if additional is not None:
        length += additional.whole
        if max_cu_epoch is None or epoch <= max_cu_epoch:
            pictures, centroids = length, additional.centroids
    chosen: list[tuple[int, tuple[int, int] | None]] = []
    if centroids is not None:
        counts = _draws_per_class(length * fraction, centroids, train_ids, rng)
        for train_id in train_ids:
            points = centroids.of_class(train_id)
            for picture, x, y in points[_cycle(len(points), counts[train_id], rng)].tolist():
                chosen.append((picture, (x, y)))
    anywhere = [(int(picture), None) for picture in _cycle(pictures, length - len(chosen), rng)]
    numbered = enumerate([*anywhere, *chosen])
    return [Draw(picture, epoch, position, centroid) for position, (picture, centroid) in numbered]


def _draws_per_class(
    wanted: float, centroids: TileCentroids, train_ids: Sequence[int], rng: np.random.Generator
) -> Mapping[int, int]:
    """The number of draws of each class, of ``wanted`` draws in all.

    All classes get the same number. If there are fewer draws than classes, random classes that occur get one
    draw each, so that the mean over the epochs is ``wanted``.
    """
    per_class = int(wanted / len(train_ids))
    if per_class or not wanted:
        return dict.fromkeys(train_ids, per_class)
    present = [train_id for train_id in train_ids if len(centroids.of_class(train_id))]
    chosen = _cycle(len(present), int(wanted + rng.random()), rng)
    return Counter(present[index] for index in chosen)


def _cycle(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """``wanted`` random indices below ``available``; each comes again only after all others have come."""
    rounds = -(-wanted // available) if available else 0
    indices = [rng.permutation(available) for _ in range(rounds)]
    return np.concatenate([np.empty(0, dtype=np.int64), *indices])[:wanted]
