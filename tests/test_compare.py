"""scripts.compare: the table and the pictures of finished runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from programs import train_arguments

import train
from network import SegmentationNet
from scripts import compare
from utils.errors import UserError
from utils.scoring.classes import CITYSCAPES


def test_runs_side_by_side(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "second"):
        flags = ["--max_iter", "1", "--exp", name, "--val_dataset", "mapillary"]
        assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    capsys.readouterr()
    runs = [tmp_path / "default" / name for name in ("first", "second")]
    output = tmp_path / "pictures"
    # Data and height are those that the runs were scored with.
    assert compare.main([*map(str, runs), "--output", str(output), "--pictures", "2"]) == 0
    header, _, first, second, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["mIoU", "(%)", "gtav", "(source", "val)", "mapillary"]
    miou = json.loads((runs[0] / "results.json").read_text())["domains"]["mapillary"]["miou"]
    assert first.split() == ["first", first.split()[1], f"{100 * miou:.2f}"]
    assert second.startswith("second")
    assert sorted(path.name for path in output.iterdir()) == ["gtav.png", "mapillary.png"]
    # Two rows of picture, truth and two predictions, 64 x 128 each.
    assert Image.open(output / "gtav.png").size == (4 * 128 + 5 * 4, 2 * 64 + 3 * 4 + 24)


def test_predictions_of_fewer_classes_have_the_colours_of_their_train_ids(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--max_iter", "1", "--num_classes", "13", "--val_dataset", "cityscapes"]
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    # Class 12 of 13 is the bicycle.
    bicycle = torch.nn.functional.one_hot(torch.full((1, 64, 128), 12), 13).permute(0, 3, 1, 2)
    monkeypatch.setattr(SegmentationNet, "predict", lambda network, image: bicycle)
    output = tmp_path / "pictures"
    arguments = [str(tmp_path / "default" / "tiny"), "--output", str(output), "--data_root", str(toycity)]
    assert compare.main([*arguments, "--pictures", "1", "--evaluation_height", "64"]) == 0
    sheet = np.asarray(Image.open(output / "cityscapes.png"))
    truth, prediction = (sheet[-64 - 4 : -4, left : left + 128] for left in (2 * 4 + 128, 3 * 4 + 2 * 128))
    assert (prediction == CITYSCAPES.palette[18]).all()
    # The truth keeps all classes, such as the pole.
    assert (truth == CITYSCAPES.palette[5]).all(-1).any()


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no results\.json"):
        compare.main([str(tmp_path)])
