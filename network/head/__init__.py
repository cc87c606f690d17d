"""Heads: from the features of a backbone to logits.

A head is built from (backbone, num_classes). Its ``forward(features, size)`` takes the backbone's features by
name and the (height, width) of the pictures. It returns the logits B x classes x height x width, and a dict
of its own features, the taps. One tap is ``decoder_logits``, the logits at the head's own resolution. A head
has these attributes:

* ``embedding_channels``: tap -> channels, for the taps that a contrastive method may project;
* ``auxiliary_weight``: the published weight of the auxiliary loss;
* ``learning_rate_factor``: the head and its auxiliary head learn so many times faster than the backbone;
* ``smallest_batch``: the number of pictures that its BatchNorms need at least;
* ``has_auxiliary`` (``True`` if it is absent): whether it was published with an auxiliary head.

A head whose maps must have four strides works on a plain transformer if its class is in ``ON_PYRAMID``.

The ``forward(layer3, size)`` of an auxiliary head returns logits at the size of layer3 or of the pictures.
"""

from __future__ import annotations

from torch import nn

from network.backbone.base import Backbone
from network.head.aggregation import AggregationHead
from network.head.deeplabv2 import AtrousAuxiliary, DeepLabV2, DeepLabV2FullyConnected
from network.head.deeplabv3plus import DeepLabV3Plus
from network.head.dense import DeconvolutionHead, LinearHead
from network.head.fcn8s import FCN8s
from network.head.layers import AuxiliaryHead
from network.head.pyramid import OnPyramid
from network.head.upernet import UPerNet
from utils.errors import UserError

HEADS: dict[str, type[nn.Module]] = {
    "aggregation": AggregationHead,
    "deconv": DeconvolutionHead,
    "deeplabv2": DeepLabV2,
    "deeplabv2_fc": DeepLabV2FullyConnected,
    "deeplabv3plus": DeepLabV3Plus,
    "fcn8s": FCN8s,
    "linear": LinearHead,
    "upernet": UPerNet,
}
ON_PYRAMID = (DeepLabV3Plus, UPerNet)
ON_ONE_STRIDE = (DeconvolutionHead, LinearHead)


def build_heads(
    name: str, backbone: Backbone, num_classes: int, atrous_branches: int, auxiliary: bool | None
) -> tuple[nn.Module, nn.Module | None]:
    """The head with this name and, with ``auxiliary``, its auxiliary head. ``None``: if it was published so.

    A UserError is raised if the name is unknown, or the head does not fit the branches or the backbone.
    """
    if name not in HEADS:
        raise UserError(f"--head {name}: unknown; the heads are {', '.join(sorted(HEADS))}")
    arguments, build_auxiliary = (backbone, num_classes), AuxiliaryHead
    if len(set(backbone.strides.values())) == 1:
        return _on_transformer(name, *arguments), None
    if auxiliary is None:
        auxiliary = getattr(HEADS[name], "has_auxiliary", True)
    if issubclass(HEADS[name], DeepLabV2):
        arguments, build_auxiliary = (*arguments, atrous_branches), AtrousAuxiliary
    elif atrous_branches != 4:
        raise UserError(
            f"--deeplabv2_head: chooses atrous branches, but the head {name} has none; use --head deeplabv2"
        )
    return HEADS[name](*arguments), build_auxiliary(*arguments) if auxiliary else None


def _on_transformer(name: str, backbone: Backbone, num_classes: int) -> nn.Module:
    """The head on a plain transformer, for which no auxiliary head was published."""
    head = HEADS[name]
    if issubclass(head, ON_ONE_STRIDE):
        return head(backbone, num_classes)
    if head in ON_PYRAMID:
        return OnPyramid(head, backbone, num_classes)
    fitting = ", ".join(each for each, head in HEADS.items() if head in (*ON_PYRAMID, *ON_ONE_STRIDE))
    raise UserError(f"--head {name}: does not fit {backbone.name}, whose maps have one stride; use {fitting}")
