"""Samplers: every draw once per epoch, over any number of ranks, from any position."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from datasets.files.segmentation import Draw
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.loaders import TrainingSampler, evaluation_loader


def single_items(pictures: int, seed: int, epoch: int) -> list[tuple[Draw, ...]]:
    """One picture per item, as with a single source domain."""
    return [(draw,) for draw in epoch_draws(pictures, epoch, seed)]


def samplers(pictures: int, batch_size: int, world_size: int, seed: int = 0) -> list[TrainingSampler]:
    return [
        TrainingSampler(partial(single_items, pictures, seed), batch_size, rank, world_size, seed)
        for rank in range(world_size)
    ]


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_an_epoch_over_all_ranks(pictures: int, batch_size: int, world_size: int, epoch: int) -> None:
    ranks = samplers(pictures, batch_size, world_size)
    drawn = []
    for sampler in ranks:
        sampler.set_position(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) == max(1, pictures // (batch_size * world_size))
        assert all(len(batch) == batch_size for batch in batches)
        drawn += [draw for batch in batches for draw in batch]
    assert len({draw.position for draw in drawn}) == len(drawn)
    global_batch = batch_size * world_size
    if pictures >= global_batch:
        assert len({draw.index for draw in drawn}) == len(drawn)
        assert pictures - len(drawn) < global_batch
    else:
        # Too few pictures for one step: all are used, and used again to fill it.
        assert len(drawn) == global_batch
        assert {draw.index for draw in drawn} == set(range(pictures))


def test_the_global_batch_does_not_depend_on_the_number_of_ranks() -> None:
    (alone,) = samplers(24, 4, 1)
    first, second = samplers(24, 2, 2)
    for one, a, b in zip(alone, first, second, strict=True):
        assert set(one) == {*a, *b}


def test_resume_position_and_order() -> None:
    (sampler,) = samplers(20, 3, 1)
    sampler.set_position(2)
    whole = list(sampler)
    assert list(sampler) == whole
    sampler.set_position(2, first_batch=4)
    assert list(sampler) == whole[4:]
    assert len(sampler) == 6
    sampler.set_position(3)
    assert list(sampler) != whole


@given(st.integers(0, 50), st.integers(1, 7))
def test_evaluation_covers_every_index_once(length: int, world_size: int) -> None:
    loaders = [evaluation_loader(range(length), 1, 0, rank, world_size) for rank in range(world_size)]
    assert sorted(index.item() for loader in loaders for index in loader) == list(range(length))
    assert sum(map(len, loaders)) == length


class ProcessNumbers(Dataset):
    """Of whoever makes the sample."""

    def __len__(self) -> int:
        return 500

    def __getitem__(self, index: int) -> int:
        return os.getpid()


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="this system does not say who sent a signal")
def test_a_worker_heeds_sigterm_from_the_run_alone() -> None:
    """A scheduler may send it to every process; the run then needs its loaders until it has saved."""
    others = multiprocessing.active_children()
    batches = iter(evaluation_loader(ProcessNumbers(), workers=1))
    number = int(next(batches))
    subprocess.run(["kill", "-TERM", str(number)], check=True)
    assert [int(batch) for batch in batches] == [number] * 499

    batches = iter(evaluation_loader(ProcessNumbers(), workers=1))
    next(batches)
    (worker,) = [child for child in multiprocessing.active_children() if child not in others]
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0


def test_batches_are_neighbours_of_one_size() -> None:
    sizes = [(4, 2), (4, 2), (4, 2), (8, 2), (4, 2)]
    loader = evaluation_loader(list(range(5)), 2, workers=0, kinds=sizes)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2], [3], [4]]
    assert [batch.tolist() for batch in evaluation_loader(list(range(5)), 2, workers=0)] == [
        [0, 1],
        [2, 3],
        [4],
    ]
