"""Samples: what they hold, and that nothing but seed and draw decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.definitions.catalog import spec
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.class_uniform import epoch_draws
from datasets.sampling.loaders import TrainingSampler, evaluation_loader, training_loader
from transforms.pipeline import CovarianceTransform, EvaluationTransform, TrainTransform
from utils.errors import UserError
from utils.scoring.classes import classes_of_number


@pytest.fixture
def root(write_gtav, random_labels) -> Path:
    return write_gtav(random_labels(6))


def test_evaluation_sample(root: Path, random_labels) -> None:
    dataset = SegmentationSet(spec("gtav"), "train", root, EvaluationTransform())
    sample = dataset[2]
    assert set(sample) == {"image", "label", "name", "index", "group"}
    assert (sample["name"], sample["index"]) == ("00002", 2)
    assert (sample["image"].dtype, tuple(sample["image"].shape)) == (torch.uint8, (3, 40, 60))
    assert sample["label"].dtype == torch.uint8
    assert (sample["label"].numpy() == random_labels(6)[2]).all()


def test_labels_are_in_the_classes_of_the_network(root: Path, random_labels) -> None:
    classes = classes_of_number(13)
    dataset = SegmentationSet(spec("gtav"), "train", root, EvaluationTransform(), classes=classes)
    label, train_ids = dataset[2]["label"].numpy(), random_labels(6)[2]
    known = np.isin(train_ids, classes.train_ids)
    assert known.any()
    assert not known.all()
    assert (np.array(classes.train_ids)[label[known]] == train_ids[known]).all()
    assert (label[~known] == 255).all()
    # Sampling by class looks at all of them, whatever the network tells apart.
    assert (dataset.read_label(2) == train_ids).all()


def test_draws_decide_the_sample(root: Path) -> None:
    def sample(draw: Draw, seed: int = 0) -> torch.Tensor:
        return SegmentationSet(spec("gtav"), "train", root, TrainTransform(24), seed)[draw]["image"]

    draw = Draw(1, 3, 5)
    assert torch.equal(sample(draw), sample(draw))
    for other in (draw._replace(epoch=4), draw._replace(position=6), draw._replace(index=2)):
        assert not torch.equal(sample(draw), sample(other))
    assert not torch.equal(sample(draw), sample(draw, seed=1))


def test_same_batches_for_any_number_of_workers(root: Path) -> None:
    dataset = SegmentationSet(spec("gtav"), "train", root, TrainTransform(24))

    def batches(workers: int) -> list[dict]:
        sampler = TrainingSampler(lambda epoch: [(draw,) for draw in epoch_draws(6, epoch)], batch_size=2)
        loader = training_loader(dataset, sampler, workers)
        found = []
        for epoch in range(2):
            sampler.set_position(epoch)
            found += list(loader)
        return found

    alone, many = batches(0), batches(2)
    assert len(alone) == len(many) == 6
    for one, other in zip(alone, many, strict=True):
        assert one["name"] == other["name"]
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["label"], other["label"])


def test_unlabelled_set_never_opens_labels(root: Path) -> None:
    for label in (root / "labels/train").iterdir():
        label.unlink()
    dataset = SegmentationSet(spec("gtav"), "train", root, CovarianceTransform(), labelled=False)
    assert set(dataset[0]) == {"image", "image_jittered", "name", "index", "group"}


def test_evaluation_loader_batches(root: Path) -> None:
    dataset = SegmentationSet(spec("gtav"), "train", root, EvaluationTransform())
    seen = [
        batch["index"].tolist() for batch in evaluation_loader(dataset, 2, workers=0, rank=1, world_size=2)
    ]
    assert seen == [[1, 3], [5]]


def test_errors_name_the_file(root: Path) -> None:
    dataset = SegmentationSet(spec("gtav"), "train", root, EvaluationTransform())
    Image.fromarray(np.zeros((40, 50), dtype=np.uint8)).save(root / "labels/train/00000.png")
    with pytest.raises(UserError, match=r"00000\.png is 60x40 but its label .* is 50x40"):
        dataset[0]
    Image.fromarray(np.full((40, 60), 99, dtype=np.uint8)).save(root / "labels/train/00001.png")
    with pytest.raises(UserError, match=r"labels/train/00001\.png: label value 99 at \(0, 0\)"):
        dataset[1]
    picture = root / "images/train/00002.png"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(UserError, match=r"images/train/00002\.png: this picture cannot be read"):
        dataset[2]


@pytest.mark.parametrize("name", ["gtav", "synthia", "cityscapes", "bdd100k", "mapillary"])
def test_toy_city_reads_as_every_native_layout(toycity: Path, name: str) -> None:
    for split, count in (("train", 6), ("val", 3)):
        dataset = SegmentationSet(spec(name), split, toycity / name, EvaluationTransform())
        assert len(dataset) == count
        labels = torch.cat([dataset[index]["label"].flatten() for index in range(count)]).unique()
        assert len(labels) > 8
        assert ((labels < 19) | (labels == 255)).all()
