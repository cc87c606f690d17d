"""Parts of a network that autocast must leave alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Autocast off on the device of ``x``; the meta device, where a network's cost is counted, has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
