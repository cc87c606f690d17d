"""Losses on the covariances of features.

Instance whitening and its choice of entries are from RobustNet (Choi et al., CVPR 2021). Covariance alignment
is from BlindNet (Ahn et al., CVPR 2024).
"""

from __future__ import annotations

import math

import kmeans1d
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from loss.precision import at_least_float32
from utils.errors import UserError

COVARIANCE_EPSILON = 1e-5


def covariance(features: Tensor) -> Tensor:
    """Covariance of the channels of every picture: B x C x H x W -> B x C x C.

    It is ``f f^T / (HW - 1) + 1e-5 I``. The features must be standardised per picture and channel already, so
    that the entries off the diagonal are correlations. It is computed in float32 also under autocast (float64
    stays), because sums over HW lose too much in 16 bits.
    """
    with torch.autocast(features.device.type, enabled=False):
        # In the order pixels x channels, features in channels-last layout need no copy.
        f = at_least_float32(features.permute(0, 2, 3, 1).flatten(1, 2))
        identity = torch.eye(f.shape[2], dtype=f.dtype, device=f.device)
        return _GramMatrix.apply(f) / max(f.shape[1] - 1, 1) + COVARIANCE_EPSILON * identity


class _GramMatrix(torch.autograd.Function):
    """``f^T f`` of B x N x C. Its gradient takes one matrix product, where autograd would compute two."""

    @staticmethod
    def forward(context: FunctionCtx, f: Tensor) -> Tensor:
        context.save_for_backward(f)
        return f.transpose(1, 2) @ f

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        (f,) = context.saved_tensors
        return f @ (gradient + gradient.transpose(1, 2))


def upper_triangle(channels: int) -> Tensor:
    """Float mask C x C with ones above the diagonal: it contains every pair of channels once."""
    return torch.ones(channels, channels).triu(diagonal=1)


def irw_margin(channels: int, relax_denom: float) -> int:
    """Margin of the relaxed loss: floor(C (C - 1) / 2 / ``relax_denom``); 0 for a ``relax_denom`` of 0."""
    return math.floor(channels * (channels - 1) / 2 / relax_denom) if relax_denom else 0


def whitening_loss(covariances: Tensor, mask: Tensor, margin: float = 0) -> Tensor:
    """max(0, sum of abs(covariance) in the mask - margin) / entries in the mask, mean over the pictures.

    ``covariances`` are B x C x C; ``mask`` is C x C, of zeros and ones. With the full upper triangle this is
    IW, or IRW with a margin (:func:`irw_margin`); with a mask of sensitive entries it is ISW. An empty mask
    costs 0.
    """
    total = (covariances.abs() * mask).sum(dim=(1, 2))
    return ((total - margin).clamp(min=0) / mask.sum().clamp(min=1)).mean()


def pair_variance(covariances: Tensor) -> Tensor:
    """Variance of every covariance entry over two views of one picture: 2 x C x C -> C x C.

    It is the unbiased variance of two values, (a - b)^2 / 2, above the diagonal and 0 elsewhere.
    """
    return ((covariances[0] - covariances[1]).square() / 2).triu(diagonal=1)


def sensitive_mask(variance: Tensor, clusters: int) -> Tensor:
    """ISW mask: the covariance entries outside the lowest of ``clusters`` clusters of ``variance``.

    The clusters are those of optimal one-dimensional k-means over all C x C entries, computed on the CPU. As
    published, the zeros on and below the diagonal take part. They pull the lowest cluster down, so that more
    entries are chosen than without them. The mask has zeros and ones; ``clusters`` is at least 2.

    Raises:
        UserError: the variances are not finite, or all of them are 0.
    """
    if not torch.isfinite(variance).all():
        raise UserError(
            "the variances of the covariances are not finite: the training has diverged; lower --lr"
        )
    values = variance.detach().cpu().double()
    if not (values > 0).any():
        raise UserError(
            f"--clusters {clusters}: no covariance entry differs between the views of a picture; "
            "check --covstat_val_dataset and that the views are jittered"
        )
    # kmeans1d copies element by element, and that is fastest from a list of floats.
    labels = kmeans1d.cluster(values.flatten().tolist(), clusters).clusters
    chosen = torch.tensor(labels).view_as(values) > 0
    # If there are fewer distinct values than clusters, equal values are spread over several clusters. Zeros
    # may then be outside the lowest cluster, so they are left out here.
    return (chosen & (values > 0)).to(variance)


def covariance_matching(key: Tensor, query: Tensor) -> Tensor:
    """Mean squared difference of the covariances of two normalised maps B x C x H x W (BlindNet's L_CM).

    The maps of the original view (key) are a constant target for those of the jittered view (query).
    """
    return (covariance(key.detach()) - covariance(query)).square().mean()


def cross_covariance(key: Tensor, query: Tensor) -> Tensor:
    """Mean of (c - 1)^2 for the covariance c of each channel between the two maps (BlindNet's L_CC)."""
    with torch.autocast(query.device.type, enabled=False):
        key, query = (at_least_float32(x).flatten(2) for x in (key.detach(), query))
        diagonal = (key * query).sum(dim=2) / max(query.shape[2] - 1, 1) + COVARIANCE_EPSILON
        return (diagonal - 1).square().mean()
