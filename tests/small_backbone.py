"""A backbone so small that tests can compile networks in a second."""

from __future__ import annotations

from torch import nn

from network.backbone.sequential import SequentialBackbone

CHANNELS = (8, 16, 16, 16, 16)


class SmallBackbone(SequentialBackbone):
    """Five strided convolutions, each with BatchNorm and ReLU; sites 2..6 are at the ends of the stages."""

    native_strides = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}

    def __init__(self, name: str) -> None:
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS), CHANNELS, strict=False):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(name, nn.Sequential(*layers), "features", range(0, len(layers) + 1, 3))
