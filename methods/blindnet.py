"""BlindNet: style-blind segmentation by covariance alignment and semantic consistency contrastive learning
(Ahn et al., CVPR 2024).

Every crop has two views: the original (the key, weakly augmented) and one with strongly jittered colours (the
query). The views pass through the network one after the other, each with its own batch statistics. Both views
have a segmentation loss. Four more terms pull the query to the key, which is detached in all of them:
covariance matching and cross-covariance at the normalised sites, and the class-wise and the disentangling
contrast of projected pixels.

Negatives are the keys sampled for other classes than the pixel's own, as the paper says. The released code
meant the same, but takes all sampled keys of a picture, even the positive. The published numbers were made
with that code; ``--cwcl_negatives all --cwcl_fill any`` does the same here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from loss.contrast import (
    FILLS,
    NEGATIVES,
    class_contrast,
    disentanglement,
    sample_class_pixels,
    sample_confusions,
    take_pixels,
)
from loss.segmentation import nearest_label
from loss.whitening import covariance_matching, cross_covariance
from methods.common.base import Method, Progress
from network import SegmentationNet
from network.head.projection import ProjectionHead
from network.sites import WHITENED_CODES
from utils.declare import Flag
from utils.errors import UserError
from utils.seeding import step_generator

# Flag of a loss -> the flags that weigh its terms.
LOSSES = {"use_ca": ("w1", "w2"), "use_cwcl": ("w3",), "use_sdcl": ("w4",)}
# Flag of a weight -> its published value, the term that it weighs, and this term in words.
WEIGHTS = {
    "w1": (0.2, "covariance", "covariance matching"),
    "w2": (0.2, "cross_covariance", "cross-covariance"),
    "w3": (0.3, "class_contrast", "class-wise contrast (CWCL)"),
    "w4": (0.3, "disentanglement", "disentangling contrast (SDCL)"),
}


class BlindNet(Method):
    """Mean segmentation loss of both views, weighted auxiliary loss of the original view, and the four terms.

    ``projections`` has one head, which only training uses, for each feature map that is contrasted: layer4
    and those that the network's head offers.
    """

    name = "blindnet"
    views = ("image", "image_jittered")
    gaussian_blur = True
    architecture = {"wt_layer": (0, 0, 1, 1, 1, 0, 0)}
    own_flags = ("jit_only", *LOSSES)

    def __init__(self, network: SegmentationNet, arguments: argparse.Namespace) -> None:
        super().__init__(network, arguments)
        chosen = [flag for flag in LOSSES if getattr(arguments, flag)] or list(LOSSES)
        weights = {name: getattr(arguments, name) for flag in chosen for name in LOSSES[flag]}
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.sites = [f"site{site}" for site, code in network.sites.items() if code in WHITENED_CODES]
        if not self.sites and {"w1", "w2"} & self.weights.keys():
            raise UserError(
                "--method blindnet: covariance alignment needs a site with code 1; use e.g. --wt_layer "
                "0 0 1 1 1 0 0, or leave it out with --use_cwcl --use_sdcl"
            )
        if "w3" in self.weights and arguments.contrast_max_classes < 2:
            given = f"--contrast_max_classes {arguments.contrast_max_classes}"
            raise UserError(f"{given}: a contrast needs 2 classes or more")
        contrasted = {"layer4": network.backbone.channels["layer4"], **network.head.embedding_channels}
        self.embedded = list(contrasted) if {"w3", "w4"} & self.weights.keys() else []
        self.projections = nn.ModuleList(ProjectionHead(contrasted[name]) for name in self.embedded)

    @staticmethod
    def add_arguments(parser: argparse._ArgumentGroup) -> None:
        add = partial(Flag, parser)
        add("--use_ca", False).means("Align covariances. Without any --use flag all three losses are used.")
        add("--use_cwcl", False).means("Use the class-wise contrastive loss.")
        add("--use_sdcl", False).means("Use the semantic disentanglement loss.")
        add("--jit_only", False, once=True).means("This is the same as --method blindnet.")
        for name, (weight, _, meaning) in WEIGHTS.items():
            add(f"--{name}", weight, at_least=0).means(f"Weight {meaning} by this; 0 leaves it out.")
        add("--nce_T", 0.07, above=0).means("Use this temperature in both contrasts.")
        add("--contrast_max_classes", 15, above=0, toy=6).means("CWCL: sample this many classes per picture.")
        # Of a crop of the toy city, layer4 has 6 x 6 pixels.
        add("--contrast_max_views --contrast_max_view", 50, above=0, toy=6).means(
            "CWCL: sample N pixels a class."
        )
        add("--num_patch", 20, above=0, toy=4).means("SDCL: use this many negatives per confused class.")
        add("--cwcl_negatives", "other_class", choices=NEGATIVES).means(
            "CWCL: other_class takes the pixels sampled for other classes and those that fill up, as meant; "
            "all takes all sampled pixels of the picture, even the positive, as the released code does."
        )
        add("--cwcl_fill", "unused", choices=FILLS).means(
            "CWCL: replace missing classes by pixels that are not sampled yet, as meant (unused), or by any "
            "pixels, as the released code does (any)."
        )

    def forward(self, batch: dict[str, Tensor], domain: str, progress: Progress) -> dict[str, Tensor]:
        label = batch["label"]
        original = self.network(self.network_input(batch), auxiliary=self.auxiliary_weight > 0)
        jittered = self.network(self.network_input(batch, "image_jittered"), auxiliary=False)
        main = [self.criterion(output.logits, label, progress.iteration) for output in (original, jittered)]
        losses = {"main": sum(main) / 2, **self.auxiliary_loss(original, label)}
        key, query = original.features, jittered.features
        terms = {**self.alignment(key, query), **self.contrast(key, query, label)}
        return {**losses, **{WEIGHTS[flag][1]: self.weights[flag] * term for flag, term in terms.items()}}

    def alignment(self, key: dict[str, Tensor], query: dict[str, Tensor]) -> dict[str, Tensor]:
        """Flag of its weight -> covariance term, the mean over the sites."""
        kinds = {"w1": covariance_matching, "w2": cross_covariance}
        return {
            flag: sum(loss(key[site], query[site]) for site in self.sites) / len(self.sites)
            for flag, loss in kinds.items()
            if flag in self.weights
        }

    def contrast(self, key: dict[str, Tensor], query: dict[str, Tensor], label: Tensor) -> dict[str, Tensor]:
        """Flag of its weight -> contrastive term, the mean over the contrasted maps."""
        if not {"w3", "w4"} & self.weights.keys():
            return {}
        generator = step_generator(label.device)
        totals: dict[str, Tensor] = {}
        predictions = [view["decoder_logits"].detach().argmax(dim=1) for view in (key, query)]
        for name, projection in zip(self.embedded, self.projections, strict=True):
            size = (key[name].shape[-2], key[name].shape[-1])
            maps = [nearest_label(classes, size) for classes in (label, *predictions)]
            terms = self.contrast_maps(key[name], query[name], maps, projection, generator)
            totals = {flag: totals.get(flag, 0) + term / len(self.embedded) for flag, term in terms.items()}
        return totals

    def contrast_maps(
        self,
        key: Tensor,
        query: Tensor,
        maps: Sequence[Tensor],
        projection: ProjectionHead,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Contrastive terms of one feature map; ``maps`` are its labels and the predictions of both views.

        Only the sampled pixels are projected, all of a view at once. In layer1 they are a hundredth of all
        pixels.
        """
        label, prediction, jittered_prediction = maps
        arguments, classes = self.arguments, self.network.config["num_classes"]
        pixels, terms = {}, {}
        if "w3" in self.weights:
            sizes = classes, arguments.contrast_max_classes, arguments.contrast_max_views
            blocks = sample_class_pixels(label, prediction, *sizes, generator, arguments.cwcl_fill)
            pixels["blocks"] = blocks.pixels.flatten()
        if "w4" in self.weights:
            sizes = classes, arguments.num_patch
            confusions = sample_confusions(label, prediction, jittered_prediction, *sizes, generator)
            pixels["anchors"] = confusions.anchors
        with torch.no_grad():
            keys = embed(projection, key, pixels)
        if "w4" in self.weights:  # The negatives of SDCL are pixels of the jittered view alone.
            pixels["negatives"] = confusions.negatives.flatten()
        queries = embed(projection, query, pixels)
        if "w3" in self.weights:
            pair = [rows["blocks"].unflatten(0, blocks.pixels.shape) for rows in (queries, keys)]
            terms["w3"] = class_contrast(*pair, blocks.is_active, arguments.nce_T, arguments.cwcl_negatives)
        if "w4" in self.weights:
            terms["w4"] = disentanglement(
                queries["anchors"], keys["anchors"], queries["negatives"], confusions, arguments.nce_T
            )
        return terms


def embed(projection: ProjectionHead, features: Tensor, pixels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name -> embeddings of the pixels of a map that ``pixels`` has under this name (``loss.contrast``)."""
    rows = projection(take_pixels(features, torch.cat([*pixels.values()])))
    return dict(zip(pixels, rows.split([len(numbers) for numbers in pixels.values()]), strict=True))
