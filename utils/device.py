"""Which device computes, as ``--device`` says, and what each kind of device can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from utils.errors import UserError
from utils.memory import keep_freed_memory

DEVICES = ("auto", "cuda", "xpu", "mps", "cpu")
"""The words of ``--device``. PyTorch's builds for AMD's GPUs call them cuda, too."""
NUMBERED = ("cuda", "xpu")
"""The kinds of which a machine may have several: each process of a run takes one."""


def select_device(word: str = "auto", number: int = 0, processes: int = 1) -> torch.device:
    """The device of this process, number ``number`` on its machine, in a run of ``processes``.

    A cuda or xpu device becomes PyTorch's current one. Raises a UserError if there is no such device, or
    fewer of them than processes.
    """
    kind = kind_of(word, processes)
    if kind == "cpu":
        keep_freed_memory()
    if kind not in NUMBERED:
        return torch.device(kind)
    module = torch.get_device_module(kind)
    if number >= (count := module.device_count()):
        # Without the process's number, so that the line of all such processes is said once.
        few = f"more processes than GPUs, {count} visible"
        raise UserError(f"--nproc_per_node: {few}; start at most {count}")
    device = torch.device(kind, number)
    module.set_device(device)
    return device


def kind_of(word: str, processes: int = 1) -> str:
    """The kind of device that ``--device`` means. auto means the first of cuda, xpu, mps, cpu that is there.

    With several processes auto skips mps, because PyTorch cannot exchange gradients between them there.
    Raises a UserError if there is no such device, or it cannot serve several processes.
    """
    if word == "auto":
        kinds = (*NUMBERED, "mps") if processes == 1 else NUMBERED
        return next(filter(_is_there, kinds), "cpu")
    if not _is_there(word):
        raise UserError(f"--device {word}: this PyTorch sees no such device; {_likely_reason(word)}")
    if word == "mps" and processes > 1:
        raise UserError("--device mps: serves one process alone; start without torchrun, or use --device cpu")
    return word


def _is_there(kind: str) -> bool:
    modules = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
    return kind == "cpu" or modules[kind].is_available()


def _likely_reason(kind: str) -> str:
    """Why there most likely is no such device, and what to do."""
    if kind == "mps":
        if torch.backends.mps.is_built():
            return "it needs macOS 14 or newer and an Apple GPU; use --device cpu"
        return "this is not a Mac, or its PyTorch is built without MPS; use --device auto"
    built = (torch.version.cuda or torch.version.hip) if kind == "cuda" else torch.version.xpu
    if not built:
        return f"it is built without {kind}; install a build with it (pytorch.org), or use --device cpu"
    tool = "nvidia-smi" if kind == "cuda" else "xpu-smi"
    hiding = "CUDA_VISIBLE_DEVICES" if kind == "cuda" else "ZE_AFFINITY_MASK"
    return (
        f"there is no such GPU, its driver is too old for it ({tool} shows both), or {hiding} hides it; use "
        "--device cpu until then"
    )


def pins_memory(word: str) -> bool:
    """Whether copies to what ``--device`` means are faster from pinned memory."""
    return kind_of(word) in NUMBERED


def moved(tensor: torch.Tensor, device: torch.device | None) -> torch.Tensor:
    """``tensor`` on ``device``; the host does not wait for the copy.

    On mps it waits: there PyTorch may read the host's memory after its release (PyTorch issue 189690).
    """
    return tensor.to(device, non_blocking=device is None or device.type != "mps")


def to_device(
    batch: dict[str, Any], device: torch.device, copies: torch.Stream | None = None
) -> dict[str, Any]:
    """A batch with its tensors on ``device``; other values are unchanged.

    Labels travel as uint8 and become int64 on the device, so that an eighth of the bytes is copied. With
    ``copies``, a stream of the device, the tensors are copied while the device computes.
    """
    with nullcontext() if copies is None else torch.get_device_module(device).stream(copies):
        on_device = {
            name: moved(value, device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }
        if "label" in on_device:
            on_device["label"] = on_device["label"].long()
    if copies is not None:
        current = torch.get_device_module(device).current_stream(device)
        current.wait_stream(copies)
        for value in on_device.values():
            if isinstance(value, torch.Tensor):
                # Its memory must not be given to the next copy before the computation has read it.
                value.record_stream(current)
    return on_device


def memory_format(channels_last: bool | None, device: torch.device) -> torch.memory_format:
    """The layout that ``--channels_last`` asks for; without the flag, NHWC on CPUs alone.

    On mps it is always the usual one: in most versions of PyTorch the backward pass of BatchNorm fails there.
    """
    if channels_last is None:
        channels_last = device.type == "cpu"
    return torch.channels_last if channels_last and device.type != "mps" else torch.contiguous_format


@contextmanager
def many_sizes() -> Iterator[None]:
    """A block, or decorated function, whose pictures have many sizes.

    With ``torch.backends.cudnn.benchmark``, which is on in training, cuDNN would try all its algorithms for
    every new size.
    """
    searches = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = searches


def float64_device(device: torch.device) -> torch.device:
    """``device``, or the CPU where it has no float64, as mps and some of Intel's GPUs."""
    is_xpu = device.type == "xpu"
    has_float64 = torch.xpu.get_device_properties(device).has_fp64 if is_xpu else device.type != "mps"
    return device if has_float64 else torch.device("cpu")


def device_name(device: torch.device) -> str:
    """The name of the device, as messages show it."""
    if device.type in NUMBERED:
        return torch.get_device_module(device).get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"{torch.get_num_threads()} CPU threads"
