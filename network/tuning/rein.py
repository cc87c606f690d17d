"""Rein: learnt tokens that refine the features between a transformer's blocks (Wei et al., CVPR 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from network.backbone.base import Backbone
from network.tuning.frozen import freeze, keep_in_evaluation
from network.tuning.places import blocks_of, chosen_blocks
from utils.errors import UserError

PATCH_SIZE = 16
"""The side of a patch in the formula for the initial values; all published networks have this one."""
FIRST_SCALE = 0.001


class Rein(nn.Module):
    """Refines the patch tokens f (N x c) after each of ``layers`` blocks.

    Block l has m tokens ``T_l = A_l B_l``. With ``S = softmax(f T_l^T / sqrt(c))`` over the tokens and
    ``change = S[:, 1:] (T_l[1:] W_t + b_t)``, in which token 0 only takes up attention, the features become
    ``f + s ((change + f) W_f + b_f)``. W_t, W_f and the scale s are shared by all layers. The scale is that
    of the released code.

    Attributes:
        tokens_a: float layers x m x rank. tokens_b: float layers x rank x c.
    """

    def __init__(self, layers: int, channels: int, tokens: int, rank: int, prefix: int) -> None:
        """``prefix``: the number of tokens before those of the patches, which are left as they are."""
        super().__init__()
        self.prefix = prefix
        self.tokens_a = nn.Parameter(torch.zeros(layers, tokens, rank))
        self.tokens_b = nn.Parameter(torch.zeros(layers, rank, channels))
        self.transfer = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))

    def initialise(self) -> None:
        """Draw the published initial values of the tokens; the linear layers start as PyTorch's do."""
        channels, rank = self.tokens_b.shape[2], self.tokens_b.shape[1]
        bound = math.sqrt(6 / (3 * PATCH_SIZE**2 + math.sqrt(channels * rank)))
        for tokens in (self.tokens_a, self.tokens_b):
            nn.init.uniform_(tokens, -bound, bound)

    def refine(self, place: int, block: nn.Module, inputs: object, x: Tensor) -> Tensor:
        """As a forward hook of block ``place``: its output x, float B x tokens x c, with refined patches."""
        patches = x[:, self.prefix :]
        tokens = self.tokens_a[place] @ self.tokens_b[place]
        similarity = (patches @ tokens.T / math.sqrt(tokens.shape[1])).softmax(-1)
        change = similarity[..., 1:] @ self.transfer(tokens[1:])
        refined = patches + self.scale * self.output(change + patches)
        return torch.cat([x[:, : self.prefix], refined.to(x.dtype)], dim=1)


def tune_rein(backbone: Backbone, settings: Mapping[str, Any], initialise: bool) -> dict[str, Any]:
    """Add :class:`Rein` after ``blocks``; the published ones are 100 tokens of rank 16 after every block.

    On DINOv2-L these are 2.53 million parameters. The published 2.99 million include the link from the tokens
    to the queries of a Mask2Former head (0.46 million), which has no use for other heads and is not here.
    """
    blocks = chosen_blocks(backbone, "rein", settings["blocks"])
    every = dict(blocks_of(backbone))
    owner = backbone.get_submodule(next(iter(every)).rpartition(".blocks.")[0])
    if not isinstance(prefix := getattr(owner, "num_prefix_tokens", None), int):
        raise UserError(
            f"--tune rein: needs the tokens of a plain transformer, which {backbone.name} is not; use --tune "
            "lora, or a --backbone timm:vit_..."
        )
    like = next(owner.parameters())
    rein = Rein(len(blocks), owner.embed_dim, settings["tokens"], settings["rank"], prefix).to(like)
    if initialise:
        rein.initialise()
    modules = list(every.values())
    for place, number in enumerate(blocks):
        modules[number].register_forward_hook(partial(rein.refine, place))
    freeze(backbone)
    backbone.rein = rein
    keep_in_evaluation(backbone, "rein")
    return {"tokens": settings["tokens"], "rank": settings["rank"], "blocks": blocks}
