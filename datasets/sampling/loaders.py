"""Samplers, which say which samples each process gets, and the loaders that make the samples."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from datasets.files.segmentation import Draw
from utils.errors import UserError
from utils.machine import own_words
from utils.seeding import generator

# The last key of the generator for the order of an epoch, so that it differs from that of its list.
_EPOCH_ORDER = 2


class TrainingSampler(Sampler[list[Draw]]):
    """Batches of draws for one of ``world_size`` processes.

    ``items_of_epoch(epoch)`` lists the items of an epoch. An item is one draw, or a tuple with one draw per
    source domain. The list must be the same on every rank, and equally long in every epoch. It is
    shuffled by (``seed``, epoch) and divided into global batches of ``batch_size * world_size`` items. An
    incomplete last batch is dropped; an epoch shorter than one global batch repeats items to fill it.
    :meth:`set_position` is for resuming.
    """

    def __init__(
        self,
        items_of_epoch: Callable[[int], Sequence[tuple[Draw, ...]]],
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ) -> None:
        self.items_of_epoch = items_of_epoch
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.epoch = 0
        self.first_batch = 0
        self.length = max(1, len(items_of_epoch(0)) // (batch_size * world_size))

    def set_position(self, epoch: int, first_batch: int = 0) -> None:
        """Let the next iteration yield the batches of ``epoch`` from number ``first_batch`` on."""
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """The number of batches in a whole epoch, even if the next iteration starts in the middle."""
        return self.length

    def __iter__(self) -> Iterator[list[Draw]]:
        items = self.items_of_epoch(self.epoch)
        order = generator(self.seed, self.epoch, 0, _EPOCH_ORDER).permutation(len(items))
        shuffled = [items[index] for index in order]
        global_batch = self.batch_size * self.world_size
        if len(shuffled) < global_batch:
            # A repeated draw gets another position, so that its crop is a different one.
            repeated = itertools.islice(itertools.cycle(shuffled), global_batch)
            shuffled = [
                tuple(draw._replace(position=number) for draw in item) for number, item in enumerate(repeated)
            ]
        for batch in range(self.first_batch, self.length):
            share = shuffled[batch * global_batch : (batch + 1) * global_batch][self.rank :: self.world_size]
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
    return Loader(dataset, batch_sampler=sampler, **_worker_settings(workers, pin, persistent=True))


def evaluation_loader(
    dataset: Dataset,
    batch_size: int = 1,
    workers: int = 4,
    rank: int = 0,
    world_size: int = 1,
    pin: bool = False,
) -> Loader:
    """This rank's share of ``dataset``, in order; a ``batch_size`` above 1 needs pictures of equal size."""
    share = range(rank, len(dataset), world_size)
    return Loader(
        dataset, batch_size=batch_size, sampler=share, **_worker_settings(workers, pin, persistent=False)
    )


def share_loader(
    dataset: Dataset,
    draws: Sequence[Draw],
    workers: int = 4,
    rank: int = 0,
    world_size: int = 1,
    pin: bool = False,
) -> Loader:
    """This rank's share of a list of draws, one at a time and in order."""
    share = draws[rank::world_size]
    return Loader(dataset, batch_size=1, sampler=share, **_worker_settings(workers, pin, persistent=False))


def _worker_settings(workers: int, pin: bool, persistent: bool) -> dict[str, object]:
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
