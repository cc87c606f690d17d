"""Killing a training run, again and again, at moments of every kind.

A run is traced: every call of a function, of Python's or of C's, is a moment at which it may die, and the
innermost of the functions of :data:`FUNCTIONS` that are under way, with what it has called so far, says of
what kind it is. A run that nobody disturbs is traced first, and tells how many moments of each kind there
are. Then a process gets one death to die; it dies by SIGKILL at the moment that is due, and the next process
resumes what it left.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from train import Run

ROOT = Path(__file__).resolve().parents[2]


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


STATISTICS = "in the statistics pass"
FORWARD = "in a step, before its backward pass"
BACKWARD = "in a step, from its backward pass on"
LAST_BATCH = "in an epoch's last batch"
SERIALISED = "while a checkpoint is serialised"
WRITTEN = "while a checkpoint is written and sealed"
PUT_IN_PLACE = "while a checkpoint is put in place"
EVALUATION = "in an evaluation"
EPOCH_END = "at an epoch's end"

KINDS = (
    STATISTICS,
    PUT_IN_PLACE,
    BACKWARD,
    WRITTEN,
    EVALUATION,
    SERIALISED,
    FORWARD,
    LAST_BATCH,
    EPOCH_END,
)
"""All kinds of moments; the first ones get a death more where a number of deaths does not divide evenly."""

ONCE = (STATISTICS,)
"""Kinds of moments that a run has but once: a second one would be waited for in vain."""


class Function(NamedTuple):
    """A function with whose call moments of one kind begin, unless ``counts`` excludes the call."""

    file: str
    name: str
    counts: Callable[[FrameType], bool] = lambda frame: True


FUNCTIONS: Mapping[str, Function] = {
    FORWARD: Function("methods/engine/step.py", "__call__", lambda frame: not _in_last_batch(frame)),
    LAST_BATCH: Function("methods/engine/step.py", "__call__", _in_last_batch),
    SERIALISED: Function("utils/run/checkpoint.py", "save_checkpoint"),
    EVALUATION: Function("utils/scoring/evaluation.py", "evaluate"),
    STATISTICS: Function("methods/isw.py", "build_masks"),
    EPOCH_END: Function("train.py", "between_steps", _at_epoch_end),
}

PHASES: Mapping[tuple[str, str], str] = {
    (FORWARD, "backward"): BACKWARD,
    (SERIALISED, "write_record"): WRITTEN,
    (WRITTEN, "fsync"): PUT_IN_PLACE,
}
"""Kinds of moments that follow on those of another kind, in the same function, when that calls one of such a
name, itself or through others."""

_NAMES = frozenset(function.name for function in FUNCTIONS.values())


def kind_of(frame: FrameType) -> str | None:
    """The kind of moments that begin with this call, if it is of one of their functions."""
    code = frame.f_code
    if code.co_name not in _NAMES:
        return None
    for kind, function in FUNCTIONS.items():
        if (
            code.co_name == function.name
            and code.co_filename.endswith(function.file)
            and function.counts(frame)
        ):
            return kind
    return None


class Moments:
    """A profile function that knows of what kind the moments are; what to do with them is its subclasses'."""

    def __init__(self) -> None:
        self.under_way: list[tuple[FrameType, str]] = []

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" or event == "c_call":
            name = frame.f_code.co_name if event == "call" else getattr(argument, "__name__", "")
            if event == "call" and (kind := kind_of(frame)):
                self.under_way.append((frame, kind))
                self.begin(kind)
            elif self.under_way and (kind := PHASES.get((self.under_way[-1][1], name))):
                whole, before = self.under_way[-1]
                self.end(before, frame)
                self.under_way[-1] = (whole, kind)
                self.begin(kind)
            if self.under_way:
                self.moment(self.under_way[-1][1], name, frame)
        elif event == "return" and self.under_way and self.under_way[-1][0] is frame:
            self.end(self.under_way[-1][1], frame)
            self.under_way.pop()

    def begin(self, kind: str) -> None:
        """Moments of a kind begin."""

    def moment(self, kind: str, name: str, frame: FrameType) -> None:
        """A function ``name`` is being called; ``frame`` is its own, or that of a C function's caller."""

    def end(self, kind: str, frame: FrameType) -> None:
        """The moments of a kind that began last are over."""


