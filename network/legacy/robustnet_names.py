"""The RobustNet family's names of a network's entries and ours, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from network.legacy.foreign import renamed
from network.sites import NO_SITES, STAGES

Value = TypeVar("Value")

# Family prefix, our prefix. The last ones are DIIA's, whose first head is a coarse one.
HEAD_PREFIXES = (
    ("aspp.features.", "head.aspp.branches."),
    ("aspp.img_conv.", "head.aspp.image_pooling."),
    ("bot_aspp.", "head.aspp_projection."),
    ("bot_fine.", "head.low_level_projection."),
    ("final1.", "head.decoder."),
    ("final2.0.", "head.classifier."),
    ("dsn.", "auxiliary."),
    ("encoder_boundary.", "head.edges.encoder."),
    ("decoder_boundary.", "head.edges.decoder."),
    ("final1_boundary.", "head.edges.refinement."),
    ("final2_boundary.0.", "head.edges.classifier."),
    ("encoder_struct.", "head.layout.encoder."),
    ("final1_struct.", "head.layout.refinement."),
    ("final2_struct.0.", "head.layout.classifier."),
    ("query_conv.", "head.attention.query."),
    ("key_conv.", "head.attention.key."),
    ("value_conv.", "head.attention.value."),
    ("up_conv.", "head.attention.content."),
    ("gamma", "head.attention.gamma"),
    ("aspp_sg.features.", "head.final.aspp.branches."),
    ("aspp_sg.img_conv.", "head.final.aspp.image_pooling."),
    ("bot_aspp_sg.", "head.final.aspp_projection."),
    ("bot_fine_sg.", "head.final.low_level_projection."),
    ("final1_sg.", "head.final.decoder."),
    ("final2_sg.0.", "head.final.classifier."),
)
# BlindNet's projection heads, which only its training uses: entries of the method, not of the network.
PROJECTION_KEY = re.compile(r"ProjectionHead_cls_(\d)\.proj\.(\d\.\w+)")
# Our name of an entry that only ShuffleNetV2, MNASNet and vgg16_bn have: layer4's own convolution. The family
# wraps its ShuffleNet's stem and layer4 once more. Its MNASNet never ran, and it has no vgg16_bn.
OUR_SHUFFLENET_KEY = "backbone.layer4.0.weight"
# The family's name of an entry that only its ShuffleNet has: the convolution of its stem.
THEIR_SHUFFLENET_KEY = "layer0.layer.0.0.weight"
# A site of the family's ShuffleNet, its layer, and the BatchNorm in it that the site replaces.
SHUFFLENET_REPLACED = ((2, "layer0", "layer0.layer.0.1."), (6, "layer4", "layer4.layer.1."))
# Class weights of the family's losses, which it keeps among the network's entries.
LOSS_PREFIXES = ("criterion.", "criterion_aux.")
# Our prefix, family prefix.
OUR_HEAD_PREFIXES = tuple((ours, theirs) for theirs, ours in HEAD_PREFIXES)


def our_key(key: str) -> str:
    """Our name of a family ``key`` without ``module.``; a key of no rule comes back as it is."""
    if (ours := renamed(key, HEAD_PREFIXES)) != key:
        return ours
    # A residual network's stem is one list: convolution, norm, ReLU, convolution, norm, ReLU ...
    if match := re.fullmatch(r"layer0\.(\d)\.(\w+)", key):
        number, kind = divmod(int(match[1]), 3)
        return f"backbone.{('conv', 'bn')[kind]}{number + 1}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(?:\d+\.)?instance_norm_layer\.(\w+)", key):
        return f"backbone.site_norms.{int(match[1]) + 2}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(?:layer\.)?(.+)", key):
        stage = "stem" if match[1] == "0" else f"layer{match[1]}"
        return f"backbone.{stage}.{match[2]}"
    return key


def from_family(state: Mapping[str, Value], wt_layer: Sequence[int] = NO_SITES) -> dict[str, Value]:
    """The network's entries of a family state dict (no ``module.``) under our names, without the unused ones.

    Unused are the class weights of the losses, the projection heads (:func:`projections`), and a BatchNorm of
    the family's ShuffleNet where a site takes its place: the site has entries, or a code in ``wt_layer``.
    """
    unused = LOSS_PREFIXES
    if THEIR_SHUFFLENET_KEY in state:
        unused += tuple(
            norm
            for site, layer, norm in SHUFFLENET_REPLACED
            if wt_layer[site] or f"{layer}.instance_norm_layer.weight" in state
        )
    return {
        our_key(key): value
        for key, value in state.items()
        if not key.startswith(unused) and not PROJECTION_KEY.fullmatch(key)
    }


def projections(state: Mapping[str, Value]) -> dict[str, Value]:
    """BlindNet's projection heads in a family state dict (no ``module.``), under our names; else empty."""
    theirs = {key: value for key, value in state.items() if PROJECTION_KEY.fullmatch(key)}
    return {PROJECTION_KEY.sub(r"projections.\1.\2", key): value for key, value in theirs.items()}


def to_family(state: Mapping[str, Value]) -> dict[str, Value]:
    """One of our networks' state dicts under the family's names, without ``module.``."""
    return {_family_key(key, state): value for key, value in state.items()}


def _family_key(key: str, keys: Iterable[str]) -> str:
    if (theirs := renamed(key, OUR_HEAD_PREFIXES)) != key:
        return theirs
    if match := re.fullmatch(r"backbone\.(conv|bn)(\d)\.(\w+)", key):
        return f"layer0.{3 * (int(match[2]) - 1) + ('conv', 'bn').index(match[1])}.{match[3]}"
    if match := re.fullmatch(r"backbone\.site_norms\.(\d)\.(\w+)", key):
        stage = int(match[1]) - 2
        ours = f"backbone.{STAGES[stage]}."
        if stage in (0, 4) and OUR_SHUFFLENET_KEY in keys:
            return f"layer{stage}.instance_norm_layer.{match[2]}"
        last = max(int(other.split(".")[2]) for other in keys if other.startswith(ours))
        return f"layer{stage}.{last}.instance_norm_layer.{match[2]}"
    wrapper = "layer." if OUR_SHUFFLENET_KEY in keys else ""
    key = key.replace("backbone.stem.", f"layer0.{wrapper}").replace("backbone.layer4.", f"layer4.{wrapper}")
    return key.removeprefix("backbone.")
