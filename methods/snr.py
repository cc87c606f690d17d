"""SNR: style normalisation and restitution (Jin et al., TMM 2021), trained on the source alone.

The network removes style after its first stages, and restores the part of it that tells classes apart
(``network.norm.snr``). The dual restitution loss trains it to do so. The released code neither had this loss
nor trained the SNR modules: that is ``--no_train_snr --no_snr_dual_loss``.
"""

from __future__ import annotations

import argparse

from methods.common.base import Method
from network import SegmentationNet, stated_architecture
from utils.errors import UserError


class StyleNormalisationRestitution(Method):
    """Segmentation loss and, unless ``--no_snr_dual_loss``, the dual restitution loss of every SNR stage."""

    name = "snr"
    restitutes = True
    architecture = {"snr_stages": (1, 2, 3)}

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        if not network.config["snr_stages"]:
            raise UserError("--method snr: needs a network with SNR; use e.g. --snr_stages 1 2 3")

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        return bool(stated_architecture(vars(arguments)).get("snr_stages"))
