"""Timed rows: a figure, and the bare reference measured beside it in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from utils.scores import text_table


@dataclass(frozen=True)
class Row:
    """One figure: ``seconds`` beside the ``reference_seconds`` of ``reference``; ``target`` is the most that
    their ratio should be.
    """

    name: str
    seconds: float
    reference: str
    reference_seconds: float
    target: float | None = None

    @property
    def ratio(self) -> float:
        """Cost in units of the reference."""
        return self.seconds / self.reference_seconds

    def cells(self) -> list[str]:
        """The row as text."""
        target = "" if self.target is None else f"<= {self.target:g}"
        absolute = [f"{1000 * seconds:.1f} ms" for seconds in (self.seconds, self.reference_seconds)]
        return [self.name, f"{self.ratio:.4f}", target, absolute[0], self.reference, absolute[1]]


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    header = ["figure", "ratio", "target", "time", "reference", "its time"]
    return text_table([header, *(row.cells() for row in rows)])


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time of a call, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        synchronise()
        started = time.perf_counter()
        function()
        synchronise()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def synchronise() -> None:
    """Wait for the device, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
