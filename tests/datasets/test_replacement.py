"""Training pictures that turn unreadable: replaced alike whoever reads them, counted once, to a limit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from comparison import differing
from interruption import before_step
from PIL import Image
from processes import two_processes
from programs import ISW, train_arguments

import train
from datasets.definitions.catalog import spec
from datasets.files.pairing import list_pairs
from datasets.files.segmentation import Draw, SegmentationSet
from datasets.sampling.loaders import TrainingSampler, training_loader
from datasets.sampling.replacement import NOTICES, BadSamples, Sources
from transforms.pipeline import TrainTransform
from utils.errors import UserError
from utils.images import read_image
from utils.run.checkpoint import load_checkpoint

pytestmark = pytest.mark.reliability


def cut(path: Path) -> None:
    """Leave of a picture what its header needs: its size can be read, its pixels cannot."""
    path.write_bytes(path.read_bytes()[:300])


@pytest.fixture
def dataset(write_gtav, random_labels) -> SegmentationSet:
    """Six pictures, the third of which turned unreadable."""
    opened = SegmentationSet(spec("gtav"), "train", write_gtav(random_labels(6)), TrainTransform(24))
    cut(opened.pairs[2].image)
    return opened


def test_another_picture_takes_the_place_of_the_draw(dataset: SegmentationSet) -> None:
    draw = Draw(2, epoch=3, position=5, centroid=(4, 4))
    sample = Sources([dataset], 1)[draw]
    assert sample["index"] != 2
    (line,) = json.loads(sample.pop(NOTICES)).values()
    assert line.startswith(f"{dataset.pairs[2].image}: this picture cannot be read")
    expected = dataset[Draw(sample["index"], epoch=3, position=5)]
    assert sample.keys() == expected.keys()
    assert torch.equal(sample["image"], expected["image"])
    assert torch.equal(sample["label"], expected["label"])
    instead = {Sources([dataset], 1)[draw._replace(epoch=epoch)]["index"] for epoch in range(20)}
    assert len(instead) > 1


def test_what_can_be_read_stays_as_it_is(dataset: SegmentationSet) -> None:
    sample, expected = Sources([dataset], 1)[Draw(1, 0, 0)], dataset[Draw(1, 0, 0)]
    assert json.loads(sample.pop(NOTICES)) == {}
    assert torch.equal(sample["image"], expected["image"])


def test_a_label_is_as_important_as_its_picture(dataset: SegmentationSet) -> None:
    dataset.pairs[1].label.write_bytes(b"")
    assert "this label cannot be read" in Sources([dataset], 2)[Draw(1, 0, 0)][NOTICES]


def test_without_patience_the_error_is_the_picture_s_own(dataset: SegmentationSet) -> None:
    with pytest.raises(UserError, match=r"^\S+00002\.png: this picture cannot be read"):
        Sources([dataset])[Draw(2, 0, 0)]


@pytest.mark.parametrize("limit", [3, 100])
def test_pictures_in_a_row_end_the_search(dataset: SegmentationSet, limit: int) -> None:
    for pair in dataset.pairs:
        pair.image.write_bytes(b"")
    tried = min(limit + 1, 6)
    with pytest.raises(UserError, match=f"--max_bad_samples {limit}: {tried} training pictures in a row"):
        Sources([dataset], limit)[Draw(0, 0, 0)]


def test_any_number_of_workers_replaces_alike(dataset: SegmentationSet) -> None:
    def batches(workers: int) -> list[dict]:
        sampler = TrainingSampler(lambda epoch: [(Draw(i, epoch, i),) for i in range(6)], batch_size=2)
        return list(training_loader(Sources([dataset], 2), sampler, workers))

    for one, other in zip(batches(0), batches(2), strict=True):
        assert one["name"] == other["name"]
        assert one[NOTICES] == other[NOTICES]
        assert torch.equal(one["image"], other["image"])


def test_a_picture_counts_once_however_deep_it_is_read(dataset: SegmentationSet) -> None:
    path, noise = dataset.pairs[2].image, np.random.default_rng(0).integers(0, 256, (1400, 60, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:90_000])
    lines = set()
    bad = BadSamples(limit=1)
    for rows in (range(300), range(500), None):
        with pytest.raises(UserError) as error:
            read_image(path, rows)
        lines.add(str(error.value))
        with mock.patch.object(dataset, "_rows_used", return_value=rows):
            sample = Sources([dataset], 2)[Draw(2, 0, 0)]
        bad.note({NOTICES: [sample[NOTICES]]})
    assert len(lines) > 1
    assert len(bad.news()) == 1


def batch(*pictures: str) -> dict[str, Sequence[str]]:
    """Samples, each in place of the named pictures."""
    notices = [json.dumps({name: f"{name} is cut" for name in names.split()}) for names in pictures]
    return {"name": ["a"] * len(pictures), NOTICES: notices}


def replaced(pictures: str) -> list[str]:
    return [f"replaced by another draw: {name} is cut" for name in pictures.split()]


def test_a_picture_counts_once() -> None:
    bad = BadSamples(limit=3)
    assert bad.scalars() == {}
    assert bad.note(batch("", "x", "x y")) == {"name": ["a"] * 3}
    assert [bad.note(each) for each in (batch("y"), batch(""))] == [{"name": ["a"]}] * 2
    assert bad.news() == replaced("x y")
    bad.note(batch("x", "z"))
    assert bad.news() == replaced("z")
    assert bad.scalars() == {"bad samples": 3}
    with pytest.raises(UserError, match="--max_bad_samples 3: 4 training pictures .* the last: w is cut"):
        bad.note(batch("w"))


def test_a_resumed_run_goes_on_counting() -> None:
    bad, resumed = BadSamples(limit=2), BadSamples(limit=2)
    bad.note(batch("x", "y"))
    bad.news()
    resumed.load_state_dict(bad.state_dict())
    resumed.note(batch("y x"))
    assert resumed.news() == []
    assert resumed.scalars() == {"bad samples": 2}


def test_processes_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = BadSamples(limit=2)
    bad.note(batch("x"))
    other = {"y": "y is cut", "x": "x is cut elsewhere"}
    monkeypatch.setattr("utils.distributed.gather_objects", lambda own: [own, other])
    assert bad.news() == replaced("x y")
    monkeypatch.setattr("utils.distributed.gather_objects", lambda own: [own, {"z": "z is cut"}])
    with pytest.raises(UserError, match="3 training pictures"):
        bad.news()


def trained(city: Path, folder: Path, *flags: str) -> tuple[dict, str]:
    """Final checkpoint and log of a run in which two pictures turn unreadable after the first step."""
    shutil.copytree(city / "gtav", folder / "data" / "gtav")
    pictures = [pair.image for pair in list_pairs(spec("gtav"), "train", folder / "data" / "gtav")[:2]]

    def break_them() -> None:
        for picture in pictures:
            cut(picture)

    with before_step(1, break_them):
        assert train.main(train_arguments(folder / "data", folder, *flags)) == 0
    run = folder / "default" / "tiny"
    return load_checkpoint(run / "last.pth"), (run / "log.txt").read_text()


def test_a_run_goes_on_without_the_pictures_and_names_them_once(toycity: Path, tmp_path: Path) -> None:
    runs = [trained(toycity, tmp_path / name, *ISW) for name in ("one", "two")]
    for _, log in runs:
        lines = [line for line in log.splitlines() if line.startswith("replaced by another draw: ")]
        assert len(lines) == len(set(lines)) == 2
        assert all("this picture cannot be read" in line for line in lines)
        assert "bad samples 2" in log
    assert differing(runs[0][0]["model"], runs[1][0]["model"]) == []


def test_target_pictures_are_replaced_too(toycity: Path, tmp_path: Path) -> None:
    adapting = ["--method", "maxsquare", "--target_dataset", "gtav", "--dataset", "gtav"]
    _, log = trained(toycity, tmp_path, *adapting)
    assert log.count("replaced by another draw: ") == 2


def test_too_many_end_the_run(toycity: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--max_bad_samples 1: 2 training pictures"):
        trained(toycity, tmp_path, "--max_bad_samples", "1")


@pytest.mark.slow
def test_two_processes_name_a_picture_once(project: Path, toycity: Path, tmp_path: Path) -> None:
    shutil.copytree(toycity / "gtav", tmp_path / "gtav")
    for pair in list_pairs(spec("gtav"), "train", tmp_path / "gtav")[:2]:
        cut(pair.image)
    two_processes(project, "train.py", *train_arguments(tmp_path, tmp_path, "--num_workers", "1"))
    log = (tmp_path / "default" / "tiny" / "log.txt").read_text()
    assert log.count("replaced by another draw: ") == 2
    assert "bad samples 2" in log
