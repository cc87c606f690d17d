"""How a program reports what went wrong."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._inductor.exc import InvalidCxxCompiler
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from utils.errors import UserError, run_program
from utils.memory import enough_memory


def numpy_memory_error() -> MemoryError:
    """numpy's own error, whose class has another module's name in each of its versions."""
    with pytest.raises(MemoryError) as raised:
        np.empty(2**57)
    return raised.value


WORKER = "Caught {0} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n{0}: {1}\n"

# What each library says, and words of the line that a user gets instead.
MACHINE: dict[str, tuple[Exception, tuple[str, ...]]] = {
    "a GPU's memory": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("not enough memory", "Tried to allocate 2.00 GiB"),
    ),
    "numpy's memory": (
        numpy_memory_error(),
        ("not enough memory", "1.00 EiB"),
    ),
    "a CPU's memory": (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        ("not enough memory",),
    ),
    "memory for a fork": (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), ("not enough memory",)),
    "shared memory": (
        RuntimeError(
            WORKER.format(
                "RuntimeError", "unable to allocate shared memory(shm) for file </torch_1>: No space"
            )
        ),
        ("(unable to allocate shared memory(shm) for file", "--shm-size=8g", "--num_workers 0"),
    ),
    "shared memory, by signal": (
        RuntimeError(
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
            "workers are out of shared memory."
        ),
        ("--shm-size=8g", "--num_workers 0"),
    ),
    "a worker killed": (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        ("a process of the loader was lost", "lower --num_workers"),
    ),
    "open files": (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/data/x"), ("ulimit -n",)),
    "open files, by torch": (
        RuntimeError(
            "unable to open shared memory object </torch_1> in read-write mode: Too many open files"
        ),
        ("ulimit -n",),
    ),
    "threads": (RuntimeError("can't start new thread"), ("ulimit -u", "--num_workers")),
    "a C++ compiler": (InvalidCxxCompiler(), ("--compile", "g++")),
    "an old driver": (
        RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."),
        ("update the driver", "--device cpu"),
    ),
    "an old GPU": (
        RuntimeError("CUDA error: no kernel image is available for execution on the device\nCUDA kernel"),
        ("PyTorch cannot use this GPU", "execution on the device);"),
    ),
    "a GPU that fails": (
        RuntimeError("CUDA error: unspecified launch failure"),
        ("the GPU failed", "--debug"),
    ),
    "one GPU for two": (
        RuntimeError("NCCL error: Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000"),
        ("CUDA_VISIBLE_DEVICES", "torchrun"),
    ),
    "an operation that mps lacks": (
        NotImplementedError(
            "The operator 'aten::igamma' is not currently implemented for the MPS device. If you want this "
            "op to be added, please comment. As a temporary fix, you can set the environment variable "
            "`PYTORCH_ENABLE_MPS_FALLBACK=1` to use the CPU as a fallback for this op."
        ),
        (
            "PyTorch has no operator 'aten::igamma' there; set PYTORCH_ENABLE_MPS_FALLBACK=1, or use "
            "--device cpu",
        ),
    ),
    "what mps does only in part": (
        RuntimeError("MPS: Unsupported Border padding mode"),
        ("cannot do this there (MPS: Unsupported Border padding mode)", "--device cpu"),
    ),
    "memory of a Mac": (
        RuntimeError("MPS backend out of memory (MPS allocated: 9.04 GB, max allowed: 9.07 GB)."),
        ("not enough memory", "max allowed: 9.07 GB"),
    ),
    "a deterministic form of an operation": (
        RuntimeError(
            "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this "
            "operation, or you can use the 'warn_only=True' option, if that's acceptable."
        ),
        ("--deterministic: this device has no deterministic grid_sampler_2d_backward_cuda; leave",),
    ),
    "a setting of cuBLAS": (
        RuntimeError(
            "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
            "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic "
            "because it uses CuBLAS and you have CUDA >= 10.2."
        ),
        ("CUBLAS_WORKSPACE_CONFIG: --deterministic needs :4096:8",),
    ),
    "a port": (
        RuntimeError("The server socket has failed to listen. port: 1, code: -98, name: EADDRINUSE"),
        ("MASTER_PORT", "choose another"),
    ),
    "other processes": (
        RuntimeError("Timed out after 3 seconds waiting for clients. 1/2 clients joined. TCPStore"),
        ("MASTER_ADDR", "WORLD_SIZE"),
    ),
    "a lost process": (
        RuntimeError("gloo/transport/tcp/pair.cc:534: Broken pipe"),
        ("another process of this run was lost", "--resume auto"),
    ),
    "a reader": (BrokenPipeError(errno.EPIPE, "Broken pipe"), ("output",)),
    "a user's name": (KeyError("getpwuid(): uid not found: 12345"), ("USER",)),
}


class Written(list[str]):
    """A stream that keeps each write apart, as an unbuffered stderr hands them to the system."""

    def write(self, text: str) -> None:
        self.append(text)


def ending_with(error: Exception, monkeypatch: pytest.MonkeyPatch, *words: str) -> Written:
    """What a program that raises ``error`` writes to stderr, which ends with exit code 1."""

    def fail(arguments: Sequence[str] | None) -> None:
        raise error

    written = Written()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(SystemExit) as ended:
        run_program(fail, words)
    assert ended.value.code == 1
    return written


@pytest.mark.parametrize(
    "error",
    [
        UserError("here"),
        FileNotFoundError(2, "here"),
        RuntimeError("gloo/transport: here\nthere"),
    ],
)
def test_a_line_of_one_process_cannot_stand_in_anothers(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ending_with(error, monkeypatch)
    assert len(written) == 1
    assert written[0].startswith("error: ")
    assert "here" in written[0]
    assert written[0].endswith("\n")
    assert written[0].count("\n") == 1


@pytest.mark.parametrize("name", MACHINE)
def test_what_the_machine_lacks_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, words = MACHINE[name]
    (line,) = ending_with(error, monkeypatch)
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert [word for word in words if word not in line] == [], line
    with pytest.raises(type(error)):
        ending_with(error, monkeypatch, "--debug")


def test_a_cause_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a worker is missed first, and its signal is known a moment later."""
    error = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    error.__cause__ = RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. ")
    assert "--shm-size" in ending_with(error, monkeypatch)[0]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("too small"), KeyError("x")])
