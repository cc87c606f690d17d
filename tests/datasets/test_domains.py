"""datasets.domains: what train.py and valid.py get from the flags, and what is refused before training."""

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
from datasets import toycity as toy
from datasets.definitions.catalog import CATALOG
from datasets.definitions.codings import TRAIN_IDS
from datasets.definitions.spec import DatasetSpec
from datasets.domains import Domains, default_workers
from transforms.pipeline import TrainTransform
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES, classes_of_number
from utils.scoring.scores import DomainScore


def arguments(toycity: Path, tmp_path: Path, *more: str) -> argparse.Namespace:
    return train.parse_arguments(train_arguments(toycity, tmp_path, *more))


def domains_of(args: argparse.Namespace) -> Domains:
    return Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)


@pytest.fixture
def copied_gtav(toycity: Path, tmp_path: Path) -> Path:
    """A data root whose gtav may be damaged."""
    shutil.copytree(toycity / "gtav", tmp_path / "data" / "gtav")
    return tmp_path / "data"


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


def test_a_batch_has_pictures_of_one_size(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path, "--bs_mult_val", "2", "--protocol", "full", "--num_workers", "0")
    singly = domains_of(arguments(toycity, tmp_path, "--protocol", "full", "--num_workers", "0"))
    batches = list(domains_of(args).evaluation_loader("mapillary"))
    single = list(singly.evaluation_loader("mapillary"))
    names = [name for batch in batches for name in batch["name"]]
    assert names == [name for batch in single for name in batch["name"]]
    sizes = {batch["image"].shape[-2:] for batch in single}
    assert len(sizes) > 1
    assert {len(batch["image"]) for batch in single} == {1}
    assert max(len(batch["image"]) for batch in domains_of(args).evaluation_loader("gtav")) == 2
    args.protocol = "maxsquare"
    assert next(iter(domains_of(args).evaluation_loader("mapillary")))["image"].shape == (2, 3, 64, 128)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(16), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_workers() == 16
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 4


def test_unlabelled_training_pictures_need_no_label_files(toycity: Path, tmp_path: Path) -> None:
    root = shutil.copytree(toycity / "cityscapes", tmp_path / "data" / "cityscapes")
    shutil.rmtree(root / "gtFine_trainvaltest" / "gtFine" / "train")
    domains = domains_of(arguments(tmp_path / "data", tmp_path))
    opened = domains.open("cityscapes", "train", TrainTransform(32), labelled=False)
    samples = [opened[index] for index in range(len(opened))]
    assert len(samples) == 6
    assert all(set(sample) == {"image", "name", "index", "group"} for sample in samples)
    with pytest.raises(UserError, match="should hold the labels"):
        domains.open("cityscapes", "train", TrainTransform(32))


def test_cities_without_training_labels(nthu_toycity: Path, tmp_path: Path) -> None:
    domains = domains_of(arguments(nthu_toycity, tmp_path))
    for city in ("rome", "rio", "tokyo", "taipei"):
        assert set(domains.open(f"nthu_{city}", "train", TrainTransform(32), labelled=False)[0]) == {
            *("image", "name", "index", "group")
        }
        with pytest.raises(UserError, match=f"nthu_{city} train: this split has no labels"):
            domains.open(f"nthu_{city}", "train", TrainTransform(32))
        assert len(domains.evaluation_loader(f"nthu_{city}").dataset) == 3


def test_toy_data_sets_of_bad_weather_are_made_when_they_are_named(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "toycity"
    for name in toy.DOMAINS:
        (root / name).mkdir(parents=True)
    for name in ("acdc_fog", "dark_zurich"):
        declared = DatasetSpec(name, name.removesuffix("_fog"), {}, TRAIN_IDS)
        monkeypatch.setitem(CATALOG, name, declared)
    made: list[list[str]] = []
    monkeypatch.setattr(toy, "generate", lambda root, domains: made.append(domains))
    args = arguments(toycity, tmp_path)
    args.data_root = str(root)
    Domains(args, {}, root)
    args.val_dataset = ["cityscapes", "acdc_fog"]
    Domains(args, {}, root)
    args.target_dataset = ["dark_zurich"]
    Domains(args, {}, root)
    assert made == [["acdc"], ["acdc", "dark_zurich"]]


def scored(
    toycity: Path, tmp_path: Path, name: str, num_classes: int, mistaken: str, sources: tuple[str, ...] = ()
) -> tuple[DomainScore, dict[str, float]]:
    """Score and IoU by class name of a network of ``num_classes`` that calls ``mistaken`` car and is right
    otherwise.
    """
    args = arguments(toycity, tmp_path)
    domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT, classes_of_number(num_classes))
    loader = domains.evaluation_loader(name)
    truths = iter([sample["label"].long() for sample in loader.dataset])
    names = domains.classes.class_names

    def predict(_: torch.Tensor) -> torch.Tensor:
        answer = next(truths)
        answer[(answer == names.index(mistaken)) | (answer == 255)] = names.index("car")
        return torch.nn.functional.one_hot(answer, num_classes).permute(2, 0, 1)[None].float()

    score = domains.score(name, predict, loader, torch.device("cpu"), sources=sources)
    content = domains.results({name: score}, "checkpoint")
    assert content["num_classes"] == num_classes
    return score, content["domains"][name]["iou"]


