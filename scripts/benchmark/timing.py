"""Rows of measured figures, each with the bare reference that was measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch

from datasets.sampling.loaders import limit_threads

UNITS = {"ms": 1e3, "MiB": 2.0**-20}
"""Unit that is printed -> the factor from seconds or bytes to this unit."""


@dataclass(frozen=True)
class Row:
    """One figure: its ``cost``, and the ``reference_cost`` of ``reference``.

    Both costs are in seconds, or in bytes if ``unit`` is MiB. Their ratio should be at most ``target``.
    """

    name: str
    cost: float
    reference: str
    reference_cost: float
    target: float | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """Cost divided by the reference's cost."""
        return self.cost / self.reference_cost

    def cells(self) -> list[str]:
        """The row as texts, one per column."""
        target = "" if self.target is None else f"<= {self.target:g}"
        costs = (self.cost, self.reference_cost)
        cost, reference_cost = (f"{each * UNITS[self.unit]:.1f} {self.unit}" for each in costs)
        return [self.name, f"{self.ratio:.4f}", target, cost, self.reference, reference_cost]


@contextmanager
def one_core() -> Iterator[None]:
    """Use one thread in PyTorch and OpenCV in the block, as a loader's process does."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    limit_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.accelerator.is_available():
        torch.get_device_module().synchronize()


def seconds_in_turns(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall-clock time of a call of each function. The first call of each does not count."""
    for function in functions:
        function()
    return medians(functions, repeats, time.perf_counter)


def medians(
    functions: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> list[float]:
    """Median time of a call of each function by ``clock``; every call counts.

    The functions are called in turns, so that a busy machine slows all of them alike.
    """
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, of_function in zip(functions, times, strict=True):
            synchronise()
            started = clock()
            function()
            synchronise()
            of_function.append(clock() - started)
    return [statistics.median(of_function) for of_function in times]
