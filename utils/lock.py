"""A lock on a folder that only one process at a time may write in."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from utils.errors import UserError
from utils.progress import progress_bar


def lock_folder(folder: Path, refusal: str) -> TextIO:
    """Keep other processes from ``folder`` until the result, its file ``.lock``, is closed or this one ends.

    Raises:
        UserError: ``refusal``, where another process has the lock.
    """
    lock = (folder / ".lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UserError(refusal) from None
    except OSError as error:  # Some network file systems know no locks.
        progress_bar.write(f"warning: {folder}: cannot be locked ({error}); let no second process write here")
    # Processes forked from this one may live a little longer: they must not hold the lock.
    os.register_at_fork(after_in_child=lock.close)
    return lock
