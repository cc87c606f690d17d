"""Style normalisation and restitution (SNR, Jin et al., TMM 2021), after a stage of a backbone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from network.norm.instance_whitening import InstanceNormalisation


class Restitution(NamedTuple):
    """The three outputs of an SNR module, each B x channels x H x W.

    Attributes:
        restituted: F+, the input of the next stage.
        contaminated: F-, for the dual restitution loss; ``None`` in evaluation mode, where it is not needed.
        normalised: F~, also for that loss.
    """

    restituted: Tensor
    contaminated: Tensor | None
    normalised: Tensor


class StyleRestitution(nn.Module):
    """Removes style by instance normalisation, then restores the part of it that tells classes apart.

    With the instance normalisation F~ = IN(F), the residual R = F - F~ and the channel gate a = gate(R), the
    outputs are F+ = F~ + a R and F- = F~ + (1 - a) R. No ReLU follows, so F+ may be negative. F+ and F~ are
    the same in training and evaluation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = InstanceNormalisation(channels, affine=True)
        self.gate = ChannelGate(channels)

    def forward(self, x: Tensor) -> Restitution:
        normalised = self.norm(x)
        residual = x - normalised
        useful = self.gate(residual) * residual
        contaminated = normalised + (residual - useful) if self.training else None
        return Restitution(normalised + useful, contaminated, normalised)


class ChannelGate(nn.Module):
    """A factor, 0 to 1, for every channel of every picture: B x channels x H x W -> B x channels x 1 x 1.

    The layers are global average, 1x1 convolution to channels / 16 (at least 1), ReLU, 1x1 convolution and
    sigmoid (squeeze and excitation, Hu et al., CVPR 2018). Weights start at N(0, 0.01), so that all factors
    are near one half; biases start at torch's default.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))
