"""torchrun with a short report, for launch.sh: python -m scripts.torchrun TORCHRUN'S ARGUMENTS.

A program of this project says its own error (``utils.errors``), so torchrun's traceback and table would only
hide it. A process that was ended by a signal could say nothing, so it is named here. The exit code is that
of the process that failed first, 128 + N for the signal N.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError

from utils.errors import UserError, run_program, say_error
from utils.machine import LOST, reason

AGENT = "torch.distributed.elastic.agent.server.api"
LOGGERS = (AGENT, "torch.distributed.elastic.multiprocessing.api", "torch.distributed.run")
NOISE = ("closing signal", "OMP_NUM_THREADS", "failed (exitcode: ")


def worth_reading(record: logging.LogRecord) -> bool:
    """Whether a line of torchrun says what the programs and this one do not say: a restart, or a signal."""
    line = record.getMessage()
    if record.levelno < logging.WARNING:
        return "will restart" in line
    return "(exitcode: -" in line or not any(words in line for words in NOISE)


def follows(failure: ProcessFailure) -> bool:
    """Whether a process failed only because another one did: torchrun ended it, or it missed the other."""
    return failure.exitcode == -signal.SIGTERM or LOST in str(failure.message)


def main(arguments: Sequence[str] | None = None) -> int:
    if "LOGLEVEL" not in os.environ:  # torchrun's own variable: who sets it wants to see all.
        logging.getLogger(AGENT).setLevel(logging.INFO)  # It tells of restarts.
        for name in LOGGERS:
            logging.getLogger(name).addFilter(worth_reading)
    try:
        run.run(run.parse_args(arguments))
    except RendezvousError as error:
        raise UserError(
            f"MASTER: the machines do not meet there ({reason(error.__cause__ or error)}); name one of them "
            "and a free port that all can reach, and start on as many as NODES says"
        ) from error
    except SignalException as stopped:
        return 128 + stopped.sigval
    except ChildFailedError as error:
        # They are in the order in which they were seen.
        rank, first = min(error.failures.items(), key=lambda failure: follows(failure[1]))
        if first.exitcode >= 0:
            return first.exitcode
        memory = "most likely for want of memory (see dmesg); use fewer --num_workers or a lower --bs_mult"
        cause = memory if first.exitcode == -signal.SIGKILL else "look at what it said"
        say_error(
            f"process {rank} (pid {first.pid}) was ended by {first.signal_name()}, {cause}; start again "
            "(train.py with --resume auto)"
        )
        return 128 - first.exitcode
    return 0


if __name__ == "__main__":
    run_program(main)
