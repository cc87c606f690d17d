"""Light heads on the concatenated taps of a transformer: one convolution, or two transposed ones.

Both are those of VFMNet, whose code calls the second one "linear", too. They also work on a CNN, whose maps
are resized to that of layer1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import resize_between_centres, scores_between_centres

TAPS = ("layer1", "layer2", "layer3", "layer4")


def concatenated(features: dict[str, Tensor]) -> Tensor:
    """The four taps of a backbone at the size of layer1, one behind the other."""
    first, *others = (features[tap] for tap in TAPS)
    size = (first.shape[-2], first.shape[-1])
    same = (
        tap if tap.shape[-2:] == first.shape[-2:] else resize_between_centres(tap, size) for tap in others
    )
    return torch.cat([first, *same], dim=1)


class LinearHead(nn.Module):
    """A 1x1 convolution of the concatenated taps."""

    auxiliary_weight = 0.0
    learning_rate_factor = 1.0
    smallest_batch = 1
    has_auxiliary = False

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        channels = sum(backbone.channels[tap] for tap in TAPS)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        self.embedding_channels = {"decoder": channels}

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``; the taps are what is classified, and the logits before resizing."""
        taps = concatenated(features)
        logits = self.classifier(taps)
        return scores_between_centres(logits, size), {"decoder": taps, "decoder_logits": logits}


class DeconvolutionHead(nn.Module):
    """The concatenated taps -> 1024 channels, twice doubled in size to 512 and 256 channels -> classes."""

    auxiliary_weight = 0.0
    learning_rate_factor = 1.0
    smallest_batch = 1
    has_auxiliary = False

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        channels = sum(backbone.channels[tap] for tap in TAPS)
        self.projection = nn.Sequential(
            nn.Conv2d(channels, 1024, 1), nn.GroupNorm(32, 1024), nn.ReLU(inplace=True)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(1024, 512, 2, stride=2),
            nn.BatchNorm2d(512),
            nn.GELU(),
            nn.ConvTranspose2d(512, 256, 2, stride=2),
            nn.GELU(),
            nn.Dropout2d(0.1),
        )
        self.classifier = nn.Conv2d(256, num_classes, 1)
        self.embedding_channels = {"decoder": 256}

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``; the taps are four times as large as layer1."""
        decoded = self.decoder(self.projection(concatenated(features)))
        logits = self.classifier(decoded)
        return scores_between_centres(logits, size), {"decoder": decoded, "decoder_logits": logits}
