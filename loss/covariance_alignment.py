"""Covariance alignment of two views (CA; BlindNet, Ahn et al., CVPR 2024).

Both losses compare the normalised maps of one site. The maps of the original view (key) are a constant target
for the maps of the jittered view (query).
"""

from __future__ import annotations

import torch
from torch import Tensor

from loss.precision import at_least_float32
from loss.whitening import COVARIANCE_EPSILON, covariance


def covariance_matching(key: Tensor, query: Tensor) -> Tensor:
    """Mean squared difference of the covariances of two maps B x C x H x W (the paper's L_CM)."""
    return (covariance(key.detach()) - covariance(query)).square().mean()


def cross_covariance(key: Tensor, query: Tensor) -> Tensor:
    """Mean of (c - 1)^2 for the covariance c of each channel between two maps B x C x H x W (L_CC)."""
    with torch.autocast(query.device.type, enabled=False):
        key, query = (at_least_float32(x).flatten(2) for x in (key.detach(), query))
        diagonal = (key * query).sum(dim=2) / max(query.shape[2] - 1, 1) + COVARIANCE_EPSILON
        return (diagonal - 1).square().mean()
