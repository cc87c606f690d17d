"""Projection of features into the space where contrastive losses compare them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import at_least_float32
from network.head.layers import initialise_head

NORM_EPSILON = 1e-7


class ProjectionHead(nn.Sequential):
    """Two 1x1 convolutions with a ReLU between them, then unit length (BlindNet, Ahn et al., CVPR 2024).

    A 1x1 convolution does not see the neighbours of a pixel. So the head takes only the pixels that a loss
    has sampled, as rows.
    """

    def __init__(self, channels: int, dimension: int = 256) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, dimension, 1)
        )
        initialise_head(self)

    def forward(self, rows: Tensor) -> Tensor:
        """N x channels -> N x dimension, each row of length 1 (a row of zeros stays 0)."""
        hidden = self[1](F.linear(rows, self[0].weight.flatten(1), self[0].bias))
        return unit_length(F.linear(hidden, self[2].weight.flatten(1), self[2].bias))


def unit_length(rows: Tensor) -> Tensor:
    """Rows divided by their Euclidean length. A row of zeros stays as it is and gets no gradient."""
    rows = at_least_float32(rows)
    length = rows.norm(dim=-1, keepdim=True)
    # If a row of zeros were divided by the small constant alone, its gradient would be 10^7 times as large.
    return rows / (length.masked_fill(length == 0, torch.inf) + NORM_EPSILON)
