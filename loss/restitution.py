"""Dual restitution loss (Style Normalization and Restitution, Jin et al., TMM 2021)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from loss.entropy import pixel_entropy


def dual_restitution_loss(normalised: Tensor, restituted: Tensor, contaminated: Tensor) -> Tensor:
    """Asks that restitution makes a stage's features more discriminative, and contamination less so.

    With H the entropy of a prediction, mean over pictures and positions:
    softplus(H(restituted) - H(normalised)) + softplus(H(normalised) - H(contaminated)). The means are taken
    first, then compared: for segmentation the paper found this slightly better than comparing every pixel.
    Nothing is detached: the gradient reaches all three. In float32 at least.

    Args:
        normalised, restituted, contaminated: logits B x classes x H x W of one pixel classifier on F~, F+ and
            F- of a stage (``network.norm.snr``).
    """
    without, with_useful, with_useless = (
        pixel_entropy(logits).mean() for logits in (normalised, restituted, contaminated)
    )
    return F.softplus(with_useful - without) + F.softplus(without - with_useless)
