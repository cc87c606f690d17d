"""The same function over many files at once, with a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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

    Threads suffice because reading and decoding pictures releases the interpreter. The first exception in the
    order of ``items`` is raised, and what has not started by then never runs.
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
