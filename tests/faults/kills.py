"""Killing a training run, again and again, at moments of every kind.

A run is traced: every call of a Python function is a moment at which it may die, and the innermost of the
functions of :data:`KINDS` that are under way says of what kind it is. A process gets one death to die; it
dies by SIGKILL at the first moment of that kind that is due, and the next process resumes what it left.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from train import Run


def _in_last_batch(frame: FrameType) -> bool:
    """Of a training step that is about to begin: whether it is an epoch's last."""
    caller = frame.f_back
    assert caller is not None
    run: Run = caller.f_locals["self"]
    return (run.iteration + 1) % run.loaders.steps_per_epoch == 0


def _at_epoch_end(frame: FrameType) -> bool:
    """Of what is due between two steps: whether an epoch ends there."""
    run: Run = frame.f_locals["self"]
    return run.iteration % run.loaders.steps_per_epoch == 0


class Kind(NamedTuple):
    """Moments of one kind: those in which a function is under way that ``counts`` did not exclude as it was
    called.
    """

    file: str
    function: str
    counts: Callable[[FrameType], bool] = lambda frame: True


STATISTICS = "in the statistics pass"

KINDS: Mapping[str, Kind] = {
    "in a step": Kind("methods/step.py", "__call__", lambda frame: not _in_last_batch(frame)),
    "in an epoch's last batch": Kind("methods/step.py", "__call__", _in_last_batch),
    "while a checkpoint is written": Kind("utils/checkpoint.py", "save_checkpoint"),
    "in an evaluation": Kind("utils/evaluation.py", "evaluate"),
    STATISTICS: Kind("methods/isw.py", "build_masks"),
    "at an epoch's end": Kind("train.py", "between_steps", _at_epoch_end),
}

FUNCTIONS = frozenset(kind.function for kind in KINDS.values())

ONCE = (STATISTICS,)
"""Kinds of moments that a run has but once: a second one would be waited for in vain."""


@dataclass(frozen=True)
class Death:
    """Die in the ``entry``-th time that a function of ``kind`` is called, after ``calls`` function calls of
    that kind, or when that function ends, if that is earlier.
    """

    kind: str
    entry: int
    calls: int


def deaths(kinds: Sequence[str], number: int, seed: int) -> list[Death]:
    """``number`` deaths, of each kind in turn, within the next two occasions and at any depth."""
    rng = random.Random(seed)
    return [
        Death(kind, 1 if kind in ONCE else rng.randint(1, 2), rng.choice((0, 10, 100, 1000, 3000)))
        for kind in (kinds[place % len(kinds)] for place in range(number))
    ]


def kind_of(frame: FrameType) -> str | None:
    """The kind of moments that begin with this call, if it is of one of their functions."""
    code = frame.f_code
    if code.co_name not in FUNCTIONS:
        return None
    for name, kind in KINDS.items():
        if code.co_name == kind.function and code.co_filename.endswith(kind.file) and kind.counts(frame):
            return name
    return None


class Reaper:
    """A profile function that kills this process when its death is due."""

    def __init__(self, death: Death) -> None:
        self.death = death
        self.entries, self.calls = death.entry, death.calls
        self.under_way: list[tuple[FrameType, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            if kind := kind_of(frame):
                self.under_way.append((frame, kind))
                self.entries -= kind == self.death.kind
            if self.is_due():
                self.calls -= 1
                if self.calls < 0:
                    self.die()
        elif event == "return" and self.under_way and self.under_way[-1][0] is frame:
            if self.is_due():
                self.die()
            self.under_way.pop()

    def is_due(self) -> bool:
        """Whether now is a moment of the right kind, and not before the right one began."""
        return self.entries <= 0 and bool(self.under_way) and self.under_way[-1][1] == self.death.kind

    @staticmethod
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def live(arguments: Sequence[str], death: Death | None, output: Path) -> int:
    """Train in a process of its own until it ends or ``death`` comes; its exit code, minus a signal's."""
    context = multiprocessing.get_context("forkserver")
    # The programs are read once, by the server, whose copies the processes are.
    context.set_forkserver_preload(["train"])
    process = context.Process(target=_train, args=(list(arguments), death, output))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _train(arguments: list[str], death: Death | None, output: Path) -> None:
    import torch

    import train
    from utils.errors import run_program

    torch.set_num_threads(1)
    with output.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        if death is not None:
            sys.setprofile(Reaper(death))
        run_program(train.main, arguments)
