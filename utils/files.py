"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from utils.errors import UserError

# Characters, names of devices, and ends that Windows keeps for itself.
_FORBIDDEN = re.compile(r'[<>:"|?*]|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[ .]$', re.IGNORECASE)


def check_writable(path: Path, flag: str) -> None:
    """Raise a UserError naming ``flag`` unless a file can be written at ``path``; nothing is made."""
    path = Path(path).absolute()
    # Of a drive that is not there nothing exists.
    existing = next((parent for parent in path.parents if parent.exists()), path)
    if path.is_dir() or not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"{flag} {path}: a file cannot be written there; choose another place")


def check_inside(name: str, flag: str) -> None:
    """Raise a UserError naming ``flag`` if ``name`` may mean a place outside the folder it is put in, or if
    this system is Windows and forbids it.
    """
    path = PurePath(name)
    if path.anchor or ".." in path.parts:
        raise UserError(f"{flag} {name}: must stay inside the folder it is put in; give a name without ..")
    if isinstance(path, PureWindowsPath) and any(map(_FORBIDDEN.search, path.parts)):
        raise UserError(f"{flag} {name}: Windows allows no such name; use letters, digits, - and _")


_WRITING = ".writing-"
HALF_WRITTEN = _WRITING + "*"
"""What :func:`atomic_write` leaves of a file when the process is killed, as a pattern; the suffix follows."""


@contextmanager
def writing(place: Path | str, remedy: str) -> Iterator[None]:
    """In the block, what the operating system refuses is a UserError that names ``place`` and the remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror or error}); {remedy}") from None


@contextmanager
def atomic_write(path: Path, remedy: str = "free space or choose another place") -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same suffix) that becomes ``path`` when the block ends well.

    The rename is atomic, so ``path`` holds either its old content or all of the new one. When the block
    raises, the temporary file is removed and ``path`` is untouched. Parent folders are made.

    Raises:
        UserError: the operating system refuses something, in the block too; it names ``path`` and ``remedy``.
    """
    path = Path(path)
    with writing(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_WRITING, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp makes files private; what a run writes is as readable as anything else the user makes.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            # Windows flushes only what is open for writing.
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, remedy: str) -> None:
    """Write ``content`` as indented JSON, atomically; ``remedy``: as in :func:`atomic_write`."""
    with atomic_write(path, remedy) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
