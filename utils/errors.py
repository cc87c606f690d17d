"""The one exception for everything a user can put right, and how a program reports it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

LOST_PROCESS = ("gloo/transport", "NCCL", "ProcessGroup", "TCPStore", "Connection closed by peer")
"""What PyTorch's errors say where an exchange between processes has failed."""


class UserError(Exception):
    """A mistake the user can fix: one line that names the file or flag and says what to do."""


def run_program(
    main: Callable[[Sequence[str] | None], int | None], arguments: Sequence[str] | None = None
) -> None:
    """Run ``main`` and leave the process with its exit code.

    A :class:`UserError` becomes one line on stderr and exit code 1; ``--debug`` among the arguments shows the
    traceback instead. So does an exchange with a process that is there no more. Ctrl-C ends with the shell's
    own code for it, 130.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = main(arguments) or 0
    except UserError as error:
        if "--debug" in words:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    except RuntimeError as error:
        if "--debug" in words or not any(sign in str(error) for sign in LOST_PROCESS):
            raise
        reason = str(error).strip().splitlines()[0]
        print(
            f"error: another process of this run was lost ({reason}); look at its message, then start "
            "again with --resume auto",
            file=sys.stderr,
        )
        code = 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
