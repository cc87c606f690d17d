"""Running a program on a bad input, and what counts as having survived it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tests.faults.table import Place, Row
from utils.errors import run_program

PROJECT = Path(__file__).resolve().parents[2]
_MODULES = {
    "train.py": "train",
    "valid.py": "valid",
    "infer.py": "infer",
    "datasets.toycity": "datasets.toycity.__main__",
    "scripts.benchmark": "scripts.benchmark.__main__",
    "network.legacy": "network.legacy.__main__",
    "scripts.report": "scripts.report.__main__",
    "scripts.experiments": "scripts.experiments.__main__",
}


@dataclass(frozen=True)
class Ending:
    """How a program ended: its exit code, and what it said on stderr."""

    code: int | None
    said: str


def run_here(program: str, words: Sequence[str]) -> Ending:
    """Run a program in this process, by the way every program is started."""
    main = importlib.import_module(_MODULES.get(program, program)).main
    with (
        everything_on_stderr() as said,
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch.object(sys, "argv", [program, *words]),
    ):
        try:
            run_program(main, words)
        except SystemExit as end:
            return Ending(end.code, said())
        except Exception:
            return Ending(1, said() + traceback.format_exc())
    raise AssertionError("a program ends with its exit code")


@contextlib.contextmanager
def everything_on_stderr() -> Iterator[Callable[[], str]]:
    """What this process, its libraries in other languages and its children say on stderr in this block."""
    with (
        tempfile.TemporaryFile() as file,
        io.TextIOWrapper(
            os.fdopen(os.dup(file.fileno()), "wb"), "utf-8", "backslashreplace", line_buffering=True
        ) as stream,
        contextlib.redirect_stderr(stream),
    ):

        def said() -> str:
            stream.flush()
            file.seek(0)
            return file.read().decode(errors="backslashreplace")

        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def run_apart(program: str, words: Sequence[str]) -> Ending:
    """Run a program as users do, in a process of its own."""
    name = [program] if program.endswith(".py") else ["-m", program]
    process = subprocess.run(
        [sys.executable, *name, *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        errors="backslashreplace",
    )
    return Ending(process.returncode, process.stderr)


def faults(row: Row, place: Place, ending: Ending) -> list[str]:
    """What is wrong with how a program took its input; nothing if it survived.

    An error has an exit code other than 0, one line that holds the row's words, no traceback, and leaves no
    results of what it could not do. Of a legal input the result is right and nothing is said.
    """
    if row.right is not None:
        if ending.code != 0 or ending.said:
            return [f"exit code {ending.code}: {ending.said}"]
        try:
            row.right(place)
        except AssertionError as error:
            return [f"wrong result: {error}"]
        return []
    lines = ending.said.splitlines()
    found = [] if ending.code else ["exit code 0"]
    if len(lines) != 1 or not lines[0].startswith("error: "):
        found.append(f"{len(lines)} lines on stderr: {ending.said}")
    found += [f"nothing about {word!r}: {ending.said}" for word in row.words if word not in ending.said]
    if left := [name for name in sorted(place.written()) if not name.startswith(row.leaves)]:
        found.append(f"left {', '.join(left)}")
    return found
