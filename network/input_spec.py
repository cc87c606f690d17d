"""How a network wants its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Added to the standard deviation of a picture, which may be of one colour.
SMALLEST_DEVIATION = 1e-5


def on_device(values: Sequence[float], device: torch.device) -> Tensor:
    """``values`` as float32, written by the device itself: for a copy from the host it would be waited."""
    return torch.stack([torch.full((), value, device=device) for value in values])


@dataclass(frozen=True)
class InputSpec:
    """Value range, channel order and normalisation that a network's weights expect.

    Attributes:
        mean, std: per channel, in the network's own channel order and value range.
        channel_order: ``"RGB"`` or ``"BGR"``.
        value_range: what an 8-bit 255 becomes before mean and std, 1 or 255.
        per_image: each picture, tile or crop that the network sees is normalised by its own mean and
            (unbiased) standard deviation per channel, in place of ``mean`` and ``std``.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    channel_order: str = "RGB"
    value_range: float = 1.0
    per_image: bool = False

    def prepare(self, images: Tensor, renormalisation: Tensor | None = None) -> Tensor:
        """uint8 RGB pictures B x 3 x H x W -> the network's float32 input, on the same device.

        Floating point pictures are taken to be RGB in 0..1 already. ``renormalisation``, float B x 2 x 3, is
        a scale and a shift for every picture's red, green and blue in 0..1, which give the pictures of one
        data set the colour statistics of another; they come before all else.
        """
        scale = self.value_range if images.is_floating_point() else self.value_range / 255
        x = images.float() * scale
        if renormalisation is not None:
            gain, shift = renormalisation.float()[..., None, None].unbind(1)
            x = x * gain + shift * self.value_range
        if self.channel_order == "BGR":
            x = x.flip(1)
        if self.per_image:
            deviation, mean = torch.std_mean(x, dim=(2, 3), keepdim=True)
            return (x - mean) / (deviation + SMALLEST_DEVIATION)
        mean, std = (on_device(values, x.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std

    def convert_convolution(self, weight: Tensor, made_for: InputSpec) -> Tensor:
        """A first convolution's ``weight``, 3 input channels, that does here what it does on ``made_for``.

        Exactly so for what varies in a picture; of the mean a constant remains where the means differ.
        """
        gains = [spec.value_range / torch.tensor(spec.std).view(1, 3, 1, 1) for spec in (made_for, self)]
        weight = weight * gains[0]
        return (weight if self.channel_order == made_for.channel_order else weight.flip(1)) / gains[1]


IMAGENET = InputSpec()
# Of the networks converted from Caffe: OpenCV's channel order, grey levels minus their mean.
CAFFE = InputSpec(
    mean=(104.00698793, 116.66876762, 122.67891434),
    std=(1.0, 1.0, 1.0),
    channel_order="BGR",
    value_range=255.0,
)
