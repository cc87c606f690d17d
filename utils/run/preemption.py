"""Requests to stop: the signals that a cluster sends before it takes a machine away."""

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

# torchrun, kill and most schedulers send SIGTERM; SLURM's --signal=USR1@120 sends SIGUSR1. Windows lacks it.
SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
STOPPED_FILE = "STOPPED_FILE"
"""The environment variable with the path of the file that :func:`mark_stopped` creates."""


class Stopped(Exception):
    """A program was asked to end when there was nothing to save. The text says so."""


@contextmanager
def stopping_at_once(while_doing: str) -> Iterator[None]:
    """In the block, each of :data:`SIGNALS` raises :class:`Stopped` with the words ``while_doing``."""
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        # The loader's processes inherit this handler, but they end together with their owner.
        if os.getpid() == owner:
            raise Stopped(f"stopped by {signal.Signals(number).name} {while_doing}")

    with handled(stop):
        yield


def mark_stopped() -> None:
    """Create the file that :data:`STOPPED_FILE` names: it tells a job's script that the run is saved.

    The exit code does not tell this apart from a failure, because torchrun ends with 1 if it gets SIGTERM.
    """
    file = os.environ.get(STOPPED_FILE)
    if file and is_main():
        try:
            Path(file).touch()
        except OSError as error:  # No failure, because the run is saved.
            progress_bar.write(f"warning: {STOPPED_FILE} {file}: cannot be written ({error.strerror})")


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call ``handler`` for each of :data:`SIGNALS` that comes in the block, if this is the main thread."""
    # Python handles signals only in its main thread.
    listens = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number in SIGNALS if listens}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


class StopRequest:
    """Whether any process of the run was asked to end by one of :data:`SIGNALS`; see :func:`stop_request`.

    If one process stopped alone, the others would wait for it for ever. So after every step each tells the
    others whether it was asked: one byte between the CPUs, sent while the next step runs. All stop after the
    same step, the first or second after the request. No GPU is waited for.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.group: dist.ProcessGroup | None = None
        self._pending: tuple[dist.Work, torch.Tensor] | None = None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The handler of a signal."""
        self.signal = signal.Signals(number)

    def agreed(self) -> bool:
        """Whether to stop now. Every process calls this after every step and gets the same answer."""
        if self.group is None:
            return self.signal is not None
        stop = self.finish()
        if not stop:
            asked = torch.tensor([self.signal is not None], dtype=torch.uint8)
            work = dist.all_reduce(asked, dist.ReduceOp.MAX, group=self.group, async_op=True)
            self._pending = (work, asked)
        return stop

    def agreed_at_once(self) -> bool:
        """As :meth:`agreed`, including signals since the last step. Every process waits for the others."""
        return self.agreed() or self.finish()

    def finish(self) -> bool:
        """Wait for the answer that is on its way, if any: whether a process was asked to stop."""
        if self._pending is None:
            return False
        work, asked = self._pending
        work.wait()
        self._pending = None
        return bool(asked.item())

    @property
    def reason(self) -> str:
        """The signal, in words for the log."""
        return self.signal.name if self.signal else "a signal to another process"


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A :class:`StopRequest` that receives the signals in the block."""
    request = StopRequest()
    # The handler is set first, because a signal may come while the processes form the group.
    with handled(request.receive):
        request.group = dist.new_group(backend="gloo") if is_distributed() else None
        yield request
        # This is not in a finally: after an error the other processes may be gone and never answer.
        request.finish()
