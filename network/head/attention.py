"""The attention that joins content, layout and edges in DIIA (Liao et al., Neurocomputing 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from network.precision import without_autocast

WEIGHT_DEVIATION = 0.01


class LayoutEdgeAttention(nn.Module):
    """``gamma * attention(query=layout, key=edges, value=content) + projected content``.

    The attention has one head over all pixels. Products are not divided by the square root of their length,
    and ``gamma`` starts at zero. The attention is computed block by block, so that memory grows with the
    number of pixels and not with its square. It is computed in the precision of the parameters, also under
    autocast, because unscaled products need all their digits.
    """

    def __init__(self, content_channels: int, code_channels: int = 256, channels: int = 128) -> None:
        """``code_channels``: channels of layout and edges; ``channels``: channels of the output."""
        super().__init__()
        self.query = nn.Conv2d(code_channels, channels, 1)
        self.key = nn.Conv2d(code_channels, channels, 1)
        self.value = nn.Conv2d(content_channels, channels, 1)
        self.content = nn.Conv2d(content_channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        for convolution in (self.query, self.key, self.value, self.content):
            nn.init.normal_(convolution.weight, std=WEIGHT_DEVIATION)

    def forward(self, content: Tensor, layout: Tensor, edges: Tensor) -> Tensor:
        """B x channels x H x W from three maps with the same B, H and W."""
        projected, value = self.content(content), self.value(content)
        precision = self.gamma.dtype
        with without_autocast(content):
            query, key = self.query(layout.to(precision)), self.key(edges.to(precision))
            sequences = (pixel_sequence(x) for x in (query, key, value.to(precision)))
            attended = F.scaled_dot_product_attention(*sequences, scale=1.0)
        return self.gamma * attended.squeeze(1).transpose(1, 2).reshape(projected.shape) + projected


def pixel_sequence(x: Tensor) -> Tensor:
    """B x C x H x W -> B x 1 x HW x C, contiguous: the memory-saving attention kernels require this."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
