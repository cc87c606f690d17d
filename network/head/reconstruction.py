"""DIIA's two reconstruction branches, of edges and of the layout (Liao et al., Neurocomputing 2023).

Both encode what differs little between domains into 256 channels on layer4's grid, at any output stride.
"""

from __future__ import annotations

from torch import Tensor, nn

from network.head.deeplabv3plus import double_convolution, resize

CODE_CHANNELS = 256


def reducing_convolutions(before: int, between: int, factor: int) -> list[nn.Module]:
    """3x3 convolutions, ``before`` -> ``between`` -> 256 channels, with BatchNorm and ReLU between them.

    As many of them as it takes have stride 2, so that the output is ``factor`` (a power of two) times
    smaller: the published two reduce by 4, for 8 there is a third.
    """
    halvings = factor.bit_length() - 1
    channels = [before, between, *[CODE_CHANNELS] * max(1, halvings - 1)]
    layers: list[nn.Module] = []
    for number, (taken, given) in enumerate(zip(channels, channels[1:], strict=False)):
        if layers:
            layers += [nn.BatchNorm2d(taken), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(taken, given, 3, stride=2 if number < halvings else 1, padding=1))
    return layers


class ReconstructionBranch(nn.Module):
    """What both branches have: a segmentation of their code, which only training looks at."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.refinement = double_convolution(CODE_CHANNELS)
        self.classifier = nn.Conv2d(CODE_CHANNELS, num_classes, 1)

    def segment(self, code: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits of the code, B x 256 x h x w -> B x classes x ``size``."""
        return resize(self.classifier(self.refinement(code)), size)


class EdgeReconstruction(ReconstructionBranch):
    """Edges from layer1, and their code (the paper's edge reconstruction module)."""

    def __init__(self, channels: int, num_classes: int, factor: int) -> None:
        """``channels``: of layer1; ``factor``: how many times smaller layer4's grid is than layer1's."""
        super().__init__(num_classes)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 128, 1),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 64, 3, padding=1),
        )
        self.decoder = nn.Sequential(*reducing_convolutions(64, 256, factor))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """layer1 -> edges, B x 64 x its size, and their code, B x 256 x layer4's size."""
        edges = self.encoder(x)
        return edges, self.decoder(edges)


class LayoutReconstruction(ReconstructionBranch):
    """The code of a semantic layout (the paper's semantic layout reconstruction module)."""

    def __init__(self, num_classes: int, stride: int) -> None:
        """``stride``: picture pixels per pixel of layer4, at least 4."""
        super().__init__(num_classes)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            *reducing_convolutions(64, 128, stride // 4),
        )

    def forward(self, layout: Tensor) -> Tensor:
        """Layout, int64 B x H x W, class numbers and 255 as they are -> B x 256 x layer4's size."""
        return self.encoder(layout.unsqueeze(1).to(self.classifier.weight.dtype))
