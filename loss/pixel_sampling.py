"""Random pixels by group, for a whole batch at once.

Nothing here waits for the device, and no shape depends on how many pixels a group has. The pixels of a batch
of B maps with N pixels each have batch-wide numbers from 0 to B * N - 1, picture by picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GroupedPixels(NamedTuple):
    """The pixels of every picture, sorted by group and in random order within a group.

    Attributes:
        order: int64 B x N, pixel numbers within the picture (0 .. N - 1).
        starts: int64 B x groups, where each group begins in ``order``.
        counts: int64 B x groups, how many pixels each group has.
    """

    order: Tensor
    starts: Tensor
    counts: Tensor

    def pixels(self, groups: Tensor, places: Tensor) -> Tensor:
        """Batch-wide numbers of the pixels at ``places`` (from 0) in ``groups``; all int64, B x any shape.

        For a place beyond the end of its group the result is some other pixel. The caller has to mask it.
        """
        pictures, pixels = self.order.shape
        flat_groups = groups.reshape(pictures, -1)
        position = self.starts.gather(1, flat_groups) + places.reshape(pictures, -1)
        chosen = self.order.gather(1, position.clamp(max=pixels - 1))
        first = torch.arange(0, pictures * pixels, pixels, device=chosen.device)
        return (chosen + first[:, None]).view_as(groups)


def group_pixels(groups: Tensor, number: int, generator: torch.Generator) -> GroupedPixels:
    """Sort pixels by ``groups``, int64 B x N in [0, ``number``), in random order within a group."""
    (pictures, pixels), device = groups.shape, groups.device
    # Shuffling and then a stable sort by group takes less than half the time of one sort by (group, random
    # number), because small whole numbers are sorted by counting them.
    shuffled = torch.randperm(groups.numel(), generator=generator, device=device)
    picture = torch.arange(pictures, device=device)[:, None]
    keys, position = (groups + number * picture).int().flatten()[shuffled].sort(stable=True)
    bounds = torch.searchsorted(keys, torch.arange(pictures * number + 1, dtype=torch.int32, device=device))
    return GroupedPixels(
        order=(shuffled[position] % pixels).view(pictures, pixels),
        starts=bounds[:-1].view(pictures, number) - pixels * picture,
        counts=bounds.diff().view(pictures, number),
    )


def take_pixels(features: Tensor, pixels: Tensor) -> Tensor:
    """Features of ``pixels`` (batch-wide numbers, any shape): B x C x H x W -> (number of pixels) x C."""
    size = features.shape[2] * features.shape[3]
    rows = features.flatten(2).transpose(1, 2)
    flat = pixels.flatten()
    return rows[flat // size, flat % size]
