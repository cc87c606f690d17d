"""Tiles, centroids, their cache and the epoch lists made from them."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from datasets.definitions.catalog import spec
from datasets.files.segmentation import SegmentationSet
from datasets.sampling import class_uniform
from datasets.sampling.additional import Additional
from datasets.sampling.class_uniform import TileCentroids, epoch_draws, scan, tile_centroids
from transforms.pipeline import TrainTransform


def naive_centroids(label: np.ndarray, tile: int) -> list[list[int]]:
    found = []
    for top in range(0, label.shape[0], tile):
        for left in range(0, label.shape[1], tile):
            part = label[top : top + tile, left : left + tile]
            for train_id in range(19):
                rows, columns = np.nonzero(part == train_id)
                if len(rows):
                    x = left + columns.sum() // len(rows)
                    y = top + rows.sum() // len(rows)
                    found.append([train_id, x, y])
    return sorted(found)


@given(
    label=st.tuples(st.integers(1, 20), st.integers(1, 20)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 5, 18, 255]))
    ),
    tile=st.integers(1, 12),
)
def test_equals_the_definition_on_any_label(label: np.ndarray, tile: int) -> None:
    points, pixels = tile_centroids(label, tile)
    assert sorted(points.tolist()) == naive_centroids(label, tile)
    assert pixels.tolist() == [int((label == train_id).sum()) for train_id in range(19)]


def test_remainder_tiles_are_covered() -> None:
    label = np.zeros((720, 1280), dtype=np.uint8)
    label[:, 1270:] = 16
    points, _ = tile_centroids(label, 1024)
    assert points.tolist() == [[0, 511, 359], [0, 1146, 359], [16, 1274, 359]]


@pytest.fixture
def dataset(write_gtav, random_labels) -> SegmentationSet:
    root = write_gtav(random_labels(4))
    return SegmentationSet(spec("gtav"), "train", root, TrainTransform(16))


def test_scan_points_into_its_class(dataset: SegmentationSet, random_labels) -> None:
    centroids = scan(dataset, tile=10)
    labels = random_labels(4)
    assert len(centroids.points) == 4 * 24
    for train_id in range(19):
        for picture, x, y in centroids.of_class(train_id):
            assert labels[picture][y, x] == train_id
    assert centroids.pixels.sum() == 4 * 40 * 60
    assert centroids.pictures.tolist() == [sum((label == t).any() for label in labels) for t in range(19)]


def test_cache_is_used_until_a_label_changes(
    dataset: SegmentationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = SegmentationSet.read_label
    monkeypatch.setattr(SegmentationSet, "read_label", lambda self, i: reads.append(i) or read(self, i))
    cache = tmp_path / "cache"
    first = scan(dataset, 10, cache)
    again = scan(dataset, 10, cache)
    assert len(reads) == 4
    assert all((vars(first)[key] == vars(again)[key]).all() for key in vars(first))
    scan(dataset, 12, cache)
    assert len(reads) == 8
    label = dataset.pairs[0].label
    os.utime(label, ns=(1, 1))
    scan(dataset, 10, cache)
    assert len(reads) == 12
    for file in cache.iterdir():
        file.write_bytes(b"damaged")
    scan(dataset, 10, cache)
    assert len(reads) == 16
    assert not list(cache.glob(".*"))


def test_cache_survives_moving_the_data(dataset: SegmentationSet, tmp_path: Path, monkeypatch) -> None:
    scan(dataset, 10, tmp_path / "cache")
    moved = tmp_path / "moved"
    shutil.move(dataset.root, moved)
    monkeypatch.setattr(class_uniform, "tile_centroids", None)
    scan(SegmentationSet(spec("gtav"), "train", moved, TrainTransform(16)), 10, tmp_path / "cache")


def centroids_of(classes: dict[int, int]) -> TileCentroids:
    """Points (picture 0, x = 0, 1, ..., y = class) for the given number of tiles of each class."""
    points = np.array([(t, 0, x, t) for t, count in sorted(classes.items()) for x in range(count)])
    return TileCentroids(points.reshape(-1, 4), np.zeros(19), np.zeros(19))


def test_epoch_list_has_the_published_proportions() -> None:
    draws = epoch_draws(12388, 0, centroids=centroids_of(dict.fromkeys(range(19), 400)), fraction=0.5)
    assert len(draws) == 12388
    classes = Counter(draw.centroid and draw.centroid[1] for draw in draws)
    assert all(classes[t] == 326 for t in range(19))
    assert classes[None] == 6194
    whole = [draw.index for draw in draws if draw.centroid is None]
    assert len(set(whole)) == len(whole)
    assert [draw.position for draw in draws] == list(range(12388))


@pytest.mark.reliability("Training: a class that never occurs does not shorten an epoch")
def test_missing_classes_do_not_shorten_an_epoch() -> None:
    draws = epoch_draws(100, 0, centroids=centroids_of({3: 1, 5: 2}), fraction=0.5)
    classes = Counter(draw.centroid for draw in draws)
    # int(100 * 0.5 / 19) = 2 draws per class: the one tile of class 3 twice, the two of class 5 once each.
    assert classes == {None: 96, (0, 3): 2, (0, 5): 1, (1, 5): 1}
    assert len(epoch_draws(100, 0, centroids=centroids_of({}), fraction=0.5)) == 100


def test_epoch_list_is_a_function_of_seed_and_epoch() -> None:
    centroids = centroids_of({3: 30, 5: 40})

    def draws(epoch: int, seed: int) -> list:
        return epoch_draws(200, epoch, seed, centroids, 0.5)

    def points(epoch: int, seed: int) -> list:
        return [(draw.index, draw.centroid) for draw in draws(epoch, seed)]

    assert draws(1, 7) == draws(1, 7)
    assert points(1, 7) != points(2, 7)
    assert points(1, 7) != points(1, 8)
    whole = epoch_draws(200, 3, 7, centroids, fraction=0)
    assert sorted(draw.index for draw in whole) == list(range(200))


def test_additional_pictures_are_drawn_up_to_an_epoch() -> None:
    own = centroids_of({3: 30})
    # Pictures 0 to 99 are the split's, 100 to 149 are drawn like them, 150 and on around class 16 only.
    boosted = [[16, 150 + index, 5, 16] for index in range(40)]
    every = TileCentroids(np.array([*own.points.tolist(), *boosted]), own.pixels, own.pictures)

    def draws(epoch: int) -> list:
        return epoch_draws(100, epoch, 0, own, 0.5, max_cu_epoch=2, additional=Additional(50, every))

    assert [len(draws(epoch)) for epoch in (0, 2, 3)] == [150] * 3
    early = draws(2)
    assert {draw.centroid for draw in early if draw.index >= 150} == {(5, 16)}
    assert Counter(draw.index >= 150 for draw in early)[True] == int(150 * 0.5 / 19)
    assert {draw.index for draw in early if draw.centroid is None} <= set(range(150))
    assert len([draw for draw in early if 100 <= draw.index < 150]) > 40
    late = draws(3)
    assert max(draw.index for draw in late) < 100
    assert {draw.centroid[1] for draw in late if draw.centroid} == {3}


def test_classes_that_the_network_does_not_tell_apart_are_not_drawn_by() -> None:
    points = np.array([[0, 2, 7, 7], [3, 0, 5, 5], [9, 1, 6, 6]])
    centroids = TileCentroids(points, np.ones(19, dtype=np.int64), np.ones(19, dtype=np.int64))
    draws = epoch_draws(40, 0, centroids=centroids, fraction=0.5, train_ids=[0, 9])
    by_class = Counter(draw.centroid for draw in draws)
    assert (by_class[(5, 5)], by_class[(6, 6)], by_class[(7, 7)]) == (0, 10, 10)


def test_fewer_draws_than_classes_are_shared_out_over_the_epochs() -> None:
    centroids = centroids_of({3: 30, 5: 40, 9: 1})
    epochs = [epoch_draws(5, epoch, 7, centroids, 0.5) for epoch in range(400)]
    assert epochs[3] == epoch_draws(5, 3, 7, centroids, 0.5)
    assert {len(draws) for draws in epochs} == {5}
    classes = Counter(draw.centroid[1] for draws in epochs for draw in draws if draw.centroid)
    # 2.5 of 5 draws: two or three an epoch, which of the three classes by chance.
    assert {sum(draw.centroid is not None for draw in draws) for draws in epochs} == {2, 3}
    assert sum(classes.values()) / 2000 == pytest.approx(0.5, abs=0.03)
    assert all(count == pytest.approx(1000 / 3, rel=0.1) for count in classes.values())
    whole = epoch_draws(37, 0, 7, centroids, fraction=0)
    assert all(draw.centroid is None for draw in whole)
    assert any(draw.centroid for draw in epoch_draws(37, 0, 7, centroids_of({4: 1}), 0.5))
