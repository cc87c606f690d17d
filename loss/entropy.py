"""The entropy of predictions, and the dual restitution loss, which compares entropies."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32


def pixel_entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of every pixel, in nats: B x classes x H x W -> B x H x W, 0 to log(classes).

    It is computed in float32 at least, and from log probabilities: so it is exact and has a gradient even
    where a probability underflows.
    """
    log_probability = at_least_float32(logits).log_softmax(1)
    return -(log_probability.exp() * log_probability).sum(1)


def dual_restitution_loss(normalised: Tensor, restituted: Tensor, contaminated: Tensor) -> Tensor:
    """softplus(H(restituted) - H(normalised)) + softplus(H(normalised) - H(contaminated)).

    This is from Style Normalization and Restitution (Jin et al., TMM 2021). The arguments are logits
    B x classes x H x W of one pixel classifier on the features F~, F+ and F- of a stage
    (``network.norm.snr``). H is the entropy of a prediction, mean over pictures and pixels. Compared with the
    normalised features, the loss makes predictions from the restituted features more certain, and those from
    the contaminated features less certain. The means are compared, not the pixels: for segmentation the paper
    found this slightly better. The gradient reaches all three arguments.
    """
    h_normalised, h_restituted, h_contaminated = (
        pixel_entropy(logits).mean() for logits in (normalised, restituted, contaminated)
    )
    return F.softplus(h_restituted - h_normalised) + F.softplus(h_normalised - h_contaminated)
