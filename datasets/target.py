"""Unlabelled pictures of the target domain, beside the source's epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from datasets.class_uniform import epoch_draws
from datasets.loaders import Loader, TrainingSampler, training_loader
from datasets.segmentation import SegmentationSet
from datasets.sources import Sources, image_uniform
from utils import distributed
from utils.seeding import generator

# Key of the generator of the target's own seed.
_TARGET = 5


class TargetBatches:
    """This process's batches of ``batch_size`` target pictures, numbered through the whole run.

    They come from all ``sets`` alike, in epochs of their own length: batch ``number`` is at place ``number``
    modulo that length. A batch is a pure function of (``seed``, number); give ``seed`` and ``sets`` that of
    :func:`target_seed`, so that draws are not those of the source's batch of the same number.
    """

    def __init__(self, sets: Sequence[SegmentationSet], batch_size: int, seed: int, workers: int) -> None:
        draws = [partial(epoch_draws, len(each), seed=seed) for each in sets]
        self.sampler = TrainingSampler(
            partial(image_uniform, draws, seed),
            batch_size,
            distributed.rank(),
            distributed.world_size(),
            seed,
        )
        self.loader = training_loader(Sources(sets), self.sampler, workers)
        self._batches: Iterator[dict[str, Any]] = iter(())
        self._next: int | None = None

    def batch(self, number: int) -> dict[str, Any]:
        """Batch ``number`` of the run. In order they are read ahead; a jump starts anew."""
        if number != self._next:
            self._batches = _from_batch(number, self.sampler, self.loader)
        self._next = number + 1
        return next(self._batches)


def _from_batch(number: int, sampler: TrainingSampler, loader: Loader) -> Iterator[dict[str, Any]]:
    """Batch after batch from ``number`` on, endlessly.

    Not a method: the running generator would keep its object alive, and both the loader's processes.
    """
    epoch, place = divmod(number, len(sampler))
    while True:
        sampler.set_position(epoch, place)
        yield from loader
        epoch, place = epoch + 1, 0


def target_seed(seed: int) -> int:
    """The seed of everything that is drawn of the target in a run of ``seed``."""
    return int(generator(seed, 0, 0, _TARGET).integers(2**32))
