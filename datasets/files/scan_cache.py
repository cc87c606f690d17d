"""A cache for results of reading many files. A result is used until the files change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from utils.files import atomic_write

Arrays = dict[str, np.ndarray]


def fingerprint(files: Iterable[tuple[str, Path]], *settings: object) -> str:
    """A short key for a result that depends on ``files``, as (name, path), and on ``settings``.

    The names, sizes and modification times count; the paths do not.
    """
    stats = ((name, path.stat()) for name, path in files)
    content = [[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats], *settings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def cached_arrays(
    folder: Path | None,
    name: str,
    compute: Callable[[], Arrays],
    files: Iterable[tuple[str, Path]],
    *settings: object,
) -> Arrays:
    """The result of ``compute``, which is kept in a file of ``folder``, if that is given.

    The file name is ``name`` and the :func:`fingerprint` of ``files`` and ``settings``.
    """
    if folder is None:
        return compute()
    cache = Path(folder) / f"{name}_{fingerprint(files, *settings)}.npz"
    # Whatever is wrong with the file, computing it again is right.
    with contextlib.suppress(Exception), np.load(cache) as saved:
        return dict(saved)
    arrays = compute()
    with atomic_write(cache) as temporary:
        np.savez_compressed(temporary, **arrays)
    return arrays
