"""valid.py --reliability and --calibrate: numbers, tables, pictures, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from programs import train_arguments

import train
import valid
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def snapshot(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one training step on the toy GTAV."""
    ckpt = tmp_path_factory.mktemp("reliability")
    assert train.main(train_arguments(toycity, ckpt, "--max_iter", "1")) == 0
    return ckpt / "default" / "tiny" / "best.pth"


def scored(root: Path, snapshot: Path, output: Path, *flags: str) -> dict:
    """The content of ``output`` after scoring on the toy Cityscapes."""
    arguments = ["--snapshot", str(snapshot), "--data_root", str(root), "--num_workers", "0"]
    arguments += ["--val_dataset", "cityscapes", "--evaluation_height", "64", "--output", str(output)]
    assert valid.main([*arguments, *flags]) == 0
    return json.loads(output.read_text())


def changed(snapshot: Path, path: Path, **arguments: object) -> Path:
    """The checkpoint with other arguments of its training, saved at ``path``."""
    checkpoint = load_checkpoint(snapshot)
    checkpoint["arguments"] |= arguments
    save_checkpoint(path, checkpoint)
    return path


def test_reliability_is_printed_written_and_drawn_beside_the_same_scores(
    toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = scored(toycity, snapshot, tmp_path / "plain.json")
    assert "ECE" not in capsys.readouterr().out
    with_reliability = scored(toycity, snapshot, tmp_path / "with.json", "--reliability")
    printed = capsys.readouterr().out
    domain = with_reliability["domains"]["cityscapes"]
    found = domain.pop("reliability")
    assert domain == plain["domains"]["cityscapes"]
    right = sum(each["pixels"] * each["accuracy"] for each in found["bins"] if each["pixels"])
    assert right / sum(each["pixels"] for each in found["bins"]) == pytest.approx(domain["pixel_accuracy"])
    assert 0 < found["ece"] < 1
    assert "calibrated" not in found
    assert "calibration" not in with_reliability
    assert f"{100 * found['ece']:.2f}" in printed
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["with_cityscapes_reliability.png"]


def test_calibration_is_fitted_to_the_source_and_lowers_its_error(
    toycity: Path, snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = scored(toycity, snapshot, tmp_path / "scores.json", "--calibrate", "--val_dataset", "gtav")
    printed, calibration = capsys.readouterr().out, content["calibration"]
    assert (calibration["data"], calibration["split"], calibration["pictures"]) == (["gtav"], "val", 3)
    assert f"temperature {calibration['temperature']:.4f}" in printed
    assert "gtav, calibrated" in printed
    assert calibration["loss"] < calibration["loss_before"]
    found = content["domains"]["gtav"]["reliability"]
    assert found["calibrated"]["temperature"] == calibration["temperature"]
    assert found["calibrated"]["ece"] < found["ece"]


def test_averages_of_probabilities_are_calibrated_too(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    plain = scored(toycity, snapshot, tmp_path / "plain.json", "--flip")["domains"]["cityscapes"]
    content = scored(toycity, snapshot, tmp_path / "scores.json", "--flip", "--calibrate")
    domain = content["domains"]["cityscapes"]
    found = domain.pop("reliability")
    assert domain == plain
    assert content["calibration"]["loss"] < content["calibration"]["loss_before"]
    assert found["calibrated"]["brier"] != found["brier"]


def test_a_source_that_is_not_known_or_not_there_is_named(
    toycity: Path, snapshot: Path, tmp_path: Path
) -> None:
    nameless = changed(snapshot, tmp_path / "nameless.pth", dataset=[])
    with pytest.raises(UserError, match=r"--calibrate: .*nameless.pth does not name its source"):
        scored(toycity, nameless, tmp_path / "scores.json", "--calibrate")
    foreign = changed(snapshot, tmp_path / "foreign.pth", dataset=["atlantis"])
    with pytest.raises(UserError, match="was trained on atlantis, which is unknown here"):
        scored(toycity, foreign, tmp_path / "scores.json", "--calibrate")
    shutil.copytree(toycity / "cityscapes", tmp_path / "data" / "cityscapes")
    with pytest.raises(UserError, match=r"--calibrate: needs the val split of gtav.*has no folder gtav"):
        scored(tmp_path / "data", snapshot, tmp_path / "scores.json", "--calibrate")


def test_the_division_of_the_training_is_kept(toycity: Path, snapshot: Path, tmp_path: Path) -> None:
    """The official val split may have been trained on."""
    trained = changed(snapshot, tmp_path / "divided.pth", dataset=["cityscapes"], cv=1)
    official = changed(snapshot, tmp_path / "official.pth", dataset=["cityscapes"], cv=0)
    losses = [
        scored(toycity, each, tmp_path / "scores.json", "--calibrate")["calibration"]["loss_before"]
        for each in (trained, official)
    ]
    assert losses[0] != losses[1]


def test_several_checkpoints_have_pictures_of_their_own(
    toycity: Path, snapshot: Path, tmp_path: Path
) -> None:
    last = str(snapshot.with_name("last.pth"))
    both = ["--snapshot", str(snapshot), last, "--reliability"]
    assert len(scored(toycity, snapshot, tmp_path / "both.json", *both)) == 2
    names = [f"both_{number}_cityscapes_reliability.png" for number in (1, 2)]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
