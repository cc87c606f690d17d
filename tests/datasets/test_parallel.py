"""Processes that work for another one: they end with it, and before it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datasets.files.parallel import in_processes
from utils.errors import UserError

PROGRAM = """
from datasets.files.parallel import in_processes
from tests.datasets.test_parallel import say_pid_and_wait
in_processes(say_pid_and_wait, range(2), processes=2)
"""


def say_pid_and_wait(number: int) -> None:
    os.write(1, f"{os.getpid()}\n".encode())
    threading.Event().wait()


def write_or_fail(number: int, folder: Path) -> None:
    """The first call raises once the second has begun, which writes its file a little later."""
    if number == 1:
        (folder / "begun").touch()
        threading.Event().wait(0.3)
        (folder / "written").touch()
        return
    while not (folder / "begun").exists():
        threading.Event().wait(0.01)
    raise UserError("the first one")


def write_number(number: int, folder: Path) -> None:
    (folder / str(number)).touch()


def die(number: int) -> None:
    os._exit(9)


def test_every_call_is_made(tmp_path: Path) -> None:
    in_processes(write_number, range(5), [tmp_path] * 5, processes=2)
    assert {path.name for path in tmp_path.iterdir()} == set("01234")


def test_an_error_waits_for_those_still_at_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the first one"):
        in_processes(write_or_fail, range(2), [tmp_path] * 2, processes=2)
    assert (tmp_path / "written").exists()


def test_a_killed_process_is_named() -> None:
    with pytest.raises(UserError, match="--processes 2: one of them was killed"):
        in_processes(die, range(3), processes=2)


@pytest.mark.reliability
def test_they_end_with_the_one_they_work_for(project: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=project, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    try:
        parent.kill()
        # They have its stdout as well, which ends when the last of them does.
        assert parent.communicate(timeout=30) == ("", None)
    except subprocess.TimeoutExpired:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        raise
