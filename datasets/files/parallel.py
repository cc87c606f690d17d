"""Calling a function for many files at the same time, in threads or processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from utils.errors import UserError
from utils.progress import progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")


def threaded_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    description: str = "",
    threads: int | None = None,
) -> list[Result]:
    """``[function(item) for item in items]`` on ``threads`` threads (default: one per core).

    Threads are enough because reading and decoding pictures releases Python's global lock. If calls fail, the
    first exception in the order of ``items`` is raised, and calls that have not started by then never run.
    """
    threads = threads or os.cpu_count() or 1
    executor = ThreadPoolExecutor(threads)
    try:
        results: Iterable[Result] = executor.map(function, items)
        if description:
            results = progress_bar(results, total=len(items), desc=description, leave=False)
        return list(results)
    finally:
        executor.shutdown(cancel_futures=True)


def in_processes(
    function: Callable[..., object], *items: Sequence[object], processes: int, description: str = ""
) -> None:
    """Call ``function(*arguments)`` for all ``arguments`` in ``zip(*items)``, in ``processes`` processes.

    When this returns or raises, the processes have stopped. They also end if this process is killed. If calls
    fail, the first exception in the order of ``items`` is raised; :class:`UserError` if a process was killed.
    """
    executor = ProcessPoolExecutor(processes, initializer=_begin_worker)
    try:
        done = executor.map(function, *items)
        for _ in progress_bar(done, total=len(items[0]), desc=description, unit="picture"):
            pass
    except BrokenProcessPool:
        raise UserError(
            f"--processes {processes}: one of them was killed, perhaps because memory ran out; start again "
            "with fewer"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    # Ctrl-C is sent to this process too. It must finish its file first; then its parent ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
