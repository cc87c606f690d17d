"""The linear head: one 1x1 convolution of the concatenated taps."""

from __future__ import annotations

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import concatenated_taps, scores_between_centres
from network.sites import STAGES


class LinearHead(nn.Module):
    """layer1..layer4, concatenated -> classes; maps of a CNN are resized to that of layer1 before.

    The weights start at N(0, 0.01), because taps of transformers have large values. An auxiliary head was not
    published with it.
    """

    auxiliary_weight = 0.4
    learning_rate_factor = 1.0
    smallest_batch = 1
    has_auxiliary = False

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        channels = sum(backbone.channels[stage] for stage in STAGES[1:])
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        self.embedding_channels = {"decoder": channels}

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``, and taps on layer1's grid; ``decoder_logits`` are those before resizing."""
        taps = concatenated_taps(features)
        logits = self.classifier(taps)
        return scores_between_centres(logits, size), {"decoder": taps, "decoder_logits": logits}
