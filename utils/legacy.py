"""Names of a network's entries in the RobustNet family's checkpoints, and ours: string rules, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

DISTRIBUTED_PREFIX = "module."

# Family prefix, our prefix.
HEAD_PREFIXES = (
    ("aspp.features.", "head.aspp.branches."),
    ("aspp.img_conv.", "head.aspp.image_pooling."),
    ("bot_aspp.", "head.aspp_projection."),
    ("bot_fine.", "head.low_level_projection."),
    ("final1.", "head.decoder."),
    ("final2.0.", "head.classifier."),
    ("dsn.", "auxiliary."),
)
# An entry that only ShuffleNetV2 and MNASNet have: the convolution of layer4 directly under it. The family
# wraps its ShuffleNet's stem and layer4 once more (its MNASNet never ran, so nobody has a checkpoint of it).
SHUFFLENET_KEY = "backbone.layer4.0.weight"
# A layer of the family's ShuffleNet, and its BatchNorm that a normalisation site takes the place of.
SHUFFLENET_REPLACED = (("layer0", "layer0.layer.0.1."), ("layer4", "layer4.layer.1."))
# Class weights of the family's losses, which it keeps among the network's entries.
LOSS_PREFIXES = ("criterion.", "criterion_aux.")


def our_key(key: str) -> str:
    """Our name of a family ``key``, with or without ``module.``; a key of no rule comes back without it."""
    key = key.removeprefix(DISTRIBUTED_PREFIX)
    for theirs, ours in HEAD_PREFIXES:
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
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


def from_family(state: Mapping[str, Value]) -> dict[str, Value]:
    """A family state dict under our names, without what the network never uses.

    That is the class weights of its losses, and the BatchNorms that its ShuffleNet keeps beside a
    normalisation layer in their place.
    """
    bare = {key.removeprefix(DISTRIBUTED_PREFIX): value for key, value in state.items()}
    unused = LOSS_PREFIXES + tuple(
        norm for layer, norm in SHUFFLENET_REPLACED if f"{layer}.instance_norm_layer.weight" in bare
    )
    return {our_key(key): value for key, value in bare.items() if not key.startswith(unused)}


def to_family(state: Mapping[str, Value]) -> dict[str, Value]:
    """One of our networks' state dicts under the family's names, without ``module.``."""
    return {_family_key(key, state): value for key, value in state.items()}


def _family_key(key: str, keys: Iterable[str]) -> str:
    for theirs, ours in HEAD_PREFIXES:
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    if match := re.fullmatch(r"backbone\.(conv|bn)(\d)\.(\w+)", key):
        return f"layer0.{3 * (int(match[2]) - 1) + ('conv', 'bn').index(match[1])}.{match[3]}"
    if match := re.fullmatch(r"backbone\.site_norms\.(\d)\.(\w+)", key):
        stage = int(match[1]) - 2
        ours = "backbone.stem." if stage == 0 else f"backbone.layer{stage}."
        if stage in (0, 4) and SHUFFLENET_KEY in keys:
            return f"layer{stage}.instance_norm_layer.{match[2]}"
        last = max(int(other.split(".")[2]) for other in keys if other.startswith(ours))
        return f"layer{stage}.{last}.instance_norm_layer.{match[2]}"
    wrapper = "layer." if SHUFFLENET_KEY in keys else ""
    key = key.replace("backbone.stem.", f"layer0.{wrapper}").replace("backbone.layer4.", f"layer4.{wrapper}")
    return key.removeprefix("backbone.")
