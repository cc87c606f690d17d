"""Who draws which samples when, and the loaders that make them."""

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

# Last key of the generator for an epoch's order, beside the one of its list.
_EPOCH_ORDER = 2


class TrainingSampler(Sampler[list[Draw]]):
    """Batches of draws for one of ``world_size`` processes.

    ``items_of_epoch(epoch)`` lists the items of an epoch, each a tuple of draws that belong together, one
    per source domain; it must return the same list on every rank, of the same length in every epoch. The
    list is shuffled by (``seed``, epoch) and dealt out in global batches of ``batch_size * world_size``
    items; an incomplete last batch is dropped, and an epoch shorter than one global batch repeats items to
    fill it. Resume with :meth:`set_position`.
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
        """The next iteration yields the batches of ``epoch`` from number ``first_batch`` on."""
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever in it the next iteration starts."""
        return self.length

    def __iter__(self) -> Iterator[list[Draw]]:
        items = self.items_of_epoch(self.epoch)
        order = generator(self.seed, self.epoch, 0, _EPOCH_ORDER).permutation(len(items))
        shuffled = [items[index] for index in order]
        global_batch = self.batch_size * self.world_size
        if len(shuffled) < global_batch:
            endless = itertools.cycle(shuffled)
            # A draw used again gets a number of its own, so that its crop is another one.
            repeated = itertools.islice(endless, global_batch)
            shuffled = [
                tuple(draw._replace(position=number) for draw in item) for number, item in enumerate(repeated)
            ]
        for batch in range(self.first_batch, self.length):
            share = shuffled[batch * global_batch : (batch + 1) * global_batch][self.rank :: self.world_size]
            # Domain by domain, so that a batch can be divided into one part per domain.
            yield [draw for of_domain in zip(*share, strict=True) for draw in of_domain]


class EvaluationSampler(Sampler[int]):
    """Every ``world_size``-th index from ``rank`` on: over all ranks each index exactly once."""

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class Loader(DataLoader):
    """A DataLoader whose workers' user errors are one line here too, without the worker's traceback."""

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from super().__iter__()
        except UserError as error:
            raise UserError(own_words(error.args[0])) from None


def training_loader(
    dataset: Dataset, sampler: TrainingSampler, workers: int = 4, pin: bool = False
) -> Loader:
    """Batches of ``dataset`` as ``sampler`` draws them; workers live as long as the loader.

    Here and below ``pin`` puts them into pinned memory, and with 0 ``workers`` this process makes them.
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
    """This rank's share of ``dataset`` in order; ``batch_size`` above 1 needs pictures of one size."""
    sampler = EvaluationSampler(len(dataset), rank, world_size)
    return Loader(
        dataset, batch_size=batch_size, sampler=sampler, **_worker_settings(workers, pin, persistent=False)
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
    """What a loader's process does first.

    A signal that asks the run to end, and to save before it needs its loaders no more, is not for them: they
    leave the run's process group, to which torchrun sends it, and heed SIGTERM only from the run itself, for
    a scheduler may send it to every process there is.
    """
    limit_threads()
    if hasattr(os, "setpgid"):  # Not on Windows.
        os.setpgid(0, 0)
    if hasattr(signal, "sigwaitinfo"):  # Nor on macOS.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_asked, args=(os.getppid(),), daemon=True).start()


def _end_when_asked(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def limit_threads() -> None:
    """One thread per worker: the workers are the parallelism, more threads than cores slow all down."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
