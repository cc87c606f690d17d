"""A run that is killed at any moment resumes to the same bits: weights, optimiser, scores and log."""

from __future__ import annotations

import gc
import json
import re
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest
import torch
from comparison import differing
from kills import (
    BACKWARD,
    EPOCH_END,
    EVALUATION,
    FORWARD,
    KINDS,
    LAST_BATCH,
    ONCE,
    PUT_IN_PLACE,
    SERIALISED,
    STATISTICS,
    WRITTEN,
    Census,
    Death,
    Moments,
    Reaper,
    deaths,
    in_a_process,
    live,
    live_and_count,
    save_and_die,
    stack,
)
from programs import ISW, TINY_METHODS, train_arguments

import train
from methods import METHODS
from utils.run.checkpoint import load_checkpoint, save_checkpoint

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


@pytest.mark.reliability
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
        return folder(run)

    def folder(run: str) -> Path:
        return tmp_path / run / "default" / "tiny"

    def written(run: str) -> str:
        return (tmp_path / f"{run}.txt").read_text()[-3000:]

    code, lengths = live_and_count(arguments("whole"), tmp_path / "whole.txt")
    assert code == 0, written("whole")
    whole = folder("whole")
    waiting, number = deaths(kinds, KILLS if thorough else FEW_KILLS, lengths, seed=name), 0
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
                what = f"--method {name}, {death.calls} calls into it"
                record_property("fault", [f"killed {death.kind}", what, survived, SEEN])


def compare(whole: Path, killed: Path) -> None:
    """Fail unless two runs ended with the same weights, state, scores and log, and nothing half-written."""
    first, second = (load_checkpoint(folder / "last.pth") for folder in (whole, killed))
    free = {"commit": "", "arguments": {}, "log_bytes": 0}
    assert differing({**first, **free}, {**second, **free}) == []
    scores = [json.loads((folder / "results.json").read_text())["domains"] for folder in (whole, killed)]
    for name, domain in scores[0].items():
        assert {**domain, "checkpoint": ""} == {**scores[1][name], "checkpoint": ""}
    assert log_lines(whole) == log_lines(killed)
    assert not list(killed.glob(".writing-*.pth"))


