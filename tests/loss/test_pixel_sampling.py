"""Random pixels by group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from loss.contrast import group_pixels, take_pixels

PICTURES = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def groups() -> Tensor:
    """Groups of 3 pictures; nothing is in group 2, and group 3 is in the last picture alone."""
    groups = torch.randint(0, 2, (3, 30), generator=seeded())
    groups[2, 5:9] = 3
    return groups


def test_every_pixel_is_once_in_its_group(groups: Tensor) -> None:
    grouped = group_pixels(groups, 4, seeded())
    for picture in range(3):
        for number in range(4):
            members = (groups[picture] == number).nonzero().flatten()
            assert grouped.counts[picture, number] == len(members)
            places = torch.arange(len(members)).repeat(3, 1)
            found = grouped.pixels(torch.full_like(places, number), places)[picture]
            assert torch.equal(found.sort().values, 30 * picture + members)


def test_places_beyond_a_group_are_pixels_of_the_picture_all_the_same(groups: Tensor) -> None:
    taken = group_pixels(groups, 4, seeded()).pixels(torch.full((3, 2), 3), torch.tensor([[20, 1000]] * 3))
    assert (taken // 30).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_every_member_is_as_likely_at_every_place() -> None:
    """Each of 5 members in each of 5 places: 800 +- 25 times in 4000 pictures."""
    groups = torch.tensor([0, 1, 1, 0, 1, 1, 1]).repeat(PICTURES, 1)
    places = torch.arange(5).repeat(PICTURES, 1)
    taken = group_pixels(groups, 2, seeded()).pixels(torch.ones_like(places), places) % 7
    for member in (1, 2, 4, 5, 6):
        times = (taken == member).sum(0)
        assert ((times - PICTURES / 5).abs() < 5 * 25.3).all()


def test_the_generator_decides(groups: Tensor) -> None:
    first, second, other = (group_pixels(groups, 4, seeded(seed)).order for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_taken_rows_are_those_of_the_pixels() -> None:
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    rows = take_pixels(features, torch.tensor([[0, 7, 19], [26, 26, 21]]))
    assert rows.shape == (6, 3)
    assert torch.equal(rows[1], features[0, :, 1, 2])
    assert torch.equal(rows[4], features[1, :, 1, 1])
    rows.sum().backward()
    assert features.grad[1, :, 1, 1].tolist() == [2, 2, 2]
    assert features.grad.sum() == 18
