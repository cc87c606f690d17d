"""What a user sees when processes fail that scripts/launch.sh has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousConnectionError

from scripts import torchrun
from utils.errors import UserError
from utils.machine import LOST

ERROR = "error: --word: no such word (one of a, b); see --help"
KILLED = "was ended by SIGKILL, most likely for want of memory"


def failing(project: Path, how: str, **environment: str) -> tuple[int, list[str]]:
    """The exit code and the lines of two processes that fail, and of their launcher."""
    own = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", **environment}
    own.pop("OMP_NUM_THREADS", None)
    command = [project / "scripts" / "launch.sh", "--processes", "2", "tests/failing_worker.py", how]
    done = subprocess.run(command, cwd=project, env=own, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr.splitlines()


def test_an_error_of_one_process_is_one_line(project: Path) -> None:
    code, lines = failing(project, "one")
    assert (code, [line for line in lines if "FAILED" in line or line.startswith("error")]) == (1, [ERROR]), (
        lines
    )
    assert len(lines) < 10, lines


def test_an_error_of_all_is_one_line_in_every_start(project: Path) -> None:
    code, lines = failing(project, "all", RESTARTS="1")
    assert code == 1
    # On a busy machine torchrun may warn of more.
    assert [line for line in lines if line.startswith("error")] == [ERROR, ERROR], lines
    assert sum("will restart" in line for line in lines) == 1, lines
    assert not any("Traceback" in line for line in lines)


def test_a_killed_process_is_named(project: Path) -> None:
    code, lines = failing(project, "killed")
    assert code == 128 + signal.SIGKILL, lines
    assert lines[-1].startswith("error: process 1 "), lines
    assert KILLED in lines[-1]
    # torchrun's line, the other process's, and ours; gloo may add a warning.
    assert sum(line.startswith("error: ") for line in lines) <= 2
    assert not any("Traceback" in line for line in lines)


def test_machines_that_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> None:
        raise RendezvousConnectionError("See inner exception.") from RuntimeError("timed out after 60000ms")

    monkeypatch.setattr(torchrun.run, "run", fail)
    with pytest.raises(UserError, match="MASTER: .*timed out after 60000ms.*NODES"):
        torchrun.main(["train.py"])


@pytest.mark.parametrize(
    ("failures", "code", "said"),
    [
        ({0: (-15, ""), 3: (-9, "")}, 137, f"error: process 3 (pid 13) {KILLED}"),
        ({0: (1, f"{LOST}; look"), 2: (-9, "")}, 137, f"error: process 2 (pid 12) {KILLED}"),
        ({1: (-11, "")}, 139, "error: process 1 (pid 11) was ended by SIGSEGV"),
        ({1: (3, ""), 2: (-9, "")}, 3, ""),
        ({1: (1, f"{LOST}; look")}, 1, ""),
    ],
    ids=["not torchrun's SIGTERM", "not who missed it", "another signal", "the first", "on another machine"],
)
def test_the_process_that_failed_first_counts(
    failures: dict[int, tuple[int, str]],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Torch's own choice depends on whole seconds."""
    seen = {}
    for rank, (exit_code, message) in failures.items():
        seen[rank] = ProcessFailure(rank, 10 + rank, exit_code, "")
        seen[rank].message = message

    def fail(arguments: object) -> None:
        raise ChildFailedError("train.py", seen)

    monkeypatch.setattr(torchrun.run, "run", fail)
    assert torchrun.main(["train.py"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bool(said)
    assert all(line.startswith(said) for line in lines)
