"""The ResNet of DeepLabV2 (Chen et al., TPAMI 2018), which came from Caffe."""

from __future__ import annotations

from collections.abc import Sequence

import torchvision
from torch import Tensor, nn

from network.backbone.resnet import ResNetBackbone
from network.input_spec import CAFFE, IMAGENET
from network.sites import STAGES

SUFFIX = "_caffe"
WEIGHT_DEVIATION = 0.01


class CaffeResNetBackbone(ResNetBackbone):
    """torchvision's bottleneck ResNet with Caffe's strides, padding and pictures.

    A stage's stride is on the first 1x1 convolution of its first block, not on the 3x3; max-pooling rounds
    up, so that maps may be a pixel larger; the stem's BatchNorm keeps its weight and bias, while its running
    statistics follow the data. Convolutions start at N(0, 0.01).
    """

    input_spec = CAFFE

    def __init__(
        self, name: str, output_stride: int, wt_layer: Sequence[int], partial_dilation: bool
    ) -> None:
        """``name``: that of a torchvision ResNet of bottlenecks, and ``_caffe``."""
        network = torchvision.models.get_model(name.removesuffix(SUFFIX), weights=None)
        for stage in STAGES[2:]:
            first = getattr(network, stage)[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=WEIGHT_DEVIATION)
        network.bn1.requires_grad_(False)
        super().__init__(name, network, output_stride, wt_layer, partial_dilation)
        self.library_name = name.removesuffix(SUFFIX)

    def from_library(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        stem = "conv1.weight"
        if stem not in weights:
            return weights
        return {**weights, stem: self.input_spec.convert_convolution(weights[stem], IMAGENET)}
