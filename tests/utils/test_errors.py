"""How a program reports what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from utils.errors import LOST_PROCESS, UserError, run_program


class Written(list[str]):
    """A stream that keeps each write apart, as an unbuffered stderr hands them to the system."""

    def write(self, text: str) -> None:
        self.append(text)


@pytest.mark.parametrize(
    "error",
    [UserError("here"), FileNotFoundError(2, "here"), RuntimeError(f"{LOST_PROCESS[0]}: here\nthere")],
)
def test_a_line_of_one_process_cannot_stand_in_anothers(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: Sequence[str] | None) -> None:
        raise error

    written = Written()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(SystemExit) as ended:
        run_program(fail, [])
    assert ended.value.code == 1
    assert len(written) == 1
    assert written[0].startswith("error: ")
    assert "here" in written[0]
    assert written[0].endswith("\n")
    assert written[0].count("\n") == 1
