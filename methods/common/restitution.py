"""The losses that the methods snr and maxsquare add on a network with SNR modules."""

from __future__ import annotations

import argparse
from functools import partial

from torch import Tensor, nn

from loss.entropy import dual_restitution_loss
from loss.segmentation import auxiliary_cross_entropy
from network import SegmentationNet
from utils.declare import Flag


class RestitutionLoss(nn.Module):
    """Dual restitution loss of every SNR stage (Jin et al., TMM 2021), and a loss of the last classifier.

    Every stage has one pixel classifier for its normalised, restituted and contaminated features. As in the
    released classification code, the classifier of the last stage also learns the labels from the restituted
    features. The released segmentation code has none of these losses (``--no_snr_dual_loss``).
    """

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.weight: float = arguments.snr_dual_weight
        self.classifier_weight: float = arguments.snr_classifier_weight
        channels, classes = network.backbone.channels, network.config["num_classes"]
        self.classifiers = nn.ModuleDict()
        for stage in network.config["snr_stages"]:
            self.classifiers[str(stage)] = nn.Conv2d(channels[f"layer{stage}"], classes, 1)

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--no_snr_dual_loss", False).means("Use no dual restitution loss, as the released code.")
        add("--snr_dual_weight", 0.01, at_least=0).means("Weight a stage's dual restitution loss by this.")
        add("--snr_classifier_weight", 0.01, at_least=0).means("Weight the last classifier's loss by this.")

    def forward(self, features: dict[str, Tensor], label: Tensor) -> dict[str, Tensor]:
        """Weighted loss terms from the features of a labelled batch; label int64 B x H x W."""
        total, logits = 0, {}
        for stage, classifier in self.classifiers.items():
            kinds = ("normalised", "restituted", "contaminated")
            logits = {kind: classifier(features[f"snr{stage}_{kind}"]) for kind in kinds}
            total = total + dual_restitution_loss(**logits)
        classified = auxiliary_cross_entropy(logits["restituted"], label)  # The logits of the last stage.
        return {"restitution": self.weight * total, "stage_classifier": self.classifier_weight * classified}
