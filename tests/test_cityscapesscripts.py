"""What infer.py writes for the Cityscapes server: the official evaluation finds it and scores it as we do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from inference import infer_in, write_checkpoint
from PIL import Image

import valid
from utils.scoring.classes import CITYSCAPES


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "last.pth", seed=1)


@pytest.fixture
def written(checkpoint: Path, toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What infer.py makes of toycity's Cityscapes val: a folder for each kind of result."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = ("--val_dataset", "cityscapes", "--data_root", toycity, "--save", "labelids", "trainids")
    assert infer_in(tmp_path, checkpoint, *words, source=None) == 0
    return tmp_path / "out" / "cityscapes"


def ground_truth(toycity: Path) -> list[str]:
    """The official label files of the val split."""
    labels = toycity / "cityscapes/gtFine_trainvaltest/gtFine/val"
    return sorted(str(path) for path in labels.glob("*/*_gtFine_labelIds.png"))


def official_scores(toycity: Path, predictions: Path) -> dict[str, Any]:
    """What the official evaluation says of the pictures in a folder; toycity has no instances to score."""
    arguments = copy.copy(official.args)
    arguments.predictionPath, arguments.predictionWalk = str(predictions), None
    arguments.evalInstLevelScore, arguments.JSONOutput, arguments.quiet = False, False, True
    labels = ground_truth(toycity)
    found = [official.getPrediction(arguments, label) for label in labels]
    return official.evaluateImgLists(found, labels, arguments)


def own_scores(toycity: Path, checkpoint: Path, output: Path, absent_classes: str) -> dict[str, Any]:
    """What valid.py says of the same checkpoint."""
    words = ["--snapshot", str(checkpoint), "--val_dataset", "cityscapes", "--data_root", str(toycity)]
    words += ["--absent_classes", absent_classes, "--num_workers", "0", "--output", str(output)]
    assert valid.main(words) == 0
    return json.loads(output.read_text())["domains"]["cityscapes"]


def test_files_are_as_the_official_evaluation_expects(written: Path, toycity: Path) -> None:
    names = {Path(label).name.replace("gtFine_labelIds.png", "") for label in ground_truth(toycity)}
    pictures = sorted((written / "labelids").rglob("*.png"))
    assert {f"{path.stem}_" for path in pictures} == names
    scored = {label.id for label in official.labels if not label.ignoreInEval}
    for path in pictures:
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", (128, 64))
            assert scored.issuperset(np.unique(picture).tolist())


def test_the_official_score_is_that_of_valid(
    written: Path, checkpoint: Path, toycity: Path, tmp_path: Path
) -> None:
    theirs = official_scores(toycity, written / "labelids")
    ours = own_scores(toycity, checkpoint, tmp_path / "results.json", "zero")
    assert np.count_nonzero([theirs["classScores"][name] > 0 for name in CITYSCAPES.names]) >= 5
    assert ours["miou"] == pytest.approx(theirs["averageScoreClasses"], abs=1e-6)
    for name in CITYSCAPES.names:
        expected = theirs["classScores"][name]
        own = np.nan if ours["iou"][name] is None else ours["iou"][name]
        assert own == pytest.approx(expected, abs=1e-6, nan_ok=True), name


def test_train_ids_are_no_label_ids(written: Path, toycity: Path) -> None:
    """The score above does not come of a coding that happens to agree."""
    right, wrong = (official_scores(toycity, written / kind) for kind in ("labelids", "trainids"))
    assert abs(right["averageScoreClasses"] - wrong["averageScoreClasses"]) > 1e-3
