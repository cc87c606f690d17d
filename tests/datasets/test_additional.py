"""Pictures beyond the split: coarsely labelled ones for some classes, and frames of the sequences."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import train_arguments

import config
import train
from datasets.definitions.codings import CITYSCAPES_IDS
from datasets.domains import Domains
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.additional import Additional
from datasets.sampling.loaders import TrainingSampler
from datasets.training import TrainingLoaders
from utils.errors import UserError

BUS = 15


def write_pair(root: Path, pictures: str, labels: str, name: str, quality: str, train_id: int) -> None:
    """A grey picture with a block of one class, the rest without a label, in a size like the toy city's."""
    label = np.zeros((64, 128), dtype=np.uint8)
    label[16:32, 64:96] = CITYSCAPES_IDS.native_ids[train_id]
    for folder, suffix, picture in (
        (pictures, "leftImg8bit", Image.new("RGB", (128, 64), (90, 90, 90))),
        (labels, f"{quality}_labelIds", Image.fromarray(label)),
    ):
        path = root / folder / f"{name}_{suffix}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)


@pytest.fixture
def data(toycity: Path, tmp_path: Path) -> Path:
    """The toy city's Cityscapes with three coarse pictures of a bus."""
    root = tmp_path / "data"
    shutil.copytree(toycity / "cityscapes", root / "cityscapes")
    for number in range(3):
        pictures, labels = "leftImg8bit_trainextra/leftImg8bit", "gtCoarse/gtCoarse"
        folders = [f"{folder}/train_extra" for folder in (pictures, labels)]
        write_pair(root / "cityscapes", *folders, f"far/far_{number:06d}_000019", "gtCoarse", BUS)
    return root


def training(data: Path, tmp_path: Path, *more: str) -> TrainingLoaders:
    args = train.parse_arguments(
        train_arguments(data, tmp_path / "logs", "--dataset", "cityscapes", "--class_uniform_pct", "1", *more)
    )
    domains = Domains(args, config.DATASET_ROOTS, config.TOYCITY_ROOT)
    return TrainingLoaders(domains, args, ("image",))


def source_of(loaders: TrainingLoaders) -> SegmentationSet:
    (source,) = loaders.loader.dataset.sets
    return source


def draws(sampler: TrainingSampler, epochs: int, first: int = 0) -> Iterator[Draw]:
    for epoch in range(first, epochs):
        for item in sampler.items_of_epoch(epoch):
            yield from item


def additional_of(loaders: TrainingLoaders) -> Additional:
    """What the epoch lists of the only source are made with."""
    (draws_of_epoch,) = loaders.sampler.items_of_epoch.args[0]
    return draws_of_epoch.keywords["additional"]


@pytest.mark.parametrize("classes", [["14", "15", "16"], ["14,15,16"]])
def test_coarse_pictures_are_drawn_only_around_the_boosted_classes(
    data: Path, tmp_path: Path, classes: list[str]
) -> None:
    loaders = training(data, tmp_path, "--coarse_boost_classes", *classes)
    source = source_of(loaders)
    assert len(source) == 6
    assert [pair.name for pair in source.boost] == [f"far/far_{number:06d}_000019" for number in range(3)]
    additional = additional_of(loaders)
    beyond = additional.centroids.points[additional.centroids.points[:, 1] >= 6]
    # Blocks of 32: one tile holds the bus, its centre is at (79, 23) rounded down.
    assert beyond.tolist() == [[BUS, picture, 79, 23] for picture in (6, 7, 8)]
    assert additional.whole == 0
    sample = source[Draw(7, 0, 0, (79, 23))]
    assert sample["name"] == "far/far_000001_000019"
    assert (sample["label"] == BUS).any()


def test_coarse_pictures_reach_batches(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "datasets.training.epoch_draws",
        lambda *args, additional, **more: [
            Draw(picture, 0, place, (x, y))
            for place, (picture, x, y) in enumerate(additional.centroids.of_class(BUS).tolist())
            if picture >= 6
        ],
    )
    loaders = training(data, tmp_path, "--coarse_boost_classes", "15")
    (batch,) = loaders.batches(0)
    assert all(name.startswith("far/") for name in batch["source"]["name"])
    assert (batch["source"]["label"] == BUS).flatten(1).any(1).all()


def test_other_classes_of_coarse_pictures_are_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaders = training(data, tmp_path, "--coarse_boost_classes", "14", "16")
    additional = additional_of(loaders)
    assert (additional.centroids.points[:, 1] < 6).all()
    assert "no coarse label shows truck, train" in capsys.readouterr().out


