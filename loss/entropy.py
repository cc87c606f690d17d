"""Entropy of predictions."""

from __future__ import annotations

from torch import Tensor

from loss.precision import at_least_float32


def pixel_entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of every pixel, in nats: B x classes x H x W -> B x H x W, 0 to log(classes).

    It is computed in float32 at least, and from log probabilities: so it is exact and has a gradient even
    where a probability underflows.
    """
    log_probability = at_least_float32(logits).log_softmax(1)
    return -(log_probability.exp() * log_probability).sum(1)
