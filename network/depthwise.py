"""Depthwise convolutions that a CPU trains in float32, where autocast would take bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthwiseInFloat32(nn.Conv2d):
    """A depthwise convolution whose training step a CPU computes in float32, with a result in bfloat16.

    Matrix units do not help here: forward and backward together take longer in bfloat16, also with the copies
    that float32 needs. The forward pass alone does not, so evaluation is left to autocast
    (docs/benchmarks.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """B x channels x H x W, as the convolution that it was."""
        if not self.training:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return self._conv_forward(x.float(), self.weight, self.bias).bfloat16()


def keep_depthwise_in_float32(module: nn.Module) -> None:
    """Make every depthwise convolution in ``module`` a :class:`DepthwiseInFloat32`, in place."""
    for layer in module.modules():
        # A subclass, such as timm's with padding like TensorFlow's, has a forward pass of its own.
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1:
            layer.__class__ = DepthwiseInFloat32
