"""Several processes, one of which is lost or asked to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from comparison import differing
from programs import train_arguments

import train
from utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.reliability

WORKER = Path(__file__).parent / "dying_worker.py"
NEVER = "1000"
PROCESSES = "several processes"
Record = Callable[[str, object], None]


def start(project: Path, command: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    own = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{project}:{project / 'tests'}",
        "CUDA_VISIBLE_DEVICES": "",
        **environment,
    }
    return subprocess.Popen(
        command,
        cwd=project,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def two_ranks(project: Path, words: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Two processes of one group, without a launcher that would look after them."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        start(project, [sys.executable, str(WORKER), *words], RANK=str(rank), LOCAL_RANK=str(rank), **group)
        for rank in (0, 1)
    ]


def test_the_others_end_when_a_process_is_lost(
    project: Path, toycity: Path, tmp_path: Path, record_property: Record
) -> None:
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "6")
    processes = two_ranks(project, ["1", "3", str(tmp_path / "died"), *arguments])
    output = [process.communicate(timeout=240)[0] for process in processes]
    assert processes[1].returncode == -signal.SIGKILL
    assert processes[0].returncode == 1, output[0]
    last = output[0].strip().splitlines()[-1]
    assert last.startswith("error: another process of this run was lost"), output[0]
    assert "--resume auto" in last
    assert "Traceback" not in output[0]
    assert load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["iteration"] == 3
    record_property("fault", [PROCESSES, "one of two is killed", True, last.replace(str(tmp_path), "/ckpt")])


@pytest.mark.slow
def test_all_stop_after_the_same_step_when_one_is_asked(
    project: Path, toycity: Path, tmp_path: Path, record_property: Record
) -> None:
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "1000", "--eval_every", "0")
    processes = two_ranks(project, ["1", NEVER, str(tmp_path / "died"), *arguments])
    log = tmp_path / "default" / "tiny" / "log.txt"
    while not (log.exists() and "iter 4" in log.read_text()):
        assert processes[0].poll() is None
    processes[1].send_signal(signal.SIGTERM)
    output = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], output
    iteration = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["iteration"]
    assert 4 <= iteration < 1000
    said = f"stopped by a signal to another process at iteration {iteration}"
    assert said in output[0]
    record_property("fault", [PROCESSES, "one of two gets SIGTERM", True, said])


def test_a_signal_to_the_launcher_saves(project: Path, toycity: Path, tmp_path: Path) -> None:
    """torchrun passes it on to the whole group of each process, to which its loaders once belonged."""
    more = ["--max_iter", "1000", "--eval_every", "0", "--num_workers", "1"]
    arguments = train_arguments(toycity, tmp_path, *more)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    running = start(project, [*launcher, str(WORKER), "0", NEVER, str(tmp_path / "died"), *arguments])
    folder = tmp_path / "default" / "tiny"
    while not ((folder / "log.txt").exists() and "iter 4" in (folder / "log.txt").read_text()):
        assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    output = running.communicate(timeout=240)[0]
    assert "stopped by SIGTERM at iteration" in (folder / "log.txt").read_text(), output
    assert "DataLoader worker" not in output
    assert 4 <= load_checkpoint(folder / "last.pth")["iteration"] < 1000


@pytest.mark.parametrize("machines", [1, 2])
def test_a_job_comes_back(
    machines: int,
    project: Path,
    toycity: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Record,
) -> None:
    """Launchers that meet at one of them, as on several machines; one of two processes dies once."""
    if not request.config.getoption("--faults", default=False):
        pytest.skip("only with --faults: takes half a minute")
    arguments = train_arguments(toycity, tmp_path, "--resume", "auto")
    launch = [str(project / "scripts" / "launch.sh"), "--processes", str(2 // machines)]
    words = [*launch, "tests/faults/dying_worker.py", "1", "3", str(tmp_path / "died"), *arguments]
    where = {"NODES": str(machines), "MASTER": f"127.0.0.1:{free_port()}", "RESTARTS": "2"}
    launchers = [start(project, words, PYTHON=sys.executable, **where) for _ in range(machines)]
    output = [launcher.communicate(timeout=500)[0] for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0] * machines, output
    assert (tmp_path / "died").exists()
    assert any("resumed " in text for text in output), output
    checkpoint = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")
    assert checkpoint["iteration"] == 6
    what = f"one of two processes dies, {machines} launcher{'s' * (machines > 1)} with RESTARTS=2"
    record_property("fault", [PROCESSES, what, True, "resumed ... at iteration 3"])


def test_restarts_in_which_processes_would_wait_for_dead_ones_are_refused(
    project: Path, toycity: Path, tmp_path: Path, record_property: Record
) -> None:
    given = {"TORCHELASTIC_MAX_RESTARTS": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    words = ["train.py", *train_arguments(toycity, tmp_path)]
    running = start(project, [sys.executable, *words], WORLD_SIZE="2", RANK="0", **given)
    output = running.communicate(timeout=240)[0]
    assert running.returncode == 1
    assert output.startswith("error: --max_restarts 2: ") and output.count("\n") == 1
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in output
    assert not list(tmp_path.iterdir())
    record_property("fault", [PROCESSES, "torchrun --max_restarts with a shared store", True, output.strip()])


def test_it_ends_as_if_nothing_had_been(
    project: Path, toycity: Path, tmp_path: Path, record_property: Record
) -> None:
    """Both processes end after one is lost; started again they reach what an undisturbed pair reaches."""
    last = []
    for name, iteration in (("whole", NEVER), ("killed", "4")):
        arguments = train_arguments(toycity, tmp_path / name, "--resume", "auto")
        words = ["1", iteration, str(tmp_path / f"{name}_died"), *arguments]
        for _ in range(2 if name == "killed" else 1):
            processes = two_ranks(project, words)
            for process in processes:
                process.communicate(timeout=240)
        assert processes[0].returncode == 0
        last.append(load_checkpoint(tmp_path / name / "default" / "tiny" / "last.pth"))
    for part in ("model", "optimizer", "best"):
        assert differing(last[0][part], last[1][part]) == []
    record_property(
        "fault", [PROCESSES, "a pair is killed and started again", True, "the same bits at the end"]
    )
    assert train.main([*arguments, "--bs_mult", "4"]) == 0  # The same pictures per step on one process.
