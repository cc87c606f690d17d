"""ABN: the baseline that DA-SAC starts from (Araslanov and Roth, CVPR 2021), adaptive batch normalisation.

Labelled source pictures train the network. Target pictures only pass through it in training mode, so that the
running statistics of BatchNorm, which evaluation uses, become those of both domains; nothing is learnt from
them. As the domains take turns, the last one counts a little more: 0.526 to 0.474 at a momentum of 0.1.

The released code has the target pass after the optimiser's step, here it is before it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.common.base import Progress
from methods.common.dasac import DaSacTraining


class AdaptiveBatchNormalisation(DaSacTraining):
    """Segmentation loss of the source; target pictures for the running statistics alone."""

    name = "abn"

    @torch.no_grad()
    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """None; pictures uint8 B x 3 x H x W leave their traces in the running statistics."""
        prepared = self.network.input_spec.prepare(batch["image"])
        self.network(prepared, auxiliary=self.auxiliary_weight > 0)
        return {}
