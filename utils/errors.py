"""The exception for every mistake that a user can fix, and how a program reports errors."""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from utils.machine import explained, reason

# Line breaks, control codes for the terminal, and bytes of a file name that are no text.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` with escapes for line breaks and other unprintable characters, as file names may have them."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class UserError(Exception):
    """A mistake the user can fix: one line that names the file or flag and says what to do.

    ``str`` returns its text as :func:`printable`.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class MissingLibrary(UserError):
    """A library that a flag needs is not installed, or cannot be loaded."""


def optional_library(name: str, flag: str) -> ModuleType:
    """The module ``name`` of a library that ``flag`` needs; raises :class:`MissingLibrary`."""
    library = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:  # A library that does not fit its own dependencies may raise anything.
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise MissingLibrary(f"{flag}: needs the library {library}; pip install {library}") from None
        raise MissingLibrary(
            f"{flag}: the library {library} is installed but cannot be loaded ({type(error).__name__}: "
            f"{reason(error)}); pip install --force-reinstall {library}, or do without the flag"
        ) from error


def closest(word: str, known: Iterable[str]) -> str:
    """A question for a message about an unknown ``word``, or "" if no ``known`` word is close to it."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


class Parser(argparse.ArgumentParser):
    """A command line parser whose errors are :class:`UserError`: one line, without argparse's usage text."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def say_error(message: str) -> None:
    """Write one line to stderr in a single call.

    With ``PYTHONUNBUFFERED``, ``print`` writes the line break separately, and lines of several processes mix.
    """
    sys.stderr.write(f"error: {message}\n")


def run_program(
    main: Callable[[Sequence[str] | None], int | None], arguments: Sequence[str] | None = None
) -> None:
    """Run ``main`` and end the process with its exit code.

    A :class:`UserError`, an error of the operating system, and one that the machine causes
    (``utils.machine``) become one line on stderr and exit code 1; with ``--debug`` among the arguments the
    traceback is shown instead. Ctrl-C ends with 130, the code that shells use for it. Of several processes
    that torchrun has started on a machine and that end with the same line, one says it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # File names may contain characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(arguments) or 0
    except Exception as error:
        line = None if "--debug" in words else _line_of(error)
        if line is None:
            raise
        if _is_first_with(line):
            say_error(line)
        code = 1
    except KeyboardInterrupt:
        if _is_first_with("interrupted"):
            sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)


def _is_first_with(line: str) -> bool:
    """Tell torchrun, if it has started this process, that it ends with ``line``, for torchrun's own report.

    Returns whether no other process of this machine has ended with it since torchrun's last restart. Lines
    that differ only within parentheses, where the reasons of libraries stand with their addresses, are equal.
    """
    report = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not report:
        return True
    content = {"message": line, "extraInfo": {"timestamp": str(int(time.time()))}}
    digest = hashlib.sha256(re.sub(r"\(.*\)", "", line).encode()).hexdigest()
    try:
        Path(report).write_text(json.dumps({"message": content}), encoding="utf-8")
        # The reports are in one folder per restart and process. Only one process can create this file.
        Path(report).parent.parent.joinpath(digest).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # Then the line is said too often, because it must not be lost: the disk may be full.
        pass
    return True


def _line_of(error: Exception) -> str | None:
    """The line that is shown instead of an error's traceback; None if only the traceback helps."""
    if isinstance(error, UserError):
        return str(error)
    line = explained(error)
    if line is None and isinstance(error, OSError) and error.strerror is not None:
        paths = (error.filename, error.filename2)
        names = " and ".join(os.fsdecode(path) for path in paths if isinstance(path, (str, bytes)))
        place = f"{names}: " if names else ""
        line = f"{place}{error.strerror}; check the file, its permissions and the free space on its disk"
    return None if line is None else printable(line)
