"""DeepLabV3+ (Chen et al., ECCV 2018) as in the RobustNet family."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from network.backbone.base import Backbone
from network.head.layers import (
    check_image_pooling,
    conv_norm_relu,
    double_convolution,
    initialise_head,
    resize,
    resize_scores,
)


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: B x ``channels`` x H x W -> B x 1280 x H x W.

    It concatenates image pooling, a 1x1 convolution and three 3x3 convolutions, with 256 channels each. The
    dilations are 6, 12, 18 at output stride 16, and inversely proportional to the output stride.
    """

    out_channels = 5 * 256

    def __init__(self, channels: int, output_stride: int) -> None:
        super().__init__()
        rates = [96 * step // output_stride for step in (1, 2, 3)]
        self.image_pooling = conv_norm_relu(channels, 256)
        self.branches = nn.ModuleList(
            [conv_norm_relu(channels, 256)] + [conv_norm_relu(channels, 256, 3, rate) for rate in rates]
        )

    def forward(self, x: Tensor) -> Tensor:
        check_image_pooling(self.image_pooling[1], x)
        pooled = self.image_pooling(F.adaptive_avg_pool2d(x, 1))
        size = (x.shape[-2], x.shape[-1])
        return torch.cat([resize(pooled, size), *(branch(x) for branch in self.branches)], dim=1)


class DeepLabV3Plus(nn.Module):
    """A pyramid on layer4, and a decoder that refines it with layer1 (projected to 48 channels)."""

    auxiliary_weight = 0.4
    learning_rate_factor = 1.0
    smallest_batch = 2

    def __init__(self, backbone: Backbone, num_classes: int, context_channels: int | None = None) -> None:
        """``context_channels``: channels of a map on layer4's grid that replaces layer4 in ``forward``."""
        super().__init__()
        context_channels = context_channels or backbone.channels["layer4"]
        self.aspp = AtrousPyramid(context_channels, backbone.strides["layer4"])
        self.aspp_projection = conv_norm_relu(self.aspp.out_channels, 256)
        self.low_level_projection = conv_norm_relu(backbone.channels["layer1"], 48)
        self.decoder = double_convolution(48 + 256)
        self.classifier = nn.Conv2d(256, num_classes, 1)
        self.embedding_channels = {"decoder_input": 48 + 256, "decoder": 256}
        initialise_head(self)

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``, and taps on layer1's grid; ``decoder_logits`` are those before resizing."""
        context = self.aspp_projection(self.aspp(features["layer4"]))
        fine = self.low_level_projection(features["layer1"])
        decoder_input = torch.cat([fine, resize(context, (fine.shape[-2], fine.shape[-1]))], dim=1)
        decoded = self.decoder(decoder_input)
        logits = self.classifier(decoded)
        taps = {"decoder_input": decoder_input, "decoder": decoded, "decoder_logits": logits}
        return resize_scores(logits, size), taps
