"""MaxSquare: adaptation by maximum squares (Chen et al., ICCV 2019), and similar losses.

Labelled source pictures have the segmentation loss of all methods. Unlabelled target pictures have a loss
that makes predictions certain (``--target_mode``). With ``--multi`` the auxiliary output learns target pixels
from labels that both outputs make together. On a network with SNR (``--snr_stages``) the method is SNR-MS,
which adds the dual restitution loss on the source.
"""

from __future__ import annotations

import argparse
from functools import partial

from torch import Tensor

from loss import adaptation
from methods.common.base import Method, Progress
from network import SegmentationNet
from utils.declare import Flag
from utils.errors import UserError

TARGET_MODES = ("maxsquare", "IW_maxsquare", "entropy", "IW_entropy", "hard")


class MaxSquare(Method):
    """Segmentation loss of the source, ``--lambda_target`` x target loss and, with ``--multi``, guidance."""

    name = "maxsquare"
    restitutes = True
    domains = ("source", "target")

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        losses = {
            "maxsquare": adaptation.max_square,
            "IW_maxsquare": partial(adaptation.image_weighted_max_square, ratio=arguments.IW_ratio),
            "entropy": adaptation.entropy,
            "IW_entropy": partial(adaptation.image_weighted_entropy, ratio=arguments.IW_ratio),
            "hard": partial(adaptation.hard_pseudo_label, threshold=arguments.threshold),
        }
        self.target_loss = losses[arguments.target_mode]
        if arguments.multi and self.auxiliary_weight == 0:
            raise UserError(
                "--multi: trains the auxiliary output, but there is none or its weight is 0; raise "
                "--aux_weight, or drop --multi"
            )

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--target_mode", "maxsquare", choices=TARGET_MODES).means("Use this loss of target pictures.")
        add("--lambda_target", 0.1, at_least=0).means("Weight the loss of target pictures by this.")
        add("--IW_ratio", 0.2, at_least=0, at_most=1).means(
            "IW modes: weight all pixels (0) or all classes (1) alike."
        )
        add("--multi", False).means("Train the auxiliary output on what both outputs predict for the target.")
        add("--threshold", 0.95, at_least=0, at_most=1).means(
            "hard, --multi: label a pixel if the prediction is more certain than this."
        )

    def target_losses(self, batch: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        weight, guided = self.arguments.lambda_target, self.arguments.multi
        output = self.network(self.network.input_spec.prepare(batch["image"]), auxiliary=guided)
        losses = {"target": weight * self.target_loss(output.logits)}
        if guided:
            loss = adaptation.guidance(output.logits, output.aux_logits, self.arguments.threshold)
            losses["guidance"] = self.auxiliary_weight * weight * loss
        return losses
