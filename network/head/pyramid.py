"""Heads that need maps of four strides, on a plain transformer, whose maps have one."""

from __future__ import annotations

from copy import copy

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import resize_between_centres

FACTORS = {"layer1": 4.0, "layer2": 2.0, "layer3": 1.0, "layer4": 0.5}
"""Tap -> how many times as large the head sees it: strides 4, 8, 16, 32 for a patch of 16, as in Rein."""


def resized(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """The taps of a plain transformer at the sizes of a CNN's, resized bilinearly between pixel centres."""
    sizes = {
        tap: tuple(max(1, round(side * factor)) for side in features[tap].shape[-2:])
        for tap, factor in FACTORS.items()
    }
    return {**features, **{tap: resize_between_centres(features[tap], size) for tap, size in sizes.items()}}


class OnPyramid(nn.Module):
    """A head that sees the taps of a plain transformer :func:`resized`; it has that head's attributes."""

    def __init__(self, head: type[nn.Module], backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        # The head asks a backbone only for channels and strides.
        seen = copy(backbone)
        seen.strides = {tap: int(backbone.strides[tap] / factor) for tap, factor in FACTORS.items()}
        self.head = head(seen, num_classes)
        self.embedding_channels: dict[str, int] = self.head.embedding_channels
        self.auxiliary_weight: float = self.head.auxiliary_weight
        self.learning_rate_factor: float = self.head.learning_rate_factor
        self.smallest_batch: int = self.head.smallest_batch

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.head(resized(features), size)
