"""A signal where there is nothing to save, before the first step and in the last scores, ends a run well."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from programs import train_arguments

import train
from datasets.domains import Domains
from methods.engine import evaluations
from utils.run.checkpoint import load_checkpoint
from utils.run.preemption import SIGNALS

pytestmark = pytest.mark.reliability


@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_first_step(
    number: signal.Signals,
    toycity: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = signal.getsignal(number)
    monkeypatch.setattr(Domains, "check_labels", lambda *_: os.kill(os.getpid(), number))
    assert train.main(train_arguments(toycity, tmp_path)) == 0
    assert f"stopped by {number.name} before the first step; start again" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.pth"))
    assert signal.getsignal(number) == handler


def test_in_the_last_scores(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, folder = train_arguments(toycity, tmp_path), tmp_path / "default" / "tiny"
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "domain_table", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert train.main(arguments) == 0
    assert "stopped by SIGTERM while scoring the finished run" in capsys.readouterr().out
    assert load_checkpoint(folder / "last.pth")["iteration"] == 6
    assert not (folder / "results.json").exists()
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert (folder / "results.json").exists()
