"""The error for too little memory, and what the C library does with freed memory."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from utils.errors import UserError
from utils.machine import OUT_OF_MEMORY, reason, shows

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
CHOICES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Environment variables that tell glibc when to give freed memory back to the system."""


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error in the block, on a GPU or the CPU, into a UserError.

    It names ``what`` the memory was needed for, and the ``remedy``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # PyTorch raises RuntimeErrors.
        if not shows(error, OUT_OF_MEMORY):
            raise
        raise UserError(f"{what}: not enough memory ({reason(error)}); {remedy}") from error


def keep_freed_memory() -> bool:
    """Make this process keep freed memory for its next tensors; returns whether it does.

    By default glibc gives a freed block of 32 MiB or more back to the system, which fills the next one with
    zeros at its first use. This makes a training step on a CPU 14 % slower (docs/benchmarks.md). The price:
    the process stays somewhat larger than its peak, because blocks of different sizes leave gaps.

    Nothing changes if the environment sets glibc's behaviour or preloads an allocator, or there is no glibc.
    """
    chosen = (
        any(name in os.environ for name in CHOICES)
        or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
        or "malloc" in os.environ.get("LD_PRELOAD", "")
    )
    if chosen or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1))
