"""FCN-8s (Long, Shelhamer and Darrell, CVPR 2015) with BatchNorm, as in DA-SAC."""

from __future__ import annotations

from torch import Tensor, nn

from network.backbone.base import Backbone
from network.head.layers import resize, resize_scores
from utils.errors import UserError

HIDDEN_CHANNELS = 4096
DROPOUT = 0.1
SKIP_DEVIATION = 0.01
STRIDES = {"layer2": 8, "layer3": 16, "layer4": 32}


class FCN8s(nn.Module):
    """Scores of layer4, layer3 and layer2. The sum so far is resized to the grid of the scores added next.

    The scores of layer4 come from VGG's fully connected layers, written as 7x7 and 1x1 convolutions with
    BatchNorm and Dropout. Those of layer3 and layer2 come from one 1x1 convolution each (the skips). No
    scores are scaled. Weights start at torch's default, those of the skips at N(0, 0.01).
    """

    auxiliary_weight = 0.4
    learning_rate_factor = 10.0
    smallest_batch = 1

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        """A UserError is raised unless layer2, layer3 and layer4 have strides 8, 16 and 32."""
        super().__init__()
        strides = {stage: backbone.strides[stage] for stage in STRIDES}
        if strides != STRIDES:
            words = ", ".join(map(str, strides.values()))
            raise UserError(
                f"--head fcn8s: needs layer2, layer3, layer4 at strides 8, 16, 32, but {backbone.name} has "
                f"{words}; use --output_stride 32 and a backbone such as vgg16_bn or resnet50"
            )
        channels = backbone.channels
        self.classifier = nn.Sequential()
        for before, size in ((channels["layer4"], 7), (HIDDEN_CHANNELS, 1)):
            self.classifier.append(nn.Conv2d(before, HIDDEN_CHANNELS, size, padding=size // 2))
            self.classifier.append(nn.BatchNorm2d(HIDDEN_CHANNELS))
            self.classifier.append(nn.ReLU(inplace=True))
            self.classifier.append(nn.Dropout2d(DROPOUT))
        self.classifier.append(nn.Conv2d(HIDDEN_CHANNELS, num_classes, 1))
        self.skip16 = nn.Conv2d(channels["layer3"], num_classes, 1)
        self.skip8 = nn.Conv2d(channels["layer2"], num_classes, 1)
        for skip in (self.skip16, self.skip8):
            nn.init.normal_(skip.weight, std=SKIP_DEVIATION)
        self.embedding_channels: dict[str, int] = {}

    def forward(self, features: dict[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits at ``size``. ``decoder_logits`` are the logits on layer2's grid."""
        logits = self.classifier(features["layer4"])
        for skip, stage in ((self.skip16, "layer3"), (self.skip8, "layer2")):
            scores = skip(features[stage])
            logits = resize(logits, (scores.shape[-2], scores.shape[-1])) + scores
        return resize_scores(logits, size), {"decoder_logits": logits}
