"""Heads: from a backbone's features to logits.

A head takes (backbone, num_classes). Its ``forward(features, size)`` takes the backbone's features by name
and the pictures' (height, width), and returns the logits B x classes x height x width and a dict of features
of its own, its taps: among them ``decoder_logits``, the logits at the head's own resolution, and those named
in its ``embedding_channels``, tap -> channels, which a contrastive method may project. It says with

* ``auxiliary_weight``: the published weight of the auxiliary loss,
* ``learning_rate_factor``: how many times faster than the backbone it and its auxiliary head learn,
* ``smallest_batch``: how many pictures its BatchNorms need at least.

An auxiliary head's ``forward(layer3, size)`` returns logits, at layer3's size or at the pictures'.
"""

from __future__ import annotations

from torch import nn

from network.backbone.base import Backbone
from network.head.aggregation import AggregationHead
from network.head.auxiliary import AuxiliaryHead
from network.head.deeplabv2 import AtrousAuxiliary, DeepLabV2, DeepLabV2FullyConnected
from network.head.deeplabv3plus import DeepLabV3Plus
from network.head.fcn8s import FCN8s
from utils.errors import UserError

HEADS: dict[str, type[nn.Module]] = {
    "aggregation": AggregationHead,
    "deeplabv2": DeepLabV2,
    "deeplabv2_fc": DeepLabV2FullyConnected,
    "deeplabv3plus": DeepLabV3Plus,
    "fcn8s": FCN8s,
}


def build_heads(
    name: str, backbone: Backbone, num_classes: int, atrous_branches: int, auxiliary: bool
) -> tuple[nn.Module, nn.Module | None]:
    """The head of a name and, with ``auxiliary``, the auxiliary head that belongs to it.

    Raises:
        UserError: an unknown name, a number of atrous branches that this head does not have, or a backbone
            that does not suit it.
    """
    if name not in HEADS:
        raise UserError(f"--head {name}: unknown; the heads are {', '.join(sorted(HEADS))}")
    arguments, build_auxiliary = (backbone, num_classes), AuxiliaryHead
    if issubclass(HEADS[name], DeepLabV2):
        arguments, build_auxiliary = (*arguments, atrous_branches), AtrousAuxiliary
    elif atrous_branches != 4:
        raise UserError(f"--deeplabv2_head: chooses among atrous branches, {name} has none; --head deeplabv2")
    return HEADS[name](*arguments), build_auxiliary(*arguments) if auxiliary else None
