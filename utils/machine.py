"""Errors of libraries that are caused by the machine or its set-up, and what a user is told instead."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

_LONGEST_REASON = 160
LOST = "another process of this run was lost"
"""How the line begins that a process ends with because of the end of another one."""


class Fault(NamedTuple):
    """A fault of the machine that no single exception class stands for.

    Attributes:
        signs: a pattern. An error is this fault if its class name (with the module) or its text matches.
        line: what the user is told; ``{reason}`` stands for the error's own text.
        reason: a pattern. ``{reason}`` is the first part of the text that matches it.
    """

    signs: str
    line: str
    reason: str = ".+"


OUT_OF_MEMORY = Fault(
    # MemoryError is also part of the class names of PyTorch's and numpy's own errors.
    "MemoryError|CUDA out of memory|CUDA error: out of memory|'out of memory'|MPS backend out of memory"
    "|UR_RESULT_ERROR_OUT_OF|DefaultCPUAllocator: (can't allocate|not enough) memory"
    "|Cannot allocate memory|STATUS_ALLOC_FAILED",
    "not enough memory ({reason}); lower the sizes of batches and pictures or --num_workers, or free memory",
)

# The order counts: the first fault that fits is used, and some signs are also in the texts of later faults.
FAULTS = (
    Fault(
        "Too many open files|received 0 items of ancdata",
        "too many open files ({reason}); raise the limit with ulimit -n 65536, or lower --num_workers",
    ),
    Fault(
        "unable to (allocate shared memory|open shared memory object|write to file </torch_)"
        "|Bus error|/dev/shm/nccl",
        "the shared memory between processes is full ({reason}); enlarge /dev/shm (docker run "
        "--shm-size=8g), or use --num_workers 0",
    ),
    Fault(
        "killed by signal|exited unexpectedly",
        "a process of the loader was lost, most likely because memory ran out ({reason}); lower "
        "--num_workers or give the job more memory; --num_workers 0 shows any other cause",
    ),
    Fault(
        "can't start new thread|Resource temporarily unavailable",
        "the system allows no more processes or threads ({reason}); raise the limit (ulimit -u, docker run "
        "--pids-limit), or lower --num_workers",
    ),
    OUT_OF_MEMORY,
    Fault(
        "does not have a deterministic implementation",
        "--deterministic: this device has no deterministic {reason}; leave the flag out, or use --device cpu",
        reason=r"^.+?(?= does not have)",
    ),
    Fault(
        "not deterministic because it uses CuBLAS",
        "CUBLAS_WORKSPACE_CONFIG: --deterministic needs :4096:8 or :16:8 there; unset the variable",
    ),
    Fault(
        r"torch\._(inductor|dynamo)\.|Failed to find C compiler|working triton installation",
        "--compile: the network cannot be compiled here ({reason}); install a C++ compiler (g++), and for a "
        "GPU Triton too, or drop --compile",
    ),
    Fault(
        "NVIDIA driver|CUDA driver version is insufficient|forward compatibility was attempted"
        "|no kernel image is available|no CUDA-capable device|CUDA unknown error"
        "|CUDNN_STATUS_NOT_INITIALIZED",
        "PyTorch cannot use this GPU ({reason}); look at nvidia-smi, then update the driver or install a "
        "PyTorch for this GPU and driver; --device cpu runs without it",
    ),
    Fault(
        "busy or unavailable|Duplicate GPU detected",
        "another process uses this GPU ({reason}); choose free GPUs with CUDA_VISIBLE_DEVICES, and start "
        "several processes with torchrun or scripts/launch.sh",
    ),
    Fault(
        "EADDRINUSE|address already in use",
        "MASTER_PORT: another program uses this port ({reason}); choose another one, or start with torchrun "
        "--standalone",
    ),
    Fault(
        "waiting for clients|client socket has (failed|timed out)",
        "MASTER_ADDR and MASTER_PORT: not all processes connected there ({reason}); start as many as "
        "WORLD_SIZE says, and name a machine and a port that all can reach",
    ),
    Fault(
        "gloo/transport|NCCL|ProcessGroup|TCPStore|Connection closed by peer",
        f"{LOST}; look at its message, then start again with --resume auto ({{reason}})",
    ),
    Fault(
        "implemented for the MPS device",
        "--device mps: PyTorch has no {reason} there; set PYTORCH_ENABLE_MPS_FALLBACK=1, or use --device cpu",
        reason=r"operator '\S+'",
    ),
    Fault(
        "MPS: |on MPS|MPS framework",
        "--device mps: PyTorch cannot do this there ({reason}); update it, or use --device cpu",
    ),
    Fault(
        "CUDA error|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS",
        "the GPU failed ({reason}); start again (train.py with --resume auto); if it fails again, look at "
        "nvidia-smi, and use --debug with CUDA_LAUNCH_BLOCKING=1",
    ),
    Fault("Broken pipe", "the reader of this program's output has ended ({reason}); write it to a file"),
    Fault(
        "getpwuid|No username set",
        "the system has no name for this user ({reason}); set the variable USER (docker run -e USER=me)",
    ),
)


def explained(error: BaseException) -> str | None:
    """What to tell a user about an error that the machine causes; None for any other error."""
    for fault in FAULTS:
        if shows(error, fault):
            own = reason(error)
            match = re.search(fault.reason, own)
            return fault.line.format(reason=match[0] if match else own)
    return None


def shows(error: BaseException | None, fault: Fault) -> bool:
    """Whether ``error``, or an error that it was raised from, has a sign of ``fault``."""
    while error is not None:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        if re.search(fault.signs, f"{name}: {_text(error)}"):
            return True
        error = error.__cause__
    return False


def reason(error: BaseException) -> str:
    """The first line of an error's own text, shortened if it is long."""
    first, *_ = own_words(_text(error)).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(first, _LONGEST_REASON, placeholder=" ...")


def own_words(text: str) -> str:
    """What an error itself says in its ``text``. If PyTorch passes on the error of another process or thread,
    the text is a traceback; then it is the last line, without the class name.
    """
    if not text.startswith("Caught "):
        return text
    return re.sub(r"^[\w.]+Error: ", "", text.strip().rpartition("\n")[2])


def _text(error: BaseException) -> str:
    # The whole text of an OSError contains a file name, which may happen to contain a sign.
    strerror = getattr(error, "strerror", None)
    return strerror if isinstance(strerror, str) else str(error)
