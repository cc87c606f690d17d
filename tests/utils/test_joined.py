"""Many tensors changed as one."""

from __future__ import annotations

import torch

from utils.joined import change_together


def test_each_dtype_is_changed_at_once_in_place() -> None:
    rng = torch.Generator().manual_seed(0)
    floats = [
        torch.rand(2, 3, 4, 5, generator=rng).to(memory_format=torch.channels_last),
        torch.rand((), generator=rng),
        torch.rand(3, 2, generator=rng).t(),
        torch.empty(0),
    ]
    others = [torch.tensor(-1), torch.tensor([True, False])]
    wanted = [3 * tensor for tensor in floats]
    sizes = []

    def change(values: torch.Tensor) -> torch.Tensor:
        sizes.append((values.dtype, tuple(values.shape)))
        return values.logical_not() if values.dtype == torch.bool else 3 * values

    change_together(iter([floats[0], *others, *floats[1:]]), change)
    assert sizes == [(torch.float32, (127,)), (torch.int64, (1,)), (torch.bool, (2,))]
    assert all(torch.equal(own, value) for own, value in zip(floats, wanted, strict=True))
    assert floats[0].is_contiguous(memory_format=torch.channels_last)
    assert (others[0].item(), others[1].tolist()) == (-3, [False, True])


def test_nothing_is_no_exchange() -> None:
    change_together([], lambda values: 1 / 0)
