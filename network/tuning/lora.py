"""LoRA: low-rank adaptation of linear layers (Hu et al., ICLR 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from network.backbone.base import Backbone
from network.tuning.frozen import freeze, keep_in_evaluation
from network.tuning.low_rank import LowRankLinear
from network.tuning.places import QUERY_KEY_VALUE, chosen_blocks, chosen_targets, replace, target_layers


def tune_lora(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """Put ``W x + b + (alpha / rank) B A dropout(x)`` in the place of the linear layers ``targets``.

    The defaults are those of VFMNet (rank and alpha 32, dropout 0.1, query, key and value of all blocks). B
    starts at 0 and A like the weight of a linear layer, so the network first computes what it did before.
    Only A and B are trained; on DINOv2-L these are 3.15 million parameters. Their dropout is the only one
    that is active in training, because the layers that were loaded stay in evaluation mode.
    """
    rank, alpha, dropout = settings["rank"], settings["alpha"], settings["dropout"]
    blocks = chosen_blocks(backbone, "lora", settings["blocks"])
    targets = chosen_targets(backbone, "lora", blocks, settings["targets"], [QUERY_KEY_VALUE])
    layers = target_layers(backbone, blocks, targets)
    freeze(backbone)
    for name, layer in layers:
        adapted = LowRankLinear(layer, rank, alpha / rank, dropout)
        if initialise:
            nn.init.kaiming_uniform_(adapted.lora_a, a=math.sqrt(5))
        replace(backbone, name, adapted)
    keep_in_evaluation(backbone, *(name for name, _ in layers))
    return {"rank": rank, "alpha": alpha, "dropout": dropout, "targets": targets, "blocks": blocks}