def test_what_cannot_be_boosted(data: Path, tmp_path: Path) -> None:
    for classes in (["19"], ["bus"], ["1,-2"]):
        with pytest.raises(UserError, match="--coarse_boost_classes .*: give train ids from 0 to 18"):
            training(data, tmp_path, "--coarse_boost_classes", *classes)
    with pytest.raises(UserError, match="--class_uniform_pct is 0"):
        training(data, tmp_path, "--coarse_boost_classes", "15", "--class_uniform_pct", "0")
    shutil.rmtree(data / "cityscapes" / "gtCoarse")
    with pytest.raises(UserError, match=r"gtCoarse/train_extra: no such folder"):
        training(data, tmp_path, "--coarse_boost_classes", "15")


def test_data_sets_without_additional_pictures_say_so(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ("--dataset", "gtav", "--coarse_boost_classes", "15", "--maxSkip", "2")
    loaders = training(toycity, tmp_path, *flags)
    output = capsys.readouterr().out
    assert "--coarse_boost_classes: ignored, gtav has no such pictures" in output
    assert "--maxSkip: ignored, gtav has no such pictures" in output
    assert len(source_of(loaders)) == 6


def write_frames(root: Path, data: Path, pictures: str, labels: str, distances: tuple[int, ...]) -> None:
    """Frames beside every second training picture of the toy city."""
    folder = data / "cityscapes/leftImg8bit_trainvaltest/leftImg8bit/train"
    for path in sorted(folder.rglob("*.png"))[::2]:
        city_and_number = path.relative_to(folder).as_posix().removesuffix("_000019_leftImg8bit.png")
        for distance in distances:
            name = f"{city_and_number}_{19 + distance:06d}"
            write_pair(root, f"{pictures}/train", f"{labels}/train", name, "gtFine", BUS)


def test_frames_join_the_split_until_an_epoch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    beside = data / "cityscapes"
    pictures = "leftImg8bit_sequence_trainvaltest/leftImg8bit_sequence"
    write_frames(beside, data, pictures, "gtFine_sequence_trainvaltest/gtFine_sequence", (-2, 2, 3))
    (lonely,) = beside.glob(f"{pictures}/train/northfield/northfield_000000_000021_*")
    label = Path(
        str(lonely)
        .replace("leftImg8bit_sequence", "gtFine_sequence")
        .replace("_leftImg8bit.", "_gtFine_labelIds.")
    )
    label.unlink()
    more = ("--maxSkip", "2", "--max_cu_epoch", "1", "--class_uniform_pct", "0")
    loaders = training(data, tmp_path, *more)
    source = source_of(loaders)
    assert len(source) == 11
    assert "5 frames and 0 coarsely labelled pictures beside 6 pictures of train" in capsys.readouterr().out
    frames = [pair.name for pair in source.pairs[6:]]
    assert "northfield/northfield_000000_000017" in frames
    assert {name[-6:] for name in frames} == {"000017", "000021"}
    assert len(loaders.sampler.items_of_epoch(0)) == len(loaders.sampler.items_of_epoch(2)) == 11
    assert sorted(draw.index for draw in draws(loaders.sampler, 1)) == list(range(11))
    assert {draw.index for draw in draws(loaders.sampler, 4, first=2)} == set(range(6))


def test_frames_below_a_root_of_their_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = tmp_path / "frames"
    monkeypatch.setenv("CITYSCAPES_AUG_DIR", str(frames))
    with pytest.raises(UserError, match="CITYSCAPES_AUG_DIR is .*: no such folder"):
        training(data, tmp_path, "--maxSkip", "3")
    write_frames(frames, data, "leftImg8bit", "gtFine", (3,))
    assert len(source_of(training(data, tmp_path, "--maxSkip", "3"))) == 9
    with pytest.raises(UserError, match="--maxSkip 5: .*set CITYSCAPES_AUG_DIR"):
        training(data, tmp_path, "--maxSkip", "5")


def test_frames_and_coarse_pictures_together(data: Path, tmp_path: Path) -> None:
    write_frames(data / "cityscapes", data, "leftImg8bit_sequence", "gtFine_sequence", (2,))
    loaders = training(data, tmp_path, "--maxSkip", "2", "--coarse_boost_classes", "15")
    source = source_of(loaders)
    assert (len(source), len(source.boost)) == (9, 3)
    additional = additional_of(loaders)
    for picture, x, y in additional.centroids.of_class(BUS):
        if picture >= 6:
            assert source.read_label(picture)[y, x] == BUS
    assert set(additional.centroids.of_class(BUS)[:, 0]) >= set(range(6, 12))
