"""Instance whitening losses and their choice of covariance entries (RobustNet, Choi et al., CVPR 2021)."""

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
    """Covariance of every picture's channels: B x C x H x W -> B x C x C.

    ``f f^T / (HW - 1) + 1e-5 I`` of features that are standardised per picture and channel already, so the
    entries off the diagonal are correlations. In float32 whatever the autocast state (float64 stays), since
    sums over HW lose too much in 16 bits.
    """
    with torch.autocast(features.device.type, enabled=False):
        # Pixels by channels: no copy of features that are laid out channels last.
        f = at_least_float32(features.permute(0, 2, 3, 1).flatten(1, 2))
        identity = torch.eye(f.shape[2], dtype=f.dtype, device=f.device)
        return _GramMatrix.apply(f) / max(f.shape[1] - 1, 1) + COVARIANCE_EPSILON * identity


class _GramMatrix(torch.autograd.Function):
    """``f^T f`` of B x N x C, whose gradient takes one product: autograd's own takes two, and adds them."""

    @staticmethod
    def forward(context: FunctionCtx, f: Tensor) -> Tensor:
        context.save_for_backward(f)
        return f.transpose(1, 2) @ f

    @staticmethod
    @once_differentiable
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        (f,) = context.saved_tensors
        return f @ (gradient + gradient.transpose(1, 2))


def upper_triangle(channels: int, device: torch.device | str | None = None) -> Tensor:
    """Float mask C x C with ones above the diagonal: every pair of channels once."""
    return torch.ones(channels, channels, device=device).triu(diagonal=1)


def irw_margin(channels: int, relax_denom: float) -> int:
    """Margin of the relaxed loss: floor(C (C - 1) / 2 / ``relax_denom``), or 0 (no relaxation) for 0."""
    return math.floor(channels * (channels - 1) / 2 / relax_denom) if relax_denom else 0


def whitening_loss(covariances: Tensor, mask: Tensor, margin: float = 0) -> Tensor:
    """Mean over the pictures of max(0, sum of masked \\|covariance\\| - margin) / number of masked entries.

    With the full upper triangle this is IW (margin 0) or IRW, with a mask of sensitive entries ISW. An empty
    mask costs 0.

    Args:
        covariances: B x C x C.
        mask: C x C, zeros and ones.
        margin: see :func:`irw_margin`.
    """
    total = (covariances.abs() * mask).sum(dim=(1, 2))
    return ((total - margin).clamp(min=0) / mask.sum().clamp(min=1)).mean()


def pair_variance(covariances: Tensor) -> Tensor:
    """Variance of every covariance entry over a pair of views of one picture: 2 x C x C -> C x C.

    The unbiased variance of two values, (a - b)^2 / 2. Only above the diagonal, zero elsewhere.
    """
    first, second = covariances
    return ((first - second).square() / 2).triu(diagonal=1)


def sensitive_mask(variance: Tensor, clusters: int) -> Tensor:
    """ISW mask: the covariance entries outside the lowest of ``clusters`` clusters of ``variance``.

    Optimal one-dimensional k-means over all C x C entries, on the CPU. As published, the zeros on and below
    the diagonal take part: they pull the lowest cluster down, so that more entries are chosen than without
    them.

    Args:
        variance: C x C, non-negative, zeros on and below the diagonal.
        clusters: at least 2.

    Returns:
        Zeros and ones, like ``variance``.

    Raises:
        UserError: fewer than 2 clusters, statistics that are not finite, or no entry that varies.
    """
    if clusters < 2:
        raise UserError(
            f"--clusters {clusters}: the entries outside the lowest cluster are chosen; give 2 or more"
        )
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
    # The binding copies element by element: a list of floats is its fastest input.
    labels = kmeans1d.cluster(values.flatten().tolist(), clusters).clusters
    chosen = torch.tensor(labels).view_as(values) > 0
    # With fewer distinct values than clusters, equal values (the zeros too) are spread over several clusters.
    return (chosen & (values > 0)).to(variance)
