"""Initial values of heads."""

from __future__ import annotations

from torch import nn


def initialise_head(module: nn.Module) -> None:
    """Kaiming-normal convolutions (fan in, ReLU; He et al., ICCV 2015), zero biases, BatchNorm weights 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
