"""The place of a row, with checkpoints that all rows share; the record of a fault that is tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import train
from tests.faults.recording import Tried, recorder
from tests.faults.table import Place
from tests.inference import write_checkpoint
from tests.programs import ISW, train_arguments


@pytest.fixture(scope="session")
def checkpoints(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny.pth (19 classes), sixteen.pth, and run, the folder of an ISW run of one step."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoint(folder / "tiny.pth")
    write_checkpoint(folder / "sixteen.pth", num_classes=16)
    arguments = train_arguments(toycity, folder, *ISW, "--max_iter", "1", "--val_dataset")
    assert train.main(arguments) == 0
    (folder / "default" / "tiny").rename(folder / "run")
    return folder


@pytest.fixture
def place(tmp_path: Path, toycity: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return Place(tmp_path, toycity, checkpoints)


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    """``with tried(category, what) as trial``: a block that records whether a fault was survived."""
    return recorder(record_property)
