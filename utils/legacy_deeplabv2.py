"""Names of a network's entries in checkpoints of AdaptSegNet, MaxSquare and SNR, and ours, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from utils.legacy import renamed
from utils.run.tensor_file import state_of

Value = TypeVar("Value")

# Before every name in files that descend from the weights converted from Caffe.
CAFFE_PREFIX = "Scale."
CLASSIFIER_KEY = "layer6.conv2d_list.0.weight"
# Their prefix, our prefix; the first that fits counts.
PREFIXES = (
    ("layer5.conv2d_list.", "auxiliary.branches."),
    ("layer6.conv2d_list.", "head.classifier.branches."),
    *((f"IN{stage}.", f"backbone.restitutions.{stage}.norm.") for stage in range(1, 5)),
    *((f"style_reid_laye{stage}.", f"backbone.restitutions.{stage}.gate.") for stage in range(1, 5)),
    ("", "backbone."),
)


def deeplabv2_entries(content: object) -> dict[str, Tensor] | None:
    """The network's entries in the ``content`` of a file of these, bare; ``None`` if it is none."""
    bare = {key.removeprefix(CAFFE_PREFIX): value for key, value in (state_of(content) or {}).items()}
    if CLASSIFIER_KEY not in bare:
        return None
    # Files older than torch 0.4.1 do not count batches.
    counted = [key.replace("running_mean", "num_batches_tracked") for key in bare if "running_mean" in key]
    return {**{key: torch.tensor(0) for key in counted}, **bare}


def from_deeplabv2(state: Mapping[str, Value]) -> dict[str, Value]:
    """A network's bare entries of theirs under our names."""
    return {renamed(key, PREFIXES): value for key, value in state.items()}


def to_deeplabv2(state: Mapping[str, Value]) -> dict[str, Value]:
    """One of our networks' state dicts under their names, bare."""
    reverse = tuple((ours, theirs) for theirs, ours in PREFIXES)
    return {renamed(key, reverse): value for key, value in state.items()}
