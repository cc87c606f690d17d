"""SNR: style normalisation and restitution (Jin et al., TMM 2021), trained on the source alone.

The network takes style out after its first stages and restores what of it tells classes apart
(``network.norm.snr``); the loss asks that it does so. With ``--no_train_snr --no_snr_dual_loss`` it is the
released code, which trained neither the SNR modules nor with that loss.
"""

from __future__ import annotations

import argparse

from torch import Tensor

from methods.common.base import Method, Progress
from methods.common.restitution import RestitutionLoss, snr_stages
from network import SegmentationNet, stated_architecture
from utils.errors import UserError


class StyleNormalisationRestitution(Method):
    """Segmentation loss and, unless ``--no_snr_dual_loss``, the dual restitution loss of every SNR stage."""

    name = "snr"
    restitutes = True
    architecture = {"snr_stages": (1, 2, 3)}

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        if not snr_stages(network):
            raise UserError("--method snr: needs a network with SNR, e.g. --snr_stages 1 2 3")
        self.restitution = None if arguments.no_snr_dual_loss else RestitutionLoss(network, arguments)

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        return bool(stated_architecture(vars(arguments)).get("snr_stages"))

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        losses, features = self.supervised(batch, progress)
        if self.restitution is not None:
            losses |= self.restitution(features, batch["label"])
        return losses
