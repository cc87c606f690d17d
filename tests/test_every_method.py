"""What every registered method can do in the programs: train, resume exactly, run on two processes, infer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from comparison import differing
from interruption import dying_at
from PIL import Image
from processes import two_processes
from programs import TINY_METHODS, TUNABLE_METHODS, train_arguments
from tiny_transformers import tiny_network

import infer
import train
import valid
from methods import METHODS
from utils.errors import UserError
from utils.run.checkpoint import load_checkpoint

CODES = {"isw": "--wt_layer 0 0 2 2 2 0 0".split()}


# Method and tuning of a transformer -> the flags of the tuning.
TUNED = {
    "baseline-soma": ["--tune", "soma", "--adam", "--lr", "0.001"],
    "baseline-rein": ["--tune", "rein"],
    "blindnet-frozen": ["--tune", "frozen"],
    "sac-lora": ["--tune", "lora", "--rank", "4"],
}


def flags(name: str) -> list[str]:
    return ["--method", name, *CODES.get(name, []), *TINY_METHODS[name]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The flag that names the weights which the transformer of the tuned runs starts from."""
    file = tmp_path_factory.mktemp("base") / "vit.pth"
    torch.save(tiny_network().backbone.state_dict(), file)
    return ["--backbone_weights", str(file)]


def run_arguments(name: str, base: list[str], toycity: Path, ckpt: Path) -> list[str]:
    """Arguments of train.py for a run of one method, or of one of ``TUNED``."""
    method = name.partition("-")[0]
    own = flags(name) if name in METHODS else ["--method", method, *TUNABLE_METHODS[method], *TUNED[name]]
    arguments = train_arguments(toycity, ckpt, *own, "--val_dataset", "mapillary")
    if name in TUNED:
        place = arguments.index("--arch")
        arguments[place : place + 2] = "--backbone tiny_vit --head linear".split()
        arguments += ["--pretrained", *base]
    return arguments


@pytest.fixture(scope="module", params=[*METHODS, *TUNED])
def run(
    request: pytest.FixtureRequest, base: list[str], toycity: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Run folder of a whole run of one method; its name is the method's, and its tuning's if there is one."""
    ckpt = tmp_path_factory.mktemp("run")
    arguments = run_arguments(request.param, base, toycity, ckpt)
    assert train.main([*arguments, "--exp", request.param]) == 0
    return ckpt / "default" / request.param


def test_a_killed_run_resumes_to_the_same_bits(
    run: Path, base: list[str], toycity: Path, tmp_path: Path
) -> None:
    arguments = run_arguments(run.name, base, toycity, tmp_path)
    with dying_at(4):
        train.main(arguments)
    assert train.main([*arguments, "--resume", "auto"]) == 0
    whole, resumed = (load_checkpoint(f / "last.pth") for f in (run, tmp_path / "default" / "tiny"))
    for part in ("model", "optimizer", "iteration", "best"):
        assert differing(whole[part], resumed[part]) == []


def test_its_checkpoint_scores_and_segments(
    run: Path, base: list[str], toycity: Path, tmp_path: Path
) -> None:
    snapshot = ["--snapshot", str(run / "best.pth"), *(base if run.name in TUNED else [])]
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


def test_the_teacher_is_scored_and_segments(
    run: Path, base: list[str], toycity: Path, tmp_path: Path
) -> None:
    snapshot = ["--snapshot", str(run / "best.pth"), "--teacher", *(base if run.name in TUNED else [])]
    data = ["--val_dataset", "mapillary", "--data_root", str(toycity), "--num_workers", "0"]
    output = tmp_path / "scores.json"
    words = [*snapshot, *data, "--evaluation_height", "64", "--output", str(output)]
    picture = tmp_path / "street.png"
    Image.new("RGB", (70, 45)).save(picture)
    segment = [*snapshot, "--input", str(picture), "--output", str(tmp_path / "out"), "--save", "trainids"]
    if not run.name.startswith("sac"):
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
