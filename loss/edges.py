"""Edge maps of pictures as regression targets (DIIA, Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Weights of red, green and blue in grey. The published code passed RGB to a conversion that expects BGR.
LUMA = (0.299, 0.587, 0.114)
TARGETS = ("released", "gradient")


def edge_map(images: Tensor, target: str = "released") -> Tensor:
    """Sobel edges of uint8 RGB pictures, B x 3 x H x W -> float32 B x 1 x H x W in [0, 255].

    ``released`` is what the published code computes: grey with red and blue swapped, then the absolute value
    of its horizontal derivative, rounded to whole numbers. It sees only upright edges. ``gradient`` is the
    magnitude of both derivatives of grey. Both are cut at 255. Borders are mirrored (torch's ``reflect``).
    """
    weights = LUMA[::-1] if target == "released" else LUMA
    red, green, blue = images.float().split(1, dim=1)
    grey = weights[0] * red + weights[1] * green + weights[2] * blue
    padded = F.pad(grey, (1, 1, 1, 1), mode="reflect")
    across, down = derivative(padded, 3), derivative(padded, 2)
    if target == "released":
        return across.round().abs().clamp(max=255)
    return torch.hypot(across, down).clamp(max=255)


def derivative(x: Tensor, axis: int) -> Tensor:
    """Sobel derivative along ``axis`` (2 or 3): B x 1 x H x W -> B x 1 x (H - 2) x (W - 2)."""
    other = 5 - axis
    length = x.shape[other] - 2
    smooth = sum(weight * x.narrow(other, start, length) for start, weight in enumerate((1, 2, 1)))
    length = x.shape[axis] - 2
    return smooth.narrow(axis, 2, length) - smooth.narrow(axis, 0, length)
