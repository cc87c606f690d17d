"""Writing toy data sets. A set is written completely or not at all, and its bytes are always the same."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datasets.toycity.domains import ALL_DOMAINS, DOMAINS, LOOKS
from datasets.toycity.layouts import LAYOUTS, write_extras, write_pair
from datasets.toycity.scene import render
from datasets.toycity.weather import WEATHERS
from utils.errors import UserError
from utils.seeding import generator

MANIFEST = "toycity.json"
"""The file with the parameters that a domain's folder was made with. Folders without it are not changed."""

VERSION = 1
"""Must be raised when the same parameters give other bytes, so that older folders are made again."""

SMALLEST = (32, 64)

_PART = ".toycity-part-"
_ABANDONED_AFTER = 24 * 3600.0  # seconds
# Starting processes takes seconds; with fewer pixels in all, one process is faster.
_PIXELS_WORTH_A_POOL = 60 * 256 * 512

Job = tuple[Path, str, int, int, tuple[int, int], int]  # folder, domain, part, index, size, seed


def generate(
    root: Path,
    domains: Sequence[str] = DOMAINS,
    train: int = 48,
    val: int = 12,
    size: tuple[int, int] = (256, 512),
    seed: int = 0,
    processes: int | None = None,
) -> None:
    """Make the toy data sets ``root``/<domain>, each in its native layout, unless they exist already.

    The four cities are in ``root``/nthu/<city>. ``train`` and ``val`` are numbers of pictures per domain; the
    many parts of acdc and dark_zurich have shares of them (``Part``). ``size`` is (height, width) in pixels.
    Picture i depends on (seed, domain, part, i) alone: neither the number of pictures nor ``processes``
    matters (default: one per available core if there is enough to do). A domain gets its name only when it is
    complete. A domain that was made with other parameters is replaced.

    Raises :class:`UserError` for an unknown domain, a bad size or number, a folder that was not made by this
    function, or a root that cannot be written.
    """
    root = Path(root)
    check_request(domains, size)
    if train < 1 or val < 1 or seed < 0:
        raise UserError("--train and --val must be at least 1, and --seed at least 0")
    request = {"train": train, "val": val, "size": list(size), "seed": seed}
    wanted = {domain: {"version": VERSION, "domain": domain, **request} for domain in domains}
    targets = {domain: root / LAYOUTS[domain].root for domain in domains}
    missing = [domain for domain in wanted if not _is_complete(targets[domain], wanted[domain])]
    if not missing:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root)
        with contextlib.ExitStack() as parts:
            folders = {domain: parts.enter_context(_part_folder(root, domain)) for domain in missing}
            jobs = [
                (folders[domain], domain, number, index, tuple(size), seed)
                for domain in missing
                for number, part in enumerate(LAYOUTS[domain].parts)
                for index in range(part.count(train, val))
            ]
            _work(jobs, processes)
            for domain in missing:
                write_extras(domain, folders[domain])
                manifest = json.dumps(wanted[domain], indent=1) + "\n"
                (folders[domain] / MANIFEST).write_text(manifest, encoding="utf-8")
                _publish(folders[domain], targets[domain], wanted[domain])
    except OSError as error:
        raise UserError(
            f"cannot write the toy city to {root}: {error.strerror or error}; choose another --root"
        ) from error


def absent(root: Path, folders: Iterable[str]) -> list[str]:
    """The domains that are not in ``root`` yet: of the default ones, and those in the named ``folders``."""
    named = {*DOMAINS, *folders}
    places = {domain: Path(LAYOUTS[domain].root) for domain in ALL_DOMAINS}
    return [
        domain for domain, place in places.items() if place.parts[0] in named and not (root / place).exists()
    ]


def check_request(domains: Iterable[str], size: tuple[int, int]) -> None:
    """Raise :class:`UserError` for a domain that does not exist or a picture that is too small."""
    unknown = [domain for domain in domains if domain not in ALL_DOMAINS]
    if unknown:
        raise UserError(
            f"--domains: no toy domain is called {unknown[0]!r}; choose from {', '.join(ALL_DOMAINS)}"
        )
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        smallest = f"{SMALLEST[0]}x{SMALLEST[1]} (height x width)"
        raise UserError(f"--size {size[0]}x{size[1]}: the smallest toy picture is {smallest}")


def _is_complete(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether ``folder`` holds what ``manifest`` describes. Raises if the toy city did not make it."""
    if not folder.exists():
        return False
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8")) == manifest
    except FileNotFoundError:
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise UserError(
            f"{folder} exists and was not made by the toy city; move it away or choose another --root"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / MANIFEST} cannot be read ({error}); delete {folder} to make it again"
        ) from error


@contextlib.contextmanager
def _part_folder(root: Path, domain: str) -> Iterable[Path]:
    """A temporary folder beside the final one. It is removed at the end unless it has been renamed."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PART}{domain}-", dir=root))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    """Remove old folders of killed processes; newer ones may belong to a process that is still working."""
    for folder in root.glob(f"{_PART}*"):
        if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, target: Path, manifest: dict[str, Any]) -> None:
    """Give a finished folder its final name, unless another process has finished the same one meanwhile."""
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        if _is_complete(target, manifest):
            return
        outdated = Path(tempfile.mkdtemp(prefix=f"{_PART}old-", dir=folder.parent))
        target.replace(outdated / target.name)
        shutil.rmtree(outdated)
    folder.replace(target)


def _work(jobs: list[Job], processes: int | None) -> None:
    if processes is None:
        height, width = jobs[0][4]
        # sched_getaffinity respects limits of this process, but not every system has it.
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        processes = available if len(jobs) * height * width >= _PIXELS_WORTH_A_POOL else 1
    if processes <= 1:
        for job in jobs:
            _make(job)
        return
    # Processes are spawned, not forked, because this process may already use threads of torch and CUDA.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        for _ in pool.map(_make, jobs, chunksize=4):
            pass


def picture(
    domain: str, part: int, index: int, size: tuple[int, int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Picture ``index`` of a part of the domain's layout, and its raster of codes (see :func:`scene.render`).

    Parts 0 and 1 are train and val, except in domains of several weathers.
    """
    its = LAYOUTS[domain].parts[part]
    keys = seed, ALL_DOMAINS.index(domain), its.scenes, index
    # The weather has draws of its own, so that the scene is the same in any weather.
    weather = WEATHERS[its.weather](generator(*keys, part)) if its.weather else None
    rng = generator(*keys)
    return render(LOOKS[domain](rng, index, size), index, rng, weather)


def _make(job: Job) -> None:
    folder, domain, part, index, size, seed = job
    write_pair(domain, folder, part, index, *picture(domain, part, index, size, seed))
