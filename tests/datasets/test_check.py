"""``python -m scripts.check`` in-process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.check import main
from utils.errors import UserError


@pytest.fixture
def root(write_gtav, random_labels) -> Path:
    write_gtav(random_labels(3))
    return write_gtav(random_labels(2), split="valid")


def test_prints_counts_per_class(root: Path, capsys: pytest.CaptureFixture) -> None:
    main(["--dataset", "gtav", "--data_root", str(root.parent), "--pictures"])
    output = capsys.readouterr().out
    assert "gtav train: 3 pairs" in output
    assert "gtav val: 2 pairs" in output
    assert "60x40 (3)" in output
    assert output.count("motorcycle") == 2


def test_finds_a_bad_label(root: Path) -> None:
    Image.fromarray(np.full((40, 60), 200, dtype=np.uint8)).save(root / "labels/valid/00001.png")
    with pytest.raises(UserError, match=r"labels/valid/00001\.png: label value 200"):
        main(["--dataset", "gtav", "--data_root", str(root.parent)])


def test_finds_a_bad_picture_when_asked(root: Path) -> None:
    picture = root / "images/train/00000.png"
    picture.write_bytes(picture.read_bytes()[:300])
    main(["--dataset", "gtav", "--data_root", str(root.parent)])
    with pytest.raises(UserError, match=r"images/train/00000\.png"):
        main(["--dataset", "gtav", "--data_root", str(root.parent), "--pictures"])


def test_a_split_the_data_set_lacks(tmp_path: Path) -> None:
    (tmp_path / "camvid").mkdir()
    with pytest.raises(UserError, match="camvid_seq05 has no split 'train'"):
        main(["--dataset", "camvid_seq05", "--split", "train", "--data_root", str(tmp_path)])


def test_a_split_without_labels(nthu_toycity: Path, capsys: pytest.CaptureFixture) -> None:
    main(["--dataset", "nthu_tokyo", "--data_root", str(nthu_toycity), "--pictures"])
    output = capsys.readouterr().out
    assert "nthu_tokyo train: 6 pictures without labels" in output
    assert "nthu_tokyo val: 3 pairs" in output
    assert output.count("motorcycle") == 1
