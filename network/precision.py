"""``without_autocast``, for parts of a network that need float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Turn autocast off on the device of ``x``. The meta device (``network.cost``) has no autocast."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
