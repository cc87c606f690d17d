"""A program whose processes fail in the way that its first argument says."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from utils.errors import UserError, run_program


def main(arguments: Sequence[str] | None) -> int:
    rank, how = os.environ["RANK"], sys.argv[1]
    if how == "killed":
        from utils import distributed

        distributed.setup("cpu")
        if rank == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        distributed.barrier()
    if how == "all" or rank == "1":
        raise UserError("--word: no such word (one of a, b); see --help")
    return threading.Event().wait()  # Until the launcher ends it.


run_program(main)
