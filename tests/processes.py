"""Programs under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def two_processes(project: Path, *words: str) -> str:
    """Run a program under torchrun with two processes; its output."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(project),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, *launcher, *words],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout
