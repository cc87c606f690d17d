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


def placement(mirrored: bool, scale: float, x: float, y: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A crop's maps, canvas <- crop and crop <- canvas, each 2 x 3 (``affine_grid``, align_corners=False).

    ``scale``: its side relative to the canvas; ``x``, ``y``: its centre, -1 to 1 across the canvas.
    """
    sign = -1.0 if mirrored else 1.0
    affine = torch.tensor([[sign / scale, 0, -sign * x / scale], [0, 1 / scale, -y / scale]])
    return affine, torch.tensor([[sign * scale, 0, x], [0, scale, y]])


def crop_batch(groups: int = 2, crops: int = 4, size: int = 32) -> dict[str, torch.Tensor]:
    """Groups of random crops; the first crop of each is the whole canvas, the second one mirrored."""
    rng = torch.Generator().manual_seed(4)
    affine, inverse = torch.empty(2, groups, crops, 2, 3)
    for group in range(groups):
        for crop in range(crops):
            scale = 1.0 if crop == 0 else 0.5 + 0.5 * float(torch.rand((), generator=rng))
            x, y = ((1 - scale) * (2 * torch.rand(2, generator=rng) - 1)).tolist()
            affine[group, crop], inverse[group, crop] = placement(crop == 1, scale, x, y)
    noisy, clean = torch.randint(0, 256, (2, groups, crops, 3, size, size), generator=rng).to(torch.uint8)
    return {
        "image": noisy,
        "image_clean": clean,
        "padding": torch.zeros(groups, crops, size, size, dtype=torch.bool),
        "affine": affine,
        "affine_inverse": inverse,
    }
