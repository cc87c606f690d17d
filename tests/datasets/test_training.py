"""datasets.training: batches by position, pictures of the statistics, what is said and refused."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from programs import train_arguments

import config
import train
from datasets.domains import Domains
from datasets.training import TrainingLoaders
from methods import METHODS
from utils.scoring.classes import classes_of_number


def arguments(toycity: Path, tmp_path: Path, *more: str) -> argparse.Namespace:
    return train.parse_arguments(train_arguments(toycity, tmp_path, *more))


def loaders_of(args: argparse.Namespace, num_classes: int = 19) -> TrainingLoaders:
    return TrainingLoaders(
        Domains(args, {}, config.TOYCITY_ROOT, classes_of_number(num_classes)), args, ("image",)
    )


def test_batches_by_domain_and_position(toycity: Path, tmp_path: Path) -> None:
    loaders = loaders_of(arguments(toycity, tmp_path))
    assert loaders.steps_per_epoch == 3
    whole = [batch["source"]["name"] for batch in loaders.batches(4)]
    assert len(whole) == 3
    assert [batch["source"]["name"] for batch in loaders.batches(4, first_batch=1)] == whole[1:]
    batch = next(loaders.batches(0))["source"]
    assert batch["image"].shape == (2, 3, 32, 32)
    assert batch["label"].shape == (2, 32, 32)


@pytest.mark.reliability("Training: an epoch shorter than a batch takes pictures of the next ones")
def test_an_epoch_shorter_than_a_batch(toycity: Path, tmp_path: Path) -> None:
    loaders = loaders_of(arguments(toycity, tmp_path, "--bs_mult", "8", "--class_uniform_pct", "0"))
    assert loaders.steps_per_epoch == 1
    ((batch),) = loaders.batches(0)
    names = batch["source"]["name"]
    assert len(names) == 8
    assert len(set(names)) == 6


@pytest.mark.parametrize(("method", "marked"), [("baseline", False), ("abn", True)])
def test_padding_is_marked_for_methods_that_fill_it(
    toycity: Path, tmp_path: Path, method: str, marked: bool
) -> None:
    args = arguments(toycity, tmp_path, "--scale_max", "0.5", "--crop_size", "64")
    config.apply_method_defaults(args, METHODS[method])
    args.renormalise = "off"
    batch = next(loaders_of(args).batches(0))["source"]
    assert ("padding" in batch) == marked
    if marked:
        assert batch["padding"].any() and (batch["label"][batch["padding"]] == 255).all()


def test_covariance_pairs_are_whole_pictures_and_differ_by_trial(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--covstat_images", "3")
    loaders = loaders_of(args)
    rounds = []
    for trial in (0, 1):
        (pairs,) = loaders.covariance_pairs(trial)
        batches = list(pairs)
        assert len(batches) == 3
        assert batches[0]["image"].shape == batches[0]["image_jittered"].shape == (1, 3, 64, 128)
        assert (batches[0]["image"] != batches[0]["image_jittered"]).any()
        rounds.append([batch["name"] for batch in batches])
    assert rounds[0] != rounds[1]


def test_processes_share_the_statistics_pictures(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(toycity, tmp_path, "--covstat_images", "5")
    loaders = loaders_of(args)

    def names(rank: int, processes: int) -> list[str]:
        monkeypatch.setattr("utils.distributed.rank", lambda: rank)
        monkeypatch.setattr("utils.distributed.world_size", lambda: processes)
        return [batch["name"][0] for pairs in loaders.covariance_pairs(0) for batch in pairs]

    alone = names(0, 1)
    shares = [names(rank, 2) for rank in (0, 1)]
    assert len(set(alone)) == 5
    assert sorted(shares[0] + shares[1]) == sorted(alone)


@pytest.mark.parametrize("num_classes", [16, 13])
def test_labels_are_in_the_classes_of_the_network(toycity: Path, tmp_path: Path, num_classes: int) -> None:
    def labels_of(num_classes: int) -> torch.Tensor:
        args = arguments(toycity, tmp_path, "--class_uniform_pct", "0")
        batches = loaders_of(args, num_classes).batches(0)
        return torch.cat([batch["source"]["label"] for batch in batches]).long()

    train_ids, labels = labels_of(19), labels_of(num_classes)
    table = torch.from_numpy(classes_of_number(num_classes).class_of_train_id).long()
    assert labels.unique().tolist() == table[train_ids].unique().tolist()
    assert torch.equal(labels, table[train_ids])


def test_fewer_pictures_than_classes_are_sampled_class_by_class(toycity: Path, tmp_path: Path) -> None:
    for num_classes in (19, 16, 13):
        loaders = loaders_of(arguments(toycity, tmp_path, "--class_uniform_pct", "1"), num_classes)
        assert all(draw.centroid for (draw,) in loaders.sampler.items_of_epoch(0))


def test_only_classes_of_the_network_are_missed(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    shutil.copytree(toycity / "gtav", root / "gtav")
    for path in (root / "gtav" / "labels" / "train").rglob("*.png"):
        with Image.open(path) as label:
            pixels, palette = np.array(label), label.getpalette()
        pixels[np.isin(pixels, (22, 26))] = 0  # terrain, which only networks of 19 classes know, and car
        emptied = Image.fromarray(pixels)
        emptied.putpalette(palette)
        emptied.save(path)
    for number, missed in ((19, "terrain, car"), (16, "car")):
        args = arguments(root, tmp_path / str(number))
        loaders_of(args, number)
        assert f"gtav: no training pixel of {missed}\n" in capsys.readouterr().out


def test_flags_that_cannot_do_what_they_say(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--class_uniform_tile", "1024", "--max_cu_epoch", "3", "--covstat_images", "500")
    loaders = loaders_of(arguments(toycity, tmp_path, *flags))
    next(loaders.covariance_pairs(trial=0))
    next(loaders.covariance_pairs(trial=1))
    said = capsys.readouterr().out
    for line in (
        "--class_uniform_tile 1024: gtav's first picture is",
        "--max_cu_epoch 3: has no effect without",
        "--covstat_images 500: gtav has only 6 pictures",
    ):
        assert said.count(line) == 1
    loaders = loaders_of(arguments(toycity, tmp_path, "--class_uniform_tile", "32", "--covstat_images", "6"))
    next(loaders.covariance_pairs(trial=0))
    assert "--c" not in capsys.readouterr().out
