"""Switchable whitening (Pan et al., ICCV 2019), the layer behind code 5 of a normalisation site."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from loss.precision import without_autocast
from utils.distributed import all_reduce_sum

CHANNELS_PER_GROUP = 16
EPSILON = 1e-5


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes. Its gradient is summed too: every loss depends on every part."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return all_reduce_sum(x.clone())

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return all_reduce_sum(gradient.clone(memory_format=torch.contiguous_format))


class SwitchWhitening(nn.Module):
    """Whitens groups of 16 channels with a learned mix of batch and instance statistics.

    The mean is a0 batch + a1 instance, and the covariance is b0 batch + b1 instance + 1e-5 I. (a0, a1) and
    (b0, b1) are softmax weights that start at one half. The output is covariance^(-1/2) (x - mean), with the
    root by five Newton iterations, and then an affine map per channel. Covariances are biased. In training
    the batch is that of all processes; evaluation uses running averages (momentum 0.99). The layer computes
    in the precision of its parameters.

    As in the published code of RobustNet, the running covariance starts at zero, like the mean, not at the
    identity; after some hundred steps this no longer matters. If 16 does not divide the number of channels,
    the group size is the largest power of two that does.
    """

    def __init__(self, channels: int, momentum: float = 0.99, iterations: int = 5) -> None:
        super().__init__()
        self.momentum, self.iterations = momentum, iterations
        self.size = math.gcd(channels, CHANNELS_PER_GROUP)
        groups = channels // self.size
        self.sw_mean_weight = nn.Parameter(torch.ones(2))
        self.sw_var_weight = nn.Parameter(torch.ones(2))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(groups, self.size, 1))
        self.register_buffer("running_cov", torch.zeros(groups, self.size, self.size))

    def forward(self, x: Tensor) -> Tensor:
        with without_autocast(x):
            return self._whiten(x.to(self.weight.dtype)).to(x.dtype)

    def _whiten(self, x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], -1, self.size, x.shape[2] * x.shape[3])
        mean = grouped.mean(3, keepdim=True)
        centred = grouped - mean
        covariance = centred @ centred.transpose(2, 3) / grouped.shape[3]
        if self.training:
            batch_mean, batch_covariance = self._batch_statistics(mean, covariance, grouped.shape[3])
        else:
            batch_mean, batch_covariance = self.running_mean, self.running_cov

        mean_mix, covariance_mix = F.softmax(self.sw_mean_weight, 0), F.softmax(self.sw_var_weight, 0)
        identity = torch.eye(self.size, dtype=x.dtype, device=x.device)
        mixed_mean = mean_mix[0] * batch_mean + mean_mix[1] * mean
        mixed = covariance_mix[0] * batch_covariance + covariance_mix[1] * covariance + EPSILON * identity
        whitened = inverse_root(mixed, self.iterations) @ (grouped - mixed_mean)
        return whitened.reshape(x.shape) * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)

    def _batch_statistics(self, mean: Tensor, covariance: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
        """Mean and covariance over all pictures of all processes; this also updates the running averages.

        The covariance of a union is the mean covariance of its parts plus the covariance of their means.
        """
        total = all_reduce_sum(mean.new_full((), mean.shape[0] * pixels))
        batch_mean = SumOverProcesses.apply(pixels * mean.sum(0)) / total
        offset = mean - batch_mean
        spread = pixels * (covariance + offset @ offset.transpose(2, 3)).sum(0)
        batch_covariance = SumOverProcesses.apply(spread) / total
        with torch.no_grad():
            self.running_mean.lerp_(batch_mean, 1 - self.momentum)
            self.running_cov.lerp_(batch_covariance, 1 - self.momentum)
        return batch_mean, batch_covariance


def inverse_root(covariance: Tensor, iterations: int) -> Tensor:
    """covariance^(-1/2) of positive definite matrices, ... x n x n, approximated by Newton's iteration."""
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    normalised = covariance / trace
    root = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device).expand_as(
        covariance
    )
    for _ in range(iterations):
        root = 1.5 * root - 0.5 * (root @ root @ root) @ normalised
    return root / trace.sqrt()
