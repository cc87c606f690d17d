"""Under autocast a loss of 16-bit maps is what it is of the same numbers in 32 bits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from loss.adaptation import (
    entropy,
    guidance,
    hard_pseudo_label,
    image_weighted_entropy,
    image_weighted_max_square,
    max_square,
)
from loss.boundary_relaxation import relaxed_cross_entropy
from loss.contrast import Confusions, class_contrast, disentanglement
from loss.entropy import dual_restitution_loss
from loss.segmentation import auxiliary_cross_entropy, cross_entropy, image_weighted_cross_entropy
from loss.self_supervision import focal_confidence_loss, pseudo_labels, refine
from loss.whitening import (
    covariance,
    covariance_matching,
    cross_covariance,
    pair_variance,
    upper_triangle,
    whitening_loss,
)

LABEL = torch.arange(2 * 12 * 10).view(2, 12, 10) // 17 % 6
PRIOR = torch.linspace(0.05, 0.3, 6)
PLACES = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.8, 0.0, 0.1], [0.0, 0.8, 0.0]]])[None]
CONFUSIONS = Confusions(
    torch.arange(12), torch.arange(2 * 6 * 5).view(2, 6, 5), torch.arange(12), torch.arange(12) > 2
)


def self_supervised(x: Tensor, y: Tensor) -> Tensor:
    labels = pseudo_labels(x.float().softmax(1), PRIOR, 0.75, 0.1)
    return focal_confidence_loss(y, labels, PRIOR, 3.0)


def fused(x: Tensor, y: Tensor, fusion: str) -> Tensor:
    return refine(x.abs()[None], PLACES, PLACES, fusion).square().mean()


def contrast(x: Tensor, y: Tensor) -> Tensor:
    query, key = (z.flatten(2).unflatten(2, (30, 4)) for z in (x, y))
    return class_contrast(query, key, torch.tensor(True), 0.5)


def confused(x: Tensor, y: Tensor) -> Tensor:
    rows, negatives = (z.flatten(1).flatten()[: 60 * 20].view(60, 20) for z in (x, y))
    return disentanglement(rows[:12], rows[12:24], negatives, CONFUSIONS, 0.5)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "whitening": lambda x, y: whitening_loss(covariance(x), upper_triangle(6), 1),
    "ISW's statistics": lambda x, y: pair_variance(covariance(x)).sum(),
    "covariance matching": covariance_matching,
    "cross-covariance": cross_covariance,
    "class contrast": contrast,
    "disentanglement": confused,
    "maximum squares": lambda x, y: max_square(x),
    "weighted squares": lambda x, y: image_weighted_max_square(x, 0.2),
    "entropy": lambda x, y: entropy(x),
    "weighted entropy": lambda x, y: image_weighted_entropy(x, 0.2),
    "pseudo labels": lambda x, y: hard_pseudo_label(x, 0.5),
    "guidance": lambda x, y: guidance(x, y[..., :6, :5], 0.3),
    "restitution": lambda x, y: dual_restitution_loss(x, y, x + y),
    "self-supervision": self_supervised,
    "fusion by mean": lambda x, y: fused(x, y, "mean"),
    "fusion by entropy": lambda x, y: fused(x, y, "min_entropy"),
    "cross entropy": lambda x, y: cross_entropy(x, LABEL),
    "auxiliary cross entropy": lambda x, y: auxiliary_cross_entropy(x[..., :6, :5], LABEL),
    "weighted cross entropy": lambda x, y: image_weighted_cross_entropy(x, LABEL),
    "relaxed cross entropy": lambda x, y: relaxed_cross_entropy(x, LABEL),
}


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_no_loss(name: str) -> None:
    x, y = torch.randn(2, 2, 6, 12, 10, generator=torch.Generator().manual_seed(0)).bfloat16()
    # Sums of 16-bit maps are rounded by whoever adds them; of powers of two they are exact.
    x, y = (torch.round(4 * z) / 4 for z in (x, y))
    expected = LOSSES[name](x.float(), y.float())
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES[name](x, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)
