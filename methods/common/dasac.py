"""The common part of both trainings of DA-SAC (Araslanov and Roth, CVPR 2021)."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from methods.common.base import Method, Progress


class DaSacTraining(Method):
    """Segmentation loss of source pictures with the target's colour statistics.

    The loss is averaged over ALL pixels: pixels without a label are counted and cost 0. Outside its picture,
    a crop has the mean colour. Biases learn twice as fast as weights, and without weight decay.
    """

    domains = ("source", "target")
    crop_padding = "mean"
    renormalise = "published"
    bias_lr_mult = 2.0
    bias_weight_decay = 0.0
    mean_over = "all"

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        if domain == "target":
            return self.target_losses(batch, progress)
        losses, _ = self.supervised(batch, progress)
        return losses

    @abstractmethod
    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """Named, weighted loss terms of a target batch."""
