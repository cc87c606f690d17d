"""Running something without root's right to read and write whatever it likes."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_VERSION = 0x20080522
# Root's two rights over other people's files: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_RIGHTS = (1 << 1) | (1 << 2)

can_drop = os.name == "posix" and (os.geteuid() != 0 or sys.platform == "linux")
"""Whether :func:`without_privileges` can keep its word here."""


def without_privileges(function: Callable[[], T]) -> T:
    """``function()``, for which the permissions of files count also if this process is root's.

    Linux gives every thread rights of its own, and those it starts inherit them: the function runs in a
    thread that gives root's away, and ends with it.
    """
    results: list[T] = []

    def run() -> None:
        if os.geteuid() == 0:
            _drop()
        results.append(function())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def _drop() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    # Effective, permitted and inheritable rights, 32 of each, then the next 32.
    rights = (ctypes.c_uint32 * 6)()
    if libc.capget(header, rights) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for place in range(3):
        rights[place] &= ~_RIGHTS
    if libc.capset(header, rights) != 0:
        raise OSError(ctypes.get_errno(), "capset")
