"""Unlabelled target pictures beside the source's epochs: which batches, without any label file, in order."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import train_arguments

import config
import train
from datasets.definitions.catalog import CATALOG, spec
from datasets.domains import Domains
from datasets.files.pairing import list_pairs
from datasets.sampling.importance_weights import importance_weights, write_importance_weights
from datasets.sampling.target import target_draws, target_seed
from datasets.training import TrainingLoaders
from transforms.pipeline import WEAK_JITTER
from utils.errors import UserError

BOTH = ("source", "target")


def arguments(root: Path, tmp_path: Path, *more: str) -> argparse.Namespace:
    return train.parse_arguments(
        train_arguments(root, tmp_path, "--target_dataset", "cityscapes", "--class_uniform_pct", "0", *more)
    )


def loaders_of(args: argparse.Namespace, target_transform: str | None = None) -> TrainingLoaders:
    data = Domains(args, {}, config.TOYCITY_ROOT)
    return TrainingLoaders(data, args, ("image",), WEAK_JITTER, BOTH, target_transform)


def target_names(batches) -> list[list[str]]:
    return [batch["target"]["name"] for batch in batches]


@pytest.fixture
def unlabelled(toycity: Path, tmp_path: Path) -> Path:
    """A data root whose cityscapes has no label file at all."""
    for name in ("gtav", "cityscapes"):
        shutil.copytree(toycity / name, tmp_path / "data" / name)
    shutil.rmtree(tmp_path / "data" / "cityscapes" / "gtFine_trainvaltest")
    return tmp_path / "data"


def test_no_label_of_the_target_is_needed(unlabelled: Path, toycity: Path, tmp_path: Path) -> None:
    batches = list(loaders_of(arguments(unlabelled, tmp_path)).batches(0))
    assert [list(batch) for batch in batches] == [[*BOTH]] * 3
    for batch in batches:
        assert set(batch["target"]) == {"image", "name", "index", "group"}
        assert batch["target"]["image"].shape == (2, 3, 32, 32)
    labelled = list(loaders_of(arguments(toycity, tmp_path)).batches(0))
    for one, other in zip(batches, labelled, strict=True):
        assert torch.equal(one["target"]["image"], other["target"]["image"])


def test_a_source_alone_has_no_target(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path)
    data = Domains(args, {}, config.TOYCITY_ROOT)
    assert list(next(TrainingLoaders(data, args, ("image",)).batches(0))) == ["source"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_target_has_epochs_of_its_own_and_any_place_is_the_same(
    toycity: Path, tmp_path: Path, workers: str
) -> None:
    """Source epochs of 2 batches of 2 pictures, target ones of 3."""
    root = tmp_path / "data"
    shutil.copytree(toycity / "cityscapes", root / "cityscapes")
    shutil.copytree(toycity / "gtav", root / "gtav")
    for path in sorted((root / "gtav" / "images" / "train").rglob("*.png"))[:2]:
        path.unlink()
        Path(str(path).replace("images", "labels")).unlink()
    args = arguments(root, tmp_path, "--num_workers", workers)
    loaders = loaders_of(args)
    assert loaders.steps_per_epoch == 2
    whole = [batch for epoch in range(3) for batch in loaders.batches(epoch)]
    names = target_names(whole)
    for epoch in (names[:3], names[3:]):
        assert len({name for batch in epoch for name in batch}) == 6
    assert names[:3] != names[3:]
    for place, expected in enumerate(whole):
        epoch, first_batch = divmod(place, 2)
        resumed = next(loaders_of(args).batches(epoch, first_batch))
        again = next(loaders.batches(epoch, first_batch))
        for batch in (resumed, again):
            for domain in BOTH:
                assert batch[domain]["name"] == expected[domain]["name"]
                assert torch.equal(batch[domain]["image"], expected[domain]["image"])


def test_batches_left_over_by_accumulation_are_not_skipped(toycity: Path, tmp_path: Path) -> None:
    loaders = loaders_of(arguments(toycity, tmp_path, "--accumulate", "2"))
    assert (loaders.steps_per_epoch, len(loaders.sampler)) == (1, 3)
    used = [batch for epoch in range(3) for batch in [*loaders.batches(epoch)][:2]]
    names = target_names(used)
    assert len({name for batch in names[:3] for name in batch}) == 6
    assert len({name for batch in names[3:] for name in batch}) == 6


def be_process(rank: int, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.distributed.rank", lambda: rank)
    monkeypatch.setattr("utils.distributed.world_size", lambda: processes)


def test_processes_have_different_pictures(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(toycity, tmp_path)

    def images(rank: int) -> list[str]:
        be_process(rank, 2, monkeypatch)
        loaders = loaders_of(args)
        assert loaders.steps_per_epoch == 1
        return [name for batch in loaders.batches(0) for name in batch["target"]["name"]]

    first, second = images(0), images(1)
    assert len(first) == len(second) == 2
    assert len({*first, *second}) == 4


def test_source_and_target_draws_of_one_number_differ(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = arguments(toycity, tmp_path, "--target_dataset", "gtav", "--bs_mult", "6")
    (batch,) = loaders_of(args).batches(0)
    source, target = (batch[domain] for domain in BOTH)
    assert sorted(source["name"]) == sorted(target["name"])
    assert source["name"] != target["name"]
    crops = [dict(zip(domain["name"], domain["image"], strict=True)) for domain in (source, target)]
    assert not any(torch.equal(crops[0][name], crops[1][name]) for name in crops[0])
    assert "--target_dataset gtav: is also a source domain" in capsys.readouterr().out
    assert target_seed(1) != target_seed(2)


def test_every_part_of_a_step_per_domain_has_a_target_batch(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--dataset", "gtav", "synthia", "--step_per_domain")
    batches = list(loaders_of(args).batches(0))
    assert len(batches) == 6
    names = target_names(batches)
    assert {len(batch) for batch in names} == {2}
    assert len({name for batch in names[:3] for name in batch}) == 6
    assert target_names(loaders_of(args).batches(0, first_batch=1)) == names[2:]


def test_several_targets_are_drawn_from_alike(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--target_dataset", "cityscapes", "bdd100k", "--bs_mult", "3")
    loaders = loaders_of(args)
    batches = [batch for epoch in range(2) for batch in loaders.batches(epoch)]
    names = [name for batch in target_names(batches) for name in batch]
    assert len(set(names)) == 12


def test_target_crops_have_a_size_of_their_own_and_no_filled_pixels(toycity: Path, tmp_path: Path) -> None:
    flags = ["--scale_min", "0.3", "--scale_max", "0.3", "--rrotate", "30", "--color_aug", "0"]
    args = arguments(toycity, tmp_path, *flags, "--crop_size", "48", "--target_crop_size", "96,48")
    for batch in loaders_of(args).batches(0):
        assert batch["source"]["image"].shape == (2, 3, 48, 48)
        assert (batch["source"]["label"] == 255).float().mean() > 0.3
        target = batch["target"]["image"]
        assert target.shape == (2, 3, 48, 96)
        assert (target.amax(1) == 0).float().mean() < 0.01


def test_maximum_squares_augmentation_of_both(toycity: Path, tmp_path: Path) -> None:
    flags = ["--augmentation", "maxsquare", "--crop_size", "80,45", "--target_crop_size", "64,32"]
    batch = next(loaders_of(arguments(toycity, tmp_path, *flags)).batches(0))
    assert batch["source"]["image"].shape == (2, 3, 45, 80)
    assert batch["source"]["label"].shape == (2, 45, 80)
    assert batch["target"]["image"].shape == (2, 3, 32, 64)


def test_the_target_has_a_batch_size_of_its_own(toycity: Path, tmp_path: Path) -> None:
    loaders = loaders_of(arguments(toycity, tmp_path, "--target_bs_mult", "3"))
    assert [len(names) for names in target_names(loaders.batches(0))] == [3, 3, 3]
    assert {len(batch["source"]["name"]) for batch in loaders.batches(0)} == {2}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_groups_of_crops(toycity: Path, tmp_path: Path, workers: str) -> None:
    flags = "--group_size 3 --crop_size 48 --target_crop_size 64,32 --target_bs_mult 1".split()
    args = arguments(toycity, tmp_path, *flags, "--num_workers", workers)
    batches = list(loaders_of(args, "multi_crop").batches(0))
    for batch in batches:
        assert {
            name: tuple(value.shape)
            for name, value in batch["target"].items()
            if name not in ("name", "group")
        } == {
            "image": (1, 3, 3, 32, 64),
            "image_clean": (1, 3, 3, 32, 64),
            "padding": (1, 3, 32, 64),
            "affine": (1, 3, 2, 3),
            "affine_inverse": (1, 3, 2, 3),
            "index": (1,),
        }
        assert batch["source"]["image"].shape == (2, 3, 48, 48)
    resumed = next(loaders_of(args, "multi_crop").batches(0, 2))
    for name, value in resumed["target"].items():
        assert (
            value == batches[2]["target"][name]
            if name == "name"
            else (torch.equal(value, batches[2]["target"][name]))
        )
    args = arguments(toycity, tmp_path, "--crop_size", "48", "--num_workers", workers)
    assert next(loaders_of(args, "multi_crop").batches(0))["target"]["image"].shape == (2, 4, 3, 48, 48)


def test_processes_of_a_group_have_the_same_batches(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = arguments(toycity, tmp_path, "--processes_per_group", "2", "--target_bs_mult", "1")

    def images(rank: int, transform: str | None = "multi_crop") -> list[torch.Tensor]:
        be_process(rank, 4, monkeypatch)
        return [loaders_of(args, transform).target.batch(number)["image"] for number in range(3)]

    of_rank = [images(rank) for rank in range(4)]
    for number in range(3):
        for first, second in ((0, 1), (2, 3)):
            assert torch.equal(of_rank[first][number], of_rank[second][number])
        assert not torch.equal(of_rank[0][number], of_rank[2][number])
    alone = [images(rank, None) for rank in range(2)]
    assert not torch.equal(alone[0][0], alone[1][0])
    be_process(0, 3, monkeypatch)
    with pytest.raises(UserError, match="--processes_per_group 2: does not divide the 3 processes"):
        loaders_of(args, "multi_crop")


@pytest.fixture
def weights(toycity: Path, tmp_path: Path) -> Path:
    """Every class is in one picture alone: class c in number c modulo 6."""
    names = [pair.name for pair in list_pairs(spec("cityscapes"), "train", toycity / "cityscapes")]
    pixels = np.arange(19) % 6 == np.arange(6)[:, None]
    path = tmp_path / "weights.json"
    write_importance_weights(path, importance_weights(names, pixels * 7, "cityscapes", "train"))
    return path


def test_classes_that_no_source_labels_take_every_picture_alike(
    toycity: Path, tmp_path: Path, weights: Path
) -> None:
    args = arguments(toycity, tmp_path, "--importance_weights", str(weights), "--dataset", "synthia")
    target = Domains(args, {}, config.TOYCITY_ROOT).open("cityscapes", "train", None, labelled=False)
    (draws,) = target_draws([target], args, seed=0)
    (probabilities,) = draws.args
    uniform = [c for c in range(19) if np.allclose(probabilities[:, c], 1 / 6)]
    assert uniform == [9, 14, 16]


def test_pictures_are_drawn_by_their_classes(toycity: Path, tmp_path: Path, weights: Path) -> None:
    flags = ["--importance_weights", str(weights), "--importance_uniform_prior"]

    def drawn(prior: str, rounds: int) -> np.ndarray:
        batches = loaders_of(arguments(toycity, tmp_path, *flags, prior)).target
        return np.array(
            [index for number in range(rounds) for index in batches.batch(number)["index"].tolist()]
        )

    # Six pictures of an epoch are of the classes in turn: in the first one all different.
    assert sorted(drawn("0", 3)) == [0, 1, 2, 3, 4, 5]
    assert len(set(drawn("1", 3))) < 6
    by_class = np.bincount(drawn("0", 57), minlength=6)
    # 114 draws, 6 of each class; picture 0 shows classes 0, 6, 12 and 18, the others three each.
    assert by_class.tolist() == [24, 18, 18, 18, 18, 18]
    again = loaders_of(arguments(toycity, tmp_path, *flags, "0.25")).target
    jumped = loaders_of(arguments(toycity, tmp_path, *flags, "0.25")).target.batch(4)
    for number in range(5):
        batch = again.batch(number)
    assert torch.equal(batch["image"], jumped["image"])


def test_weights_are_of_one_target_and_its_pictures(toycity: Path, tmp_path: Path, weights: Path) -> None:
    flags = ["--importance_weights", str(weights), "--target_dataset"]
    with pytest.raises(UserError, match="weighs the pictures of one data set; name one --target_dataset"):
        loaders_of(arguments(toycity, tmp_path, *flags, "cityscapes", "bdd100k"))
    with pytest.raises(UserError, match=r"weights\.json: has no entry for .* \(and 5 more\)"):
        loaders_of(arguments(toycity, tmp_path, *flags, "bdd100k"))


def test_cities_without_training_labels_are_targets(nthu_toycity: Path, tmp_path: Path) -> None:
    args = arguments(nthu_toycity, tmp_path, "--target_dataset", "nthu_rome")
    assert len([*loaders_of(args).batches(0)]) == 3


def test_a_target_that_is_scored_with_the_same_pictures_is_said(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaders_of(arguments(toycity, tmp_path, "--val_dataset", "cityscapes"))
    assert "transductive" not in capsys.readouterr().out
    cityscapes = spec("cityscapes")
    splits = {**cityscapes.splits, "val": cityscapes.splits["train"]}
    monkeypatch.setitem(CATALOG, "cityscapes", dataclasses.replace(cityscapes, splits=splits))
    loaders_of(arguments(toycity, tmp_path, "--val_dataset", "cityscapes"))
    assert "--target_dataset cityscapes: pictures that are scored" in capsys.readouterr().out


def test_scored_pictures_as_target_are_said(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaders_of(arguments(toycity, tmp_path))
    assert "--target" not in capsys.readouterr().out
    loaders = loaders_of(arguments(toycity, tmp_path, "--target_split", "val"))
    assert "--target_split val: pictures of cityscapes that may be scored" in capsys.readouterr().out
    assert len({name for batch in target_names(loaders.batches(0)) for name in batch}) <= 3
    with pytest.raises(UserError, match="cityscapes has no split 'dusk'; it has train, val"):
        loaders_of(arguments(toycity, tmp_path, "--target_split", "dusk"))


def applied(root: Path, domains: tuple[str, ...], *flags: str) -> argparse.Namespace:
    args = train.parse_arguments(["--data_root", str(root), *flags])
    args.method = "given"
    config.apply_target_arguments(args, domains)
    return args


def test_target_flags_and_method_have_to_agree(toycity: Path) -> None:
    gtav, target = ("--dataset", "gtav"), ("--target_dataset", "cityscapes")
    assert applied(toycity, BOTH, *gtav, *target).target_dataset == ["cityscapes"]
    assert applied(toycity, ("source",), *gtav).target_dataset is None
    with pytest.raises(UserError, match="--method given: .* name them with --target_dataset"):
        applied(toycity, BOTH, *gtav)
    with pytest.raises(UserError, match="--target_dataset cityscapes: the method given uses no target"):
        applied(toycity, ("source",), *gtav, *target)
    with pytest.raises(UserError, match="names cityscapes more than once"):
        applied(toycity, BOTH, *gtav, *target, "cityscapes")


def test_the_toy_city_has_a_default_target(toycity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "TOYCITY_ROOT", toycity)
    assert applied(toycity, BOTH).target_dataset == ["cityscapes"]
    assert applied(toycity, ("source",)).target_dataset is None
