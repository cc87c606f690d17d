"""The ResNet of DeepLabV2 (Chen et al., TPAMI 2018), which came from Caffe."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn

from network.backbone.resnet import ResNetBackbone
from network.input_spec import CAFFE, InputSpec
from network.sites import STAGES

# Example: resnet101_caffe_rgb = torchvision's name + this + a variant's suffix.
INFIX = "_caffe"
# Before every name in files that descend from the weights converted from Caffe.
ENTRY_PREFIX = "Scale."
WEIGHT_DEVIATION = 0.01


class CaffeResNetBackbone(ResNetBackbone):
    """torchvision's bottleneck ResNet with Caffe's strides and padding, and by default with Caffe's input.

    The stride of a stage is on the first 1x1 convolution of its first block, not on the 3x3 convolution.
    Max-pooling rounds up, so that maps may be one pixel larger. Convolutions start at N(0, 0.01).
    """

    def __init__(self, name: str, input_spec: InputSpec = CAFFE, trained_stem_norm: bool = False) -> None:
        """The defaults are AdaptSegNet's (Tsai et al., CVPR 2018).

        Args:
            name: torchvision's name of a ResNet with bottlenecks, then ``_caffe``, then the variant's suffix.
            input_spec: the input that it expects.
            trained_stem_norm: whether the weight and bias of the stem's BatchNorm are trained. Its running
                statistics are updated in any case.
        """
        torchvision_name = name.partition(INFIX)[0]
        network = torchvision.models.get_model(torchvision_name, weights=None)
        for stage in STAGES[2:]:
            first = getattr(network, stage)[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=WEIGHT_DEVIATION)
        network.bn1.requires_grad_(trained_stem_norm)
        super().__init__(name, network)
        self.torchvision_name = torchvision_name
        self.input_spec = input_spec

    def fit_to_input(self, weights: dict[str, Tensor], made_for: InputSpec) -> dict[str, Tensor]:
        stem = "conv1.weight"
        if stem not in weights or made_for == self.input_spec:
            return weights
        return {**weights, stem: self.input_spec.convert_convolution(weights[stem], made_for)}
