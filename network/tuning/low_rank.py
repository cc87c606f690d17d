"""A linear layer with a trained product of two small matrices beside it, as LoRA and SoMA have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_A, INITIAL_B = "initial_a", "initial_b"


class LowRankLinear(nn.Linear):
    """``W x + b + scaling * B A dropout(x)``, in place of a linear layer whose W and b it takes over.

    W and b keep their names ``weight`` and ``bias``, so checkpoints of the plain network fit. The rows of W
    may be several layers in one (query, key and value). Each of these ``parts`` then has its own B and A.

    Attributes:
        lora_a: the matrices A of all parts, one below the other: float (parts * rank) x inputs.
        lora_b: the matrices B of all parts, one below the other: float outputs x rank.
        scaling: the factor of the product.
    """

    def __init__(
        self, layer: nn.Linear, rank: int, scaling: float = 1.0, dropout: float = 0.0, parts: int = 1
    ) -> None:
        """``layer`` is taken over with its parameters as they are; both matrices are 0."""
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.rank, self.scaling, self.parts = rank, scaling, parts
        self.dropout = nn.Dropout(dropout)
        self.lora_a = nn.Parameter(layer.weight.new_zeros(parts * rank, layer.in_features))
        self.lora_b = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(self.dropout(x), self.lora_a)
        if self.parts == 1:
            change = F.linear(low, self.lora_b)
        else:
            low = low.unflatten(-1, (self.parts, self.rank))
            change = torch.einsum("...pr,por->...po", low, self.lora_b.unflatten(0, (self.parts, -1)))
            change = change.flatten(-2)
        return F.linear(x, self.weight, self.bias) + self.scaling * change

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer with the weight ``W + scaling * B A``, which computes the same in evaluation mode."""
        plain = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        weight = plus_product(self.weight, self.scaling * self.lora_b.double(), self.lora_a)
        plain.weight, plain.bias = nn.Parameter(weight), self.bias
        return plain


@torch.no_grad()
def plus_product(weight: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """``weight + b a`` in the type of ``weight``, with the same bits on every machine.

    The shapes are those of :class:`LowRankLinear`. The rank-one terms are added in float64, one after the
    other, and the sum is rounded once. A matrix product would add them in an order of the machine's own, and
    a product of two float32 numbers has no rounding in float64.
    """
    rank = b.shape[1]
    parts = a.shape[0] // rank
    columns, rows = b.double().unflatten(0, (parts, -1)), a.double().unflatten(0, (parts, rank))
    total = weight.double().unflatten(0, (parts, -1)).clone()
    for place in range(rank):
        total.addcmul_(columns[:, :, place, None], rows[:, place, None, :])
    return total.flatten(0, 1).to(weight.dtype)


def remainder(weight: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """``weight - b a``; see :func:`plus_product`."""
    return plus_product(weight, -b, a)


def with_remainders(base: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of ``base`` as a network has them whose entries ``stored`` came from a checkpoint.

    These are ``base`` itself, and for a layer whose product was taken out of its weight the remainder.
    """
    result = dict(base)
    for key, b in stored.items():
        layer, _, name = key.rpartition(".")
        if name == INITIAL_B and f"{layer}.weight" in base:
            a = stored[f"{layer}.{INITIAL_A}"]
            result[f"{layer}.weight"] = remainder(base[f"{layer}.weight"], b, a)
    return result
