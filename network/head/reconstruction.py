"""DIIA's two reconstruction branches, for edges and for the layout (Liao et al., Neurocomputing 2023).

Edges and layout differ little between domains. Each branch encodes one of them into 256 channels on the grid
of layer4, at any output stride.
"""

from __future__ import annotations

from torch import Tensor, nn

from network.head.layers import double_convolution, resize

CODE_CHANNELS = 256


def reducing_convolutions(before: int, between: int, factor: int) -> list[nn.Module]:
    """3x3 convolutions, ``before`` -> ``between`` -> 256 channels, with BatchNorm and ReLU between them.

    The output is ``factor`` (a power of two) times smaller, because the first convolutions have stride 2. The
    published network has two convolutions, which reduce by 4; a factor of 8 adds a third one.
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
    """The common part of both branches: a segmentation of their code, which only training uses."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.refinement = double_convolution(CODE_CHANNELS)
        self.classifier = nn.Conv2d(CODE_CHANNELS, num_classes, 1)

    def segment(self, code: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits of the code, B x 256 x h x w -> B x classes x ``size``."""
        # Only a loss reads these logits, and nothing takes the best class of them, so 16 bits are enough.
        return resize(self.classifier(self.refinement(code)), size)


class EdgeReconstruction(ReconstructionBranch):
    """Edges from layer1, and the code of the edges (the paper's edge reconstruction module)."""

    def __init__(self, channels: int, num_classes: int, factor: int) -> None:
        """``channels``: channels of layer1; ``factor``: the grid of layer4 is so many times smaller."""
        super().__init__(num_classes)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 128, 1),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 64, 3, padding=1),
        )
        self.decoder = nn.Sequential(*reducing_convolutions(64, 256, factor))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """layer1 -> edges B x 64 x size of layer1, and their code B x 256 x size of layer4."""
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
        """Layout int64 B x H x W (train ids and 255, used as numbers) -> code B x 256 x size of layer4."""
        return self.encoder(layout.unsqueeze(1).to(self.classifier.weight.dtype))
