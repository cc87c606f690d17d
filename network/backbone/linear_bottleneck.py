"""Networks of inverted residual blocks with linear bottlenecks: MobileNetV2 and MNASNet from torchvision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.sequential import SequentialBackbone

SITE_OF_STAGE = {"stem": 2, "layer1": 3, "layer2": 4, "layer3": 5}

# Where each stage starts in torchvision's list of modules, and the end of the last stage.
MOBILENET_V2_STARTS = (0, 2, 7, 11, 18, 19)
MNASNET_STARTS = (0, 8, 10, 12, 14, 17)


class LinearBottleneckBackbone(SequentialBackbone):
    """Stages of inverted residual blocks; layer4 is a 1x1 convolution, a BatchNorm and an activation.

    Sites 2..5 are at the end of their stage, after the linear projection and residual sum of the last block.
    No activation follows there. Site 6 is in layer4, between BatchNorm and activation.
    """

    native_strides = {"stem": 2, "layer1": 8, "layer2": 16, "layer3": 32, "layer4": 32}

    def __init__(
        self,
        name: str,
        modules: nn.Sequential,
        torchvision_prefix: str,
        starts: Sequence[int],
        activation: Callable[..., Tensor],
        output_stride: int,
        wt_layer: Sequence[int],
        partial_dilation: bool,
    ) -> None:
        super().__init__(name, modules, torchvision_prefix, starts)
        self.activation = activation
        self.limit_stride(output_stride, partial_dilation)
        sites = {site: self.channels[stage] for stage, site in SITE_OF_STAGE.items()}
        self.add_sites(wt_layer, sites | {6: self.channels["layer4"]})

    def blocks(self, stage: str) -> list[nn.Module]:
        # An nn.Sequential inside a stage is a stack of blocks or, in layer4, holds its three parts.
        parts = getattr(self, stage)
        return [block for part in parts for block in (part if isinstance(part, nn.Sequential) else [part])]

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if stage != "layer4":
            return self.apply_site(SITE_OF_STAGE[stage], getattr(self, stage)(x), features)
        convolution, norm, _ = self.blocks("layer4")
        x = self.apply_site(6, norm(convolution(x)), features)
        return self.activation(x, inplace=not self.is_whitened(6))


def build_mobilenet_v2(
    name: str, output_stride: int, wt_layer: Sequence[int], partial_dilation: bool
) -> LinearBottleneckBackbone:
    """MobileNetV2 of width 1.0 (Sandler et al., CVPR 2018)."""
    modules = torchvision.models.mobilenet_v2(weights=None).features
    return LinearBottleneckBackbone(
        name, modules, "features", MOBILENET_V2_STARTS, F.relu6, output_stride, wt_layer, partial_dilation
    )


def build_mnasnet(
    name: str, output_stride: int, wt_layer: Sequence[int], partial_dilation: bool
) -> LinearBottleneckBackbone:
    """The MNASNet with this torchvision name (Tan et al., CVPR 2019)."""
    modules = torchvision.models.get_model(name, weights=None).layers
    return LinearBottleneckBackbone(
        name, modules, "layers", MNASNET_STARTS, F.relu, output_stride, wt_layer, partial_dilation
    )
