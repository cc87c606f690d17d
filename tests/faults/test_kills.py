"""A run that is killed at any moment resumes to the same bits: weights, optimiser, scores and log."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from comparison import differing
from kills import KINDS, STATISTICS, Death, Reaper, deaths, live
from programs import ISW, TINY_METHODS, train_arguments

import train
from methods import METHODS
from utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.reliability

STEPS = 24
KILLS, FEW_KILLS = 20, len(KINDS)
FAST = ("baseline", "isw")
SEEN = "resumed ... at iteration ..., and the same bits at the end"
# What differs between two runs that do the same: speeds, and the lines that tell of the resume.
SPEEDS = re.compile(r", images/s \S+, data wait [^,]+")
TELLS = re.compile(r"resumed |warning: .*going on from ")


def log_lines(folder: Path) -> list[str]:
    lines = (folder / "log.txt").read_text().splitlines()
    return [SPEEDS.sub("", line) for line in lines if not TELLS.match(line)]


@pytest.mark.parametrize("name", list(METHODS))
def test_a_run_survives_being_killed(
    name: str,
    toycity: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    thorough = request.config.getoption("--faults", default=False)
    if not thorough and name not in FAST:
        pytest.skip("only with --faults: takes a minute")
    kinds = [kind for kind in KINDS if kind != STATISTICS or name in ("isw", "diia")]
    more = ["--max_iter", str(STEPS), "--eval_every", "4", "--save_every", "2", "--deterministic"]

    def arguments(run: str) -> list[str]:
        flags = ["--method", name, *TINY_METHODS[name], *more, "--resume", "auto"]
        return train_arguments(toycity, tmp_path / run, *flags)

    def finish(run: str) -> Path:
        assert live(arguments(run), None, tmp_path / f"{run}.txt") == 0, written(run)
        return tmp_path / run / "default" / "tiny"

    def written(run: str) -> str:
        return (tmp_path / f"{run}.txt").read_text()[-3000:]

    whole = finish("whole")
    waiting, number = deaths(kinds, KILLS if thorough else FEW_KILLS, seed=len(name)), 0
    while waiting:
        run, number, code = f"killed{number}", number + 1, -signal.SIGKILL
        died, survived = [], False
        try:
            while waiting and code:
                code = live(arguments(run), waiting[0], tmp_path / f"{run}.txt")
                assert code in (-signal.SIGKILL, 0), written(run)
                # A run that ended first, as it had no such moment left, is compared, and another one begun.
                if code:
                    died.append(waiting.pop(0))
                assert died, f"a whole run has no moment for {waiting[0]}"
            compare(whole, finish(run))
            survived = True
        finally:
            for death in died:
                what = f"--method {name}, {death.calls} function calls into it"
                record_property("fault", [f"killed {death.kind}", what, survived, SEEN])


def compare(whole: Path, killed: Path) -> None:
    """Fail unless two runs ended with the same weights, state, scores and log."""
    first, second = (load_checkpoint(folder / "last.pth") for folder in (whole, killed))
    free = {"commit": "", "arguments": {}, "log_bytes": 0}
    assert differing({**first, **free}, {**second, **free}) == []
    scores = [json.loads((folder / "results.json").read_text())["domains"] for folder in (whole, killed)]
    for name, domain in scores[0].items():
        assert {**domain, "checkpoint": ""} == {**scores[1][name], "checkpoint": ""}
    assert log_lines(whole) == log_lines(killed)


class Died(BaseException):
    """In place of the signal that would end the tests, too."""


# Kind -> the steps of an epoch of three, counted from 0, that may be the run's next one when it dies.
NEXT_STEPS = {"in a step": {0, 1}, "in an epoch's last batch": {2}, "at an epoch's end": {0}}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_death_comes_where_it_says(
    kind: str, project: Path, toycity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise Died

    monkeypatch.setattr(Reaper, "die", staticmethod(die))
    before = sys.getprofile()
    sys.setprofile(Reaper(Death(kind, 1 if kind == STATISTICS else 2, calls=50)))
    try:
        with pytest.raises(Died) as died:
            train.main(train_arguments(toycity, tmp_path, *ISW))
    finally:
        sys.setprofile(before)
    places = {(kind.file, kind.function) for kind in KINDS.values()}
    calls = [(os.path.relpath(entry.path, project), entry.name) for entry in died.traceback]
    under_way = [call for call in calls if call in places]
    assert under_way[-1] == (KINDS[kind].file, KINDS[kind].function)
    run = next(entry.frame.f_locals["self"] for entry in died.traceback if entry.name == "train")
    assert run.loaders.steps_per_epoch == 3
    assert run.iteration % 3 in NEXT_STEPS.get(kind, {0, 1, 2})
