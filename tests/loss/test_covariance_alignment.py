"""Covariance matching and cross-covariance of two views."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from loss.whitening import covariance, covariance_matching, cross_covariance

LOSSES = pytest.mark.parametrize("loss", [covariance_matching, cross_covariance])
Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def published() -> tuple[Tensor, Tensor]:
    """Key and query of the published values."""
    i = torch.arange(120.0)
    waves = torch.sin(0.1 * i), torch.cos(0.07 * i**1.5)
    return tuple(F.instance_norm(wave.view(2, 4, 3, 5)) for wave in waves)


@pytest.fixture
def views() -> tuple[Tensor, Tensor]:
    maps = torch.randn(2, 2, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return tuple(F.instance_norm(view).requires_grad_() for view in maps)


def test_published_values(published: tuple[Tensor, Tensor]) -> None:
    key, query = published
    assert covariance(key)[0, 0, 0].item() == pytest.approx(1.0713317, abs=1e-6)
    assert covariance_matching(key, query).item() == pytest.approx(1.1273698, abs=1e-6)
    assert cross_covariance(key, query).item() == pytest.approx(1.1668234, abs=1e-6)
    assert cross_covariance(key, key).item() == pytest.approx(0.0050674, abs=1e-6)


def test_cross_covariance_is_the_diagonal_of_the_whole_matrix(views: tuple[Tensor, Tensor]) -> None:
    key, query = (view.flatten(2) for view in views)
    whole = key @ query.transpose(1, 2) / 23 + 1e-5 * torch.eye(5)
    expected = (whole.diagonal(dim1=1, dim2=2) - 1).square().mean()
    torch.testing.assert_close(cross_covariance(*views), expected)


@LOSSES
def test_the_key_is_detached(loss: Loss, views: tuple[Tensor, Tensor]) -> None:
    key, query = views
    loss(key, query).backward()
    assert key.grad is None
    assert query.grad.abs().sum() > 0


@LOSSES
def test_gradient_against_finite_differences(loss: Loss, views: tuple[Tensor, Tensor]) -> None:
    key, query = views
    assert torch.autograd.gradcheck(lambda q: loss(key, q), (query,))


@LOSSES
def test_half_precision_maps_are_summed_in_float32(loss: Loss) -> None:
    key, query = torch.randn(2, 1, 4, 64, 64).bfloat16()
    expected = loss(key.float(), query.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = loss(key, query)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
