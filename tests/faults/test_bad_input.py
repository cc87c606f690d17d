"""Every row of the table of bad inputs: one line that says what to do, or the right result."""

from __future__ import annotations

import collections

import pytest

from tests.faults.checkpoints import MARKER
from tests.faults.judge import Ending, faults, run_apart, run_here
from tests.faults.privileges import can_drop, without_privileges
from tests.faults.recording import Trial, Tried
from tests.faults.rows import ROWS
from tests.faults.table import PROGRAMS, Place, Row

# The first error of every program, of its command line where it reads no file.
FIRST = {row.program: row for row in reversed(ROWS) if row.right is None and not row.slow}
ERRORS = list(FIRST.values())


def parameter(row: Row) -> object:
    return pytest.param(row, id=ascii(row.name)[1:-1], marks=[pytest.mark.faults] if row.slow else [])


def survives(row: Row, place: Place, ending: Ending, trial: Trial) -> None:
    """Fail unless the program took its input well, and executed nothing that was in it."""
    seen = ending.said.strip().replace(str(place.root), "").replace(str(place.checkpoints), "")
    trial.seen = seen or "the right result"
    assert not faults(row, place, ending)
    assert not (place.root / MARKER).exists(), "code from a checkpoint was executed"


@pytest.mark.reliability
@pytest.mark.parametrize("row", [parameter(row) for row in ROWS])
def test_row(row: Row, place: Place, tried: Tried) -> None:
    if row.unprivileged and not can_drop:
        pytest.skip("root may read and write everything, and only Linux lets it give that up for a while")
    with tried(row.category, row.name) as trial:
        row.make(place)
        words = row.command_line(place)
        if row.unprivileged:
            ending = without_privileges(lambda: run_here(row.program, words))
        else:
            ending = run_here(row.program, words)
        survives(row, place, ending, trial)


@pytest.mark.reliability
@pytest.mark.faults
@pytest.mark.parametrize("row", [parameter(row) for row in ERRORS])
def test_row_in_a_process_of_its_own(row: Row, place: Place, tried: Tried) -> None:
    with tried(row.category, row.name) as trial:
        row.make(place)
        words = row.command_line(place)
        survives(row, place, run_apart(row.program, words), trial)
        debugged = run_apart(row.program, ["--debug", *words])
        assert debugged.code == 1
        assert "Traceback" in debugged.said


@pytest.mark.reliability("--debug shows an error's traceback, in every program")
@pytest.mark.parametrize("row", [parameter(row) for row in ERRORS])
def test_debug_shows_the_traceback(row: Row, place: Place) -> None:
    row.make(place)
    ending = run_here(row.program, ["--debug", *row.command_line(place)])
    assert ending.code == 1
    assert "Traceback" in ending.said


def test_the_pickles_would_have_been_executed(place: Place) -> None:
    """By whoever reads them carelessly; else the rows about them would prove nothing."""
    from tests.faults.checkpoints import Executes

    function, arguments = Executes(place.root / MARKER).__reduce__()
    assert function(*arguments) == 0
    assert (place.root / MARKER).exists()


def test_the_table_is_as_large_as_it_says() -> None:
    assert len(ROWS) >= 100
    assert {row.program for row in ROWS} == set(PROGRAMS)
    twice = [name for name, count in collections.Counter(row.name for row in ROWS).items() if count > 1]
    assert twice == []