class Census(Moments):
    """Counts the moments: how many there are each time that a kind begins."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: dict[str, list[int]] = defaultdict(list)

    def begin(self, kind: str) -> None:
        self.lengths[kind].append(0)

    def moment(self, kind: str, name: str, frame: FrameType) -> None:
        self.lengths[kind][-1] += 1


@dataclass(frozen=True)
class Death:
    """Die in the ``entry``-th time that moments of ``kind`` begin, after ``calls`` of them, or at their end,
    if that is earlier.
    """

    kind: str
    entry: int
    calls: int


def deaths(kinds: Sequence[str], number: int, lengths: Mapping[str, Sequence[int]], seed: str) -> list[Death]:
    """``number`` deaths, of each kind in turn, within the next two occasions.

    Each is at a random one of the moments that one of these occasions had, of those that ``lengths`` counted:
    of a kind's n deaths there is one in each n-th part of it.
    """
    rng = random.Random(seed)
    drawn: list[Death | None] = [None] * number
    for first, kind in enumerate(kinds):
        places = range(first, number, len(kinds))
        for part, place in enumerate(rng.sample(places, len(places))):
            depth = (part + rng.random()) / len(places) * rng.choice(lengths[kind])
            drawn[place] = Death(kind, 1 if kind in ONCE else rng.randint(1, 2), int(depth))
    return [death for death in drawn if death is not None]


class Reaper(Moments):
    """Kills this process when its death is due."""

    def __init__(self, death: Death) -> None:
        super().__init__()
        self.death = death
        self.entries, self.calls = death.entry, death.calls

    def begin(self, kind: str) -> None:
        self.entries -= kind == self.death.kind

    def moment(self, kind: str, name: str, frame: FrameType) -> None:
        if self.is_due(kind):
            self.calls -= 1
            if self.calls < 0:
                self.die(frame)

    def end(self, kind: str, frame: FrameType) -> None:
        if self.is_due(kind):
            self.die(frame)

    def is_due(self, kind: str) -> bool:
        """Whether now is a moment of the right kind, and not before the right one began."""
        return self.entries <= 0 and kind == self.death.kind

    def die(self, frame: FrameType) -> None:
        file, function, line = stack(frame)[0]
        os.write(2, f"killed {self.death.kind}: {file}, {function}, line {line}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def stack(frame: FrameType | None) -> list[tuple[str, str, int]]:
    """The project's functions that are under way, innermost first: file, name, line."""
    calls = []
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT) and "site-packages" not in file.parts:
            calls.append((file.relative_to(ROOT).as_posix(), frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return calls


def live(arguments: Sequence[str], death: Death | None, output: Path) -> int:
    """Train in a process of its own until it ends or ``death`` comes; its exit code, minus a signal's."""
    return in_a_process(_train, list(arguments), output, None if death is None else Reaper(death))


def live_and_count(arguments: Sequence[str], output: Path) -> tuple[int, dict[str, list[int]]]:
    """As :func:`live`, until it ends; also how many moments there were each time that a kind began."""
    counts = output.with_suffix(".json")
    code = in_a_process(_train_and_count, list(arguments), output, counts)
    return code, json.loads(counts.read_text())


def in_a_process(target: Callable[..., None], *arguments: object) -> int:
    """Call ``target`` in a process of its own; its exit code, minus a signal's."""
    context = multiprocessing.get_context("forkserver")
    # The programs are read once, by the server, whose copies the processes are.
    context.set_forkserver_preload(["train"])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def save_and_die(death: Death, *arguments: Any) -> None:
    """Call :func:`utils.run.checkpoint.save_checkpoint` until ``death`` comes."""
    from utils.run.checkpoint import save_checkpoint

    sys.setprofile(Reaper(death))
    save_checkpoint(*arguments)


def _train_and_count(arguments: list[str], output: Path, counts: Path) -> None:
    census = Census()
    try:
        _train(arguments, output, census)
    finally:
        sys.setprofile(None)
        counts.write_text(json.dumps(census.lengths))


def _train(arguments: list[str], output: Path, profile: Moments | None) -> None:
    import torch

    import train
    from utils.errors import run_program

    torch.set_num_threads(1)
    with output.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        if profile is not None:
            sys.setprofile(profile)
        run_program(train.main, arguments)
