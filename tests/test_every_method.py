"""What every registered method can do in the programs: train, resume exactly, run on two processes, infer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comparison import differing
from interruption import dying_at
from PIL import Image
from processes import two_processes
from programs import TINY_METHODS, train_arguments

import infer
import train
import valid
from methods import METHODS
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

CODES = {"isw": "--wt_layer 0 0 2 2 2 0 0".split()}


def flags(name: str) -> list[str]:
    return ["--method", name, *CODES.get(name, []), *TINY_METHODS[name]]


@pytest.fixture(scope="module", params=list(METHODS))
def run(request: pytest.FixtureRequest, toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a whole run of one method; its name is the method's."""
    ckpt = tmp_path_factory.mktemp("run")
    arguments = train_arguments(toycity, ckpt, *flags(request.param), "--val_dataset", "mapillary")
    assert train.main([*arguments, "--exp", request.param]) == 0
    return ckpt / "default" / request.param


def test_a_killed_run_resumes_to_the_same_bits(run: Path, toycity: Path, tmp_path: Path) -> None:
    arguments = train_arguments(toycity, tmp_path, *flags(run.name), "--val_dataset", "mapillary")
    with dying_at(4):
        train.main(arguments)
    assert train.main([*arguments, "--resume", "auto"]) == 0
    whole, resumed = (load_checkpoint(f / "last.pth") for f in (run, tmp_path / "default" / "tiny"))
    for part in ("model", "optimizer", "iteration", "best"):
        assert differing(whole[part], resumed[part]) == []


def test_its_checkpoint_scores_and_segments(run: Path, toycity: Path, tmp_path: Path) -> None:
    snapshot = ["--snapshot", str(run / "best.pth")]
    data = ["--data_root", str(toycity), "--num_workers", "0", "--evaluation_height", "64"]
    output = ["--output", str(tmp_path / "scores.json")]
    assert valid.main([*snapshot, "--val_dataset", "mapillary", *data, *output]) == 0
    ours, theirs = (path.read_text() for path in (tmp_path / "scores.json", run / "results.json"))
    assert ours[ours.index('"mapillary"') :][:40] == theirs[theirs.index('"mapillary"') :][:40]
    picture = tmp_path / "street.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)).save(picture)
    words = ["--input", str(picture), "--output", str(tmp_path / "out"), "--save", "trainids"]
    assert infer.main([*snapshot, *words, "--inference_mode", "sliding", "--crop_size", "48"]) == 0
    with Image.open(tmp_path / "out" / "trainids" / "street.png") as result:
        assert result.size == (70, 45)


def test_the_teacher_is_scored_and_segments(run: Path, toycity: Path, tmp_path: Path) -> None:
    snapshot = ["--snapshot", str(run / "best.pth"), "--teacher"]
    data = ["--val_dataset", "mapillary", "--data_root", str(toycity), "--num_workers", "0"]
    output = tmp_path / "scores.json"
    words = [*snapshot, *data, "--evaluation_height", "64", "--output", str(output)]
    picture = tmp_path / "street.png"
    Image.new("RGB", (70, 45)).save(picture)
    segment = [*snapshot, "--input", str(picture), "--output", str(tmp_path / "out"), "--save", "trainids"]
    if run.name != "sac":
        with pytest.raises(UserError, match="--teacher: .* has none"):
            valid.main(words)
        return
    assert valid.main(words) == 0
    assert json.loads(output.read_text())["selection"] == "best source val, teacher"
    assert infer.main(segment) == 0


@pytest.mark.parametrize("name", list(METHODS))
def test_two_processes_train_it(name: str, project: Path, toycity: Path, tmp_path: Path) -> None:
    arguments = train_arguments(toycity, tmp_path, *flags(name), "--max_iter", "2", "--eval_every", "2")
    two_processes(project, "train.py", *arguments)
    checkpoint = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    pictures = sum(checkpoint["sizes_of_step"].values())
    assert (checkpoint["iteration"], pictures) == (2, 4 * len(METHODS[name].domains))
