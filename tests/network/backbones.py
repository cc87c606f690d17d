"""What the tests of all backbones share."""

from __future__ import annotations

import torch

from network import list_backbones
from network.backbone import create_backbone


def picture_batch(batch: int = 2, size: int = 64) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def strides_of_all() -> list[tuple[str, int]]:
    """Every backbone at every output stride it supports."""
    with torch.device("meta"):
        return [
            (name, stride) for name in list_backbones() for stride in create_backbone(name).output_strides
        ]
