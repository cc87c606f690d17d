"""Plain supervised training.

IN, IBN and switchable whitening are trained with it too: they only change the network (``--wt_layer``).
"""

from __future__ import annotations

from torch import Tensor

from methods.common.base import Method, Progress


class Baseline(Method):
    """The segmentation loss of the main output and, with its weight, that of the auxiliary output."""

    name = "baseline"

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        losses, _ = self.supervised(batch, progress)
        return losses
