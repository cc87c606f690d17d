"""Class shares that a data set is not known for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.definitions.catalog import CATALOG, spec
from datasets.definitions.codings import CITYSCAPES_IDS, TRAIN_IDS
from datasets.definitions.plausibility import STREET_SHARES, unlikely_classes
from datasets.files.pairing import list_pairs
from datasets.files.reading import read_label
from scripts.check import main
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES


def pixels_of(name: str, split: str, root: Path) -> np.ndarray:
    labels = [read_label(pair.label, spec(name).coding) for pair in list_pairs(spec(name), split, root)]
    return sum(np.bincount(label.ravel(), minlength=256)[: len(CITYSCAPES)] for label in labels)


def test_the_shares_are_those_of_every_pixel_with_a_class() -> None:
    assert len(STREET_SHARES) == len(CITYSCAPES)
    assert sum(STREET_SHARES) == pytest.approx(100, abs=0.05)


@pytest.mark.parametrize("name", ["gtav", "cityscapes", "synthia", "bdd100k", "mapillary"])
def test_nothing_is_said_of_street_scenes(toycity: Path, name: str) -> None:
    for split in ("train", "val"):
        assert unlikely_classes(spec(name), split, pixels_of(name, split, toycity / name)) == []


@pytest.mark.parametrize("name", ["camvid", "camvid_day", "camvid_seq05", "camvid_dusk"])
def test_nothing_is_said_of_real_streets(shared: Path, name: str) -> None:
    root = shared / "data" / "CamVid"
    for split in CATALOG[name].splits:
        pixels = sum(
            np.bincount(read_label(pair.label, spec(name).coding).ravel(), minlength=256)[: len(CITYSCAPES)]
            for pair in list_pairs(spec(name), split, root)[::10]
        )
        assert unlikely_classes(spec(name), split, pixels) == []


def test_train_ids_where_label_ids_are_expected(toycity: Path, tmp_path: Path, capsys) -> None:
    """As ``*_labelIds.png``: 7 is a traffic sign then, and read as road; check warns and says why."""
    for pair in list_pairs(spec("cityscapes"), "val", toycity / "cityscapes"):
        train_ids = read_label(pair.label, CITYSCAPES_IDS)
        for path in (pair.image, pair.label):
            copy = tmp_path / path.relative_to(toycity)
            copy.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).save(copy)
        Image.fromarray(TRAIN_IDS.native_ids[train_ids]).save(copy)
    main(["--dataset", "cityscapes", "--split", "val", "--data_root", str(tmp_path)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(lines) == 1
    assert "cityscapes val: its labels are unlike those of other streets" in lines[0]
    assert "they may hold train ids, but label ids are expected" in lines[0]


@pytest.mark.parametrize(
    ("name", "advice"),
    [("gtav", r"values of the gtav coding \(7, 8, 11, ...\)"), ("synthia", "in the first channel")],
)
def test_labels_without_any_class_are_refused(name: str, advice: str) -> None:
    with pytest.raises(UserError, match=f"{name} train: no pixel of its labels has a class.*{advice}"):
        unlikely_classes(spec(name), "train", np.zeros(len(CITYSCAPES)))


def test_a_data_set_may_have_shares_of_its_own() -> None:
    shares = tuple(float(train_id in (15, 18)) for train_id in range(len(CITYSCAPES)))
    known = replace(spec("cityscapes"), class_shares=shares)
    assert unlikely_classes(known, "val", np.array(shares)) == []
    assert len(unlikely_classes(known, "val", np.array(STREET_SHARES))) == 1


def test_another_cause_is_not_guessed() -> None:
    pixels = np.zeros(len(CITYSCAPES))
    pixels[[15, 18]] = 50, 50
    (line,) = unlikely_classes(spec("cityscapes"), "val", pixels)
    assert "road 0 % (usually 37 %)" in line
    assert "look at some of the labels" in line
    # Of a network that has only these, nothing else was to be expected.
    assert unlikely_classes(spec("cityscapes"), "val", pixels, train_ids=[15, 18]) == []
