"""What a person sees of the runs: a table that stays in place on a terminal, and lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from scripts.experiments.runner import ELSEWHERE, FAILED, FINISHED, RUNNING, WAITING, Run
from utils.scoring.scores import text_table

SECONDS_BETWEEN_TABLES = 1.0
ORDER = {state: place for place, state in enumerate((RUNNING, ELSEWHERE, FAILED, WAITING, FINISHED))}


def run_rows(runs: Sequence[Run], now: float) -> list[list[str]]:
    """Header and one row per run: what goes on first, then failures, what waits, what is finished."""
    rows = [["run", "state", "step", "images/s", "expected end", "where"]]
    for run in sorted(runs, key=lambda run: ORDER.get(run.state, len(ORDER))):
        step = f"{run.log.iteration} / {run.log.last}" if run.log.last else ""
        going = run.state in (RUNNING, ELSEWHERE)
        speed = run.log.speed if going else None
        left = run.seconds_left(now) if going else None
        rows.append(
            [
                run.plan.name,
                run.state,
                step,
                "" if speed is None else f"{speed:.3g}",
                "" if left is None else clock(left),
                run.place.title if run.place and run.state == RUNNING else "",
            ]
        )
    return rows


def clock(seconds: float) -> str:
    """When it is in so many seconds: the time of day, and the date if it is not today."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return then.strftime("%H:%M" if then.date() == now.date() else "%Y-%m-%d %H:%M")


class Screen:
    """Shows the table of runs on a terminal, where it replaces the one before; elsewhere only the lines."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self._lines = 0
        self._shown = 0.0

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._clear()
        print(line, flush=True)

    def show(self, runs: Sequence[Run]) -> None:
        """Show the table, at most once a second. It is cut to the size of the terminal."""
        now = time.monotonic()
        if not self.live or (self._lines and now - self._shown < SECONDS_BETWEEN_TABLES):
            return
        columns, height = shutil.get_terminal_size()
        table = text_table(run_rows(runs, now)).splitlines()
        room = max(3, height - 3)
        if len(table) > room:
            table = [*table[: room - 1], f"... and {len(table) - room + 1} more"]
        done = sum(run.state == FINISHED for run in runs)
        table.append(f"{done} of {len(runs)} finished")
        self._clear()
        print(*(line[: columns - 1] for line in table), sep="\n", flush=True)
        self._lines, self._shown = len(table), now

    def _clear(self) -> None:
        if self._lines:
            # Up to the table's first line, and clear everything below.
            print(f"\x1b[{self._lines}F\x1b[J", end="")
        self._lines = 0
