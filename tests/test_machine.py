"""Machines and launchers that lack something: one line that says what, or the program works without."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pytest
import torch
from comparison import differing
from inference import write_checkpoint
from programs import train_arguments
from torch import nn

import train
import valid
from tests.faults.judge import run_apart
from utils import lock
from utils.distributed import launched
from utils.errors import UserError, optional_library
from utils.machine import explained
from utils.run.checkpoint import load_checkpoint

GROUP = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
# What Python has not on Windows, where processes are started anew; for this process and those it starts.
WINDOWS = """
import multiprocessing, os, signal, sys
sys.modules["fcntl"] = None
del os.setpgid, signal.SIGUSR1, signal.sigwaitinfo, signal.pthread_sigmask
multiprocessing.set_start_method("spawn", force=True)
"""


def out_of_memory_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the convolutions of this process run out of memory."""
    forward: Callable[..., torch.Tensor] = nn.Conv2d.forward
    left = iter(range(calls))

    def limited(*arguments: torch.Tensor) -> torch.Tensor:
        if next(left, None) is None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(*arguments)

    monkeypatch.setattr(nn.Conv2d, "forward", limited)


def test_training_without_memory(toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_after(200, monkeypatch)
    with pytest.raises(
        UserError, match=r"tiny: not enough memory \(CUDA .* 2.00 GiB.\); lower --bs_mult and"
    ):
        train.main(train_arguments(toycity, tmp_path))


def test_scoring_without_memory(toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = str(write_checkpoint(tmp_path / "tiny.pth"))
    out_of_memory_after(3, monkeypatch)
    words = [
        "--snapshot",
        snapshot,
        "--data_root",
        str(toycity),
        "--val_dataset",
        "gtav",
        "--num_workers",
        "0",
    ]
    with pytest.raises(
        UserError, match=r"gtav: not enough memory .* lower --evaluation_height or --scales 2.0"
    ):
        valid.main([*words, "--scales", "2"])


def test_training_without_a_deterministic_form_of_an_operation(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's ``put_`` has none on any device."""

    def forward(*arguments: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1).put_(torch.zeros(1, dtype=torch.long), torch.ones(1))

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    try:
        with pytest.raises(RuntimeError) as refused:
            train.main([*train_arguments(toycity, tmp_path), "--deterministic"])
    finally:
        torch.use_deterministic_algorithms(False)
    assert explained(refused.value).startswith(
        "--deterministic: this device has no deterministic put_; leave the flag out"
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK: is not set, though WORLD_SIZE is 2; start with torchrun"),
        ({"WORLD_SIZE": "auto"}, "WORLD_SIZE=auto: is not a number"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK=: is not a number"),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK=-1: must be 0 or more; start"),
        ({**GROUP, "RANK": "2"}, "RANK=2: must be 0 or more, and less than 2"),
        ({**GROUP, "MASTER_ADDR": ""}, "MASTER_ADDR: is not set"),
        ({**GROUP, "MASTER_PORT": "x"}, "MASTER_PORT=x: is not a number"),
    ],
)
def test_half_a_launcher(environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GROUP, "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert launched(3) == (1, 3)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        launched()


def test_a_run_that_iter_stop_ended_goes_on(
    toycity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--max_iter", "4", "--eval_every", "0", "--val_dataset", "--overwrite"]
    whole, cut = (train_arguments(toycity, tmp_path / name, *more) for name in ("whole", "cut"))
    assert train.main([*whole, "--iter_stop", "4"]) == 0
    assert train.main([*cut, "--iter_stop", "2"]) == 0
    assert load_checkpoint(tmp_path / "cut" / "default" / "tiny" / "last.pth")["iteration"] == 2
    assert train.main([*cut, "--iter_stop", "4", "--resume", "auto"]) == 0
    ends = [load_checkpoint(tmp_path / name / "default" / "tiny" / "last.pth") for name in ("whole", "cut")]
    for part in ("model", "optimizer", "iteration"):
        assert differing(ends[0][part], ends[1][part]) == []
    assert train.main([*cut, "--iter_stop", "3", "--resume", "auto"]) == 0
    assert "--iter_stop 3: the run is past it; it is scored where it is" in capsys.readouterr().out


def test_a_system_like_windows(toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process each, whose loader starts another one."""
    (tmp_path / "sitecustomize.py").write_text(WINDOWS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = train_arguments(toycity, tmp_path, "--max_iter", "1", "--val_dataset", "--num_workers", "1")
    trained = run_apart("train.py", words)
    assert trained.code == 0, trained.said
    assert "Traceback" not in trained.said
    snapshot = str(tmp_path / "default" / "tiny" / "last.pth")
    data = ["--val_dataset", "gtav", "--data_root", str(toycity), "--num_workers", "1"]
    scored = run_apart("valid.py", ["--snapshot", snapshot, *data])
    assert scored.code == 0, scored.said
    drawn = run_apart("infer.py", ["--snapshot", snapshot, *data[:4], "--output", str(tmp_path / "drawn")])
    assert drawn.code == 0, drawn.said


@pytest.mark.parametrize(("error", "refused"), [(None, False), (PermissionError(13, "held"), True)])
def test_the_lock_of_windows(
    error: OSError | None, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locking = mock.Mock(side_effect=error)
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", mock.Mock(locking=locking, LK_NBLCK=2))
    with pytest.raises(UserError, match="busy") if refused else nullcontext():
        lock.lock_folder(tmp_path, "busy").close()
    assert locking.call_args.args[1:] == (2, 1)


def test_a_library_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_one.py").write_text("raise OSError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "absent_one", None)
    with pytest.raises(UserError, match="--x: needs the library absent_one; pip install absent_one"):
        optional_library("absent_one", "--x")
    with pytest.raises(
        UserError, match="--x: the library broken_one is installed but .*libGL.so.1.*reinstall"
    ):
        optional_library("broken_one", "--x")
