"""Layers and functions that several heads use."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import at_least_float32


def conv_norm_relu(before: int, after: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution without bias that keeps the resolution, BatchNorm, ReLU."""
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(before, after, size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def double_convolution(before: int) -> nn.Sequential:
    """Two 3x3 convolutions to 256 channels, each with BatchNorm and ReLU."""
    return nn.Sequential(*conv_norm_relu(before, 256, 3), *conv_norm_relu(256, 256, 3))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` resized bilinearly with aligned corners, the only interpolation of maps in the family."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def resize_scores(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits resized in float32 at least: 16 bits are too coarse for the best class between two pixels."""
    return resize(at_least_float32(logits), size)
