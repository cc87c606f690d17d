"""Reading what a run has written into its ``log.txt``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_STEP = re.compile(r"\[epoch \d+\] \[iter (\d+) / (\d+)\] (.*)")
_EVALUATION = re.compile(r"iteration (\d+): (\S+) val mIoU ([\d.]+)")
_END_OF_LOG = 16384
"""Bytes in which the last step and the evaluations after it stand, unless a run is scored on many domains."""

Points = list[tuple[int, float]]


@dataclass
class RunLog:
    """What a log says.

    Attributes:
        iteration, last: of the newest line of a step, and the iteration at which the run ends; 0 before one.
        values: name (``main``, ``images/s``) -> points (iteration, value), means over the steps of a line.
        scores: domain -> points (iteration, mIoU in percent), of the evaluations during training.
    """

    iteration: int = 0
    last: int = 0
    values: dict[str, Points] = field(default_factory=dict)
    scores: dict[str, Points] = field(default_factory=dict)

    @property
    def speed(self) -> float | None:
        """The newest images/s."""
        points = self.values.get("images/s")
        return points[-1][1] if points else None


def read_log(path: Path, end_only: bool = False) -> RunLog:
    """Read ``log.txt``, or only its end; empty if there is none. Lines of another kind are left out."""
    log = RunLog()
    try:
        with path.open("rb") as file:
            if end_only:
                file.seek(max(0, path.stat().st_size - _END_OF_LOG))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return log
    for line in text.splitlines():
        if match := _STEP.search(line):
            log.iteration, log.last = int(match[1]), int(match[2])
            for word in match[3].split(", "):
                name, _, value = word.rpartition(" ")
                if (number := _number(value)) is not None:
                    log.values.setdefault(name, []).append((log.iteration, number))
        elif match := _EVALUATION.match(line):
            log.scores.setdefault(match[2], []).append((int(match[1]), float(match[3])))
    return log


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
