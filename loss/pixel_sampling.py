"""Random pixels by group, for a whole batch at once: nothing here waits for the device or depends on a count.

Pixels of a batch of B maps with N pixels each are numbered from 0 to B * N - 1, picture by picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GroupedPixels(NamedTuple):
    """Every picture's pixels sorted by group, in random order within each.

    Attributes:
        order: int64 B x N, pixels of a picture (0 .. N - 1).
        starts: int64 B x groups, where each group begins in ``order``.
        counts: int64 B x groups, how many pixels it has.
    """

    order: Tensor
    starts: Tensor
    counts: Tensor

    def pixels(self, groups: Tensor, places: Tensor) -> Tensor:
        """Batch-wide numbers of the pixels at ``places`` (from 0) of ``groups``, both int64 B x anything.

        A place beyond a group's end gives some other pixel: what is taken of it has to be masked.
        """
        pictures, pixels = self.order.shape
        flat_groups = groups.reshape(pictures, -1)
        position = self.starts.gather(1, flat_groups) + places.reshape(pictures, -1)
        chosen = self.order.gather(1, position.clamp(max=pixels - 1))
        first = torch.arange(0, pictures * pixels, pixels, device=chosen.device)
        return (chosen + first[:, None]).view_as(groups)


def group_pixels(groups: Tensor, number: int, generator: torch.Generator) -> GroupedPixels:
    """Sort ``groups``, int64 B x N in [0, ``number``), in random order within each."""
    (pictures, pixels), device = groups.shape, groups.device
    # A stable sort of small whole numbers counts them: shuffling first takes less than half the time of a
    # sort by group and a random number.
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
    """Rows of a map: B x C x H x W at batch-wide ``pixels`` of any shape -> (number of pixels) x C."""
    size = features.shape[2] * features.shape[3]
    rows = features.flatten(2).transpose(1, 2)
    flat = pixels.flatten()
    return rows[flat // size, flat % size]
