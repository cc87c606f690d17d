"""SoMA: tuning of the minor singular components (Yun et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.tuning.frozen import freeze, keep_in_evaluation
from network.tuning.low_rank import INITIAL_A, INITIAL_B, LowRankLinear, remainder
from network.tuning.places import (
    FIRST_OF_MLP,
    LAST_OF_MLP,
    PROJECTION,
    QUERY_KEY_VALUE,
    chosen_blocks,
    chosen_targets,
    last_name,
    replace,
    target_layers,
)
from utils.errors import UserError

TARGETS = (QUERY_KEY_VALUE, PROJECTION, FIRST_OF_MLP, LAST_OF_MLP)
# The fused layer of query, key and value: each has singular values of its own.
PARTS = {"qkv": 3}


def tune_soma(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """Train the ``rank`` smallest singular components of the linear layers ``targets``, and their biases.

    With ``W = U S V^T`` and r for the last ``rank`` components, ``B = U_r sqrt(S_r)``, ``A = sqrt(S_r)
    V_r^T``, and the rest ``W - B A`` is frozen. So the layer first computes what it did before. The published
    ones are the 16 smallest components of query, key, value, projection and both layers of the MLP in blocks
    8 to 23 of 24; with another depth a third of the blocks is left out. On DINOv2-L these are 4.72 million
    parameters and 0.15 million biases.

    The layers keep the first A and B as buffers: the frozen rest is computed from the loaded weight with them
    when a checkpoint without it is read.
    """
    rank = settings["rank"]
    blocks = chosen_blocks(backbone, "soma", settings["blocks"], lambda depth: depth // 3)
    targets = chosen_targets(backbone, "soma", blocks, settings["targets"], TARGETS)
    layers = target_layers(backbone, blocks, targets)
    freeze(backbone)
    for name, layer in layers:
        parts = PARTS.get(last_name(name), 1)
        smallest = min(layer.in_features, layer.out_features // parts)
        if rank > smallest:
            raise UserError(f"--rank {rank}: {name} of {backbone.name} has {smallest} components; lower it")
        parent = replace(backbone, name, split_layer(layer, rank, parts, initialise))
        biases = layer.bias, *(getattr(parent, bias, None) for bias in ("q_bias", "v_bias"))
        for bias in biases:
            if isinstance(bias, nn.Parameter):
                bias.requires_grad_(True)
    keep_in_evaluation(backbone, *(name for name, _ in layers))
    return {"rank": rank, "targets": targets, "blocks": blocks}


def split_layer(layer: nn.Linear, rank: int, parts: int, initialise: bool) -> LowRankLinear:
    """``layer`` with its ``rank`` smallest components per part as B and A, and its weight without them.

    Without ``initialise`` B and A are 0, and the weight is not changed.
    """
    split = LowRankLinear(layer, rank, parts=parts)
    if initialise:
        matrices = layer.weight.detach().unflatten(0, (parts, -1))
        pairs = [smallest_components(matrix, rank) for matrix in matrices]
        b, a = (torch.cat(each).contiguous() for each in zip(*pairs, strict=True))
        split.lora_a, split.lora_b = nn.Parameter(a), nn.Parameter(b)
        split.weight = nn.Parameter(remainder(layer.weight, b, a), requires_grad=False)
    split.register_buffer(INITIAL_A, split.lora_a.detach().clone())
    split.register_buffer(INITIAL_B, split.lora_b.detach().clone())
    return split


def smallest_components(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """B (outputs x rank) and A (rank x inputs), whose product has the smallest singular values of a matrix.

    The decomposition is exact and in float32; B and A have the type of ``matrix``.
    """
    if matrix.shape[0] < matrix.shape[1]:  # A tall matrix is decomposed in less than half of the time.
        a, b = smallest_components(matrix.T, rank)
        return b.T, a.T
    left, values, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    root = values[-rank:].sqrt()
    return (left[:, -rank:] * root).to(matrix), (root[:, None] * right[-rank:]).to(matrix)
