"""Networks of inverted residual blocks with linear bottlenecks: MobileNetV2 and MNASNet from torchvision."""

from __future__ import annotations

from collections.abc import Callable

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.sequential import SequentialBackbone


class LinearBottleneckBackbone(SequentialBackbone):
    """Stages of inverted residual blocks; layer4 is a 1x1 convolution, a BatchNorm and an activation.

    Sites 2..5 are at the end of their stage, after the linear projection and residual sum of the last block.
    No activation follows there. Site 6 is in layer4, between BatchNorm and activation.
    """

    native_strides = {"stem": 2, "layer1": 8, "layer2": 16, "layer3": 32, "layer4": 32}
    activation: Callable[..., Tensor]

    def blocks(self, stage: str) -> list[nn.Module]:
        # An nn.Sequential inside a stage is a stack of blocks or, in layer4, holds its three parts.
        parts = getattr(self, stage)
        return [block for part in parts for block in (part if isinstance(part, nn.Sequential) else [part])]

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if stage != "layer4":
            return super().run_stage(stage, x, features)
        convolution, norm, _ = self.blocks("layer4")
        return self.activate_site(6, norm(convolution(x)), features, self.activation)


class MobileNetV2Backbone(LinearBottleneckBackbone):
    """MobileNetV2 of width 1.0 (Sandler et al., CVPR 2018)."""

    activation = staticmethod(F.relu6)

    def __init__(self, name: str) -> None:
        modules = torchvision.models.mobilenet_v2(weights=None).features
        super().__init__(name, modules, "features", starts=(0, 2, 7, 11, 18, 19))


class MNASNetBackbone(LinearBottleneckBackbone):
    """The MNASNet with this torchvision name (Tan et al., CVPR 2019)."""

    activation = staticmethod(F.relu)

    def __init__(self, name: str) -> None:
        modules = torchvision.models.get_model(name, weights=None).layers
        super().__init__(name, modules, "layers", starts=(0, 8, 10, 12, 14, 17))
