"""Disks that are full or read-only, files that were damaged, a second run: nothing is overwritten."""

from __future__ import annotations

import io
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

import pytest
import torch
from comparison import differing
from interruption import before_step, dying_at
from programs import train_arguments

import train
import valid
from tests.faults.recording import Tried
from utils.errors import UserError
from utils.run.board import Board
from utils.run.checkpoint import load_checkpoint
from utils.run.sealed import is_whole

pytestmark = pytest.mark.reliability

DISKS = "disks"
NO_SPACE = r": cannot be written \(File too large\); free space or choose another"


@pytest.fixture
def run(toycity: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """Arguments and folder of a run that died before its fourth step, with two checkpoints."""
    arguments = train_arguments(toycity, tmp_path)
    with dying_at(3):
        train.main(arguments)
    return [*arguments, "--resume", "auto"], tmp_path / "default" / "tiny"


@contextmanager
def no_file_larger_than(size: int, from_step: int | None = None) -> Iterator[None]:
    """Within the block, no file can grow beyond ``size`` bytes, or only once a run is at ``from_step``."""
    old, ignore = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))

    try:
        with before_step(from_step, limit) if from_step else nullcontext():
            if not from_step:
                limit()
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignore)


def test_a_full_disk_ends_the_run_and_leaves_its_checkpoints(
    run: tuple[list[str], Path], tried: Tried
) -> None:
    arguments, folder = run
    before = load_checkpoint(folder / "last.pth")
    size = (folder / "last.pth").stat().st_size // 2
    with tried(DISKS, "no space for a checkpoint") as trial:
        with (
            no_file_larger_than(size, from_step=3),
            pytest.raises(
                UserError, match=r"last\.pth: cannot be written .*free space or choose another --ckpt"
            ) as error,
        ):
            train.main(arguments)
        assert differing(before["model"], load_checkpoint(folder / "last.pth")["model"]) == []
        assert not list(folder.glob(".writing-*"))
        assert train.main(arguments) == 0
        assert load_checkpoint(folder / "last.pth")["iteration"] == 6
        trial.seen = f"error: {error.value}".replace(str(folder), "/run")


def test_a_full_disk_for_tensorboard_ends_no_run(
    toycity: Path, tmp_path: Path, tried: Tried, capsys: pytest.CaptureFixture[str]
) -> None:
    """More values follow than any writer's queue would hold."""
    arguments = train_arguments(toycity, tmp_path, "--save_every", "100", "--eval_every", "0")
    with tried(DISKS, "no space for TensorBoard's events") as trial, pytest.MonkeyPatch.context() as patch:
        write = Board._add

        def add(board: Board, *events: object) -> None:
            with no_file_larger_than(300):
                write(board, *events)

        patch.setattr(Board, "_add", add)
        assert train.main([*arguments, "--log_every", "1"]) == 0
        (warning,) = [line for line in capsys.readouterr().out.splitlines() if "tensorboard" in line]
        assert "cannot be written (File too large); free space" in warning
        assert warning.endswith("; the run goes on without it")
        assert (tmp_path / "default" / "tiny" / "results.json").exists()
        trial.seen = warning.replace(str(tmp_path), "/run")


def test_a_full_disk_for_the_log_ends_the_run(toycity: Path, tmp_path: Path, tried: Tried) -> None:
    log = tmp_path / "default" / "tiny" / "log.txt"
    arguments = train_arguments(toycity, tmp_path, "--save_every", "100", "--eval_every", "0")
    with tried(DISKS, "no space for the log") as trial:
        refusal = rf"{log}: cannot be written \(File too large\); free space or choose another --ckpt"
        with (
            redirect_stdout(io.StringIO()),  # Else it goes to a file of the tests' own.
            no_file_larger_than(100, from_step=1),
            pytest.raises(UserError, match=refusal) as error,
        ):
            train.main([*arguments, "--logger"])
        trial.seen = f"error: {error.value}".replace(str(tmp_path), "/run")


def test_a_full_disk_for_a_runs_settings_is_named(run: tuple[list[str], Path], tried: Tried) -> None:
    arguments, folder = run
    file = folder / "args.json"
    before = file.read_bytes()
    with tried(DISKS, "no space for args.json") as trial:
        with no_file_larger_than(100), pytest.raises(UserError, match=f"{file}{NO_SPACE} --ckpt") as error:
            train.main(arguments)
        assert file.read_bytes() == before
        assert not list(folder.glob(".writing-*"))
        trial.seen = f"error: {error.value}".replace(str(folder), "/run")


def test_a_full_disk_for_results_is_named(
    run: tuple[list[str], Path], toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    file = tmp_path / "scores" / "results.json"
    # Workers would hand over their pictures in files, too.
    data = ["--data_root", str(toycity), "--val_dataset", "gtav", "--num_workers", "0"]
    with tried(DISKS, "no space for results.json") as trial:
        with (
            redirect_stdout(io.StringIO()),
            no_file_larger_than(100),
            pytest.raises(UserError, match=f"{file}{NO_SPACE} --output") as error,
        ):
            valid.main(["--snapshot", str(run[1] / "last.pth"), *data, "--output", str(file)])
        assert not list(file.parent.iterdir())
        trial.seen = f"error: {error.value}".replace(str(file.parent), "/scores")


@pytest.mark.parametrize("damage", ["a changed bit", "cut short", "empty", "deleted"])
def test_the_checkpoint_before_takes_the_place_of_a_damaged_one(
    damage: str, run: tuple[list[str], Path], toycity: Path, tmp_path: Path, tried: Tried
) -> None:
    arguments, folder = run
    last = folder / "last.pth"
    content = last.read_bytes()
    half = len(content) // 2
    damaged = {
        "a changed bit": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        "cut short": content[:half],
        "empty": b"",
    }
    last.write_bytes(damaged[damage]) if damage in damaged else last.unlink()
    with tried("damaged last.pth", damage) as trial:
        assert train.main(arguments) == 0
        log = (folder / "log.txt").read_text()
        lines = [line for line in log.splitlines() if "going on from" in line]
        assert len(lines) == (damage in damaged)
        assert "previous.pth at iteration" in log
        assert all(is_whole(folder / name) for name in ("last.pth", "previous.pth"))
        assert train.main([*train_arguments(toycity, tmp_path / "whole")]) == 0
        whole = load_checkpoint(tmp_path / "whole" / "default" / "tiny" / "last.pth")
        resumed = load_checkpoint(last)
        for part in ("model", "optimizer", "best"):
            assert differing(whole[part], resumed[part]) == []
        trial.seen = (lines or ["resumed .../previous.pth at iteration 2"])[0].replace(str(folder), "/run")


@pytest.mark.parametrize("flags", ["--resume auto", "--overwrite"])
def test_a_second_run_in_the_same_folder_is_refused(
    flags: str, run: tuple[list[str], Path], tried: Tried
) -> None:
    arguments, folder = run
    refused: list[str] = []

    def state() -> list[tuple[str, int]]:
        return sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())

    def second_run() -> None:
        before = state()
        with pytest.raises(UserError, match="another process is training here") as error:
            train.main([*arguments[:-2], *flags.split()])
        assert before == state()
        refused.append(f"error: {error.value}")

    with tried(DISKS, f"a second run, {flags}, in the same folder") as trial:
        with before_step(4, second_run):
            assert train.main(arguments) == 0
        assert len(refused) == 1
        assert torch.isfinite(torch.tensor(load_checkpoint(folder / "last.pth")["best"]["best"]["miou"]))
        trial.seen = refused[0].replace(str(folder), "/run")
