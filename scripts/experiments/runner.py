"""Run plans on the places that there are, each exactly once, also if several runners share the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from scripts.experiments.matrix import PROJECT, Plan
from scripts.experiments.places import Place
from scripts.experiments.state import claim, error_of, is_finished, read_outcome, write_outcome
from utils.run.run_log import RunLog, read_log

WAITING, RUNNING, ELSEWHERE, FINISHED, FAILED, STOPPED = (
    "waiting",
    "running",
    "elsewhere",
    "finished",
    "failed",
    "stopped",
)
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass
class Run:
    """What the runner knows of a plan.

    ``log`` is the end of its log; ``first`` the moment and the iteration at which it was first seen to step;
    ``reason`` says why it failed.
    """

    plan: Plan
    state: str = WAITING
    place: Place | None = None
    process: subprocess.Popen[bytes] | None = None
    lock: TextIO | None = None
    log: RunLog = field(default_factory=RunLog)
    first: tuple[float, int] | None = None
    reason: str = ""

    def look(self, now: float) -> None:
        """Read how far it is."""
        self.log = read_log(self.plan.folder / "log.txt", end_only=True)
        if self.log.iteration and (self.first is None or self.log.iteration < self.first[1]):
            self.first = now, self.log.iteration

    def seconds_left(self, now: float) -> float | None:
        """How long its training takes at its speed so far; None before it is known."""
        if self.first is None or self.log.iteration <= self.first[1]:
            return None
        began, iteration = self.first
        return (now - began) / (self.log.iteration - iteration) * (self.log.last - self.log.iteration)


class Runner:
    """Starts each plan as soon as its needs are finished and there is a place for it.

    ``show`` is called now and then with all runs. ``say`` gets a line whenever one starts or ends.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        places: Sequence[Place],
        processes: Callable[[Plan], int],
        show: Callable[[Sequence[Run]], None],
        say: Callable[[str], None],
    ) -> None:
        self.runs = {plan.name: Run(plan) for plan in plans}
        self.free, self.processes, self.show, self.say = list(places), processes, show, say
        self.began = time.time()
        self.asked = 0
        self.wake = threading.Event()

    def run(self) -> bool:
        """Run all; returns whether all are finished. Asked to stop by a signal, it lets the runs save."""
        with self._signals():
            while any(run.state in (WAITING, RUNNING, ELSEWHERE) for run in self.runs.values()):
                self._end_ended()
                if not self.asked:
                    self._start_ready()
                elif not self._of(RUNNING):
                    break
                now = time.monotonic()
                for run in self._of(RUNNING, ELSEWHERE):
                    run.look(now)
                self.show([*self.runs.values()])
                if self._of(RUNNING, ELSEWHERE):
                    self.wake.wait(SECONDS_BETWEEN_LOOKS)
                    self.wake.clear()
        for run in self._of(WAITING, ELSEWHERE):
            run.state = STOPPED
        self.show([*self.runs.values()])
        return all(run.state == FINISHED for run in self.runs.values())

    def _of(self, *states: str) -> list[Run]:
        return [run for run in self.runs.values() if run.state in states]

    def _start_ready(self) -> None:
        """Start what can be started, in order; note what other runners do, or have done."""
        for run in self._of(WAITING, ELSEWHERE):
            if is_finished(run.plan):
                run.state = FINISHED
                self.say(f"{run.plan.name}: finished already")
                continue
            states = {name: self.runs[name].state for name in run.plan.needs}
            if lost := [name for name, state in states.items() if state in (FAILED, STOPPED)]:
                self._fail(run, f"starts from {lost[0]}, which is not finished")
            elif all(state == FINISHED for state in states.values()):
                self._try(run)

    def _try(self, run: Run) -> None:
        """Start a run, unless another runner has it or there is no place."""
        lock = claim(run.plan)
        if lock is None:
            if run.state != ELSEWHERE:
                run.state = ELSEWHERE
                self.say(f"{run.plan.name}: runs elsewhere already; waiting for it")
            return
        outcome = read_outcome(run.plan)
        failed_meanwhile = outcome.get("state") == FAILED and outcome.get("ended", 0) > self.began
        if is_finished(run.plan) or failed_meanwhile or not self.free:
            # Another runner has just ended it, or it waits for a place here.
            lock.close()
            run.state = WAITING if not failed_meanwhile else run.state
            if failed_meanwhile:
                self._fail(run, f"failed elsewhere: {outcome.get('reason')}")
            return
        self._start(run, lock, self.free.pop(0))

    def _start(self, run: Run, lock: TextIO, place: Place) -> None:
        plan, processes = run.plan, self.processes(run.plan)
        stopped = plan.notes / "stopped"
        stopped.unlink(missing_ok=True)
        command = shell_command(plan, processes)
        with (plan.notes / "output.txt").open("ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            run.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**place.environment(processes), "STOPPED_FILE": str(stopped.absolute())},
                # A group of its own, so that Ctrl-C reaches only this program, which asks all of it to save.
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        run.state, run.place, run.lock, run.first = RUNNING, place, lock, None
        self.say(f"{plan.name}: started on {place.title}")

    def _end_ended(self) -> None:
        for run in self._of(RUNNING):
            if run.process is not None and run.process.poll() is not None:
                self._end(run, run.process.returncode)

    def _end(self, run: Run, code: int) -> None:
        """Note how a run ended, then let go of it."""
        plan = run.plan
        if code == 0 and is_finished(plan):
            run.state = FINISHED
            self.say(f"{plan.name}: finished")
        elif self.asked or (plan.notes / "stopped").exists():
            run.state = STOPPED
            self.say(f"{plan.name}: stopped; it goes on when this is started again")
        else:
            said = error_of(plan.notes / "output.txt")
            self._fail(run, f"{said} (exit code {code}, see {plan.notes / 'output.txt'})")
        if run.state != FAILED:
            write_outcome(plan, {"state": run.state, "ended": time.time()})
        if run.lock is not None:
            run.lock.close()
        if run.place is not None:
            self.free.append(run.place)

    def _fail(self, run: Run, reason: str) -> None:
        run.state, run.reason = FAILED, reason
        if run.process is not None:
            write_outcome(run.plan, {"state": FAILED, "ended": time.time(), "reason": reason})
        self.say(f"{run.plan.name}: failed: {reason}")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """In the block, Ctrl-C and SIGTERM make all runs save and end; a second one kills them."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.asked += 1
            self.wake.set()
            for run in self._of(RUNNING):
                if run.process is not None and run.process.poll() is None:
                    os.killpg(run.process.pid, signal.SIGTERM if self.asked == 1 else signal.SIGKILL)

        before: dict[int, Any] = {
            number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def shell_command(plan: Plan, processes: int) -> list[str]:
    """What starts a run: a script of this project, its arguments, and that it goes on where it was."""
    script, *words = plan.command(processes)
    path = PROJECT / "scripts" / script
    return [str(short_path(path)), *words, "--resume", "auto"]


def short_path(path: Path) -> Path:
    """The path as it is typed in this folder."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
