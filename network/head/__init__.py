"""Heads: from a backbone's features to logits.

A builder takes (backbone, num_classes). A head's ``forward(features, size)`` takes the backbone's features by
name and the pictures' (height, width), and returns the logits B x classes x height x width and a dict of
features of its own, its taps: among them ``decoder_logits``, the logits at the head's own resolution, and
those named in its ``embedding_channels``, tap -> channels, which a contrastive method may project.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from network.head.aggregation import AggregationHead
from network.head.deeplabv3plus import DeepLabV3Plus

HEADS: dict[str, Callable[..., nn.Module]] = {
    "aggregation": AggregationHead,
    "deeplabv3plus": DeepLabV3Plus,
}
