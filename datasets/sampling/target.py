"""Unlabelled pictures of the target domain, beside the source's epochs."""

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

# Key of the generator of the target's own seed.
_TARGET = 5


class TargetBatches:
    """This process's batches of ``batch_size`` target pictures, numbered through the whole run.

    ``draws`` says what is drawn of each of ``sets`` in an epoch of the target's own; batch ``number`` is at
    place ``number`` modulo its length. A batch is a pure function of (``seed``, number); give ``seed``,
    ``draws`` and ``sets`` that of :func:`target_seed`, so that draws are not those of the source's batch of
    the same number. ``share`` is this process's number among how many that have different batches.
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


def target_batches(
    sets: Sequence[SegmentationSet], args: argparse.Namespace, workers: int, processes_per_group: int
) -> TargetBatches:
    """The batches of ``sets`` that the flags ask for.

    ``processes_per_group`` processes, neighbours by rank, have the same batches: they share out the crops in
    them.

    Raises:
        UserError: the processes cannot be divided so, or ``--importance_weights`` does not fit ``sets``.
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
    """What is drawn of each of ``sets``: all pictures alike, or by ``--importance_weights``.

    Draws for a class that no source is published with take every picture alike.

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
    # The second set of SYNTHIA, its 16 published classes; most data sets have but one.
    published = [spec(name).class_sets[:2][-1] for name in args.dataset]
    learnt = {c for each in published for c in classes.classes_of(each)}
    # What no source is known for is predicted by chance (published: 9, 14 and 16 of SYNTHIA).
    table[:, [c for c in range(table.shape[1]) if c not in learnt]] = 0
    probabilities = picture_probabilities(table, args.importance_uniform_prior)
    return [partial(importance_draws, probabilities, seed=seed)]


def target_seed(seed: int) -> int:
    """The seed of everything that is drawn of the target in a run of ``seed``."""
    return int(generator(seed, 0, 0, _TARGET).integers(2**32))