@pytest.mark.parametrize("num_classes", [19, 16, 13])
def test_scores_are_of_the_classes_of_the_network(toycity: Path, tmp_path: Path, num_classes: int) -> None:
    score, iou = scored(toycity, tmp_path, "cityscapes", num_classes, mistaken="bicycle")
    assert list(iou) == [CITYSCAPES.names[t] for t in classes_of_number(num_classes).train_ids]
    assert score.miou == pytest.approx(np.mean(list(iou.values())))
    assert iou.pop("bicycle") == 0
    assert 0 < iou.pop("car") < 1
    assert set(iou.values()) == {1}


def test_means_over_smaller_class_sets(toycity: Path, tmp_path: Path) -> None:
    """Those of SYNTHIA for a network of 19 classes that it trained; for one of 16 always the 13."""

    def means(num_classes: int, name: str, *sources: str, mistaken: str = "wall") -> dict[int, float]:
        return scored(toycity, tmp_path, name, num_classes, mistaken, sources)[0].subset_miou

    assert means(19, "cityscapes") == {}
    assert list(means(19, "cityscapes", "synthia")) == list(means(19, "synthia")) == [16, 13]
    for name, sources in (("cityscapes", ()), ("cityscapes", ("synthia",)), ("synthia", ("synthia",))):
        score, iou = scored(toycity, tmp_path, name, 16, "wall", sources)
        assert list(score.subset_miou) == [13]
        # Without wall, fence and pole what is left is right, but for the car that walls are called.
        assert score.subset_miou[13] == pytest.approx((12 + iou["car"]) / 13)
        assert score.miou == pytest.approx((14 + iou["car"]) / 16)
    assert means(13, "cityscapes", "synthia", mistaken="bicycle") == {}


def test_smaller_domains_are_scored_on_what_network_and_domain_share(
    nthu_toycity: Path, tmp_path: Path
) -> None:
    for num_classes in (19, 16, 13):
        score, iou = scored(nthu_toycity, tmp_path, "nthu_rome", num_classes, mistaken="bicycle")
        present = {name for name, value in iou.items() if value is not None}
        assert present <= {CITYSCAPES.names[t] for t in classes_of_number(13).train_ids}
        assert iou["bicycle"] == 0
        assert score.subset_miou == {}


def test_protocol_words_say_how_many_classes(toycity: Path, tmp_path: Path) -> None:
    args = arguments(toycity, tmp_path)
    words = [
        Domains(args, {}, config.TOYCITY_ROOT, classes).protocol_words
        for classes in map(classes_of_number, (19, 16))
    ]
    assert words[1] == f"{words[0]}, networks of 16 classes"


def test_reliability_is_measured_of_every_group_and_of_all(toycity: Path, tmp_path: Path) -> None:
    domains = domains_of(arguments(toycity, tmp_path))
    loader = domains.evaluation_loader("gtav")
    groups = ("fog", "night", "night")
    loader.dataset.pairs = [
        pair._replace(group=group) for pair, group in zip(loader.dataset.pairs, groups, strict=True)
    ]

    def predict(pictures: torch.Tensor) -> torch.Tensor:
        return torch.arange(19.0).view(1, 19, 1, 1) + pictures[:, :1] / 100

    score = domains.score("gtav", predict, loader, torch.device("cpu"), temperatures=(1.0, 2.0))
    pixels = {name: each.reliability.confidences[1].pixels for name, each in score.groups.items()}
    assert list(pixels) == ["fog", "night"]
    assert (pixels["fog"] + pixels["night"]).tolist() == score.reliability.confidences[1].pixels.tolist()
    assert pixels["fog"].sum() > 0
    assert domains.score("gtav", predict, loader, torch.device("cpu")).reliability is None


def test_a_loader_of_few_pictures_takes_them_evenly(toycity: Path, tmp_path: Path) -> None:
    domains = domains_of(arguments(toycity, tmp_path))
    names = [name for batch in domains.evaluation_loader("gtav") for name in batch["name"]]
    fewer = [name for batch in domains.evaluation_loader("gtav", most=2) for name in batch["name"]]
    assert fewer == [names[0], names[1]]
    assert len(domains.evaluation_loader("gtav", "train", most=3)) == 3
    assert len(domains.evaluation_loader("gtav", most=500)) == len(names) == 3
