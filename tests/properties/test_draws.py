"""Samplers: every index once over any number of ranks, and draws that depend on nothing but their numbers."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from datasets.definitions.catalog import spec
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.class_uniform import TileCentroids, epoch_draws
from datasets.sampling.loaders import (
    EpochDraws,
    Item,
    TrainingSampler,
    domain_uniform,
    evaluation_loader,
    image_uniform,
    training_loader,
)
from datasets.sampling.replacement import Sources
from datasets.sampling.target import TargetBatches
from datasets.toycity import generate
from transforms.pipeline import TrainTransform

pytestmark = pytest.mark.reliability

SEEDS, EPOCHS = st.integers(0, 2**32 - 1), st.integers(0, 1000)
DOMAINS = st.lists(st.integers(1, 40), min_size=1, max_size=3)
COMPOSERS = st.sampled_from([domain_uniform, image_uniform])


def centroids_of(pictures: int, seed: int) -> TileCentroids:
    """Some points of some classes in some of the pictures."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 60))
    points = np.stack([rng.integers(0, 19, number), rng.integers(0, pictures, number)], 1)
    points = np.concatenate([points, rng.integers(0, 64, (number, 2))], 1)
    points = points[np.argsort(points[:, 0], kind="stable")]
    return TileCentroids(points, np.bincount(points[:, 0], minlength=19), np.ones(19, dtype=np.int64))


def domain_draws(pictures: list[int], seed: int, fraction: float) -> list[EpochDraws]:
    """Draws of domains with so many pictures, ``fraction`` of them by class."""
    return [
        partial(epoch_draws, number, seed=seed, centroids=centroids_of(number, place), fraction=fraction)
        for place, number in enumerate(pictures)
    ]


def disturb() -> None:
    """Use the global generators, as anything else in the process might."""
    random.random()
    np.random.seed(0)  # noqa: NPY002
    torch.rand(3)


@given(length=st.integers(0, 500), ranks=st.integers(1, 64))
def test_evaluation_reads_every_index_once_over_any_ranks(length: int, ranks: int) -> None:
    loaders = [evaluation_loader(range(length), 1, 0, rank, ranks) for rank in range(ranks)]
    shares = [[index for batch in loader.batch_sampler for index in batch] for loader in loaders]
    assert sorted(index for share in shares for index in share) == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(pictures=st.integers(1, 300), epoch=EPOCHS, seed=SEEDS)
def test_an_epoch_has_every_picture_once(pictures: int, epoch: int, seed: int) -> None:
    draws = epoch_draws(pictures, epoch, seed)
    assert sorted(draw.index for draw in draws) == list(range(pictures))
    assert [draw.position for draw in draws] == list(range(pictures))
    assert {draw.epoch for draw in draws} == {epoch}


@given(pictures=st.integers(1, 120), epoch=EPOCHS, seed=SEEDS, fraction=st.floats(0, 1))
def test_an_epoch_by_class_keeps_its_length_and_repeats_nothing_early(
    pictures: int, epoch: int, seed: int, fraction: float
) -> None:
    draws = epoch_draws(pictures, epoch, seed, centroids_of(pictures, seed % 97), fraction)
    assert [draw.position for draw in draws] == list(range(pictures))
    whole = Counter(draw.index for draw in draws if draw.centroid is None)
    assert max(whole.values(), default=1) == 1


@given(DOMAINS, COMPOSERS, st.integers(1, 4), st.integers(1, 6), EPOCHS, SEEDS, st.floats(0, 1))
def test_ranks_share_out_an_epoch_without_overlap(
    domains: list[int], compose, batch_size: int, ranks: int, epoch: int, seed: int, fraction: float
) -> None:
    items = partial(compose, domain_draws(domains, seed, fraction), seed)
    samplers = [TrainingSampler(items, batch_size, rank, ranks, seed) for rank in range(ranks)]
    for sampler in samplers:
        sampler.set_position(epoch)
    drawn = [draw for sampler in samplers for batch in sampler for draw in batch]
    listed = [draw for item in items(epoch) for draw in item]
    per_item = len(items(epoch)[0])
    assert len(set(drawn)) == len(drawn)
    if len(items(epoch)) >= batch_size * ranks:
        # Nothing but the incomplete last batch is left out.
        assert set(drawn) <= set(listed)
        assert len(listed) - len(drawn) < batch_size * ranks * per_item
    else:
        assert len(drawn) == batch_size * ranks * per_item
        assert {(d.source, d.index) for d in drawn} == {(d.source, d.index) for d in listed}


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), EPOCHS, SEEDS, st.integers(0, 60))
def test_a_step_has_the_same_pictures_however_many_ranks_share_it(
    batch_size: int, ranks: int, factor: int, epoch: int, seed: int, more: int
) -> None:
    """``ranks x factor`` ranks of one batch size, and ``ranks`` ranks of ``factor`` times that."""
    pictures = batch_size * ranks * factor + more
    items = partial(image_uniform, domain_draws([pictures], seed, 0.5), seed)

    def steps(batch: int, world: int) -> list[set[Draw]]:
        samplers = [TrainingSampler(items, batch, rank, world, seed) for rank in range(world)]
        for sampler in samplers:
            sampler.set_position(epoch)
        return [{draw for share in step for draw in share} for step in zip(*samplers, strict=True)]

    assert steps(batch_size, ranks * factor) == steps(batch_size * factor, ranks)


