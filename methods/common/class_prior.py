"""The running class prior of DA-SAC over the batches of one step (Araslanov and Roth, CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from loss.self_supervision import updated_prior
from utils.distributed import all_reduce_sum


class StepPrior:
    """The class prior within a step of one or more batches.

    The published code has one batch per step. It first updates the prior with the batch, then labels the
    batch by it. Here a batch is labelled by the prior updated with all batches of the step so far. After the
    last batch the prior has moved once, by the mean over all batches.

    Args:
        before: float C, the prior at the end of the previous step.
        is_first: bool, without dimensions: whether there was no previous step.
        momentum: the share of ``before`` that stays, 0 to 1.
    """

    def __init__(self, before: Tensor, is_first: Tensor, momentum: float) -> None:
        self.before, self.is_first, self.momentum = before.clone(), is_first, momentum
        self.sums = before.new_zeros(len(before) + 1, dtype=torch.float32)

    def after(self, probability: Tensor, padding: Tensor) -> Tensor:
        """The prior, float C, after one more batch, over all processes.

        ``probability`` is G x T x C x H x W and 0 where ``padding`` (bool G x T x H x W) is true.
        """
        sums = torch.cat([probability.sum((0, 1, 3, 4)), (~padding).sum().view(1)])
        self.sums += all_reduce_sum(sums)
        share = self.sums[:-1] / self.sums[-1].clamp(min=1)
        return updated_prior(self.before, share, self.momentum, self.is_first)
