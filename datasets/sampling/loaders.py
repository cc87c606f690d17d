"""Samplers choose the samples of each process, and loaders make them."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from datasets.files.segmentation import Draw, RandomUse
from utils.errors import UserError
from utils.machine import own_words
from utils.seeding import generator

Item = tuple[Draw, ...]
"""The draws that belong together: one picture, or one picture of each source domain."""

EpochDraws = Callable[[int], Sequence[Draw]]
"""Number of an epoch -> the draws of one domain in that epoch."""


def domain_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items with one picture of each domain, in random order; as many as the smallest domain has draws."""
    shuffled = []
    for number, draws_of_epoch in enumerate(sources):
        draws = draws_of_epoch(epoch)
        order = generator(seed, epoch, number, RandomUse.DOMAIN_ORDER).permutation(len(draws))
        shuffled.append([draws[index]._replace(source=number) for index in order])
    return list(zip(*shuffled, strict=False))


def image_uniform(sources: Sequence[EpochDraws], seed: int, epoch: int) -> list[Item]:
    """Items with one picture each: all pictures of all domains, so a larger domain is seen more often."""
    return [
        (draw._replace(source=number),)
        for number, draws_of_epoch in enumerate(sources)
        for draw in draws_of_epoch(epoch)
    ]


class TrainingSampler(Sampler[list[Draw]]):
    """Batches of draws for one of ``world_size`` processes.

    ``items_of_epoch(epoch)`` lists the items of an epoch. The list must be the same on every rank, and
    equally long in every epoch. It is shuffled by (``seed``, epoch) and divided into global batches of
    ``batch_size * world_size`` items. An incomplete last batch is dropped; an epoch shorter than one global
    batch repeats items to fill it.
    """

    def __init__(
        self,
        items_of_epoch: Callable[[int], Sequence[Item]],
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ) -> None:
        self.items_of_epoch = items_of_epoch
        self.global_batch = batch_size * world_size
        self.rank, self.world_size, self.seed = rank, world_size, seed
        self.set_position(0)
        self.length = max(1, len(items_of_epoch(0)) // self.global_batch)

    def set_position(self, epoch: int, first_batch: int = 0) -> None:
        """Let the next iteration yield the batches of ``epoch`` from number ``first_batch`` on."""
        self.epoch, self.first_batch = epoch, first_batch

    def __len__(self) -> int:
        """The number of batches in a whole epoch, even if the next iteration starts in the middle."""
        return self.length

    def __iter__(self) -> Iterator[list[Draw]]:
        items = self.items_of_epoch(self.epoch)
        order = generator(self.seed, self.epoch, 0, RandomUse.EPOCH_ORDER).permutation(len(items))
        shuffled = [items[index] for index in order]
        if len(shuffled) < self.global_batch:
            # A repeated draw gets another position, so that its crop is a different one.
            repeated = itertools.islice(itertools.cycle(shuffled), self.global_batch)
            shuffled = [
                tuple(draw._replace(position=number) for draw in item) for number, item in enumerate(repeated)
            ]
        for batch in range(self.first_batch, self.length):
            first = batch * self.global_batch
            share = shuffled[first + self.rank : first + self.global_batch : self.world_size]
            # The draws are ordered by domain, so that a batch can be divided into one part per domain.
            yield [draw for of_domain in zip(*share, strict=True) for draw in of_domain]


class Loader(DataLoader):
    """A DataLoader that reports a user error of a worker as one line, without the worker's traceback."""

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from super().__iter__()
        except UserError as error:
            raise UserError(own_words(error.args[0])) from None


def training_loader(
    dataset: Dataset, sampler: TrainingSampler, workers: int = 4, pin: bool = False
) -> Loader:
    """Batches of ``dataset`` as ``sampler`` draws them; the workers live as long as the loader.

    Here and below, ``pin`` puts batches into pinned memory, and with 0 ``workers`` this process makes them.
    """
    return Loader(dataset, batch_sampler=sampler, **worker_settings(workers, pin, persistent=True))


def evaluation_loader(
    dataset: Dataset,
    batch_size: int = 1,
    workers: int = 4,
    rank: int = 0,
    world_size: int = 1,
    pin: bool = False,
    draws: Sequence[Draw] | Sequence[int] | None = None,
    kinds: Sequence[Hashable] | None = None,
) -> Loader:
    """This rank's share of ``dataset``, or of ``draws``, in order.

    A batch holds up to ``batch_size`` pictures that follow each other and are of one kind. ``kinds`` are
    those of the pictures of ``dataset``, such as their sizes. Without ``kinds``, there is only one.
    """
    share = (range(len(dataset)) if draws is None else draws)[rank::world_size]
    batches = batches_of_one_kind(share, batch_size, kinds)
    return Loader(dataset, batch_sampler=batches, **worker_settings(workers, pin, persistent=False))


def batches_of_one_kind(
    share: Sequence[Draw] | Sequence[int], batch_size: int, kinds: Sequence[Hashable] | None
) -> list[list[Draw]] | list[list[int]]:
    """The batches of :func:`evaluation_loader`."""
    batches = []
    for _, group in itertools.groupby(share, lambda index: kinds and kinds[index]):
        of_kind = list(group)
        batches += [of_kind[first : first + batch_size] for first in range(0, len(of_kind), batch_size)]
    return batches


def worker_settings(workers: int, pin: bool, persistent: bool) -> dict[str, object]:
    """The arguments of a :class:`Loader` that say which processes make its batches."""
    settings: dict[str, object] = {"num_workers": workers, "pin_memory": pin}
    if workers:
        settings.update(persistent_workers=persistent, prefetch_factor=2, worker_init_fn=begin_worker)
    return settings


def begin_worker(worker: int) -> None:
    """What each process of a loader does first.

    A signal that asks the run to save and end must not stop the loaders, because the run still needs them.
    So they leave the run's process group, to which torchrun sends such signals. They also obey SIGTERM only
    if the run itself sends it, because a scheduler may send it to every process.
    """
    limit_threads()
    if hasattr(os, "setpgid"):  # Windows does not have it.
        os.setpgid(0, 0)
    if hasattr(signal, "sigwaitinfo"):  # Windows and macOS do not have it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_asked, args=(os.getppid(),), daemon=True).start()


def _end_when_asked(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def limit_threads() -> None:
    """Use one thread per worker: the workers already use all cores, and more threads would slow them down."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
