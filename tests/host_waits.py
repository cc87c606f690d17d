"""Finds operations that would make the host wait for a device."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils.device import moved

# The results of these operators, or the shapes of their results, depend on values that only the device has.
WAITING = set("_local_scalar_dense nonzero masked_select equal bincount lift_fresh _unique2".split())
MASKED = ("index", "index_put", "index_put_", "_index_put_impl_")
COPIES = ("_to_copy", "copy_", "_foreach_copy_")
METHODS_OF_TENSORS = ("cpu", "item", "tolist", "numpy")
CPU, META = torch.device("cpu"), torch.device("meta")


class NoHostWaits(TorchDispatchMode):
    """Fails on operators that read the device or, like ``torch.tensor`` of a list, copy to it and wait.

    Indexing by a mask fails, too. It works on the CPU, where nothing waits but the same operators run, and on
    the meta device, which stands for a GPU: what is not on ``device`` fails, because mixing devices fails on
    GPUs, and copying to them may wait. Only ``utils.device.moved`` may copy, because its copies do not wait.
    float64 fails as well, unless it is allowed, because mps and some of Intel's GPUs do not have it.
    """

    def __init__(self, device: torch.device = CPU, float64: bool = False) -> None:
        super().__init__()
        self.device, self.float64 = device, float64

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        masks = [index for index in (args[1] if name in MASKED else ()) if is_mask(index)]
        assert name not in WAITING, f"{operator} makes the host wait"
        assert not masks, f"{operator} by a mask makes the host wait"
        assert operator is not torch.ops.aten.repeat_interleave.Tensor, "counts of repetitions are waited for"
        result = operator(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        assert self.float64 or torch.float64 not in {t.dtype for t in tensors}, f"{operator} has float64"
        # A single number on the host may be combined with tensors anywhere.
        elsewhere = [t for t in tensors if t.device != self.device and (t.dim() or name in COPIES)]
        assert not elsewhere or called_by_moved(sys._getframe()), f"{operator} is not on {self.device} alone"
        return result


def is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def called_by_moved(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not moved.__code__:
        frame = frame.f_back
    return frame is not None


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make those methods of tensors fail that copy values to the host."""

    def waits(tensor: torch.Tensor, *args: Any) -> None:
        raise AssertionError("reading a tensor makes the host wait")

    for name in METHODS_OF_TENSORS:
        monkeypatch.setattr(torch.Tensor, name, waits)


def autocast_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch has no autocast there."""
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, *words, **more: autocast("cpu", *words, **more))


def allow_float64_in_scaler(waits: NoHostWaits, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's scaler of losses divides in float64; devices without it have no scaler."""
    unscale = torch.amp.GradScaler.unscale_

    def allowed(*args: Any) -> None:
        waits.float64 = True
        unscale(*args)
        waits.float64 = False

    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", allowed)
