"""The head of the auxiliary loss (deep supervision; PSPNet, Zhao et al., CVPR 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.initialisation import initialise_head


class AuxiliaryHead(nn.Sequential):
    """layer3 B x channels x h x w -> logits B x ``num_classes`` x h x w, not resized to the picture."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(backbone.channels["layer3"], 512, 3, padding=1),
            nn.BatchNorm2d(512),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(512, num_classes, 1),
        )
        initialise_head(self)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return super().forward(x)
