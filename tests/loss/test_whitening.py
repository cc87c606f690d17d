"""Covariances, whitening losses and the choice of sensitive entries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from loss.whitening import (
    covariance,
    irw_margin,
    pair_variance,
    sensitive_mask,
    upper_triangle,
    whitening_loss,
)
from utils.errors import UserError


def test_covariance_of_standardised_features_is_the_correlation():
    features = F.instance_norm(torch.randn(2, 5, 7, 9, dtype=torch.float64))
    result = covariance(features)
    for picture in range(2):
        expected = np.corrcoef(features[picture].flatten(1).numpy())
        mask = ~np.eye(5, dtype=bool)
        np.testing.assert_allclose(result[picture].numpy()[mask] * 62 / 63, expected[mask], atol=1e-4)


def test_covariance_stays_in_float32_under_autocast():
    features = torch.randn(1, 4, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = covariance(features)
        from_half = covariance(features.bfloat16())
    assert result.dtype == from_half.dtype == torch.float32
    torch.testing.assert_close(result, covariance(features), rtol=0, atol=0)


def test_upper_triangle_counts_every_pair_once():
    assert upper_triangle(64).sum() == 2016
    assert upper_triangle(4).tril().sum() == 0


@pytest.mark.parametrize(
    "relax_denom, margins",
    [(0, [0, 0, 0]), (64, [31, 510, 2044]), (32, [63, 1020, 4088]), (0.5, [4032, 65280, 261632])],
)
def test_published_margins(relax_denom: float, margins: list[int]):
    assert [irw_margin(channels, relax_denom) for channels in (64, 256, 512)] == margins


def test_loss_by_hand():
    covariances = torch.tensor(
        [[[9.0, -0.5, 0.25], [7, 9, 0.75], [7, 7, 9]], [[9.0, 0.1, 0.1], [0, 9, 0.1], [0, 0, 9]]]
    )
    mask = upper_triangle(3)
    assert whitening_loss(covariances, mask).item() == pytest.approx((1.5 / 3 + 0.3 / 3) / 2)
    assert whitening_loss(covariances, mask, margin=1).item() == pytest.approx((0.5 / 3 + 0) / 2)
    one = torch.zeros(3, 3)
    one[0, 1] = 1
    assert whitening_loss(covariances, one).item() == pytest.approx((0.5 + 0.1) / 2)
    assert whitening_loss(covariances, torch.zeros(3, 3)).item() == 0


@pytest.mark.parametrize("margin", [0, 0.5])
def test_gradient_against_finite_differences(margin: float):
    mask = upper_triangle(4).double()
    mask[0, 3] = 0

    def loss(x: torch.Tensor) -> torch.Tensor:
        return whitening_loss(covariance(F.instance_norm(x)), mask, margin)

    x = torch.randn(
        2, 4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True
    )
    assert torch.autograd.gradcheck(loss, (x,))


def test_pair_variance_is_the_unbiased_variance_above_the_diagonal():
    pair = torch.randn(2, 6, 6)
    expected = torch.var(pair, dim=0, unbiased=True).triu(1)
    torch.testing.assert_close(pair_variance(pair), expected)


def test_entries_outside_the_lowest_cluster_are_chosen():
    variance = torch.zeros(4, 4)
    variance[0, 1:] = torch.tensor([0.001, 0.5, 0.9])
    variance[1, 2:] = torch.tensor([0.52, 0.002])
    variance[2, 3] = 0.88
    mask = sensitive_mask(variance, clusters=3)
    assert mask.dtype == variance.dtype
    assert torch.equal(mask, (variance > 0.1).float())


def test_zeros_take_part_in_the_clustering():
    """The published choice: without the structural zeros 0.3 would be the lower of two clusters."""
    variance = torch.tensor([[0, 0.3, 0.5], [0, 0, 0.52], [0, 0, 0]])
    assert sensitive_mask(variance, clusters=2).sum() == 3


def test_more_clusters_than_values_never_choose_a_zero():
    variance = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert torch.equal(sensitive_mask(variance, clusters=4), variance)


@pytest.mark.reliability("Training: an ISW mask that would be empty is refused")
@pytest.mark.parametrize(
    "variance, clusters, words",
    [
        (torch.zeros(2, 2), 3, "no covariance entry differs"),
        (torch.full((2, 2), float("nan")), 3, "not finite"),
    ],
)
def test_impossible_choices_are_refused(variance: torch.Tensor, clusters: int, words: str):
    with pytest.raises(UserError, match=words):
        sensitive_mask(variance, clusters)
