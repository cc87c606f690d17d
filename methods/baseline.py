"""Plain supervised training.

Also IN, IBN and switchable whitening: they only change the network (``--wt_layer``).
"""

from __future__ import annotations

from torch import Tensor

from methods.common.base import Method, Progress


class Baseline(Method):
    """Cross entropy on the main output, and 0.4 times on the auxiliary one."""

    name = "baseline"

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        losses, _ = self.supervised(batch, progress)
        return losses
