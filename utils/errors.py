"""The one exception for everything a user can put right, and how a program reports it."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from utils.machine import explained

# What would break the line, command the terminal, or not be printable at all (bytes of a file name).
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` with line breaks and other unprintable characters, which file names may hold, as escapes."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class UserError(Exception):
    """A mistake the user can fix: one line that names the file or flag and says what to do.

    Its text is :func:`printable`.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class Parser(argparse.ArgumentParser):
    """A command line whose errors are :class:`UserError`: one line, where argparse prints its usage too."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def say_error(message: str) -> None:
    """One line on stderr, handed over whole: ``print`` writes the line's end apart where Python does not
    buffer (``PYTHONUNBUFFERED``), and several processes' lines would then stand in one another."""
    sys.stderr.write(f"error: {message}\n")


def run_program(
    main: Callable[[Sequence[str] | None], int | None], arguments: Sequence[str] | None = None
) -> None:
    """Run ``main`` and leave the process with its exit code.

    A :class:`UserError` becomes one line on stderr and exit code 1, and so does what the operating system
    refuses, and what the machine is to blame for (``utils.machine``); ``--debug`` among the arguments shows
    the traceback instead. Ctrl-C ends with the shell's own code for it, 130.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what the terminal's encoding does not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(arguments) or 0
    except Exception as error:
        line = None if "--debug" in words else _line_of(error)
        if line is None:
            raise
        say_error(line)
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)


def _line_of(error: Exception) -> str | None:
    """What to say of an error in place of its traceback; None where only that helps."""
    if not isinstance(error, UserError):
        line = explained(error)
        if line is not None:
            error = UserError(line)
        elif isinstance(error, OSError) and error.strerror is not None:
            error = _refusal(error)
        else:
            return None
    return str(error)


def _refusal(error: OSError) -> UserError:
    """What nobody expected the operating system to refuse, in one line."""
    names = [
        os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))
    ]
    place = f"{' and '.join(names)}: " if names else ""
    return UserError(f"{place}{error.strerror}; see to the file, its permissions and the space on its disk")
