"""Helpers that keep losses and parts of networks in float32 at least."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` as float32, or unchanged if it is float64: sums over pixels lose too much in 16 bits."""
    return x if x.dtype == torch.float64 else x.float()


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Turn autocast off on the device of ``x``. The meta device (``network.cost``) has no autocast."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
