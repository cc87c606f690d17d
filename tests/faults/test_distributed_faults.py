"""Several processes, one of which is lost or asked to stop."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from comparison import differing
from programs import train_arguments

import train
from tests.faults.namespaces import Machine, NoNamespaces, two_machines
from tests.faults.recording import Tried
from utils.run.checkpoint import load_checkpoint

pytestmark = pytest.mark.reliability

WORKER = Path(__file__).parent / "dying_worker.py"
NEVER = "1000"
PROCESSES = "several processes"
LONGEST = 300  # Seconds that anything here may take on a busy machine, where an idle one takes 30.


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


# Below those that Linux hands out, of which another process may get one before the launcher takes it. Test
# processes that start together begin at different ones.
PORTS = itertools.count(20000 + os.getpid() % 200 * 50)


def free_port() -> str:
    while True:
        port = next(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return str(port)


def two_ranks(project: Path, words: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Two processes of one group, without a launcher that would look after them."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        start(project, [sys.executable, str(WORKER), *words], RANK=str(rank), LOCAL_RANK=str(rank), **group)
        for rank in (0, 1)
    ]


def outputs(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What processes have printed by their end; the test fails with it if one does not end."""
    try:
        return [process.communicate(timeout=LONGEST)[0] for process in processes]
    except subprocess.TimeoutExpired:
        pytest.fail("does not end:\n" + "\n".join(map(ended, processes)))


def ended(process: subprocess.Popen[str]) -> str:
    """What a process has printed; it is ended, if it still runs, and a launcher's processes with it."""
    process.terminate()
    try:
        return process.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate(timeout=60)[0]


def wait_for(words: str, log: Path, processes: Sequence[subprocess.Popen[str]]) -> None:
    """Return as soon as ``log`` holds ``words``; the test fails with what the processes have printed if one
    of them ends before, or none gets there.
    """
    pause, deadline = threading.Event(), time.monotonic() + LONGEST
    while not (log.exists() and words in log.read_text()):
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            pytest.fail(f"no {words!r} in the log:\n" + "\n".join(map(ended, processes)))
        pause.wait(0.05)


def test_the_others_end_when_a_process_is_lost(
    project: Path, toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "6")
    with tried(PROCESSES, "one of two is killed") as trial:
        processes = two_ranks(project, ["1", "3", str(tmp_path / "died"), *arguments])
        output = outputs(processes)
        assert processes[1].returncode == -signal.SIGKILL
        assert processes[0].returncode == 1, output[0]
        last = output[0].strip().splitlines()[-1]
        assert last.startswith("error: another process of this run was lost"), output[0]
        assert "--resume auto" in last
        assert "Traceback" not in output[0]
        assert load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["iteration"] == 3
        trial.seen = last.replace(str(tmp_path), "/ckpt")


