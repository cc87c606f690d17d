"""What the methods snr and maxsquare add to the loss on a network with SNR modules."""

from __future__ import annotations

import argparse
from functools import partial

from torch import Tensor, nn

from loss.restitution import dual_restitution_loss
from loss.segmentation import cross_entropy, nearest_label
from network import SegmentationNet
from utils.declare import Flag


class RestitutionLoss(nn.Module):
    """Dual restitution loss of every stage with SNR (Jin et al., TMM 2021), and what teaches its classifiers.

    A stage has one pixel classifier for its three features: normalised, restituted, contaminated. As in the
    released classification code the classifier of the last stage also learns the labels, from the restituted
    features; the released segmentation code has none of this (``--no_snr_dual_loss``).
    """

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.weight: float = arguments.snr_dual_weight
        self.classifier_weight: float = arguments.snr_classifier_weight
        channels, classes = network.backbone.channels, network.config["num_classes"]
        self.classifiers = nn.ModuleDict(
            {str(stage): nn.Conv2d(channels[f"layer{stage}"], classes, 1) for stage in snr_stages(network)}
        )

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--no_snr_dual_loss", False).means("Use no dual restitution loss, as the released code.")
        add("--snr_dual_weight", 0.01, at_least=0).means("Weight a stage's dual restitution loss by this.")
        add("--snr_classifier_weight", 0.01, at_least=0).means("Weight the last classifier's loss by this.")

    def forward(self, features: dict[str, Tensor], label: Tensor) -> dict[str, Tensor]:
        """Weighted terms for a labelled batch's features; label int64 B x H x W."""
        total, logits = 0, {}
        for stage, classifier in self.classifiers.items():
            logits = {
                kind: classifier(features[f"snr{stage}_{kind}"])
                for kind in ("normalised", "restituted", "contaminated")
            }
            total = total + dual_restitution_loss(**logits)
        last = logits["restituted"]
        small = nearest_label(label, (last.shape[-2], last.shape[-1]))
        return {
            "restitution": self.weight * total,
            "stage_classifier": self.classifier_weight * cross_entropy(last, small),
        }


def snr_stages(network: SegmentationNet) -> list[int]:
    """The stages of a network that have an SNR module."""
    return list(network.config["snr_stages"])
