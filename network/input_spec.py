"""How pictures become the input of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# This is added to the standard deviation of a picture, which is 0 if the picture has one colour.
SMALLEST_DEVIATION = 1e-5


@dataclass(frozen=True)
class InputSpec:
    """Value range, channel order and normalisation that the weights of a network expect.

    Attributes:
        mean, std: per channel, in the network's channel order and value range.
        channel_order: ``"RGB"`` or ``"BGR"``.
        value_range: the value of an 8-bit 255 before normalisation, 1 or 255.
        per_image: whether each picture, tile or crop is normalised by its own mean and (unbiased) standard
            deviation per channel, instead of ``mean`` and ``std``.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    channel_order: str = "RGB"
    value_range: float = 1.0
    per_image: bool = False

    def prepare(self, images: Tensor, renormalisation: Tensor | None = None) -> Tensor:
        """RGB pictures B x 3 x H x W, uint8 or float in 0..1 -> the network's float32 input, on their device.

        ``renormalisation``, float B x 2 x 3, is a gain and a shift of red, green and blue (in 0..1) of every
        picture. Applied first, it gives the pictures of one data set the colour statistics of another.
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
        # The device fills in each number itself: a copy from the host would make the host wait.
        mean, std = (
            torch.stack([torch.full((), value, device=x.device) for value in values]).view(1, 3, 1, 1)
            for values in (self.mean, self.std)
        )
        return (x - mean) / std

    def convert_convolution(self, weight: Tensor, made_for: InputSpec) -> Tensor:
        """The ``weight`` of a first convolution (3 input channels), converted from inputs of ``made_for``.

        On inputs of this spec the converted convolution gives the same output, up to a constant that comes
        from different means.
        """
        gains = [spec.value_range / torch.tensor(spec.std).view(1, 3, 1, 1) for spec in (made_for, self)]
        weight = weight * gains[0]
        return (weight if self.channel_order == made_for.channel_order else weight.flip(1)) / gains[1]


IMAGENET = InputSpec()
# For networks converted from Caffe: BGR as in OpenCV, values 0..255 minus their mean.
CAFFE = InputSpec(
    mean=(104.00698793, 116.66876762, 122.67891434),
    std=(1.0, 1.0, 1.0),
    channel_order="BGR",
    value_range=255.0,
)