@pytest.mark.reliability("A checkpoint is whole, the old or the new one, wherever its writing is killed")
@pytest.mark.faults
def test_a_checkpoint_is_whole_wherever_its_writing_is_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every one of these moments, where a run is killed at a few."""
    last, previous = tmp_path / "last.pth", tmp_path / "previous.pth"

    def save(iteration: int) -> tuple[Path, dict[str, object], Path]:
        weights = {"weight": torch.full((2,), iteration)}
        return last, {"network": {}, "model": weights, "iteration": iteration}, previous

    def undisturbed() -> None:
        for iteration in (0, 1):
            save_checkpoint(*save(iteration))

    undisturbed()
    census, before = Census(), sys.getprofile()
    sys.setprofile(census)
    try:
        save_checkpoint(*save(2))
    finally:
        sys.setprofile(before)
    ends = []
    for kind in (WRITTEN, PUT_IN_PLACE):
        for calls in range(census.lengths[kind][0]):
            undisturbed()
            code = in_a_process(save_and_die, Death(kind, 1, calls), *save(2))
            assert code == -signal.SIGKILL, capfd.readouterr().err
            ends.append(load_checkpoint(last)["iteration"])
            assert not previous.exists() or load_checkpoint(previous)["iteration"] <= 1
    # The old one until a moment from which on it is the new one.
    assert ends == sorted(ends)
    assert set(ends) == {1, 2}


class Died(BaseException):
    """In place of the signal that would end the tests, too."""


class Messenger(Reaper):
    """Only says that its death is due."""

    def die(self, frame: FrameType) -> None:
        raise Died


class Landed(NamedTuple):
    """Where a death came.

    ``called``: the functions called since moments of its kind began, but for those of other kinds.
    ``next_step``: the next one of its epoch, counted from 0.
    """

    stack: list[tuple[str, str, int]]
    called: list[str]
    next_step: int


class Witness(Moments):
    """Lets a run go on where deaths come, and keeps where that was."""

    def __init__(self, deaths: Iterable[Death]) -> None:
        super().__init__()
        self.waiting = [Messenger(death) for death in deaths]
        self.called: dict[str, list[str]] = {}
        self.landed: dict[Death, Landed] = {}

    def begin(self, kind: str) -> None:
        self.called[kind] = []
        for reaper in self.waiting:
            reaper.begin(kind)

    def moment(self, kind: str, name: str, frame: FrameType) -> None:
        self.called[kind].append(name)
        for reaper in list(self.waiting):
            try:
                reaper.moment(kind, name, frame)
            except Died:
                self.keep(reaper, frame)

    def end(self, kind: str, frame: FrameType) -> None:
        for reaper in list(self.waiting):
            try:
                reaper.end(kind, frame)
            except Died:
                self.keep(reaper, frame)

    def keep(self, reaper: Reaper, frame: FrameType) -> None:
        self.waiting.remove(reaper)
        caller: FrameType | None = frame
        while caller is not None and caller.f_code is not train.Run.train.__code__:
            caller = caller.f_back
        assert caller is not None
        run = caller.f_locals["self"]
        called = list(self.called[reaper.death.kind])
        next_step = run.iteration % run.loaders.steps_per_epoch
        self.landed[reaper.death] = Landed(stack(frame), called, next_step)


def entry(kind: str) -> int:
    return 1 if kind in ONCE else 2


@pytest.fixture(scope="module")
def landed(toycity: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Landed]:
    """By kind, where deaths at its very first and very last moment come (False, True)."""

    def run(profile: Moments) -> None:
        before = sys.getprofile()
        arguments = train_arguments(toycity, tmp_path_factory.mktemp("traced"), *ISW)
        # What others want to be called for at each collection would be moments, too.
        gc.collect()
        gc.disable()
        sys.setprofile(profile)
        try:
            assert train.main(arguments) == 0
        finally:
            sys.setprofile(before)
            gc.enable()

    census = Census()
    run(census)
    expected = {
        (kind, late): Death(kind, entry(kind), (census.lengths[kind][entry(kind) - 1] - 1) * late)
        for kind in KINDS
        for late in (False, True)
    }
    witness = Witness(expected.values())
    run(witness)
    return {place: witness.landed[death] for place, death in expected.items()}


# Kind -> the function in which its moments are, and one that it calls when it is nearly over.
PLACES = {
    FORWARD: (("methods/engine/step.py", "__call__"), "supervised"),
    BACKWARD: (("methods/engine/step.py", "__call__"), "_foreach_copy_"),
    LAST_BATCH: (("methods/engine/step.py", "__call__"), "_foreach_copy_"),
    SERIALISED: (("utils/run/checkpoint.py", "save_checkpoint"), "getvalue"),
    WRITTEN: (("utils/run/checkpoint.py", "save_checkpoint"), "seal"),
    PUT_IN_PLACE: (("utils/run/checkpoint.py", "save_checkpoint"), "replace"),
    EVALUATION: (("utils/scoring/evaluation.py", "evaluate"), "reduce"),
    STATISTICS: (("methods/isw.py", "build_masks"), "broadcast"),
    EPOCH_END: (("train.py", "between_steps"), "select"),
}

# Kind -> the steps of an epoch of three, counted from 0, that may be the run's next one when it dies.
NEXT_STEPS = {FORWARD: {0, 1}, BACKWARD: {0, 1}, LAST_BATCH: {2}, EPOCH_END: {0}}


@pytest.mark.parametrize("late", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_death_comes_where_it_says(kind: str, late: bool, landed: dict[tuple[str, bool], Landed]) -> None:
    death = landed[kind, late]
    place, near_the_end = PLACES[kind]
    outer = {place for place, _ in PLACES.values()}
    assert next(call[:2] for call in death.stack if call[:2] in outer) == place
    assert (near_the_end in death.called) == late
    assert death.next_step in NEXT_STEPS.get(kind, {0, 1, 2})


def test_a_checkpoint_may_die_between_any_two_of_its_last_calls(
    landed: dict[tuple[str, bool], Landed],
) -> None:
    first, last = landed[PUT_IN_PLACE, False], landed[PUT_IN_PLACE, True]
    assert first.called == ["fsync"]
    calls = iter(last.called)
    for name in ("fsync", "keep", "link", "chmod", "fsync", "replace", "unlink"):
        assert name in calls, name


def test_deaths_are_spread_over_all_of_a_moment() -> None:
    drawn = deaths(["a", "b"], 20, {"a": [1000], "b": [50, 100]}, seed="isw")
    assert [death.kind for death in drawn] == ["a", "b"] * 10
    assert sorted(death.calls // 100 for death in drawn[::2]) == list(range(10))
    assert max(death.calls for death in drawn[1::2]) < 100
    assert drawn == deaths(["a", "b"], 20, {"a": [1000], "b": [50, 100]}, seed="isw")
    assert drawn != deaths(["a", "b"], 20, {"a": [1000], "b": [50, 100]}, seed="snr")
