"""Timed rows: a figure, and the bare reference measured beside it in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch

from datasets.sampling.loaders import limit_threads
from utils.scoring.scores import text_table

UNITS = {"ms": 1e3, "MiB": 2.0**-20}
"""What is printed, by how many of it make a second or a byte."""


@dataclass(frozen=True)
class Row:
    """One figure: its ``cost`` beside the ``reference_cost`` of ``reference``, in seconds, or with ``unit``
    MiB in bytes; ``target`` is the most that their ratio should be.
    """

    name: str
    cost: float
    reference: str
    reference_cost: float
    target: float | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """Cost in units of the reference."""
        return self.cost / self.reference_cost

    def cells(self) -> list[str]:
        """The row as text."""
        target = "" if self.target is None else f"<= {self.target:g}"
        costs = (self.cost, self.reference_cost)
        absolute = [f"{cost * UNITS[self.unit]:.1f} {self.unit}" for cost in costs]
        return [self.name, f"{self.ratio:.4f}", target, absolute[0], self.reference, absolute[1]]


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    header = ["figure", "ratio", "target", "cost", "reference", "its cost"]
    return text_table([header, *(row.cells() for row in rows)])


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time of a call, after one that does not count."""
    return seconds_in_turns([function], repeats)[0]


def processor_seconds(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median processor time of a call of each, in turns, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, of_function in zip(functions, times, strict=True):
            started = time.process_time()
            function()
            of_function.append(time.process_time() - started)
    return [statistics.median(of_function) for of_function in times]


@contextmanager
def one_core() -> Iterator[None]:
    """No more than one thread in PyTorch and OpenCV, as in a loader's process."""
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
    """Median wall-clock time of a call of each, called in turns, so that a busy machine slows all alike.

    The first turn does not count.
    """
    turns = [[seconds_of_one(function) for function in functions] for _ in range(repeats + 1)]
    return [statistics.median(times) for times in zip(*turns[1:], strict=True)]


def seconds_of_one(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    synchronise()
    started = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - started
