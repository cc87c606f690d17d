"""Many tensors as one: an exchange between processes, or a kernel of a GPU, takes long to begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


def by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """``tensors`` in groups of one dtype, in order."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """All values of tensors of one dtype in one tensor of one dimension."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def put_back(values: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy ``values``, in the order of :func:`joined`, into ``tensors``."""
    parts = values.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(own) for part, own in zip(parts, tensors, strict=True)])


def change_together(tensors: Iterable[Tensor], change: Callable[[Tensor], Tensor]) -> None:
    """Replace ``tensors``, in place, by what ``change`` makes of those of each dtype joined."""
    for group in by_dtype(tensors):
        put_back(change(joined(group)), group)
