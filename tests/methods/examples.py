"""Batches that the tests of the methods share."""

from __future__ import annotations

import torch


def batch(size: int = 32) -> dict[str, torch.Tensor]:
    """Two random pictures in every view, with labels of a few large areas."""
    rng = torch.Generator().manual_seed(2)

    def picture() -> torch.Tensor:
        return torch.randint(0, 256, (2, 3, size, size), generator=rng).to(torch.uint8)

    label = torch.zeros(2, size, size, dtype=torch.int64)
    label[:, size // 2 :] = 8
    label[1, :, : size // 4] = 255
    return {
        "image": picture(),
        "image_jittered": picture(),
        "image_plain": picture(),
        "label": label,
    }
