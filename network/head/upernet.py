"""UPerNet (Xiao et al., ECCV 2018): a feature pyramid with pyramid pooling on its last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import (
    check_image_pooling,
    conv_norm_relu,
    initialise_head,
    resize_between_centres,
    scores_between_centres,
)

CHANNELS = 512
POOLED_SIDES = (1, 2, 3, 6)
STAGES = ("layer1", "layer2", "layer3", "layer4")


class PyramidPooling(nn.Module):
    """layer4 pooled to grids of 1, 2, 3 and 6 cells a side, beside itself (PSPNet): -> B x 512 x H x W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv_norm_relu(channels, CHANNELS) for _ in POOLED_SIDES)
        self.projection = conv_norm_relu(channels + len(POOLED_SIDES) * CHANNELS, CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        check_image_pooling(self.branches[0][1], x)
        size, maps = (x.shape[-2], x.shape[-1]), [x]
        for side, branch in zip(POOLED_SIDES, self.branches, strict=True):
            maps.append(resize_between_centres(branch(pooled(x, side)), size))
        return self.projection(torch.cat(maps, dim=1))


class UPerNet(nn.Module):
    """Pooled layer4 is added to layer3, layer2 and layer1 in turn, and all are fused at layer1's size."""

    auxiliary_weight = 0.4
    learning_rate_factor = 1.0
    smallest_batch = 2
    has_auxiliary = True

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.pooling = PyramidPooling(backbone.channels["layer4"])
        self.lateral = nn.ModuleList(
            conv_norm_relu(backbone.channels[stage], CHANNELS) for stage in STAGES[:-1]
        )
        self.refinement = nn.ModuleList(conv_norm_relu(CHANNELS, CHANNELS, 3) for _ in STAGES[:-1])
        self.decoder = nn.Sequential(*conv_norm_relu(len(STAGES) * CHANNELS, CHANNELS, 3), nn.Dropout2d(0.1))
        self.classifier = nn.Conv2d(CHANNELS, num_classes, 1)
        self.embedding_channels = {"decoder": CHANNELS}
        initialise_head(self)

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``, and taps on layer1's grid; ``decoder_logits`` are those before resizing."""
        maps = [layer(features[stage]) for layer, stage in zip(self.lateral, STAGES, strict=False)]
        maps.append(self.pooling(features["layer4"]))
        for finer in range(len(maps) - 2, -1, -1):
            maps[finer] = maps[finer] + resize_between_centres(maps[finer + 1], _size(maps[finer]))
        refined = [layer(x) for layer, x in zip(self.refinement, maps, strict=False)]
        fine = _size(refined[0])
        fused = torch.cat([resize_between_centres(x, fine) for x in (*refined, maps[-1])], dim=1)
        decoded = self.decoder(fused)
        logits = self.classifier(decoded)
        return scores_between_centres(logits, size), {"decoder": decoded, "decoder_logits": logits}


def pooled(x: Tensor, side: int) -> Tensor:
    """What ``adaptive_avg_pool2d(x, side)`` gives, as products whose gradient is deterministic on GPUs."""
    return _shares(x.shape[-2], side, x) @ x @ _shares(x.shape[-1], side, x).t()


def _shares(length: int, cells: int, like: Tensor) -> Tensor:
    """Cells x ``length``: how much of the mean of each cell a row or column is."""
    cell = torch.arange(cells, device=like.device)[:, None]
    first, end = cell * length // cells, -(-(cell + 1) * length // cells)
    place = torch.arange(length, device=like.device)
    inside = (place >= first) & (place < end)
    return (inside / (end - first)).to(like.dtype)


def _size(x: Tensor) -> tuple[int, int]:
    return (x.shape[-2], x.shape[-1])
