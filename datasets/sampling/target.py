"""Batches of unlabelled pictures of the target domain."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets.definitions.catalog import spec
from datasets.files.segmentation import RandomUse, SegmentationSet
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.importance_weights import (
    importance_draws,
    picture_probabilities,
    read_importance_weights,
    shares_of,
)
from datasets.sampling.loaders import EpochDraws, Loader, TrainingSampler, image_uniform, training_loader
from datasets.sampling.replacement import Sources
from utils import distributed
from utils.device import pins_memory
from utils.errors import UserError
from utils.seeding import generator


class TargetBatches:
    """This process's batches of target pictures, numbered through the whole run.

    ``loader``, of :func:`~datasets.sampling.loaders.training_loader`, makes the batches of one epoch after
    another; epochs of the sources play no part. A batch depends on its number and the loader's seed alone.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self._batches: Iterator[dict[str, Any]] = iter(())
        self._next: int | None = None

    def batch(self, number: int) -> dict[str, Any]:
        """Batch ``number`` of the run. The loader reads ahead in order; another number restarts it."""
        epoch, place = divmod(number, len(self.loader))
        if number != self._next or place == 0:
            self.loader.batch_sampler.set_position(epoch, place)
            self._batches = iter(self.loader)
        self._next = number + 1
        return next(self._batches)


def target_batches(
    sets: Sequence[SegmentationSet], args: argparse.Namespace, workers: int, processes_per_group: int
) -> TargetBatches:
    """The batches of ``sets`` that the flags ask for. The sets must have the seed of :func:`target_seed`.

    Each group of ``processes_per_group`` processes with neighbouring ranks gets the same batches; its members
    divide the crops among themselves. Raises :class:`UserError` if the groups would not be equally large, or
    ``--importance_weights`` does not fit ``sets``.
    """
    group, processes = distributed.rank() // processes_per_group, distributed.world_size()
    if processes % processes_per_group:
        raise UserError(
            f"--processes_per_group {processes_per_group}: does not divide the {processes} processes of this "
            "run; give a number that does"
        )
    seed = target_seed(args.seed)
    items = partial(image_uniform, target_draws(sets, args, seed), seed)
    batch_size = args.target_bs_mult or args.bs_mult
    sampler = TrainingSampler(items, batch_size, group, processes // processes_per_group, seed)
    dataset = Sources(sets, args.max_bad_samples)
    return TargetBatches(training_loader(dataset, sampler, workers, pins_memory(args.device)))


def target_draws(sets: Sequence[SegmentationSet], args: argparse.Namespace, seed: int) -> list[EpochDraws]:
    """The draws of each of ``sets``: all pictures equally often, or by ``--importance_weights``.

    With weights, the classes take turns to draw a picture. A class that no source has among its published
    classes draws all pictures with equal probability. Raises :class:`UserError` if the weights are of other
    pictures, or there are several data sets.
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
    return int(generator(seed, 0, 0, RandomUse.TARGET_SEED).integers(2**32))
