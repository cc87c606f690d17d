"""Two processes on gloo: the same scores as one, and one truth about the ISW masks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import two_processes
from programs import ISW, train_arguments

import train
import valid
from utils.run.checkpoint import load_checkpoint

EVALUATE = ["--val_dataset", "gtav", "mapillary", "--evaluation_height", "64", "--num_workers", "0"]


@pytest.fixture(scope="module")
def run_of_two(project: Path, toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an ISW run by two processes; ``rank0.pth`` and ``rank1.pth`` hold their masks."""
    folder = tmp_path_factory.mktemp("two")
    arguments = train_arguments(toycity, folder, *ISW, "--max_iter", "2", "--val_dataset", "mapillary")
    two_processes(project, "tests/distributed_worker.py", str(folder), *arguments)
    return folder


def test_masks_are_equal_on_both_ranks(run_of_two: Path) -> None:
    masks = [torch.load(run_of_two / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert masks[0].keys() == masks[1].keys() == {"mask_site2", "mask_site3", "mask_site4"}
    for name, mask in masks[0].items():
        assert mask.sum() > 0
        assert torch.equal(mask, masks[1][name])


def test_two_processes_score_like_one_to_the_last_digit(
    run_of_two: Path, project: Path, toycity: Path, tmp_path: Path
) -> None:
    snapshot = str(run_of_two / "default" / "tiny" / "best.pth")
    arguments = ["--snapshot", snapshot, "--data_root", str(toycity), *EVALUATE, "--calibrate"]
    assert valid.main([*arguments, "--output", str(tmp_path / "one.json")]) == 0
    table = two_processes(project, "valid.py", *arguments, "--output", str(tmp_path / "two.json"))
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert {**one, "commit": ""} == {**two, "commit": ""}  # The work tree may have moved on in between.
    assert one["domains"]["gtav"]["images"] == 3  # An odd number: nothing dropped, nothing counted twice.
    assert table.count("pixel accuracy") == 1
    # What the run said of itself, with two processes, is what its checkpoint scores.
    own = json.loads((run_of_two / "default" / "tiny" / "results.json").read_text())
    assert one["domains"]["gtav"].pop("reliability")["calibrated"]["temperature"] != 1
    assert one["domains"]["gtav"].items() <= own["domains"]["gtav"].items()


@pytest.mark.slow
def test_a_run_killed_for_real_resumes_to_the_same_bits(project: Path, toycity: Path, tmp_path: Path) -> None:
    arguments = train_arguments(toycity, tmp_path / "killed", *ISW, "--log_every", "1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "[iter 4 / 6]" in line:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "killed/default/tiny/last.pth")["iteration"] < 6
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert train.main(train_arguments(toycity, tmp_path / "whole", *ISW)) == 0
    resumed, whole = (
        load_checkpoint(tmp_path / n / "default/tiny/last.pth")["model"] for n in ("killed", "whole")
    )
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