@given(st.data(), DOMAINS, COMPOSERS, st.integers(1, 4), st.integers(1, 3), EPOCHS, SEEDS)
def test_a_resumed_position_yields_the_same_rest(
    data: st.DataObject, domains: list[int], compose, batch_size: int, ranks: int, epoch: int, seed: int
) -> None:
    def items(number: int) -> list[Item]:
        return compose(domain_draws(domains, seed, 0.5), seed, number)

    rank = data.draw(st.integers(0, ranks - 1))
    uninterrupted = TrainingSampler(items, batch_size, rank, ranks, seed)
    for earlier in range(min(epoch, 2)):
        uninterrupted.set_position(earlier)
        list(uninterrupted)
    uninterrupted.set_position(epoch)
    whole = list(uninterrupted)
    first = data.draw(st.integers(0, len(whole)))
    disturb()
    resumed = TrainingSampler(items, batch_size, rank, ranks, seed)
    resumed.set_position(epoch, first)
    assert list(resumed) == whole[first:]


@given(DOMAINS, COMPOSERS, EPOCHS, SEEDS)
def test_other_seeds_and_epochs_give_other_orders(domains: list[int], compose, epoch: int, seed: int) -> None:
    assume(min(domains) >= 12)  # Two orders of few pictures may well be equal.

    def order(number: int, key: int) -> list[int]:
        sampler = TrainingSampler(partial(compose, domain_draws(domains, key, 0.0), key), 4, seed=key)
        sampler.set_position(number)
        return [draw.index for batch in sampler for draw in batch]

    assert order(epoch, seed) != order(epoch + 1, seed)
    assert order(epoch, seed) != order(epoch, seed + 1)


@given(st.integers(12, 60), EPOCHS, SEEDS)
def test_a_list_that_is_always_the_same_is_shuffled_anew(pictures: int, epoch: int, seed: int) -> None:
    items = image_uniform(domain_draws([pictures], seed, 0.0), seed, 0)
    sampler = TrainingSampler(lambda _: items, 1, seed=seed)
    orders = []
    for number in (epoch, epoch + 1):
        sampler.set_position(number)
        orders.append([draw.index for batch in sampler for draw in batch])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


class Numbered:
    """A data set whose samples are the numbers of their draws."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor]:
        return {"draw": torch.tensor([draw.index, draw.epoch, draw.position, draw.source])}


@given(DOMAINS, st.integers(1, 5), st.lists(st.integers(0, 40), max_size=5), SEEDS)
def test_a_target_batch_depends_on_its_number_alone(
    domains: list[int], batch_size: int, jumps: list[int], seed: int
) -> None:
    def batches() -> TargetBatches:
        items = partial(image_uniform, domain_draws(domains, seed, 0.0), seed)
        sampler = TrainingSampler(items, batch_size, seed=seed)
        return TargetBatches(training_loader(Sources([*map(Numbered, domains)]), sampler, workers=0))

    in_order, jumping = batches(), batches()
    expected = [in_order.batch(number)["draw"].tolist() for number in range(41)]
    disturb()
    for number in jumps:
        assert jumping.batch(number)["draw"].tolist() == expected[number]
    epochs = {epoch for batch in expected for _, epoch, _, _ in batch}
    assert epochs == set(range(max(epochs) + 1))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> SegmentationSet:
    root = tmp_path_factory.mktemp("few")
    generate(root, ["cityscapes"], train=3, val=1, size=(64, 128), seed=0, processes=1)
    return SegmentationSet(spec("cityscapes"), "train", root / "cityscapes", TrainTransform(32), seed=3)


@given(data=st.data())
def test_a_sample_depends_on_its_draw_alone(opened: SegmentationSet, data: st.DataObject) -> None:
    centroid = st.none() | st.tuples(st.integers(0, 127), st.integers(0, 63))
    draws = st.builds(
        Draw, st.integers(0, len(opened) - 1), EPOCHS, st.integers(0, 99), centroid, st.integers(0, 3)
    )
    draw, others = data.draw(draws), data.draw(st.lists(draws, max_size=3))
    first = opened[draw]
    for other in others:
        opened[other]
    disturb()
    again = opened[draw]
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert torch.equal(value, again[name]) if isinstance(value, torch.Tensor) else value == again[name]
