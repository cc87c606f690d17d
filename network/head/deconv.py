"""The head of two transposed convolutions, VFMNet's, which its code calls linear."""

from __future__ import annotations

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import concatenated_taps, scores_between_centres
from network.sites import STAGES


class DeconvolutionHead(nn.Module):
    """layer1..layer4, concatenated -> 1024 channels -> twice doubled in size, to 512 and 256 -> classes.

    On a transformer with patches of 16 pixels the logits have stride 4. Maps of a CNN are resized to that of
    layer1 before. An auxiliary head was not published with it.
    """

    auxiliary_weight = 0.4
    learning_rate_factor = 1.0
    smallest_batch = 1
    has_auxiliary = False

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        channels = sum(backbone.channels[stage] for stage in STAGES[1:])
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
        """Logits at ``size``, and taps of four times the size of layer1; ``decoder_logits`` are those before
        resizing.
        """
        decoded = self.decoder(self.projection(concatenated_taps(features)))
        logits = self.classifier(decoded)
        return scores_between_centres(logits, size), {"decoder": decoded, "decoder_logits": logits}
