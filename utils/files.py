"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from utils.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Characters, names of devices, and ends that Windows keeps for itself.
_FORBIDDEN = re.compile(r'[<>:"|?*]|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[ .]$', re.IGNORECASE)


def check_writable(path: Path, flag: str) -> None:
    """Raise a UserError that names ``flag`` unless a file can be written at ``path``. Creates nothing."""
    path = Path(path).absolute()
    # On Windows no parent exists if the drive is not there.
    existing = next((parent for parent in path.parents if parent.exists()), path)
    if path.is_dir() or not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"{flag} {path}: a file cannot be written there; choose another place")


def check_inside(name: str, flag: str) -> None:
    """Raise a UserError that names ``flag`` if ``name`` may lead out of its folder, or Windows forbids it."""
    path = PurePath(name)
    if path.anchor or ".." in path.parts:
        raise UserError(f"{flag} {name}: must stay inside the folder it is put in; give a name without ..")
    if isinstance(path, PureWindowsPath) and any(map(_FORBIDDEN.search, path.parts)):
        raise UserError(f"{flag} {name}: Windows allows no such name; use letters, digits, - and _")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; an OSError or ValueError if it cannot be read."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


_WRITING = ".writing-"
HALF_WRITTEN = _WRITING + "*"
"""Pattern, without a suffix, of the files that :func:`atomic_write` leaves behind if it is killed."""


@contextmanager
def writing(place: Path | str, remedy: str) -> Iterator[None]:
    """Turn an OSError in the block into a UserError that names ``place`` and the ``remedy``."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror or error}); {remedy}") from None


@contextmanager
def atomic_write(path: Path, remedy: str = "free space or choose another place") -> Iterator[Path]:
    """Yield a temporary path beside ``path`` (same suffix), which is renamed to ``path`` after the block.

    So ``path`` holds either its old content or all of the new content: the old one if the block raises an
    exception. Missing parent folders are created. An OSError, here or in the block, becomes a UserError that
    names ``path`` and ``remedy``.
    """
    path = Path(path)
    with writing(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_WRITING, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            # mkstemp creates private files. The result gets the permissions of the user's other files.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            # Windows flushes only files that are open for writing.
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, remedy: str) -> None:
    """Write ``content`` as indented JSON with :func:`atomic_write`."""
    with atomic_write(path, remedy) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
