"""Pictures under common corruptions: each is read once, and its variants are made in memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from datasets.files.segmentation import SegmentationSet
from datasets.sampling.loaders import Loader, batches_of_one_kind, worker_settings
from transforms.corruptions import SEVERITIES, corrupted
from transforms.pipeline import to_tensors

Variants = dict[str, tuple[str, int]]
"""Name of a variant, which is the ``group`` of its batches -> corruption and severity."""


class CorruptedSet(IterableDataset):
    """Batches of pictures of one data set: first as they are, then under each corruption and severity.

    ``batches`` are the numbers of the pictures in ``pictures`` that are yielded together. The corruptions
    change what ``pictures`` yields, so pictures that are resized and cropped already; labels stay. The
    ``group`` of a changed batch is a key of ``variants``; unchanged pictures keep the group that they have in
    their data set. Each process of a loader takes its share of the batches.
    """

    def __init__(
        self, pictures: SegmentationSet, batches: Sequence[Sequence[int]], corruptions: Sequence[str]
    ) -> None:
        self.pictures, self.batches = pictures, batches
        self.spec, self.split, self.pairs = pictures.spec, pictures.split, pictures.pairs
        # No weather of a data set is called so.
        self.variants: Variants = {
            f"corruption {name} {severity}": (name, severity)
            for name in corruptions
            for severity in SEVERITIES
        }

    def __len__(self) -> int:
        """The number of batches that are yielded, by all processes of a loader together."""
        return len(self.batches) * (1 + len(self.variants))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for numbers in self.batches[first::step]:
            batch = default_collate([self.pictures[number] for number in numbers])
            yield batch
            pictures = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in batch["image"]]
            for group, variant in self.variants.items():
                changed = default_collate(
                    [
                        to_tensors({"image": corrupted(picture, *variant, name)}, None)
                        for picture, name in zip(pictures, batch["name"], strict=True)
                    ]
                )
                yield {**batch, **changed, "group": [group] * len(pictures)}


def corrupted_loader(
    pictures: SegmentationSet,
    corruptions: Sequence[str],
    batch_size: int = 1,
    workers: int = 4,
    rank: int = 0,
    world_size: int = 1,
    pin: bool = False,
    kinds: Sequence[Hashable] | None = None,
) -> Loader:
    """This rank's share of ``pictures``, clean and under ``corruptions``, which are names in ``CORRUPTIONS``.

    The other arguments are those of ``loaders.evaluation_loader``.
    """
    share = range(len(pictures))[rank::world_size]
    batches = batches_of_one_kind(share, batch_size, kinds)
    dataset = CorruptedSet(pictures, batches, corruptions)
    return Loader(dataset, batch_size=None, **worker_settings(workers, pin, persistent=False))


def variants_of(dataset: Dataset) -> Variants:
    """The variants of a data set; most have none."""
    return dataset.variants if isinstance(dataset, CorruptedSet) else {}