@pytest.mark.slow
def test_all_stop_after_the_same_step_when_one_is_asked(
    project: Path, toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    arguments = train_arguments(toycity, tmp_path, "--max_iter", "1000", "--eval_every", "0")
    with tried(PROCESSES, "one of two gets SIGTERM") as trial:
        processes = two_ranks(project, ["1", NEVER, str(tmp_path / "died"), *arguments])
        wait_for("iter 4", tmp_path / "default" / "tiny" / "log.txt", processes)
        processes[1].send_signal(signal.SIGTERM)
        output = outputs(processes)
        assert [process.returncode for process in processes] == [0, 0], output
        iteration = load_checkpoint(tmp_path / "default" / "tiny" / "last.pth")["iteration"]
        assert 4 <= iteration < 1000
        trial.seen = f"stopped by a signal to another process at iteration {iteration}"
        assert trial.seen in output[0]


def test_a_signal_to_the_launcher_saves(project: Path, toycity: Path, tmp_path: Path, tried: Tried) -> None:
    """torchrun passes it on to the whole group of each process, to which its loaders once belonged."""
    more = ["--max_iter", "1000", "--eval_every", "0", "--num_workers", "1"]
    arguments = train_arguments(toycity, tmp_path, *more)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    folder = tmp_path / "default" / "tiny"
    with tried(PROCESSES, "torchrun gets SIGTERM") as trial:
        running = start(project, [*launcher, str(WORKER), "0", NEVER, str(tmp_path / "died"), *arguments])
        wait_for("iter 4", folder / "log.txt", [running])
        running.send_signal(signal.SIGTERM)
        output = outputs([running])[0]
        # Its own code, whatever those of its processes: torchrun takes a signal for an error.
        assert running.returncode == 1, output
        iteration = load_checkpoint(folder / "last.pth")["iteration"]
        assert 4 <= iteration < 1000
        trial.seen = f"stopped by SIGTERM at iteration {iteration}"
        assert trial.seen in (folder / "log.txt").read_text(), output
        assert "DataLoader worker" not in output


def comes_back(
    project: Path, toycity: Path, folder: Path, processes: int, machines: Sequence[Machine]
) -> str:
    """Fail unless a job on ``machines``, with ``processes`` on each, goes on after the second process died
    and ends with all of its iterations; what it says of that.
    """
    arguments = train_arguments(toycity, folder, "--resume", "auto")
    launch = [str(project / "scripts" / "launch.sh"), "--processes", str(processes)]
    words = [*launch, "tests/faults/dying_worker.py", "1", "3", str(folder / "died"), *arguments]
    master = f"{machines[0].address}:{free_port()}"
    where = {"NODES": str(len(machines)), "MASTER": master, "RESTARTS": "2", "PYTHON": sys.executable}
    launchers = [start(project, [*machine.enter, *words], **where) for machine in machines]
    output = outputs(launchers)
    assert [launcher.returncode for launcher in launchers] == [0] * len(machines), output
    assert (folder / "died").exists()
    resumed = [line for text in output for line in text.splitlines() if line.startswith("resumed ")]
    assert len(resumed) == 1, output
    assert load_checkpoint(folder / "default" / "tiny" / "last.pth")["iteration"] == 6
    return resumed[0].replace(str(folder), "/ckpt")


@pytest.mark.parametrize("launchers", [1, 2])
def test_a_job_comes_back(
    launchers: int, project: Path, toycity: Path, tmp_path: Path, request: pytest.FixtureRequest, tried: Tried
) -> None:
    """Launchers that meet at one of them, as on several machines; one of two processes dies once."""
    if not request.config.getoption("--faults", default=False):
        pytest.skip("only with --faults: takes half a minute")
    what = f"one of two processes dies, {launchers} launcher{'s' * (launchers > 1)} with RESTARTS=2"
    with tried(PROCESSES, what) as trial:
        machines = [Machine("127.0.0.1", [])] * launchers
        trial.seen = comes_back(project, toycity, tmp_path, 2 // launchers, machines)


@pytest.fixture
def machines(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[Machine]]:
    """Two machines, each a network namespace on this one."""
    if not request.config.getoption("--faults", default=False):
        pytest.skip("only with --faults: takes half a minute")
    try:
        with two_machines(tmp_path) as both:
            yield both
    except NoNamespaces as error:
        pytest.skip(str(error))


def test_a_job_on_two_machines_comes_back(
    machines: list[Machine], project: Path, toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    with tried(PROCESSES, "one of two processes dies, two machines (network namespaces)") as trial:
        trial.seen = comes_back(project, toycity, tmp_path, 1, machines)


def test_restarts_in_which_processes_would_wait_for_dead_ones_are_refused(
    project: Path, toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    """torchrun's rendezvous where none is asked for: "static", which keeps its store over restarts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--max_restarts=1"]
    address = ["--master_addr=127.0.0.1", f"--master_port={free_port()}"]
    with tried(PROCESSES, "torchrun --max_restarts with a store that outlives the processes") as trial:
        running = start(project, [*launcher, *address, "train.py", *train_arguments(toycity, tmp_path)])
        output = outputs([running])[0]
        assert running.returncode == 1, output
        errors = {line for line in output.splitlines() if line.startswith("error: ")}
        assert len(errors) == 1, output
        trial.seen = errors.pop()
        assert trial.seen.startswith("error: --max_restarts 1: ")
        assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in trial.seen
        assert not list(tmp_path.iterdir())


def test_it_ends_as_if_nothing_had_been(project: Path, toycity: Path, tmp_path: Path, tried: Tried) -> None:
    """Both processes end after one is lost; started again they reach what an undisturbed pair reaches."""
    with tried(PROCESSES, "a pair is killed and started again") as trial:
        last = []
        for name, iteration in (("whole", NEVER), ("killed", "4")):
            arguments = train_arguments(toycity, tmp_path / name, "--resume", "auto")
            words = ["1", iteration, str(tmp_path / f"{name}_died"), *arguments]
            for _ in range(2 if name == "killed" else 1):
                processes = two_ranks(project, words)
                output = outputs(processes)
            assert processes[0].returncode == 0, output
            last.append(load_checkpoint(tmp_path / name / "default" / "tiny" / "last.pth"))
        for part in ("model", "optimizer", "best"):
            assert differing(last[0][part], last[1][part]) == []
        trial.seen = "the same bits at the end"
    assert train.main([*arguments, "--bs_mult", "4"]) == 0  # The same pictures per step on one process.
