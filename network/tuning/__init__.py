"""Tuning: which weights of a network are trained, and which small layers are added to it for that.

One file here for each way. A network is tuned in place, after its weights were loaded. The settings are plain
values that travel in ``network.config["tuning"]``, so a checkpoint rebuilds the tuned network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from network.backbone.base import Backbone
from network.segmentor import SegmentationNet
from network.tuning.frozen import tune_frozen, tune_head
from network.tuning.lora import tune_lora
from network.tuning.low_rank import LowRankLinear
from network.tuning.places import replace
from network.tuning.rein import tune_rein
from network.tuning.soma import tune_soma
from utils.errors import UserError

FULL = "full"


@dataclass(frozen=True)
class Tuning:
    """One way of tuning.

    Attributes:
        tune: tunes a backbone in place, given all settings and whether to set the initial values of what is
            added; returns the settings with those that follow from the backbone.
        defaults: setting -> its published value; ``None``: it follows from the backbone.
        backbone_factor: the published factor of the learning rate of what is trained in the backbone.
        small_files: whether checkpoints leave out the weights that were loaded, unless they are told not to.
    """

    tune: Callable[[Backbone, Mapping[str, Any], bool], dict[str, Any]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    backbone_factor: float = 1.0
    small_files: bool = True


TUNINGS: dict[str, Tuning] = {
    "frozen": Tuning(tune_frozen),
    "head": Tuning(tune_head, small_files=False),
    "lora": Tuning(tune_lora, {"rank": 32, "alpha": 32.0, "dropout": 0.1, "targets": None, "blocks": None}),
    "soma": Tuning(tune_soma, {"rank": 16, "targets": None, "blocks": None}, backbone_factor=0.5),
    "rein": Tuning(tune_rein, {"tokens": 100, "rank": 16, "blocks": None}),
}
"""Name for ``--tune`` -> what it does. ``full``, the default, trains everything and is nothing to do."""


def tune(network: SegmentationNet, settings: Mapping[str, Any] | None, initialise: bool = True) -> None:
    """Tune ``network`` in place, and say so in its config.

    Args:
        network: it has its weights already, and is not tuned yet.
        settings: ``name``, one of ``TUNINGS``, and those of its settings that are not to be as published.
            ``None`` or the name ``full``: everything is trained.
        initialise: whether to set the initial values of what is added. Without, the values are meaningless
            until a state dict is loaded.

    Raises:
        UserError: a name or setting is unknown, or the backbone lacks what is to be tuned.
    """
    if settings is None or settings.get("name") == FULL:
        return
    name = settings.get("name")
    if name not in TUNINGS:
        raise UserError(f"--tune {name}: unknown; use one of {', '.join([FULL, *TUNINGS])}")
    if network.config.get("tuning"):
        raise ValueError(f"the network is tuned already ({network.config['tuning']['name']})")
    tuning = TUNINGS[name]
    if unknown := settings.keys() - {"name", *tuning.defaults}:
        raise UserError(f"--tune {name}: has no setting {min(unknown)}; it has {', '.join(tuning.defaults)}")
    all_settings = tuning.tune(network.backbone, {**tuning.defaults, **settings}, initialise)
    network.config["tuning"] = {"name": name, **all_settings}


def merge(network: SegmentationNet) -> None:
    """Fold what was added to a tuned network into plain weights, in place; its config says no tuning.

    A network in evaluation mode computes the same before and after, up to rounding. Raises a UserError if
    what was added is not a change of weights.
    """
    name = (network.config.get("tuning") or {}).get("name")
    if name == "rein":
        raise UserError("--tune rein: its tokens are no change of weights, so they cannot be folded into any")
    backbone = network.backbone
    adapted = [each for each in backbone.named_modules() if isinstance(each[1], LowRankLinear)]
    for place, layer in adapted:
        replace(backbone, place, layer.merged())
    backbone.following = None
    network.config["tuning"] = None
    network.train(network.training)


def trained_words(method: nn.Module) -> str:
    """How many parameters of ``method``, which has a ``network``, are trained, of how many, and where.

    Teachers do not count. What is trained in a tuned backbone is called adapters.
    """
    network: SegmentationNet = method.network
    in_backbone = "backbone" if network.config.get("tuning") is None else "adapters"
    heads = [part for part in (network.head, network.auxiliary) if part is not None]
    own = {id(parameter) for parameter in network.parameters()}
    further = [p for p in method.parameters() if p.requires_grad and id(p) not in own]
    counts = {
        in_backbone: _trained(network.backbone),
        "head" if len(heads) == 1 else "heads": sum(map(_trained, heads)),
        "method": sum(parameter.numel() for parameter in further),
    }
    total = sum(parameter.numel() for parameter in network.parameters()) + counts["method"]
    words = ", ".join(f"{name} {_millions(count)}" for name, count in counts.items() if count)
    return f"trains {_millions(sum(counts.values()))} of {_millions(total)} parameters ({words or 'nothing'})"


def _trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"
