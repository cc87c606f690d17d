"""ResNet, ResNeXt, Wide ResNet and Caffe's ResNet: torchvision's modules, with sites and dilation."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from network.backbone.base import Backbone, last_norm
from network.input_spec import CAFFE, InputSpec
from network.sites import SITE_OF_STAGE, STAGES

# A Caffe ResNet's name: torchvision's name, this, and a variant's suffix, as in resnet101_caffe_rgb.
CAFFE_INFIX = "_caffe"
# Before every entry's name in files that stem from the weights converted from Caffe.
CAFFE_ENTRY_PREFIX = "Scale."
CAFFE_DEVIATION = 0.01


def residual_sum(block: BasicBlock | Bottleneck, x: Tensor) -> Tensor:
    """The output of a torchvision residual block, before its last ReLU."""
    shortcut = x if block.downsample is None else block.downsample(x)
    x = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    if isinstance(block, Bottleneck):
        x = block.bn3(block.conv3(block.relu(x)))
    return x + shortcut


class ResNetBackbone(Backbone):
    """A torchvision residual network.

    A site of the stem replaces the BatchNorm after a convolution. A stem of one convolution has site 2; a
    stem of three convolutions has sites 0, 1 and 2. Sites 3..6 are in the last block of their stage, between
    the residual sum and the last ReLU.
    """

    native_strides = {"stem": 4, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
    output_strides = (4, 8, 16, 32)

    def __init__(self, name: str, network: ResNet | None = None) -> None:
        """``network``: the network whose modules are used, by default torchvision's of this name.

        If it has conv2, bn2, conv3 and bn3, these belong to a longer stem.
        """
        super().__init__(name)
        if network is None:
            network = torchvision.models.get_model(name, weights=None)
        self.first_site = 0 if hasattr(network, "conv3") else 2
        stem = [f"{kind}{number}" for number in range(1, 4 - self.first_site) for kind in ("conv", "bn")]
        for part in (*stem, "maxpool", *STAGES[1:]):
            self.add_module(part, getattr(network, part))
        for site in range(self.first_site, 3):
            self.all_site_channels[site] = getattr(self, self.stem_norm(site)).num_features
        self.channels["stem"] = self.all_site_channels[2]
        for stage in STAGES[1:]:
            self.channels[stage] = last_norm(getattr(self, stage)).num_features

    def stem_norm(self, site: int) -> str:
        """The name of the stem's norm at ``site``."""
        return f"bn{site - self.first_site + 1}"

    def place_site(self, site: int, layer: nn.Module) -> None:
        if site < 3:
            self.add_module(self.stem_norm(site), layer)
        else:
            super().place_site(site, layer)

    def is_site_key(self, key: str) -> bool:
        stem_norms = {self.stem_norm(site) for site in self.sites if site < 3}
        return super().is_site_key(key) or key.split(".")[0] in stem_norms

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if stage == "stem":
            for site in range(self.first_site, 3):
                convolution = getattr(self, f"conv{site - self.first_site + 1}")
                x = getattr(self, self.stem_norm(site))(convolution(x))
                x = F.relu(self.tap_site(site, x, features), inplace=not self.is_whitened(site))
            return self.maxpool(x)
        site = SITE_OF_STAGE[stage]
        if site not in self.sites:
            return getattr(self, stage)(x)
        *body, last = self.blocks(stage)
        for block in body:
            x = block(x)
        return self.activate_site(site, residual_sum(last, x), features)


def build_resnet101_3x3stem(name: str) -> ResNetBackbone:
    """ResNet-101 whose stem has three 3x3 convolutions (64, 64, 128 channels), not a 7x7, as in PSPNet."""
    network = torchvision.models.resnet101(weights=None)
    for number, (before, after, stride) in enumerate([(3, 64, 2), (64, 64, 1), (64, 128, 1)], start=1):
        network.add_module(f"conv{number}", nn.Conv2d(before, after, 3, stride, padding=1, bias=False))
        network.add_module(f"bn{number}", nn.BatchNorm2d(after))
    first = network.layer1[0]
    first.conv1 = nn.Conv2d(128, first.conv1.out_channels, 1, bias=False)
    first.downsample[0] = nn.Conv2d(128, first.downsample[0].out_channels, 1, bias=False)
    for conv in (network.conv1, network.conv2, network.conv3, first.conv1, first.downsample[0]):
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return ResNetBackbone(name, network)


class CaffeResNetBackbone(ResNetBackbone):
    """The ResNet of DeepLabV2 (Chen et al., TPAMI 2018): torchvision's with bottlenecks, as in Caffe.

    The stride of a stage is on the first 1x1 convolution of its first block, not on the 3x3 convolution.
    Max-pooling rounds up, so that maps may be one pixel larger. Convolutions start at N(0, 0.01). The input
    is Caffe's by default.
    """

    def __init__(self, name: str, input_spec: InputSpec = CAFFE, trained_stem_norm: bool = False) -> None:
        """The defaults are AdaptSegNet's (Tsai et al., CVPR 2018).

        ``name``: torchvision's name of a ResNet with bottlenecks, ``_caffe``, and the variant's suffix. Only
        with ``trained_stem_norm`` are the weight and bias of the stem's BatchNorm trained; its running
        statistics are updated in any case.
        """
        torchvision_name = name.partition(CAFFE_INFIX)[0]
        network = torchvision.models.get_model(torchvision_name, weights=None)
        for stage in STAGES[2:]:
            first = getattr(network, stage)[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=CAFFE_DEVIATION)
        network.bn1.requires_grad_(trained_stem_norm)
        super().__init__(name, network)
        self.torchvision_name = torchvision_name
        self.input_spec = input_spec

    def fit_to_input(self, weights: dict[str, Tensor], made_for: InputSpec) -> dict[str, Tensor]:
        stem = "conv1.weight"
        if stem not in weights or made_for == self.input_spec:
            return weights
        return {**weights, stem: self.input_spec.convert_convolution(weights[stem], made_for)}
