"""When there is not enough memory, and what the C library does with what is no longer used."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from utils.errors import UserError
from utils.machine import OUT_OF_MEMORY, reason, shows

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
CHOICES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Variables by which glibc's users say when memory is given back."""


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """In the block, a want of memory, on a GPU or the CPU, is a UserError that says of ``what``, and the
    ``remedy``.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # PyTorch's own are RuntimeErrors.
        if not shows(error, OUT_OF_MEMORY):
            raise
        raise UserError(f"{what}: not enough memory ({reason(error)}); {remedy}") from error


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for its next tensors; returns whether it does.

    glibc gives a block of 32 MiB or more back to the system when it is freed, and the system fills the next
    one with zeros, page by page, at its first use. A network on a CPU frees and takes such maps all the time:
    a training step is 14 % slower for it (docs/benchmarks.md). The process stays as large as it was at its
    peak, and somewhat larger than that, since blocks of different sizes leave gaps. A choice that the
    environment makes is left alone, and so is another C library or a preloaded allocator.
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
