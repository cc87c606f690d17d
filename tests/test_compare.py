"""scripts.compare: the table and the pictures of finished runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from programs import train_arguments

import train
from scripts import compare
from utils.errors import UserError


def test_runs_side_by_side(toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "second"):
        flags = ["--max_iter", "1", "--exp", name, "--val_dataset", "mapillary"]
        assert train.main(train_arguments(toycity, tmp_path, *flags)) == 0
    capsys.readouterr()
    runs = [tmp_path / "default" / name for name in ("first", "second")]
    output = tmp_path / "pictures"
    arguments = [*map(str, runs), "--output", str(output), "--data_root", str(toycity), "--pictures", "2"]
    assert compare.main([*arguments, "--evaluation_height", "64"]) == 0
    header, _, first, second, _ = capsys.readouterr().out.splitlines()
    assert header.split() == ["mIoU", "(%)", "gtav", "(source", "val)", "mapillary"]
    miou = json.loads((runs[0] / "results.json").read_text())["domains"]["mapillary"]["miou"]
    assert first.split() == ["first", first.split()[1], f"{100 * miou:.2f}"]
    assert second.startswith("second")
    assert sorted(path.name for path in output.iterdir()) == ["gtav.png", "mapillary.png"]
    # Two rows of picture, truth and two predictions, 64 x 128 each.
    assert Image.open(output / "gtav.png").size == (4 * 128 + 5 * 4, 2 * 64 + 3 * 4 + 24)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no results\.json"):
        compare.main([str(tmp_path)])
