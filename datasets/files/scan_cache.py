"""A cache for results of reading many files. A result is used until the files change."""

from __future__ import annotations

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


def cached_arrays(cache: Path | None, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays in the ``.npz`` file ``cache``. If there is none, those of ``compute``, which are stored."""
    if cache is not None and (found := _load(cache)) is not None:
        return found
    arrays = compute()
    if cache is not None:
        with atomic_write(cache) as temporary:
            np.savez_compressed(temporary, **arrays)
    return arrays


def _load(cache: Path) -> Arrays | None:
    try:
        with np.load(cache) as saved:
            return {name: saved[name] for name in saved.files}
    # Whatever is wrong with the file, computing it again is right.
    except Exception:
        return None