def test_our_own_faults_show_where_they_are(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        ending_with(error, monkeypatch)


def test_the_name_of_a_file_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    error = FileNotFoundError(2, "No such file or directory", "/data/Broken pipe/NCCL")
    assert ending_with(error, monkeypatch)[0].startswith("error: /data/Broken pipe/NCCL: No such file")


def test_other_errors_pass_where_memory_is_watched() -> None:
    with pytest.raises(RuntimeError, match="illegal memory access"), enough_memory("a", "b"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_names_that_the_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="ascii", write_through=True))
    with pytest.raises(SystemExit) as ended:
        run_program(lambda arguments: print("städte: 3 pairs"), [])
    assert ended.value.code == 0
    assert content.getvalue() == b"st\\xe4dte: 3 pairs\n"


def test_processes_of_one_start_say_the_same_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And torchrun's report has it of each, in the form that torchrun reads."""

    def of_process(attempt: int, number: int, error: Exception) -> list[str]:
        report = tmp_path / f"attempt_{attempt}" / str(number) / "error.json"
        report.parent.mkdir(parents=True)
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(report))
        lines = ending_with(error, monkeypatch)
        failure = ProcessFailure(number, 1, 1, str(report))
        assert failure.timestamp > 0
        assert f"  traceback : {failure.message['message']}" in str(ChildFailedError("name", {0: failure}))
        return lines

    assert of_process(0, 0, UserError("--flag: wrong")) == ["error: --flag: wrong\n"]
    assert of_process(0, 1, UserError("--flag: wrong")) == []
    assert of_process(0, 2, UserError("--flag: wrong too")) == ["error: --flag: wrong too\n"]
    assert of_process(1, 0, UserError("--flag: wrong")) == ["error: --flag: wrong\n"]
    # Every process that misses another one names another connection.
    assert len(of_process(1, 1, RuntimeError("gloo/transport: Connection closed by peer [::1]:15"))) == 1
    assert of_process(1, 2, RuntimeError("gloo/transport: Connection closed by peer [::1]:16")) == []


def test_a_line_is_said_where_the_report_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "gone" / "0" / "error.json"))
    assert ending_with(UserError("here"), monkeypatch) == ["error: here\n"]
