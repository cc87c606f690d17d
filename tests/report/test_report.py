"""scripts.report on real runs: the files, the console, and pictures that show what the networks say."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_runs import write_run
from PIL import Image
from programs import train_arguments

import train
from network import SegmentationNet
from scripts.report import __main__ as report
from scripts.report.pictures import class_picture, embed, picture_miou, spread
from utils.scoring.classes import CITYSCAPES


def shown(page: str) -> list[Image.Image]:
    """Every picture that stands in a page."""
    found = re.findall(r'<script type="text/plain" [^>]*>([^<]+)</script>', page)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_two_seeds_in_one_row(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("1", "2"):
        flags = ["--max_iter", "1", "--log_every", "1", "--val_dataset", "mapillary", "--seed", seed]
        assert (
            train.main(train_arguments(toycity, tmp_path / "logs", *flags, "--exp", f"base-seed{seed}")) == 0
        )
    assert "published" not in capsys.readouterr().out
    output = tmp_path / "report"
    # Data and height are those that the runs were scored with.
    words = [str(tmp_path / "logs"), "--output", str(output), "--pictures", "2", "--hardest", "1"]
    assert report.main(words) == 0
    printed = capsys.readouterr().out
    results = [json.loads(path.read_text()) for path in sorted((tmp_path / "logs").rglob("results.json"))]
    mean = 100 * np.mean([each["domains"]["mapillary"]["miou"] for each in results])
    assert re.search(rf"base .*  {mean:.2f} ± \d+\.\d\d \(2\)", printed)
    assert f"open the page: {(output / 'index.html').as_uri()}" in printed
    names = {"table.md", "table.csv", "results.jsonl", "index.html"}
    assert {path.name for path in output.iterdir()} == names
    page = (output / "index.html").read_text()
    assert "https://" not in page and "http://" not in page
    # Of each domain two scenes, and one of them or the third as the hardest, with truth and prediction.
    # Mapillary is cut to a square.
    pictures = shown(page)
    assert {picture.size for picture in pictures} == {(128, 64), (64, 64)}
    assert 2 * 2 * 3 - 2 <= len(pictures) <= 2 * 3 * 3
    assert "1 CPU threads" in page


def test_predictions_of_fewer_classes_have_the_colours_of_their_train_ids(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--max_iter", "1", "--num_classes", "13", "--val_dataset", "cityscapes"]
    assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    # Class 12 of 13 is the bicycle.
    bicycle = torch.nn.functional.one_hot(torch.full((1, 64, 128), 12), 13).permute(0, 3, 1, 2).float()
    monkeypatch.setattr(SegmentationNet, "predict", lambda network, image: bicycle)
    words = [
        str(tmp_path / "default" / "tiny"),
        "--output",
        str(tmp_path / "out"),
        "--data_root",
        str(toycity),
    ]
    assert report.main([*words, "--pictures", "1", "--hardest", "0", "--evaluation_height", "64"]) == 0
    pictures = [
        np.asarray(each.convert("RGB")) for each in shown((tmp_path / "out" / "index.html").read_text())
    ]
    assert any((picture == CITYSCAPES.palette[18]).all() for picture in pictures)
    # The truth keeps all classes, such as the pole.
    assert any((picture == CITYSCAPES.palette[5]).all(-1).any() for picture in pictures)


def test_without_weights_or_data_there_are_no_pictures_but_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "isw-seed1", 1, {"gtav": 50.0})
    assert report.main([str(tmp_path), "--output", str(tmp_path / "report")]) == 0
    assert "isw: no pictures, the weights are missing" in capsys.readouterr().out
    assert 'id="pictures"' not in (tmp_path / "report" / "index.html").read_text()


def test_what_runs_are_called_is_no_markup(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 1, {"gtav": 50.0}, exp="<script>alert(1)</script>")
    assert report.main([str(tmp_path), "--output", str(tmp_path / "report"), "--pictures", "0"]) == 0
    assert "<script>alert" not in (tmp_path / "report" / "index.html").read_text()


def test_pictures_are_small_and_classes_keep_their_colours() -> None:
    ids = np.array([[0, 13], [255, 18]], dtype=np.uint8).repeat(600, 1)
    embedded = embed(class_picture(ids, CITYSCAPES), lossy=False)
    assert (embedded.width, embedded.height) == (512, 1)
    whole = class_picture(ids, CITYSCAPES).convert("RGB")
    assert [whole.getpixel(place) for place in ((0, 0), (0, 1))] == [CITYSCAPES.colours[0], (0, 0, 0)]


def test_the_score_of_a_picture_is_the_mean_over_the_classes_of_its_truth() -> None:
    truth = np.array([[0, 0, 1, 255]], dtype=np.uint8)
    assert picture_miou(truth, truth) == 100
    said = np.array([[0, 1, 1, 1]], dtype=np.uint8)
    # Both classes have one pixel right, of two in truth or prediction.
    assert picture_miou(said, truth) == 50
    assert np.isnan(picture_miou(said, np.full_like(truth, 255)))


def test_pictures_are_chosen_at_equal_distances() -> None:
    assert spread(10, 3) == [0, 3, 6]
    assert spread(2, 3) == [0, 1]
    assert spread(5, 0) == []
