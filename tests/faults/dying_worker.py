"""train.py for the tests: the process whose rank is given first dies once, before the given iteration.

dying_worker.py RANK ITERATION MARKER ARGUMENTS...   MARKER: a file that says that it has died already
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from interruption import before_step

import train
from utils.errors import run_program


def die_once() -> None:
    if os.environ["RANK"] == sys.argv[1] and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


marker = Path(sys.argv[3])
torch.set_num_threads(1)
with before_step(int(sys.argv[2]), die_once):
    run_program(train.main, sys.argv[4:])
