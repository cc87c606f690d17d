"""ShuffleNetV2 (Ma et al., ECCV 2018): torchvision's modules, with sites and dilation."""

from __future__ import annotations

from collections.abc import Sequence

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.base import Backbone

SITE_OF_STAGE = {"layer1": 3, "layer2": 4, "layer3": 5}
LIBRARY_NAMES = {
    "stem.0": "conv1",
    "layer1": "stage2",
    "layer2": "stage3",
    "layer3": "stage4",
    "layer4": "conv5",
}


class ShuffleNetV2Backbone(Backbone):
    """The ShuffleNetV2 with this torchvision name.

    Sites 2 (stem) and 6 (layer4, a 1x1 convolution) replace the BatchNorm. Sites 3..5 are at the end of their
    stage, after the channel shuffle, where no activation follows.
    """

    native_strides = {"stem": 4, "layer1": 8, "layer2": 16, "layer3": 32, "layer4": 32}

    def __init__(
        self, name: str, output_stride: int, wt_layer: Sequence[int], partial_dilation: bool
    ) -> None:
        super().__init__(name)
        network = torchvision.models.get_model(name, weights=None)
        self.stem = nn.Sequential(network.conv1, network.maxpool)
        self.layer1, self.layer2, self.layer3 = network.stage2, network.stage3, network.stage4
        self.layer4 = network.conv5
        self.channels = {"stem": network.conv1[0].out_channels}
        for stage in SITE_OF_STAGE:
            # This branch gives half of the channels of a block.
            self.channels[stage] = 2 * getattr(self, stage)[-1].branch2[-2].num_features
        self.channels["layer4"] = network.conv5[0].out_channels
        self.limit_stride(output_stride, partial_dilation)
        sites = {2: self.channels["stem"]} | {s: self.channels[stage] for stage, s in SITE_OF_STAGE.items()}
        self.add_sites(wt_layer, sites | {6: self.channels["layer4"]})

    def place_site(self, site: int, layer: nn.Module) -> None:
        super().place_site(site, layer)
        if site in (2, 6):
            (self.stem[0] if site == 2 else self.layer4)[1] = nn.Identity()

    def imagenet_key(self, key: str) -> str:
        for ours, theirs in LIBRARY_NAMES.items():
            if key.startswith(f"{ours}."):
                return theirs + key.removeprefix(ours)
        return key

    def run_stage(self, stage: str, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        if stage == "stem":
            return self.stem[1](self._convolve(2, self.stem[0], x, features))
        if stage == "layer4":
            return self._convolve(6, self.layer4, x, features)
        return self.apply_site(SITE_OF_STAGE[stage], getattr(self, stage)(x), features)

    def _convolve(self, site: int, parts: nn.Sequential, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        convolution, norm, _ = parts
        x = self.apply_site(site, norm(convolution(x)), features)
        return F.relu(x, inplace=not self.is_whitened(site))
