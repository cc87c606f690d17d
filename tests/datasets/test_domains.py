"""datasets.domains: what train.py and valid.py get from the flags, and what is refused before training."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import train_arguments

import config
import train
from datasets.domains import Domains, default_workers
from utils.errors import UserError


def arguments(toycity: Path, tmp_path: Path, *more: str) -> argparse.Namespace:
    return train.parse_arguments(train_arguments(toycity, tmp_path, *more))


def domains_of(args: argparse.Namespace) -> Domains:
    return Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)


@pytest.fixture
def copied_gtav(toycity: Path, tmp_path: Path) -> Path:
    """A data root whose gtav may be damaged."""
    shutil.copytree(toycity / "gtav", tmp_path / "data" / "gtav")
    return tmp_path / "data"


def test_batches_by_domain_and_position(toycity: Path, tmp_path: Path) -> None:
    loaders = domains_of(arguments(toycity, tmp_path)).training_loaders(
        arguments(toycity, tmp_path), ("image",)
    )
    assert loaders.steps_per_epoch == 3
    whole = [batch["source"]["name"] for batch in loaders.batches(4)]
    assert len(whole) == 3
    assert [batch["source"]["name"] for batch in loaders.batches(4, first_batch=1)] == whole[1:]
    batch = next(loaders.batches(0))["source"]
    assert batch["image"].shape == (2, 3, 32, 32)
    assert batch["label"].shape == (2, 32, 32)


def test_covariance_pairs_are_whole_pictures_and_differ_by_trial(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--covstat_images", "3")
    loaders = domains_of(args).training_loaders(args, ("image",))
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
    loaders = domains_of(args).training_loaders(args, ("image",))

    def names(rank: int, processes: int) -> list[str]:
        monkeypatch.setattr("utils.distributed.rank", lambda: rank)
        monkeypatch.setattr("utils.distributed.world_size", lambda: processes)
        return [batch["name"][0] for pairs in loaders.covariance_pairs(0) for batch in pairs]

    alone = names(0, 1)
    shares = [names(rank, 2) for rank in (0, 1)]
    assert len(set(alone)) == 5
    assert sorted(shares[0] + shares[1]) == sorted(alone)


@pytest.mark.parametrize(("name", "split"), [("gtav", "labels/train"), ("gtav", "labels/valid")])
def test_a_label_value_outside_the_coding_stops_before_training(
    copied_gtav: Path, tmp_path: Path, name: str, split: str
) -> None:
    path = sorted((copied_gtav / name / split).rglob("*.png"))[-1]
    with Image.open(path) as label:
        pixels, palette = np.array(label), label.getpalette()
    pixels[3, 5] = 77
    damaged = Image.fromarray(pixels)
    damaged.putpalette(palette)
    damaged.save(path)
    with pytest.raises(UserError, match=rf"{path.name}.*77"):
        train.main(train_arguments(copied_gtav, tmp_path / "logs"))
    assert not (tmp_path / "logs" / "default" / "tiny" / "args.json").exists()


def test_sizes_that_differ_stop_before_training(copied_gtav: Path, tmp_path: Path) -> None:
    path = sorted((copied_gtav / "gtav" / "images" / "valid").rglob("*.png"))[0]
    Image.new("RGB", (10, 10)).save(path)
    with pytest.raises(UserError, match=path.name):
        train.main(train_arguments(copied_gtav, tmp_path / "logs"))


def test_batches_of_pictures_of_several_sizes_are_refused(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--bs_mult_val", "2", "--protocol", "full")
    with pytest.raises(UserError, match="--bs_mult_val 2"):
        domains_of(args).evaluation_loader("mapillary")
    assert domains_of(args).evaluation_loader("gtav").batch_size == 2


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert default_workers() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 4
