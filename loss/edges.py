"""Edge maps of pictures as regression targets (DIIA, Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Grey of an RGB picture. The published code passed RGB to a conversion that expects BGR.
LUMA = (0.299, 0.587, 0.114)
SWAPPED_LUMA = LUMA[::-1]
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
TARGETS = ("released", "gradient")


def edge_map(images: Tensor, target: str = "released") -> Tensor:
    """Sobel edges of uint8 RGB pictures, B x 3 x H x W -> float32 B x 1 x H x W in [0, 255].

    Borders are mirrored without repeating the edge pixel. ``released``: as in the published code, whole
    numbers, the absolute horizontal derivative (so upright edges alone) of grey with red and blue swapped.
    ``gradient``: the magnitude of both derivatives of luma, cut at 255.
    """
    weights = SWAPPED_LUMA if target == "released" else LUMA
    red, green, blue = images.float().split(1, dim=1)
    grey = weights[0] * red + weights[1] * green + weights[2] * blue
    horizontal = torch.tensor(SOBEL, device=images.device)
    kernels = torch.stack([horizontal, horizontal.T]).unsqueeze(1)
    with torch.autocast(images.device.type, enabled=False):
        across, down = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="reflect"), kernels).split(1, dim=1)
    if target == "released":
        return across.round().abs().clamp(max=255)
    return torch.hypot(across, down).clamp(max=255)
