"""DIIA: domain-invariant information aggregation (Liao et al., Neurocomputing 2023).

DIIA is ISW with a larger head (``network.head.aggregation``). It encodes the edges found in layer1, and the
class layout that its own coarse prediction gives. An attention with the layout as query and the edges as key
aggregates the content of layer4 for a second decoder. The prediction is 0.5 x coarse + final logits.

As published, the layout loss is divided by 100 while it is above 3 (``--diia_layout_switch``). Every process
decides this by its own loss.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from loss.edges import TARGETS, edge_map
from loss.segmentation import cross_entropy
from methods.common.base import Progress
from methods.isw import InstanceSelectiveWhitening
from network import SegmentationNet
from utils.declare import Flag
from utils.errors import UserError

# Term -> its published weight.
WEIGHTS = {"main": 0.5, "aux": 0.1, "final": 1.0, "edge_segmentation": 0.1, "layout": 0.1, "edge": 0.001}
LAYOUT_SWITCH_FACTOR = 0.01


class DomainInvariantAggregation(InstanceSelectiveWhitening):
    """Six weighted terms, and the unchanged whitening loss of ISW.

    * ``main``, ``final``, ``edge_segmentation``: cross entropy of the coarse head, of the final head and of
      the edge branch;
    * ``aux``: auxiliary loss, as in all methods; ``--aux_weight``, if given, replaces its weight;
    * ``layout``: cross entropy of the layout branch, with the layout of the coarse prediction as the label;
    * ``edge``: mean absolute difference between the predicted edges and those of the picture.
    """

    name = "diia"
    views = ("image", "image_plain")
    gaussian_blur = True
    needs_sites = False
    architecture = {"head": "aggregation", "wt_layer": (0, 0, 2, 2, 2, 0, 0)}
    color_jitter = (0.8, 0.8, 0.8, 0.3)

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        head = network.config["head"]
        if head != "aggregation":
            raise UserError(f"--method diia: needs the head aggregation, not {head}; use --head aggregation")
        self.weights = {name: getattr(arguments, f"diia_{name}_weight") for name in WEIGHTS}
        if arguments.aux_weight is not None:
            self.weights["aux"] = self.auxiliary_weight

    @classmethod
    def is_meant_by(cls, arguments: argparse.Namespace) -> bool:
        return False  # A command line with DIIA's --wt_layer, but without --method, means ISW.

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        for name, weight in WEIGHTS.items():
            Flag(parser, f"--diia_{name}_weight", weight, at_least=0).means(
                f"Weight the term {name} by this."
                + (" It has no effect if --aux_weight is given." if name == "aux" else "")
            )
        Flag(parser, "--diia_layout_switch", 3.0, at_least=0).means(
            f"Multiply the layout loss by {LAYOUT_SWITCH_FACTOR} while it is above this; with 0 never."
        )
        Flag(parser, "--diia_edge_target", "released", choices=TARGETS).means(
            "released is the horizontal derivative of grey with red and blue swapped, as in the published "
            "code. gradient is the magnitude of both derivatives."
        )

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        output = self.network(self.network_input(batch), auxiliary=self.auxiliary_weight > 0)
        label, features = batch["label"], output.features
        edges = edge_map(batch["image_plain"], self.arguments.diia_edge_target)
        layout = cross_entropy(features["layout_logits"], features["layout"])
        layout_switch = self.arguments.diia_layout_switch or torch.inf
        terms = {
            "main": self.criterion(features["coarse_logits"], label, progress.iteration),
            "final": self.criterion(features["final_logits"], label, progress.iteration),
            "edge_segmentation": self.criterion(features["edge_logits"], label, progress.iteration),
            "layout": torch.where(layout > layout_switch, LAYOUT_SWITCH_FACTOR * layout, layout),
            "edge": (features["edges"].float() - edges).abs().mean(),
        }
        if output.aux_logits is not None:
            terms["aux"] = self.criterion.auxiliary(output.aux_logits, label)
        losses = {name: self.weights[name] * term for name, term in terms.items()}
        if self.sites:
            losses["whitening"] = self.arguments.wt_reg_weight * self.whitening(features, progress)
        return losses
