"""Backbones whose torchvision model is one list of modules: MobileNetV2, MNASNet and VGG-16."""

from __future__ import annotations

from collections.abc import Sequence

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from network.backbone.base import Backbone, last_norm
from network.sites import SITE_OF_STAGE, STAGES

# Where each stage of VGG-16 starts in torchvision's list of modules, and the end. A max-pooling ends a stage.
VGG16_STARTS = (0, 7, 14, 24, 34, 44)


class SequentialBackbone(Backbone):
    """A list of torchvision's modules in five stages. A stage has the channels of its last BatchNorm."""

    def __init__(
        self, name: str, modules: nn.Sequential, torchvision_prefix: str, starts: Sequence[int]
    ) -> None:
        """``modules`` are used as they are, and their names in torchvision start with ``torchvision_prefix``.

        ``starts``: the index in ``modules`` at which each stage starts, and the end of the last stage.
        """
        super().__init__(name)
        self.torchvision_prefix = torchvision_prefix
        self.first_module = dict(zip(STAGES, starts, strict=False))
        for stage, start, end in zip(STAGES, starts, starts[1:], strict=False):
            self.add_module(stage, nn.Sequential(*modules[start:end]))
            self.channels[stage] = last_norm(getattr(self, stage)).num_features

    def imagenet_key(self, key: str) -> str:
        stage, index, rest = key.split(".", 2)
        if stage not in self.first_module:
            return key
        return f"{self.torchvision_prefix}.{self.first_module[stage] + int(index)}.{rest}"


class LinearBottleneckBackbone(SequentialBackbone):
    """Stages of inverted residual blocks; layer4 is a 1x1 convolution, a BatchNorm and an activation.

    Sites 2..5 are at the end of their stage, after the linear projection and residual sum of the last block.
    No activation follows there. Site 6 is in layer4, between BatchNorm and activation.
    """

    native_strides = {"stem": 2, "layer1": 8, "layer2": 16, "layer3": 32, "layer4": 32}

    def blocks(self, stage: str) -> list[nn.Module]:
        # An nn.Sequential inside a stage holds several blocks or, in layer4, the three parts of the stage.
        parts = getattr(self, stage)
        return [block for part in parts for block in (part if isinstance(part, nn.Sequential) else [part])]

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if stage != "layer4":
            return super().run_stage(stage, x, features)
        convolution, norm, _ = self.blocks("layer4")
        return self.activate_site(6, norm(convolution(x)), features)


class MobileNetV2Backbone(LinearBottleneckBackbone):
    """MobileNetV2 of width 1.0 (Sandler et al., CVPR 2018)."""

    activation = staticmethod(F.relu6)

    def __init__(self, name: str) -> None:
        modules = torchvision.models.mobilenet_v2(weights=None).features
        super().__init__(name, modules, "features", starts=(0, 2, 7, 11, 18, 19))


class MNASNetBackbone(LinearBottleneckBackbone):
    """The MNASNet with this torchvision name (Tan et al., CVPR 2019)."""

    def __init__(self, name: str) -> None:
        modules = torchvision.models.get_model(name, weights=None).layers
        super().__init__(name, modules, "layers", starts=(0, 8, 10, 12, 14, 17))


class VGG16Backbone(SequentialBackbone):
    """torchvision's ``vgg16_bn`` without its classifier: five stages of 3x3 convolutions and a max-pooling.

    Sites 2..6 are between the last BatchNorm and the last ReLU of their stage. With an output stride of 16 or
    8 the last one or two poolings are left out, and the convolutions after a missing pooling are dilated, as
    in DeepLabV2 (Chen et al., TPAMI 2018).
    """

    native_strides = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}

    def __init__(self, name: str) -> None:
        # Building the whole torchvision model would also initialise a classifier of 120 million weights.
        modules = make_layers(cfgs["D"], batch_norm=True)
        for module in modules:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        super().__init__(name, modules, "features", VGG16_STARTS)

    def dilate(self, stage: str, dilation: int, partial: bool) -> int:
        # The pooling ends the stage. Without it, the next stage is the first that needs more dilation.
        getattr(self, stage)[-1] = nn.Identity()
        return 2 * super().dilate(stage, dilation, partial)

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        *layers, _, pooling = getattr(self, stage)
        for layer in layers:
            x = layer(x)
        return pooling(self.activate_site(SITE_OF_STAGE[stage], x, features))
