"""A lock on a folder in which only one process at a time may write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from utils.errors import UserError
from utils.progress import progress_bar

try:
    import fcntl
except ImportError:  # On Windows, which has msvcrt instead.
    fcntl = None


def lock_folder(folder: Path, refusal: str) -> TextIO:
    """Lock ``folder`` and return its open file ``.lock``; the lock ends with this file or this process.

    Raises a UserError with the text ``refusal`` if another process has the lock.
    """
    lock = (folder / ".lock").open("a", encoding="utf-8")
    try:
        _lock(lock)
    except BlockingIOError:
        lock.close()
        raise UserError(refusal) from None
    except (OSError, ImportError) as error:  # Some network file systems have no locks.
        progress_bar.write(f"warning: {folder}: cannot be locked ({error}); let no second process write here")
    # Forked processes may live a little longer than this one, and must not keep the lock.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock.close)
    return lock


def _lock(file: TextIO) -> None:
    """Lock a file, or raise an OSError at once: a BlockingIOError if another process has the lock."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
