"""Running a program in two processes, with torchrun or the launcher of the RobustNet family."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TORCHRUN = ("torch.distributed.run", "--standalone")
FAMILY_LAUNCHER = ("torch.distributed.launch",)


def two_processes(
    project: Path, program: str, *words: str, launcher: tuple[str, ...] = TORCHRUN, folder: Path | None = None
) -> str:
    """Run a program of the project, a file or a module, with two processes; returns its output.

    It runs in ``folder``, by default the project's.
    """
    started = [str(project / program)] if program.endswith(".py") else ["-m", program]
    command = [sys.executable, "-m", *launcher, "--nproc_per_node=2", *started, *words]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(project),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        command,
        cwd=folder or project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout
