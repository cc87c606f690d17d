"""Channel statistics: published, measured and kept; source pictures that get the target's."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from programs import train_arguments

import config
import train
from datasets.definitions.catalog import spec
from datasets.domains import Domains
from datasets.files.segmentation import SegmentationSet
from datasets.sampling import statistics
from datasets.sampling.statistics import measured_statistics, renormalisation, statistics_of
from datasets.training import TrainingLoaders
from network.input_spec import IMAGENET
from transforms.pipeline import WEAK_JITTER, EvaluationTransform
from utils.errors import UserError


@pytest.fixture
def opened(write_gtav, random_labels) -> SegmentationSet:
    root = write_gtav(random_labels(5))
    # A picture of another size: every pixel counts alike, not every picture.
    Image.fromarray(np.zeros((10, 20, 3), dtype=np.uint8)).save(root / "images/train/00000.png")
    return SegmentationSet(spec("gtav"), "train", root, EvaluationTransform(), labelled=False)


def test_all_pixels_count_alike(opened: SegmentationSet) -> None:
    measured = measured_statistics(opened)
    pixels = [np.asarray(Image.open(pair.image)).reshape(-1, 3) / 255 for pair in opened.pairs]
    np.testing.assert_allclose(measured.mean, np.concatenate(pixels).mean(0))
    np.testing.assert_allclose(measured.std, np.concatenate(pixels).std(0))


def test_many_pictures_are_measured_at_equal_distances(
    opened: SegmentationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_PICTURES", 2)
    measured = measured_statistics(opened)
    pixels = [np.asarray(Image.open(opened.pairs[place].image)).reshape(-1, 3) / 255 for place in (0, 2)]
    np.testing.assert_allclose(measured.mean, np.concatenate(pixels).mean(0))


def test_measurements_are_kept_until_a_picture_changes(
    opened: SegmentationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    moments = statistics._moments
    monkeypatch.setattr(statistics, "_moments", lambda path: reads.append(path) or moments(path))
    first = measured_statistics(opened, tmp_path / "cache")
    assert measured_statistics(opened, tmp_path / "cache") == first
    assert len(reads) == 5
    os.utime(opened.pairs[0].image, ns=(1, 1))
    measured_statistics(opened, tmp_path / "cache")
    assert len(reads) == 10


def test_published_statistics_where_there_are_any(opened: SegmentationSet) -> None:
    assert statistics_of(opened, published=True) == spec("gtav").statistics
    assert statistics_of(opened, published=False) == measured_statistics(opened)
    assert [each for each in ("cityscapes", "gtav", "gtav_10k", "synthia") if not spec(each).statistics] == []
    opened.spec = spec("kitti")
    assert statistics_of(opened, published=True) == measured_statistics(opened)


def test_gtav_as_published() -> None:
    """The mean and deviation that take GTAV's pictures to ImageNet's through those of Cityscapes."""
    scale, shift = renormalisation(spec("gtav").statistics, spec("cityscapes").statistics)
    mean, deviation = (torch.tensor(each) for each in (IMAGENET.mean, IMAGENET.std))
    torch.testing.assert_close(
        (mean - shift) / scale, torch.tensor([0.737886, 0.627711, 0.610949]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        deviation / scale, torch.tensor([0.317983, 0.297422, 0.301271]), atol=1e-6, rtol=0
    )


def test_pictures_get_the_other_statistics() -> None:
    rng = np.random.default_rng(0)
    pictures = torch.tensor(rng.uniform(0.2, 0.6, (50, 3)))
    of_source = type(spec("gtav").statistics)(
        tuple(pictures.mean(0).tolist()), tuple(pictures.std(0, correction=0).tolist())
    )
    target = spec("cityscapes").statistics
    scale, shift = renormalisation(of_source, target)
    changed = pictures * scale + shift
    torch.testing.assert_close(changed.mean(0), torch.tensor(target.mean).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        changed.std(0, correction=0), torch.tensor(target.std).double(), atol=1e-6, rtol=0
    )


def loaders_of(args: argparse.Namespace, domains: tuple[str, ...]) -> TrainingLoaders:
    data = Domains(args, {}, config.TOYCITY_ROOT)
    return TrainingLoaders(data, args, ("image",), WEAK_JITTER, domains)


def test_every_source_sample_carries_its_own(toycity: Path, tmp_path: Path) -> None:
    flags = "--dataset gtav mapillary --target_dataset cityscapes --class_uniform_pct 0".split()

    def batch(*more: str) -> dict[str, dict]:
        args = train.parse_arguments(train_arguments(toycity, tmp_path, *flags, *more))
        args.method = "given"
        return next(loaders_of(args, ("source", "target")).batches(0))

    published = batch("--renormalise", "published")
    assert "renormalisation" not in published["target"]
    carried = published["source"]["renormalisation"]
    assert (carried.dtype, tuple(carried.shape)) == (torch.float32, (4, 2, 3))
    expected = renormalisation(spec("gtav").statistics, spec("cityscapes").statistics)
    assert torch.equal(carried[0], expected)
    assert torch.equal(carried[1], expected)
    # Nobody published those of the other: they are measured.
    assert torch.equal(carried[2], carried[3])
    assert not torch.equal(carried[2], expected)
    measured = batch("--renormalise", "measured")["source"]["renormalisation"]
    assert not torch.equal(measured[0], expected)
    off = batch("--renormalise", "off")["source"]
    assert set(published["source"]) - set(off) == {"renormalisation"}
    assert torch.equal(off["image"], published["source"]["image"])


def test_a_target_is_needed(toycity: Path, tmp_path: Path) -> None:
    args = train.parse_arguments(train_arguments(toycity, tmp_path, "--renormalise", "measured"))
    args.method = "isw"
    with pytest.raises(UserError, match="--renormalise measured: .* method isw uses none"):
        loaders_of(args, ("source",))
