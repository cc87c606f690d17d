"""3x3 convolutions of large dilation, which CPUs compute faster as nine products of matrices.

PyTorch's kernels for CPUs are made for neighbouring pixels. With dilations of 6 and more, the nine weights
reach pixels that are far apart, and many of them reach beyond the map: at dilation 18 on a map of 24 x 24
pixels, three quarters of the products are with the padding. Here each weight is multiplied with the pixels
that it reaches, and with no others. docs/benchmarks.md has the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_DILATION = 6
"""Below this, PyTorch's convolution is faster (measured with dilations 2 and 4)."""


class AtrousConvolution(nn.Conv2d):
    """A dilated 3x3 convolution that keeps the map's size: B x C x H x W -> B x C' x H x W."""

    def __init__(self, before: int, after: int, dilation: int, bias: bool = True) -> None:
        super().__init__(before, after, 3, padding=dilation, dilation=dilation, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        if not self.is_faster_as_products(x):
            return super().forward(x)
        result = NineProducts.apply(x, weight, self.dilation[0])
        return result if self.bias is None else result + self.bias.to(result.dtype).view(-1, 1, 1)

    def is_faster_as_products(self, x: Tensor) -> bool:
        """Whether to compute nine products; in float32 only the gradient is faster so, not the output."""
        gains = x.element_size() == 2 or torch.is_grad_enabled()
        # An exported network stays one convolution, for other programs' kernels.
        exported = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
        return x.device.type == "cpu" and self.dilation[0] >= SMALLEST_DILATION and gains and not exported


class NineProducts(torch.autograd.Function):
    """A 3x3 convolution with ``dilation`` and as much padding, of B x C x H x W with C' x C x 3 x 3.

    Sums over the nine weights are in float32 at least, so 16-bit types are rounded once, as in a convolution.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        pixels, matrices = x.permute(0, 2, 3, 1), weight.permute(2, 3, 1, 0).contiguous()
        total = pixels.new_zeros(*pixels.shape[:3], weight.shape[0], dtype=_sum_type(x.dtype))
        for row, column, here, there in _taps(pixels.shape[1], pixels.shape[2], dilation):
            total[here] += pixels[there] @ matrices[row, column]
        return total.to(x.dtype).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        pixels, gradient = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
        matrices = weight.permute(2, 3, 0, 1).contiguous()
        of_pixels = torch.zeros_like(pixels, dtype=_sum_type(x.dtype))
        of_matrices = torch.zeros_like(matrices)
        for row, column, here, there in _taps(pixels.shape[1], pixels.shape[2], ctx.dilation):
            part = gradient[here].reshape(-1, weight.shape[0])
            reached = pixels[there]
            of_pixels[there] += (part @ matrices[row, column]).view(reached.shape)
            of_matrices[row, column] = part.t() @ reached.reshape(-1, weight.shape[1])
        return of_pixels.to(x.dtype).permute(0, 3, 1, 2), of_matrices.permute(2, 3, 0, 1), None


def _sum_type(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _taps(height: int, width: int, dilation: int) -> Iterator[tuple[int, int, Any, Any]]:
    """Row and column of each weight that reaches the map; the pixels it adds to, and the pixels it reads.

    The two are indices of B x ``height`` x ``width`` x C maps.
    """
    for row in range(3):
        for column in range(3):
            down, right = (row - 1) * dilation, (column - 1) * dilation
            if abs(down) < height and abs(right) < width:
                rows = slice(max(0, -down), height - max(0, down))
                columns = slice(max(0, -right), width - max(0, right))
                here = (slice(None), rows, columns)
                moved = (
                    slice(rows.start + down, rows.stop + down),
                    slice(columns.start + right, columns.stop + right),
                )
                yield row, column, here, (slice(None), *moved)
