"""One process or many: set-up from the environment, and the few collective operations we need.

Every function does the obvious thing in a single process, so callers never ask which case they are in.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

from utils.device import NUMBERED, select_device
from utils.errors import UserError
from utils.joined import change_together

TIMEOUT = datetime.timedelta(minutes=30)

T = TypeVar("T")


def is_distributed() -> bool:
    """Whether this process belongs to an initialised process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number among all processes of the run, from 0."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if is_distributed() else 1


def is_main() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def setup(device_word: str = "auto", local_rank: int | None = None) -> torch.device:
    """Join the process group that ``torchrun`` (or the older launcher) describes, if there are several
    processes, and return this process's device, of the kind that ``--device`` says.

    ``local_rank`` is the launcher's flag ``--local-rank``. Raises a UserError as :func:`launched`,
    :func:`select_device`, :func:`refuse_stale_stores` and :func:`process_backend` do.
    """
    processes, local = launched(local_rank or 0)
    device = select_device(device_word, local, processes)
    if processes > 1 and not is_distributed():
        refuse_stale_stores()
        backend = process_backend(device)
        device_id = device if backend == "nccl" else None
        dist.init_process_group(backend, timeout=TIMEOUT, device_id=device_id)
    return device


def process_backend(device: torch.device) -> str:
    """PyTorch's backend for tensors of this kind of device: NCCL, or gloo on CPUs and Windows (no NCCL).

    On xpu it is xccl, and gloo for tensors of the CPU. Raises a UserError if this PyTorch has no xccl.
    """
    if device.type not in NUMBERED:
        return "gloo"
    if device.type == "cuda":
        return "nccl" if dist.is_backend_available("nccl") else "gloo"
    if not dist.is_backend_available("xccl"):
        missing = "this PyTorch has no xccl for several processes"
        raise UserError(f"--device xpu: {missing}; start one, or update it")
    return "cpu:gloo,xpu:xccl"


def launched(local_rank: int = 0) -> tuple[int, int]:
    """How many processes the launcher started, and this one's number on its machine.

    These are the variables ``WORLD_SIZE`` and ``LOCAL_RANK``; without them, 1 and ``local_rank``.
    Raises a UserError if a job's script has set some of the launcher's variables, but not all.
    """
    remedy = "start with torchrun or the scripts in scripts/, or unset WORLD_SIZE, RANK and LOCAL_RANK"

    def number(name: str, default: int | None, end: float = math.inf) -> int:
        word = os.environ.get(name, default)
        if word is None:
            raise UserError(f"{name}: is not set, though WORLD_SIZE is {processes}; {remedy}")
        try:
            value = int(word)
        except ValueError:
            raise UserError(f"{name}={word}: is not a number; {remedy}") from None
        if not 0 <= value < end:
            limit = "" if end == math.inf else f", and less than {end}"
            raise UserError(f"{name}={word}: must be 0 or more{limit}; {remedy}")
        return value

    processes = number("WORLD_SIZE", 1)
    local = number("LOCAL_RANK", local_rank)
    if processes > 1:
        number("RANK", None, end=processes)
        number("MASTER_PORT", None, end=65536)
        if not os.environ.get("MASTER_ADDR"):
            raise UserError(f"MASTER_ADDR: is not set, though WORLD_SIZE is {processes}; {remedy}")
    return processes, local


def refuse_stale_stores() -> None:
    """Raise a UserError if torchrun would give restarted processes the key-value store of the dead ones.

    They would read the addresses of the dead processes there and wait for them (seen with torch 2.15; pytorch
    issue 135712). The "static" rendezvous, torchrun's default, always keeps the store when it restarts
    processes; the others keep it unless a variable forbids it.
    """
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise UserError(
            f"--max_restarts {restarts}: processes that torchrun starts again would wait for the dead ones; "
            "start with scripts/launch.sh and RESTARTS, or set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 and give "
            "torchrun --standalone, or with several machines --rdzv_backend=c10d --rdzv_endpoint=HOST:PORT"
        )


def shutdown() -> None:
    """Leave the process group, if there is one."""
    if is_distributed():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if is_distributed():
        dist.barrier()


def all_reduce_sum(tensor: torch.Tensor) -> torch.Tensor:
    """Sum ``tensor`` over all processes, in place; returns it."""
    if is_distributed():
        dist.all_reduce(tensor)
    return tensor


def broadcast(tensor: torch.Tensor) -> torch.Tensor:
    """Give every process the main process's values of ``tensor``, in place; returns it."""
    if is_distributed():
        dist.broadcast(tensor, 0)
    return tensor


def gather_objects(value: T) -> list[T]:
    """Every process's ``value``, by rank; plain values that can be pickled."""
    if not is_distributed():
        return [value]
    values: list[T] = [value] * world_size()
    dist.all_gather_object(values, value)
    return values


class Neighbours:
    """This process's group. All processes are divided, in the order of their ranks, into groups of ``size``.

    ``size`` has to divide their number, and every process has to make the same groups. ``place`` is this
    process's number in its group, from 0.
    """

    def __init__(self, size: int) -> None:
        self.size, self.place = size, rank() % size
        self._group: dist.ProcessGroup | None = None
        # PyTorch needs every process to take part in making every group, also a group of others.
        for first in range(0, world_size(), size) if size > 1 else ():
            # A new group would not take over the time-out: NCCL's own is ten minutes.
            group = dist.new_group(range(first, first + size), timeout=TIMEOUT)
            if first <= rank() < first + size:
                self._group = group

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """``tensor`` of every process of the group, by place; all of one shape. There is no gradient."""
        if self._group is None:
            return [tensor]
        tensor = tensor.contiguous()
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(gathered, tensor, group=self._group)
        return gathered


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients of ``parameters`` by their mean over all processes, in one exchange.

    Every process must have gradients for the same parameters.
    """
    if not is_distributed():
        return
    gradients = (parameter.grad for parameter in parameters if parameter.grad is not None)
    change_together(gradients, lambda flat: all_reduce_sum(flat).div_(world_size()))


def share_values(tensors: Iterable[torch.Tensor]) -> None:
    """Give every process the main process's values of ``tensors``, in place, in one exchange per dtype."""
    if is_distributed():
        change_together(tensors, broadcast)


@contextmanager
def main_process_first() -> Iterator[None]:
    """Run the block on the main process first: it may write a cache that the others then read."""
    if not is_main():
        barrier()
    try:
        yield
    finally:
        if is_main():
            barrier()
