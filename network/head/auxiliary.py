"""The head of the auxiliary loss (deep supervision; PSPNet, Zhao et al., CVPR 2017)."""

from __future__ import annotations

from torch import nn

from network.initialisation import initialise_head


def auxiliary_head(channels: int, num_classes: int) -> nn.Sequential:
    """layer3, B x ``channels`` x H x W -> logits B x ``num_classes`` x H x W, not resized to the picture."""
    head = nn.Sequential(
        nn.Conv2d(channels, 512, 3, padding=1),
        nn.BatchNorm2d(512),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.1),
        nn.Conv2d(512, num_classes, 1),
    )
    initialise_head(head)
    return head
