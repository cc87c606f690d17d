"""A lock on a folder that only one process at a time may write in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from utils.errors import UserError
from utils.progress import progress_bar

try:
    import fcntl
except ImportError:  # Windows has locks of its own.
    fcntl = None


def lock_folder(folder: Path, refusal: str) -> TextIO:
    """Keep other processes from ``folder`` until the result, its file ``.lock``, is closed or this one ends.

    Raises:
        UserError: ``refusal``, where another process has the lock.
    """
    lock = (folder / ".lock").open("a", encoding="utf-8")
    try:
        _lock(lock)
    except BlockingIOError:
        lock.close()
        raise UserError(refusal) from None
    except (OSError, ImportError) as error:  # Some network file systems know no locks.
        progress_bar.write(f"warning: {folder}: cannot be locked ({error}); let no second process write here")
    # Processes forked from this one may live a little longer: they must not hold the lock.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock.close)
    return lock


def _lock(file: TextIO) -> None:
    """Lock a file for this process, or raise an OSError at once: BlockingIOError where another one has it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
