"""Finds operations that would make the host wait for a device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

# The results of these operators, or the shapes of their results, depend on values that only the device has.
WAITING = set("_local_scalar_dense nonzero masked_select equal bincount lift_fresh _unique2".split())
MASKED = ("index", "index_put", "index_put_", "_index_put_impl_")
METHODS_OF_TENSORS = ("cpu", "item", "tolist", "numpy")


class NoHostWaits(TorchDispatchMode):
    """Fails on operators that read the device or, like ``torch.tensor`` of a list, copy to it and wait.

    Indexing by a mask fails, too. It works on the CPU, where nothing waits but the same operators run.
    float64 fails as well, because mps and some of Intel's GPUs do not have it.
    """

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        masks = [index for index in (args[1] if name in MASKED else ()) if is_mask(index)]
        assert name not in WAITING, f"{operator} makes the host wait"
        assert not masks, f"{operator} by a mask makes the host wait"
        assert operator is not torch.ops.aten.repeat_interleave.Tensor, "counts of repetitions are waited for"
        result = operator(*args, **(kwargs or {}))
        assert getattr(result, "dtype", None) != torch.float64, f"{operator} gives float64"
        return result


def is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make those methods of tensors fail that copy values to the host."""

    def waits(tensor: torch.Tensor, *args: Any) -> None:
        raise AssertionError("reading a tensor makes the host wait")

    for name in METHODS_OF_TENSORS:
        monkeypatch.setattr(torch.Tensor, name, waits)
