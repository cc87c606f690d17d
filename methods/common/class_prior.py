"""The running class prior of DA-SAC over the batches of one step (Araslanov and Roth, CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from loss.self_supervision import updated_prior
from utils.distributed import all_reduce_sum


class StepPrior:
    """What the class prior becomes in a step, however many batches the step has.

    The published code has one batch to a step, and labels it by the prior that has taken it in. Here a batch
    is labelled by the prior that has taken in the batches of the step so far, and after the last one the
    prior has moved once, by the mean over all of them.

    Args:
        before: float C, the prior at the end of the step before.
        is_first: bool, without dimensions: whether there was none.
        momentum: what the step leaves of ``before``, 0 to 1.
    """

    def __init__(self, before: Tensor, is_first: Tensor, momentum: float) -> None:
        self.before, self.is_first, self.momentum = before.clone(), is_first, momentum
        self.sums = before.new_zeros(len(before) + 1, dtype=torch.float32)

    def after(self, probability: Tensor, padding: Tensor) -> Tensor:
        """The prior, float C, after one more batch of all processes.

        ``probability``: G x T x C x H x W, 0 where there is ``padding`` (bool G x T x H x W).
        """
        sums = torch.cat([probability.sum((0, 1, 3, 4)), (~padding).sum().view(1)])
        self.sums += all_reduce_sum(sums)
        share = self.sums[:-1] / self.sums[-1].clamp(min=1)
        return updated_prior(self.before, share, self.momentum, self.is_first)
