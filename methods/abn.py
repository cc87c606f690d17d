"""ABN: the baseline that DA-SAC starts from (Araslanov and Roth, CVPR 2021), adaptive batch normalisation.

Labelled source pictures train the network. Target pictures only pass through it in training mode: nothing is
learnt from them, but the running statistics of BatchNorm, which evaluation uses, become those of both
domains. The domains take turns, so the last one counts a little more: 0.526 to 0.474 at a momentum of 0.1.

In the released code the target pass comes after the optimiser's step; here it comes before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.common.base import Progress
from methods.common.dasac import DaSacTraining


class AdaptiveBatchNormalisation(DaSacTraining):
    """Segmentation loss of the source; target pictures only change the running statistics."""

    name = "abn"

    @torch.no_grad()
    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """No terms: the pictures, uint8 B x 3 x H x W, only change the running statistics."""
        prepared = self.network.input_spec.prepare(batch["image"])
        self.network(prepared, auxiliary=self.auxiliary_weight > 0)
        return {}
