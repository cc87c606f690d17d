"""A polite request to end: the notice that a cluster gives before it takes a machine away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from utils.distributed import is_distributed, is_main
from utils.progress import progress_bar

SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SIGTERM from torchrun, kill and most schedulers; SIGUSR1, which Windows has not, from SLURM's
``--signal=USR1@120``.
"""


STOPPED_FILE = "STOPPED_FILE"
"""The environment variable that names the file of :func:`leave_word`."""


class Stopped(Exception):
    """A program was asked to end where there was nothing to save; its text says so."""


@contextmanager
def stopping_at_once(while_doing: str) -> Iterator[None]:
    """In the block one of :data:`SIGNALS` raises :class:`Stopped`, with the words ``while_doing``."""
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        # The loader's processes inherit this; they end with their owner.
        if os.getpid() == owner:
            raise Stopped(f"stopped by {signal.Signals(number).name} {while_doing}")

    with handled(stop):
        yield


def leave_word() -> None:
    """Make the file that :data:`STOPPED_FILE` names, if it does: all processes agreed to stop, and saved.

    By its exit code a job's script cannot tell that from a failure: torchrun ends with 1 if it gets SIGTERM.
    """
    file = os.environ.get(STOPPED_FILE)
    if file and is_main():
        try:
            Path(file).touch()
        except OSError as error:  # The run is saved: that is no failure.
            progress_bar.write(f"warning: {STOPPED_FILE} {file}: cannot be written ({error.strerror})")


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have ``handler`` called for the block's :data:`SIGNALS`, if this is the thread that gets them."""
    # Python hands signals to its main thread alone.
    listens = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number in SIGNALS if listens}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


class StopRequest:
    """Whether any process of the run was asked to end, by one of :data:`SIGNALS`.

    A process that would stop by itself would leave the others waiting for it, so they agree: after every
    step each tells the others whether it was asked, in one byte between the CPUs that travels during the next
    step. So all stop after the same step, the first or second after the request. The GPUs are not waited for.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._handling = handled(self._received)
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[dist.Work, torch.Tensor] | None = None

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)

    def agreed(self) -> bool:
        """Whether to stop now. Every process calls it after every step, and gets the same answer."""
        if self._group is None:
            return self.signal is not None
        stop = self._finish()
        if not stop:
            asked = torch.tensor([self.signal is not None], dtype=torch.uint8)
            work = dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group, async_op=True)
            self._pending = (work, asked)
        return stop

    def agreed_at_once(self) -> bool:
        """Whether to stop, with what came since the last step. Every process waits here for the others."""
        return self.agreed() or self._finish()

    def _finish(self) -> bool:
        """The answer to the last question, if one is on its way."""
        if self._pending is None:
            return False
        work, asked = self._pending
        work.wait()
        self._pending = None
        return bool(asked.item())

    @property
    def reason(self) -> str:
        """Who asked, for people."""
        return self.signal.name if self.signal else "a signal to another process"

    def __enter__(self) -> StopRequest:
        self._handling.__enter__()
        # After that: it takes the processes a moment, in which a signal may come.
        self._group = dist.new_group(backend="gloo") if is_distributed() else None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the signals do what they did before. After an error the other processes may be gone: only
        without one is the last answer waited for.
        """
        if kind is None:
            self._finish()
        self._handling.__exit__(None, None, None)
