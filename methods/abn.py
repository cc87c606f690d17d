"""ABN: adaptive batch normalisation, the training that DA-SAC starts from (Araslanov and Roth, CVPR 2021).

Labelled source pictures train the network. Target pictures pass through it in training mode, but no loss is
computed on them: they only update the running statistics of BatchNorm, which evaluation uses. The two domains
take turns, so the target, which is last, counts a little more: 0.526 to 0.474 at a momentum of 0.1.

In the released code the target pass comes after the optimiser's step; here it comes before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.common.base import Method, Progress


class AdaptiveBatchNormalisation(Method):
    """Segmentation loss of the source; target pictures only change the running statistics.

    As in all of DA-SAC, source pictures get the target's colour statistics. Their loss is averaged over ALL
    pixels: pixels without a label are counted and cost 0. A crop has the mean colour outside its picture.
    Biases learn twice as fast as weights, and without weight decay.
    """

    name = "abn"
    domains = ("source", "target")
    crop_padding = "mean"
    renormalise = "published"
    bias_lr_mult = 2.0
    bias_weight_decay = 0.0
    mean_over = "all"

    @torch.no_grad()
    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """No terms: the pictures, uint8 B x 3 x H x W, only change the running statistics."""
        prepared = self.network.input_spec.prepare(batch["image"])
        self.network(prepared, auxiliary=self.auxiliary_weight > 0)
        return {}
