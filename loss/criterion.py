"""The segmentation loss that the flags of a run choose."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from loss.boundary_relaxation import relaxed_cross_entropy
from loss.segmentation import MeanOver, auxiliary_cross_entropy, cross_entropy, image_weighted_cross_entropy

# Published weights of the 19 train ids, from road to bicycle. Rare classes have larger weights.
CLASS_WEIGHTS = (0.8373, 0.9180, 0.8660, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023)
CLASS_WEIGHTS += (0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507)


class SegmentationCriterion(nn.Module):
    """Main and auxiliary loss of labelled pictures.

    The main loss is cross entropy, or the loss of ``--img_wt_loss`` or ``--jointwtborder``. The auxiliary
    loss is always cross entropy, as published. ``--cls_wt_loss`` gives cross entropy fixed class weights, in
    the main and in the auxiliary loss. ``mean_over`` names the pixels over which cross entropy is averaged;
    it does not change the other two losses.
    """

    class_weights: Tensor | None

    def __init__(self, arguments: argparse.Namespace, mean_over: MeanOver = "labelled") -> None:
        super().__init__()
        self.arguments, self.mean_over = arguments, mean_over
        # The weights are not in the state dict, because the flag determines them.
        weights = torch.tensor(CLASS_WEIGHTS) if arguments.cls_wt_loss else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, label: Tensor, iteration: int) -> Tensor:
        """Main loss in iteration ``iteration`` of logits B x classes x H x W and label int64 B x H x W.

        As published, labels are still relaxed in the iteration ``--rlx_off_iter``, although the learning rate
        of ``scl-poly`` restarts in that iteration (``methods.engine.step``).
        """
        arguments = self.arguments
        balance = {"bound": arguments.wt_bound, "batch_weighting": arguments.batch_weighting}
        if arguments.jointwtborder:
            relax = arguments.rlx_off_iter < 0 or iteration <= arguments.rlx_off_iter
            return relaxed_cross_entropy(logits, label, relax, arguments.strict_bdr_cls, **balance)
        if arguments.img_wt_loss:
            reduction = arguments.img_wt_reduction
            return image_weighted_cross_entropy(logits, label, reduction=reduction, **balance)
        return cross_entropy(logits, label, self.class_weights, self.mean_over)

    def auxiliary(self, logits: Tensor, label: Tensor) -> Tensor:
        """Auxiliary loss of logits B x classes x h x w at their own resolution and label int64 B x H x W."""
        return auxiliary_cross_entropy(logits, label, self.class_weights, self.mean_over)
