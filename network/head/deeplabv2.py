"""DeepLabV2's atrous classifiers (Chen et al., TPAMI 2018), one on layer4 and an auxiliary one on layer3.

The auxiliary one is AdaptSegNet's (Tsai et al., CVPR 2018). The code of AdaptSegNet, MaxSquare and SNR has
four branches, but sums only two of them.
"""

from __future__ import annotations

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.atrous import AtrousConvolution
from network.head.layers import resize_scores
from utils.errors import UserError

DILATIONS = (6, 12, 18, 24)
# Value of --deeplabv2_head -> how many branches are summed.
BRANCHES = {"four_branch": 4, "two_branch": 2}
WEIGHT_DEVIATION = 0.01


class AtrousClassifier(nn.Module):
    """The sum of 3x3 convolutions of dilation 6, 12, 18, 24: B x ``channels`` x H x W -> B x classes x H x W.

    The dilations are the published ones for output stride 8, and the same at other strides. All four branches
    are in the state dict, but only the first ``summed`` are used and trained. Weights start at N(0, 0.01),
    biases at torch's default.
    """

    def __init__(self, channels: int, num_classes: int, summed: int = len(DILATIONS)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(AtrousConvolution(channels, num_classes, rate) for rate in DILATIONS)
        self.summed = summed
        for number, branch in enumerate(self.branches):
            nn.init.normal_(branch.weight, std=WEIGHT_DEVIATION)
            branch.requires_grad_(number < summed)

    def forward(self, x: Tensor) -> Tensor:
        return sum(branch(x) for branch in self.branches[: self.summed])


class AtrousAuxiliary(AtrousClassifier):
    """The auxiliary classifier on layer3; logits at picture size."""

    def __init__(self, backbone: Backbone, num_classes: int, summed: int = len(DILATIONS)) -> None:
        super().__init__(backbone.channels["layer3"], num_classes, summed)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return resize_scores(super().forward(x), size)


class DeepLabV2(nn.Module):
    """The main classifier on layer4; logits at picture size.

    ``hidden_channels`` are those of 3x3 convolutions before it, each of dilation 4 and with a ReLU.
    """

    auxiliary_weight = 0.1
    learning_rate_factor = 10.0
    smallest_batch = 1
    hidden_channels: tuple[int, ...] = ()

    def __init__(self, backbone: Backbone, num_classes: int, summed: int = len(DILATIONS)) -> None:
        """``summed``: how many of the four branches are summed; a UserError is raised unless it is 4 or 2."""
        super().__init__()
        if summed not in BRANCHES.values():
            raise UserError(f"atrous_branches {summed}: unknown; choose 4 or 2 (--deeplabv2_head)")
        channels = backbone.channels["layer4"]
        self.hidden = nn.Sequential()
        for outputs in self.hidden_channels:
            self.hidden.append(nn.Conv2d(channels, outputs, 3, padding=4, dilation=4))
            self.hidden.append(nn.ReLU(inplace=True))
            channels = outputs
        self.classifier = AtrousClassifier(channels, num_classes, summed)
        self.embedding_channels = {"decoder": channels} if self.hidden_channels else {}

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``, and taps on layer4's grid; ``decoder_logits`` are those before resizing."""
        decoded = self.hidden(features["layer4"])
        logits = self.classifier(decoded)
        taps = {"decoder": decoded} if self.hidden_channels else {}
        return resize_scores(logits, size), {**taps, "decoder_logits": logits}


class DeepLabV2FullyConnected(DeepLabV2):
    """DeepLabV2 for VGG, with the layers fc6 and fc7 as atrous convolutions before the classifier."""

    hidden_channels = (1024, 1024)
