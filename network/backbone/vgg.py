"""VGG-16 with BatchNorm (Simonyan and Zisserman, ICLR 2015): torchvision's, with sites and dilation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from network.backbone.sequential import SequentialBackbone

SITE_OF_STAGE = {"stem": 2, "layer1": 3, "layer2": 4, "layer3": 5, "layer4": 6}
# Stage -> [start, end) in torchvision's list of modules; a max-pooling is the last of each.
VGG16_STAGES = {"stem": (0, 7), "layer1": (7, 14), "layer2": (14, 24), "layer3": (24, 34), "layer4": (34, 44)}


class VGG16Backbone(SequentialBackbone):
    """torchvision's ``vgg16_bn`` without its classifier: five stages of 3x3 convolutions, each then pooled.

    Sites 2..6 are in the last layer of their stage, between BatchNorm and ReLU, before the pooling. With an
    output stride of 16 or 8 the last one or two poolings are left out, and the convolutions after a missing
    one are dilated, as in DeepLabV2 (Chen et al., TPAMI 2018).
    """

    native_strides = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}

    def __init__(
        self, name: str, output_stride: int, wt_layer: Sequence[int], partial_dilation: bool
    ) -> None:
        # The whole library model would hold, and initialise, a classifier of 120 million weights.
        modules = make_layers(cfgs["D"], batch_norm=True)
        for module in modules:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        super().__init__(name, modules, "features", VGG16_STAGES)
        self.limit_stride(output_stride, partial_dilation)
        self.add_sites(wt_layer, {site: self.channels[stage] for stage, site in SITE_OF_STAGE.items()})

    def dilate(self, stage: str, dilation: int, partial: bool) -> int:
        # A stage ends with its pooling, so that without it the next stage is the first to need more dilation.
        getattr(self, stage)[-1] = nn.Identity()
        return 2 * super().dilate(stage, dilation, partial)

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        site = SITE_OF_STAGE[stage]
        if site not in self.sites:
            return getattr(self, stage)(x)
        *layers, _, pooling = getattr(self, stage)
        for layer in layers:
            x = layer(x)
        x = self.apply_site(site, x, features)
        return pooling(F.relu(x, inplace=not self.is_whitened(site)))
