"""scripts/slurm_train.sh against stand-ins for SLURM's own programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import train_arguments

pytestmark = pytest.mark.reliability

# A step that runs until it is asked to end, and says what it was started with.
SRUN = """#!/usr/bin/env bash
echo "srun $*" >> "$CALLS"
echo "NODES=$NODES MASTER=$MASTER RUN_ID=$RUN_ID RESTARTS=$RESTARTS" >> "$CALLS"
case $STEP in
waits | busy | starts) ;;
real)
    while [ "$1" != bash ]; do shift; done
    echo "step $$" >> "$CALLS"
    exec setsid "$@"
    ;;
*) exit "$STEP" ;;
esac
trap 'echo killed >> "$CALLS"; exit 1' TERM
asked() {
    case $STEP in
    busy) ;;
    starts) STEP=waits ;;
    *) echo saved >> "$CALLS"; exit 0 ;;
    esac
}
trap asked USR1
echo started
for turn in {1..400}; do read -r -t 0.05 <> <(:); done
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >> "$CALLS"
case "$1 $2" in
"show hostnames") printf 'first\\nsecond\\n' ;;
"show job") echo "   JobState=${STATE:-RUNNING} Reason=None" ;;
esac
"""


@pytest.fixture
def job(project: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a job, with SLURM's programs replaced.

    Its number is no other test process's: jobs leave files in the project that are named after it.
    """
    for name, script in (("srun", SRUN), ("scontrol", SCONTROL)):
        path = tmp_path / name
        path.write_text(script)
        path.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_SUBMIT_DIR": str(project),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
    }


def submit(project: Path, job: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [str(project / "scripts" / "slurm_train.sh"), *words]
    return subprocess.Popen(command, env=job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_ends_with_its_step(project: Path, job: dict[str, str], code: int) -> None:
    done = submit(project, {**job, "STEP": str(code)}, "train.py", "--exp", "mine")
    assert (done.wait(60), code) == (code, code)
    calls = Path(job["CALLS"]).read_text()
    assert "bash scripts/slurm_step.sh scripts/launch.sh train.py --resume auto --exp mine\n" in calls
    number = int(job["SLURM_JOB_ID"])
    assert f"NODES=2 MASTER=first:{20000 + number % 20000} RUN_ID={number} RESTARTS=3\n" in calls
    assert "requeue" not in calls


@pytest.mark.parametrize("step", ["waits", "starts"])
def test_a_job_that_is_asked_to_stop_saves_and_is_queued_again(
    step: str, project: Path, job: dict[str, str]
) -> None:
    """Also where the first signal comes too early for the step to hear it."""
    running = submit(project, {**job, "STEP": step}, "scripts/train_r50os16_gtav_isw.sh")
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGUSR1)
    assert running.wait(60) == 0
    calls = Path(job["CALLS"]).read_text()
    assert "bash scripts/slurm_step.sh scripts/train_r50os16_gtav_isw.sh --resume auto\n" in calls
    number = job["SLURM_JOB_ID"]
    assert calls.endswith(f"saved\nscontrol show job {number}\nscontrol requeue {number}\n")


def test_a_job_whose_step_takes_too_long_is_queued_again_all_the_same(
    project: Path, job: dict[str, str]
) -> None:
    """An evaluation is finished first; the run was saved before it."""
    running = submit(project, {**job, "STEP": "busy", "PATIENCE": "0"}, "train.py")
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGUSR1)
    assert running.wait(60) == 0
    assert Path(job["CALLS"]).read_text().endswith(f"scontrol requeue {job['SLURM_JOB_ID']}\n")


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING"])
def test_a_job_that_runs_no_more_is_left_as_it_is(project: Path, job: dict[str, str], state: str) -> None:
    """Its user cancelled it, or SLURM has put it back into the queue already."""
    running = submit(project, {**job, "STEP": "waits", "STATE": state}, "train.py")
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert "left as it is" in running.communicate()[0]
    assert "requeue" not in Path(job["CALLS"]).read_text()


def test_a_task_of_an_array_is_queued_again_alone(project: Path, job: dict[str, str]) -> None:
    array = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    running = submit(project, {**job, **array, "STEP": "waits"}, "train.py")
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    running.send_signal(signal.SIGUSR1)
    assert running.wait(60) == 0
    assert Path(job["CALLS"]).read_text().endswith("scontrol show job 12_3\nscontrol requeue 12_3\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ask", "by"),
    [
        (lambda script, step: os.kill(script, signal.SIGUSR1), "SIGUSR1"),
        (lambda script, step: os.kill(step, signal.SIGUSR1), "SIGUSR1"),
        (lambda script, step: os.kill(step, signal.SIGTERM), "SIGUSR1"),
        (lambda script, step: os.killpg(step, signal.SIGTERM), "SIG"),
    ],
    ids=[
        "the script is asked",
        "srun's signal reaches the step's first process",
        "SIGTERM does",
        "SIGTERM reaches torchrun, too",
    ],
)
def test_a_job_whose_training_is_asked_to_stop_is_queued_again(
    ask: Callable[[int, int], None],
    by: str,
    project: Path,
    job: dict[str, str],
    toycity: Path,
    tmp_path: Path,
) -> None:
    """Before its time ends the script is asked; at pre-emption SLURM may send SIGTERM to the step alone."""
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "1000", "--eval_every", "0")
    one = {"SLURM_JOB_NUM_NODES": "1", "PROCESSES": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    log = tmp_path / "default" / "tiny" / "log.txt"
    running = submit(
        project, {**job, **one, "STEP": "real", "PYTHON": sys.executable}, "train.py", *arguments
    )
    pause = threading.Event()
    while not (log.exists() and "iter 4" in log.read_text()):
        assert running.poll() is None, running.communicate()[0]
        pause.wait(0.05)
    step = re.search(r"step (\d+)", Path(job["CALLS"]).read_text())
    assert step is not None
    ask(running.pid, int(step[1]))
    output = running.communicate(timeout=300)[0]
    assert running.returncode == 0, output
    assert f"stopped by {by}" in log.read_text()
    assert Path(job["CALLS"]).read_text().endswith(f"scontrol requeue {job['SLURM_JOB_ID']}\n")
    assert not list(project.glob(f".stopped-{job['SLURM_JOB_ID']}-*"))


def test_it_says_how_to_be_started(project: Path, job: dict[str, str]) -> None:
    nothing = submit(project, job)
    assert (nothing.wait(60), "usage: sbatch" in nothing.communicate()[0]) == (2, True)
    outside = {name: value for name, value in job.items() if name != "SLURM_JOB_ID"}
    done = submit(project, outside, "train.py")
    assert (done.wait(60), "start it with sbatch" in done.communicate()[0]) == (2, True)
