from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Prints what the process gained by a block of 128 MiB that it has freed again, in MiB.
PROGRAM = """
import ctypes, resource
from utils.memory import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

kept = keep_freed_memory()
before = resident()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
block = library.malloc(ctypes.c_size_t(128 * 2**20))
ctypes.memset(block, 1, 128 * 2**20)
library.free(ctypes.c_void_p(block))
print(kept, resident() - before)
"""


def kept_by(project: Path, **environment: str) -> tuple[bool, float]:
    """Whether the function says that it keeps memory, and how many MiB of a freed block stay."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRELOAD"))
    }
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=project, env={**own, **environment}, capture_output=True, text=True, check=True
    )
    kept, gained = done.stdout.split()
    return kept == "True", float(gained)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back at once")
def test_freed_memory_stays_with_the_process(project: Path) -> None:
    # How many heaps there are says nothing of what they give back.
    kept, gained = kept_by(project, MALLOC_ARENA_MAX="2")
    assert kept
    assert gained > 120


@pytest.mark.parametrize(
    "choice", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}]
)
def test_a_choice_of_the_environment_stands(project: Path, choice: dict[str, str]) -> None:
    kept, gained = kept_by(project, **choice)
    assert not kept
    assert gained < 20
