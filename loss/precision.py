"""``at_least_float32``, for losses and for resized scores."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` as float32, or unchanged if it is float64: sums over pixels lose too much in 16 bits."""
    return x if x.dtype == torch.float64 else x.float()
