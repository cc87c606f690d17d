"""Batches of unlabelled pictures of the target domain."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets.definitions.catalog import spec
from datasets.files.segmentation import SegmentationSet
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.importance_weights import (
    importance_draws,
    picture_probabilities,
    read_importance_weights,
    shares_of,
)
from datasets.sampling.loaders import Loader, TrainingSampler, training_loader
from datasets.sampling.sources import EpochDraws, Sources, image_uniform
from utils import distributed
from utils.device import pins_memory
from utils.errors import UserError
from utils.seeding import generator

# The last key of the generator that makes the target's seed.
_TARGET = 5


class TargetBatches:
    """This process's batches of ``batch_size`` target pictures, numbered through the whole run.

    The target has epochs of its own; ``draws`` lists the draws of each of ``sets`` in one of them. A batch is
    a pure function of (``seed``, number). ``seed``, ``draws`` and ``sets`` should use the seed of
    :func:`target_seed`, so that the target's random choices differ from the source's. ``share`` is (rank,
    number of processes), where processes that get the same batches count as one.
    """

    def __init__(
        self,
        sets: Sequence[SegmentationSet],
        draws: Sequence[EpochDraws],
        batch_size: int,
        seed: int,
        workers: int,
        share: tuple[int, int],
        max_bad_samples: int = 0,
        pin: bool = False,
    ) -> None:
        self.sampler = TrainingSampler(partial(image_uniform, draws, seed), batch_size, *share, seed)
        self.loader = training_loader(Sources(sets, max_bad_samples), self.sampler, workers, pin)
        self._batches: Iterator[dict[str, Any]] = iter(())
        self._next: int | None = None

    def batch(self, number: int) -> dict[str, Any]:
        """Batch ``number`` of the run. The loader reads ahead in order; another number restarts it."""
        if number != self._next:
            self._batches = _from_batch(number, self.sampler, self.loader)
        self._next = number + 1
        return next(self._batches)


def _from_batch(number: int, sampler: TrainingSampler, loader: Loader) -> Iterator[dict[str, Any]]:
    """Endlessly, batch after batch from ``number`` on.

    This is not a method, because the running generator would keep its object and the loader's processes
    alive.
    """
    epoch, place = divmod(number, len(sampler))
    while True:
        sampler.set_position(epoch, place)
        yield from loader
        epoch, place = epoch + 1, 0


def target_batches(
    sets: Sequence[SegmentationSet], args: argparse.Namespace, workers: int, processes_per_group: int
) -> TargetBatches:
    """The batches of ``sets`` that the flags ask for.

    Each group of ``processes_per_group`` processes with neighbouring ranks gets the same batches; its members
    divide the crops among themselves.

    Raises:
        UserError: the groups would not be equally large, or ``--importance_weights`` does not fit ``sets``.
    """
    seed = target_seed(args.seed)
    rank, processes = distributed.rank(), distributed.world_size()
    if processes % processes_per_group:
        raise UserError(
            f"--processes_per_group {processes_per_group}: does not divide the {processes} processes of this "
            "run; give a number that does"
        )
    share = rank // processes_per_group, processes // processes_per_group
    batch_size = args.target_bs_mult or args.bs_mult
    draws = target_draws(sets, args, seed)
    pin = pins_memory(args.device)
    return TargetBatches(sets, draws, batch_size, seed, workers, share, args.max_bad_samples, pin)


def target_draws(sets: Sequence[SegmentationSet], args: argparse.Namespace, seed: int) -> list[EpochDraws]:
    """The draws of each of ``sets``: all pictures equally often, or by ``--importance_weights``.

    The draws go through the classes. For a class that is among the published classes of no source, every
    picture is equally probable.

    Raises:
        UserError: the weights are of other pictures, or there are several data sets.
    """
    if args.importance_weights is None:
        return [partial(epoch_draws, len(each), seed=seed) for each in sets]
    path = Path(args.importance_weights)
    if len(sets) > 1:
        raise UserError(
            f"--importance_weights {path}: weighs the pictures of one data set; name one --target_dataset"
        )
    table = shares_of(read_importance_weights(path), [pair.name for pair in sets[0].pairs], path)
    classes = sets[0].classes
    # SYNTHIA's published classes are its second set, of 16 classes. Most data sets have only one set.
    published = [spec(name).class_sets[:2][-1] for name in args.dataset]
    learnt = {c for each in published for c in classes.classes_of(each)}
    # Other classes (published: 9, 14 and 16 for SYNTHIA) are predicted only by chance, so they do not count.
    table[:, [c for c in range(table.shape[1]) if c not in learnt]] = 0
    probabilities = picture_probabilities(table, args.importance_uniform_prior)
    return [partial(importance_draws, probabilities, seed=seed)]


def target_seed(seed: int) -> int:
    """The seed of all random choices for the target in a run with ``seed``."""
    return int(generator(seed, 0, 0, _TARGET).integers(2**32))
