"""torchvision's VGG-16 with BatchNorm (Simonyan and Zisserman, ICLR 2015), with sites and dilation."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from network.backbone.sequential import SequentialBackbone
from network.sites import SITE_OF_STAGE

# Where each stage starts in torchvision's list of modules, and the end. A stage ends with a max-pooling.
VGG16_STARTS = (0, 7, 14, 24, 34, 44)


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
