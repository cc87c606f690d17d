"""Killing a training run, again and again, at moments of every kind.

A run is traced: every call of a Python function is a moment at which it may die, and the functions that are
under way say of what kind it is. A process gets a list of deaths still to die; it dies by SIGKILL at the
first moment of that kind that is due, and the next process resumes what it left.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

KINDS: Mapping[str, tuple[str, str]] = {
    "step": ("methods/step.py", "_optimise"),
    "checkpoint": ("utils/checkpoint.py", "save_checkpoint"),
    "evaluation": ("utils/evaluation.py", "evaluate"),
    "statistics": ("methods/isw.py", "build_masks"),
    "epoch end": ("train.py", "between_steps"),
}
"""Kind of moment -> file and function that is under way; of several the innermost counts."""

ONCE = ("statistics",)
"""Kinds of moments that a run has but once: a second one would be waited for in vain."""


@dataclass(frozen=True)
class Death:
    """Die in the ``entry``-th time that a moment of ``kind`` begins, ``calls`` function calls later (or when
    it ends, if that is earlier).
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


class Reaper:
    """A profile function that kills this process when its death is due."""

    def __init__(self, death: Death) -> None:
        self.file, self.function = KINDS[death.kind]
        self.entries, self.calls = death.entry, death.calls
        self.inside = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        meant = code.co_name == self.function and code.co_filename.endswith(self.file)
        if meant and event == "call":
            self.entries -= 1
            self.inside = self.entries <= 0
        elif meant and event == "return" and self.inside:
            self.die()
        if self.inside and event == "call":
            self.calls -= 1
            if self.calls < 0:
                self.die()

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
