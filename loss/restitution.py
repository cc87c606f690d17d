"""Dual restitution loss (Style Normalization and Restitution, Jin et al., TMM 2021)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from loss.entropy import pixel_entropy


def dual_restitution_loss(normalised: Tensor, restituted: Tensor, contaminated: Tensor) -> Tensor:
    """softplus(H(restituted) - H(normalised)) + softplus(H(normalised) - H(contaminated)).

    H is the entropy of a prediction, mean over pictures and pixels, in float32 at least. Compared with the
    normalised features, the loss makes predictions from the restituted features more certain, and those from
    the contaminated features less certain. The means are compared, not the pixels: for segmentation the paper
    found this slightly better. Nothing is detached, so the gradient reaches all three inputs.

    Args:
        normalised, restituted, contaminated: logits B x classes x H x W of one pixel classifier on the
            features F~, F+ and F- of a stage (``network.norm.snr``).
    """
    without, with_useful, with_useless = (
        pixel_entropy(logits).mean() for logits in (normalised, restituted, contaminated)
    )
    return F.softplus(with_useful - without) + F.softplus(without - with_useless)
