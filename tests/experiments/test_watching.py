"""The live table: what it reads from the logs, and that it stays in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.experiments import watching
from scripts.experiments.matrix import Plan
from scripts.experiments.runner import FINISHED, RUNNING, Run
from utils.run.run_log import read_log

LINES = [
    "baseline, 11.9 million parameters",
    "[epoch 0] [iter 10 / 100] main 1.5, auxiliary 0.75, images/s 4.25, data wait 0.02",
    "iteration 10: gtav val mIoU 12.34",
    "iteration 10: synthia val mIoU -",
    "[epoch 1] [iter 20 / 100] main 1.25, auxiliary nan, images/s 5, data wait 0.01",
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "log.txt").write_text("\n".join(LINES[:2]) + "\n")
    return Run(Plan("isw-seed1", "isw", tmp_path, tmp_path / "notes", ("train.py",), ()))


def test_a_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("\n".join(LINES))
    log = read_log(tmp_path / "log.txt")
    assert (log.iteration, log.last, log.speed) == (20, 100, 5)
    assert log.values["main"] == [(10, 1.5), (20, 1.25)]
    assert log.scores == {"gtav": [(10, 12.34)]}
    assert read_log(tmp_path / "none.txt").speed is None


def test_a_row_says_when_a_run_ends(run: Run) -> None:
    run.state = RUNNING
    run.look(now=100.0)
    assert run.seconds_left(100.0) is None
    (run.plan.folder / "log.txt").write_text("\n".join(LINES))
    run.look(now=105.0)
    # Ten steps took five seconds, and eighty are left.
    assert run.seconds_left(105.0) == 40
    row = watching.run_rows([run], 105.0)[1]
    assert row[:4] == ["isw-seed1", "running", "20 / 100", "5"]
    assert row[4] == watching.clock(40)


def test_the_table_replaces_the_one_before(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_TABLES", 0)
    screen = watching.Screen()
    screen.show([run])
    run.state = FINISHED
    screen.show([run])
    first, second = capsys.readouterr().out.split("\x1b[4F\x1b[J")
    assert "0 of 1 finished" in first
    assert "1 of 1 finished" in second


def test_a_small_terminal_shows_what_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(watching.shutil, "get_terminal_size", lambda: (40, 8))
    others = [Run(run.plan, state=FINISHED) for _ in range(20)]
    run.state = RUNNING
    watching.Screen().show([*others, run])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert "running" in lines[2]
    assert lines[-2:] == ["... and 19 more", "20 of 21 finished"]
    assert max(map(len, lines)) < 40
