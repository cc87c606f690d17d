"""A run that is asked to end does so after the step, and goes on later as if nothing had been."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from comparison import differing
from interruption import before_step
from programs import ISW, train_arguments

import train
from methods.engine.evaluations import Evaluation
from utils.run.checkpoint import load_checkpoint
from utils.run.preemption import SIGNALS, STOPPED_FILE

pytestmark = pytest.mark.reliability


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("iteration", [1, 2])
def test_it_saves_and_ends_well(
    number: signal.Signals,
    iteration: int,
    toycity: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked in a step with nothing to do after it, and in one with an epoch's end and an evaluation."""
    handler = signal.getsignal(number)
    word = tmp_path / "word"
    monkeypatch.setenv(STOPPED_FILE, str(word))
    often = ["--save_every", "100", "--log_every", "2"]
    arguments = [train_arguments(toycity, tmp_path / name, *ISW, *often) for name in ("whole", "stopped")]
    assert train.main(arguments[0]) == 0
    assert not word.exists()
    with before_step(iteration, lambda: os.kill(os.getpid(), number)):
        assert train.main(arguments[1]) == 0
    folders = [tmp_path / name / "default" / "tiny" for name in ("whole", "stopped")]
    assert load_checkpoint(folders[1] / "last.pth")["iteration"] == iteration + 1
    stopped = f"stopped by {number.name} at iteration {iteration + 1}; go on with --resume auto"
    assert stopped in (folders[1] / "log.txt").read_text()
    assert word.exists()
    assert not (folders[1] / "results.json").exists()
    assert signal.getsignal(number) == handler
    assert train.main([*arguments[1], "--resume", "auto"]) == 0
    whole, resumed = (load_checkpoint(folder / "last.pth") for folder in folders)
    for part in ("model", "optimizer", "iteration", "best", "finite"):
        assert differing(whole[part], resumed[part]) == []


@pytest.mark.parametrize("resumed", [False, True])
def test_asked_in_the_last_evaluation_it_leaves_the_scores_to_the_resume(
    resumed: bool, toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked there in a run that came to it step by step, or that has nothing else left to do."""
    arguments, folder = train_arguments(toycity, tmp_path), tmp_path / "default" / "tiny"
    scored: list[int] = []
    select, report = Evaluation.select, Evaluation.report

    def asked(evaluation: Evaluation, iteration: int) -> list[str]:
        if iteration == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return select(evaluation, iteration)

    def counted(evaluation: Evaluation, iteration: int, commit: str) -> None:
        scored.append(iteration)
        report(evaluation, iteration, commit)

    if resumed:
        with before_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            assert train.main(arguments) == 0
        assert load_checkpoint(folder / "last.pth")["between_steps_due"]
    monkeypatch.setattr(Evaluation, "report", counted)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "select", asked)
        assert train.main([*arguments, "--resume", "auto"]) == 0
    assert scored == []
    assert (folder / "log.txt").read_text().endswith("at iteration 6; go on with --resume auto\n")
    assert load_checkpoint(folder / "best.pth")
    assert train.main([*arguments, "--resume", "auto"]) == 0
    assert scored == [6]
    assert (folder / "results.json").exists()
