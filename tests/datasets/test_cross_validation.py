"""Further divisions into train and val: by city, KITTI's lists, and train and val together."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import train_arguments

import config
import train
import valid
from datasets.definitions.catalog import spec
from datasets.definitions.published import KITTI_VAL_FRAMES
from datasets.definitions.spec import DatasetSpec
from datasets.domains import Domains
from datasets.files.pairing import list_pairs
from datasets.training import TrainingLoaders
from scripts.check import main as check
from utils.errors import UserError


def names(dataset: DatasetSpec, split: str, root: Path) -> list[str]:
    return [pair.name for pair in list_pairs(dataset, split, root)]


def cities(dataset: DatasetSpec, split: str, root: Path) -> list[str]:
    return sorted({name.partition("/")[0] for name in names(dataset, split, root)})


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """Twenty-one cities of two pictures: a to r for train, x to z for val."""
    for city in "abcdefghijklmnopqrxyz":
        part = "val" if city in "xyz" else "train"
        for kind, suffix in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            folder = tmp_path / kind / part / city
            folder.mkdir(parents=True)
            for number in range(2):
                (folder / f"{city}_{number:06d}_000019_{suffix}.png").touch()
    return tmp_path


def test_cities_are_divided_in_thirds(cityscapes: Path) -> None:
    # The order is x y z a b c ... r, val begins at floor(number * 21 / 3).
    for number, val in enumerate(("xyz", "efg", "lmn")):
        division = spec("cityscapes").cross_validation(number)
        assert cities(division, "val", cityscapes) == list(val)
        rest = sorted(set("abcdefghijklmnopqrxyz") - set(val))
        assert cities(division, "train", cityscapes) == rest
        assert len(names(division, "trainval", cityscapes)) == 42
        assert len(names(division, "train", cityscapes)) == 36


def test_the_first_division_is_the_official_one() -> None:
    assert spec("cityscapes").cross_validation(0) is spec("cityscapes")


def test_gtav_is_divided_by_folder(toycity: Path) -> None:
    root = toycity / "gtav"
    # Three folders: c is val's, then train's a and b.
    assert [cities(spec("gtav").cross_validation(n), "val", root) for n in (0, 1, 2)] == [
        ["folder_c"],
        ["folder_a"],
        ["folder_b"],
    ]


def test_gtav_without_folders_cannot_be_divided(write_gtav, random_labels) -> None:
    write_gtav(random_labels(2))
    root = write_gtav(random_labels(2), split="valid")
    with pytest.raises(UserError, match=r"--cv 1: divides gtav by the folders .*00000\.png is in none"):
        list_pairs(spec("gtav").cross_validation(1), "train", root)


def test_kitti_has_three_published_lists(tmp_path: Path) -> None:
    for kind in ("image_2", "semantic"):
        (tmp_path / "training" / kind).mkdir(parents=True)
        for frame in range(200):
            (tmp_path / "training" / kind / f"{frame:06d}_10.png").touch()
    for number, frames in enumerate(KITTI_VAL_FRAMES):
        division = spec("kitti").cross_validation(number)
        val = names(division, "val", tmp_path)
        assert [int(name[:6]) for name in val] == list(frames)
        assert len(names(division, "train", tmp_path)) == 179
        assert not set(val) & set(names(division, "train", tmp_path))


def test_divisions_that_are_not_there() -> None:
    with pytest.raises(UserError, match="--cv 1: bdd100k has only its official division, 0"):
        spec("bdd100k").cross_validation(1)
    with pytest.raises(UserError, match="--cv 3: cityscapes has divisions 0 to 2"):
        spec("cityscapes").cross_validation(3)


@pytest.mark.parametrize("percent", ["0", "0.5"])
def test_training_and_source_val_share_no_picture(toycity: Path, tmp_path: Path, percent: str) -> None:
    more = ("--cv", "1", "--class_uniform_pct", percent, "--val_dataset", "cityscapes", "synthia")
    args = train.parse_arguments(train_arguments(toycity, tmp_path, *more))
    domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)
    loaders = TrainingLoaders(domains, args, ("image",))
    trained = {
        name for epoch in range(3) for batch in loaders.batches(epoch) for name in batch["source"]["name"]
    }
    val = {name for batch in domains.evaluation_loader("gtav") for name in batch["name"]}
    assert {name.partition("/")[0] for name in trained} == {"folder_b", "folder_c"}
    assert {name.partition("/")[0] for name in val} == {"folder_a"}
    statistics = {pair.name for pair in loaders.covariance_sets[0].pairs}
    assert not statistics & val
    # Domains that are never trained on keep their official val pictures.
    assert len(domains.evaluation_loader("cityscapes").dataset) == 3
    assert cities(domains.spec("cityscapes"), "val", toycity / "cityscapes") == ["easton", "lakeside"]
    assert "division 1 of gtav" in domains.protocol_words
    assert domains.results({}, "best.pth")["cv"] == 1


def test_a_source_without_divisions_is_refused(toycity: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--cv 1: synthia has only its official division"):
        train.main(train_arguments(toycity, tmp_path, "--dataset", "synthia", "--cv", "1"))


def test_valid_divides_what_it_scores(toycity: Path) -> None:
    flags = ["--snapshot", "any.pth", "--data_root", str(toycity), "--val_dataset", "cityscapes", "--cv", "1"]
    args = valid.parse_arguments(flags)
    domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)
    # Five cities: easton lakeside northfield oldbridge westhaven; val begins at floor(5 / 3).
    assert cities(domains.spec("cityscapes"), "val", toycity / "cityscapes") == ["lakeside", "northfield"]


def test_check_takes_a_division(toycity: Path, capsys: pytest.CaptureFixture) -> None:
    check(["--dataset", "gtav", "--data_root", str(toycity), "--cv", "1"])
    output = capsys.readouterr().out
    assert "gtav train: 6 pairs" in output
    assert "gtav val: 3 pairs" in output


def test_train_and_val_together_warns(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    args = train.parse_arguments(train_arguments(toycity, tmp_path, "--city_mode", "trainval"))
    domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)
    loaders = TrainingLoaders(domains, args, ("image",))
    assert loaders.steps_per_epoch == 9 // 2
    assert "--city_mode trainval: the val pictures of gtav are trained on too" in capsys.readouterr().out
    assert len(domains.evaluation_loader("gtav").dataset) == 3


def test_a_domain_with_one_split_is_not_doubled(tmp_path: Path) -> None:
    for folder in ("train", "trainannot"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001TP_1.png").touch()
    assert len(list_pairs(spec("camvid_dusk"), "trainval", tmp_path)) == 1
