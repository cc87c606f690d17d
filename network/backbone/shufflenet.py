"""ShuffleNetV2 (Ma et al., ECCV 2018): torchvision's modules, with sites and dilation."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn

from network.backbone.base import Backbone, last_norm
from network.sites import STAGES

LIBRARY_NAMES = {  # Our prefix of an entry -> torchvision's.
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

    def __init__(self, name: str) -> None:
        super().__init__(name)
        network = torchvision.models.get_model(name, weights=None)
        self.stem = nn.Sequential(network.conv1, network.maxpool)
        self.layer1, self.layer2, self.layer3 = network.stage2, network.stage3, network.stage4
        self.layer4 = network.conv5
        # A block joins two branches with as many channels each.
        for stage, branches in zip(STAGES, (1, 2, 2, 2, 1), strict=True):
            self.channels[stage] = branches * last_norm(getattr(self, stage)).num_features

    def place_site(self, site: int, layer: nn.Module) -> None:
        super().place_site(site, layer)
        if site in (2, 6):
            replaced = self.stem[0] if site == 2 else self.layer4
            replaced[1] = nn.Identity()

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
        return super().run_stage(stage, x, features)

    def _convolve(self, site: int, parts: nn.Sequential, x: Tensor, features: dict[str, Tensor]) -> Tensor:
        convolution, norm, _ = parts
        return self.activate_site(site, norm(convolution(x)), features)
