"""Experiments as array jobs, with a stand-in for sbatch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from shell_scripts import SCRIPTS

from scripts.experiments import __main__ as experiments
from utils.errors import UserError

SBATCH = """#!/usr/bin/env bash
echo "$@" >> "$CALLS"
[ -z "${REFUSED:-}" ] || { echo "sbatch: $REFUSED" >&2; exit 1; }
echo "$(wc -l < "$CALLS");cluster"
"""
TWO_WAVES = """
processes = 4
[matrix]
seed = [1, 2]
[runs.source]
[runs.ms]
processes = 2
script = "adapt_ms_r101_gtav2cty.sh @source/last.pth"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sbatch in the path, and a file of experiments."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    (tmp_path / "two.toml").write_text(TWO_WAVES)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.chdir(SCRIPTS.parent)
    return tmp_path


def submit(cluster: Path, *words: str) -> list[str]:
    assert (
        experiments.main([str(cluster / "two.toml"), "--ckpt", str(cluster / "logs"), "--slurm", *words]) == 0
    )
    return (cluster / "calls").read_text().splitlines()


def test_an_array_for_each_wave_of_runs(cluster: Path) -> None:
    first, second = submit(cluster, "--sbatch=--partition=long --qos=x", "--at_once", "1")
    assert first.startswith(
        "--parsable --array=0-1%1 --gpus-per-node=4 --partition=long --qos=x --export=ALL,TASKS="
    )
    assert first.endswith(",PROCESSES=4 scripts/slurm_train.sh scripts/slurm_task.sh")
    assert " --gpus-per-node=2 --dependency=afterok:1 --partition=long " in second


def test_a_task_runs_its_line_with_further_flags(cluster: Path) -> None:
    submit(cluster)
    tasks = next(path for path in (cluster / "logs").rglob("array-*.txt") if "ms-seed2" in path.read_text())
    # What would be started is printed in its place.
    shown = cluster / "shown.txt"
    shown.write_text(tasks.read_text().replace("scripts/adapt", "echo scripts/adapt"))
    environment = {**os.environ, "TASKS": str(shown), "SLURM_ARRAY_TASK_ID": "1"}
    command = [SCRIPTS / "slurm_task.sh", "--resume", "auto"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    logs = cluster / "logs"
    assert done.stdout.startswith(
        f"scripts/adapt_ms_r101_gtav2cty.sh {logs}/two/source-seed2/last.pth --seed=2 "
    )
    assert done.stdout.endswith("--exp ms-seed2 --resume auto\n")
    finished = logs / "two" / "ms-seed2" / "results.json"
    finished.parent.mkdir(parents=True)
    finished.touch()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{finished.parent}: is finished already\n"
    assert submit(cluster)[-1].startswith("--parsable --array=0-0 ")


def test_a_refusal_of_sbatch_is_one_line(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSED", "invalid partition")
    with pytest.raises(UserError, match=r"--slurm: sbatch failed \(sbatch: invalid partition\)"):
        submit(cluster)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match="there is no sbatch on this machine"):
        submit(cluster)
