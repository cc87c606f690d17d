"""The runner: each run once, whatever dies or fails meanwhile, and however many runners there are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fake_training import FOUR_RUNS, fake_project, scores, start_runner, starts, wait_until_there
from programs import train_arguments

from scripts.experiments import __main__ as experiments
from scripts.experiments import runner
from utils.errors import UserError

pytestmark = pytest.mark.reliability("An experiment ends in the same table, however often it is killed")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A stand-in for the project, with a file of four runs."""
    project = fake_project(tmp_path / "project")
    (project / "four.toml").write_text(FOUR_RUNS)
    return project


@pytest.fixture
def whole(place: Path) -> dict[str, str]:
    """The scores of the four runs if nothing happens to them."""
    undisturbed = start_runner(place, "four.toml", "--ckpt", "whole")
    output = undisturbed.communicate(timeout=120)[0]
    assert undisturbed.returncode == 0, output
    assert "4 of 4 runs are finished, in whole/four/" in output
    return {name: text.replace("whole", "logs") for name, text in scores(place / "whole" / "four").items()}


def test_a_killed_runner_started_again_ends_in_the_same_table(place: Path, whole: dict[str, str]) -> None:
    """Its training lives on: the second runner waits for it, and does not do the run twice."""
    hold, logs = place / "hold", place / "logs" / "four"
    hold.touch()
    killed = start_runner(place, "four.toml")
    wait_until_there(logs / "baseline-seed1" / "last.pth", killed)
    killed.kill()
    killed.communicate(timeout=60)
    second = start_runner(place, "four.toml")
    assert second.stdout is not None
    assert "baseline-seed1: runs elsewhere already" in second.stdout.readline()
    hold.unlink()
    output = second.communicate(timeout=120)[0]
    assert second.returncode == 0, output
    assert scores(logs) == whole
    assert set(starts(logs).values()) == {1}


def test_a_run_that_was_cut_goes_on_where_it_was(place: Path, whole: dict[str, str]) -> None:
    hold, logs = place / "hold", place / "logs" / "four"
    hold.touch()
    stopped = start_runner(place, "four.toml")
    wait_until_there(logs / "baseline-seed1" / "last.pth", stopped)
    os.kill(stopped.pid, signal.SIGTERM)
    output = stopped.communicate(timeout=60)[0]
    assert stopped.returncode == 1
    assert "stopped: baseline-seed1" in output
    hold.unlink()
    again = start_runner(place, "four.toml")
    output = again.communicate(timeout=120)[0]
    assert again.returncode == 0, output
    assert scores(logs) == whole
    assert starts(logs)["baseline-seed1"] == 2
    # No step was done twice.
    assert (logs / "baseline-seed1" / "log.txt").read_text().count("[iter ") == 4


def test_two_runners_share_the_runs(place: Path, whole: dict[str, str]) -> None:
    hold, logs = place / "hold", place / "logs" / "four"
    hold.touch()
    both = [start_runner(place, "four.toml") for _ in range(2)]
    for name in ("baseline-seed1", "isw-seed1"):
        wait_until_there(logs / name / "last.pth", both[0])
    hold.unlink()
    outputs = [each.communicate(timeout=120)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], outputs
    assert scores(logs) == whole
    assert starts(logs) == dict.fromkeys(whole, 1)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in, for a runner in this process."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(runner, "PROJECT", place)
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return place


def test_a_failure_stops_nothing_and_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = (
        '[runs.bad]\nlr = 0.5\n[runs.after]\nsnapshot = "@bad/last.pth"\n[runs.good]\n[matrix]\nseed = [1]\n'
    )
    (here / "mixed.toml").write_text(failing)
    assert experiments.main(["mixed.toml"]) == 1
    output = capsys.readouterr().out
    assert "good-seed1: finished" in output
    assert "failed: bad-seed1: --lr 0.5: is too much (exit code 3, see " in output
    assert "failed: after-seed1: starts from bad-seed1, which is not finished" in output
    assert "1 of 3 runs are finished" in output


def test_finished_runs_are_not_repeated_unless_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["four.toml", "--only", "baseline", "--seeds", "5"]
    for _ in range(2):
        assert experiments.main(words) == 0
    assert "baseline-seed5: finished already" in capsys.readouterr().out
    assert starts(here / "logs" / "four") == {"baseline-seed5": 1}
    with pytest.raises(
        UserError, match=r"baseline-seed5: is finished, with other settings \(lr was 0.01, is 0.2\)"
    ):
        experiments.main([*words, "--lr", "0.2"])
    assert experiments.main([*words, "--lr", "0.2", "--overwrite"]) == 0
    assert starts(here / "logs" / "four") == {"baseline-seed5": 2}


def test_runs_on_a_cpu_share_its_cores(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.experiments.places.default_workers", lambda: 8)
    assert experiments.main(["four.toml", "--side_by_side", "2"]) == 0
    every = {path.read_text() for path in (here / "logs").glob("*/*/started.txt")}
    assert every == {"1 4\n"}


def test_a_dry_run_prints_the_commands_and_starts_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiments.main(["four.toml", "--dry_run"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    place = "--ckpt logs --date four --exp baseline-seed1 --resume auto"
    assert first == f"PROCESSES=1 scripts/launch.sh train.py --seed=1 {place}"
    assert len(others) == 3
    assert not (here / "logs").exists()


def test_gpus_are_dealt_out_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.experiments.places import places

    assert [place.gpus for place in places(["0", "1", "2", "3", "4"], 2, 1)] == [("0", "1"), ("2", "3")]
    environment = places(["6", "7"], 2, 1)[0].environment(2)
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["PROCESSES"]) == ("6,7", "2")
    with pytest.raises(UserError, match="--gpus_per_run 4: only 2 visible"):
        places(["0", "1"], 4, 1)


@pytest.mark.slow
def test_real_training_through_the_launcher(
    toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "tiny.toml").write_text("[matrix]\nseed = [1, 2]\n[runs.baseline]\n")
    words = train_arguments(toycity, tmp_path / "logs", "--max_iter", "2")
    for flag in ("--exp", "--ckpt"):
        place = words.index(flag)
        del words[place : place + 2]
    program = [str(tmp_path / "tiny.toml"), "--ckpt", str(tmp_path / "logs"), *words]
    assert experiments.main(program) == 0, capsys.readouterr().out
    log = (tmp_path / "logs" / "tiny" / "baseline-seed2" / "log.txt").read_text()
    assert "[iter 2 / 2]" in log
    assert experiments.main(program) == 0
    assert "baseline-seed1: finished already" in capsys.readouterr().out
