"""Colour jitter and Gaussian blur of whole batches, on the device that trains.

A loader's sample has the crop once, ``CROP`` uint8 3 x H x W, and for every view what was drawn for it,
``PARAMETERS + view`` float32 (9,). :func:`changed_views` makes the views of them: those that
:class:`transforms.photometric.Photometric` makes of the same draws, to within a grey level. Every picture has
an order and amounts of its own, and nothing is read back to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from transforms.photometric import GAUSSIAN_SIGMA, JITTERS, Jitter, blur_radius

CROP = "crop"
PARAMETERS = "photometric_"

PICTURES_AT_ONCE = 4
"""Bounds the memory: a picture of 768 x 768 in work takes about 60 MiB."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(len(JITTERS))
# Of a view's numbers the first four are the order of the operations, -1 for none, then come their amounts.
_AMOUNTS = slice(4, 8)
_SIGMA = 8


def encoded(drawn: Mapping[str, tuple[Jitter, float]]) -> dict[str, Tensor]:
    """The entries of a sample for the draws of its views: jitter and sigma of the blur, 0 for none."""
    return {PARAMETERS + view: _numbers(jitter, sigma) for view, (jitter, sigma) in drawn.items()}


def _numbers(jitter: Jitter, sigma: float) -> Tensor:
    numbers = torch.zeros(9)
    numbers[:4] = -1
    for place, (name, amount) in enumerate(jitter):
        operation = JITTERS.index(name)
        numbers[place] = operation
        numbers[4 + operation] = amount
    numbers[_SIGMA] = sigma
    return numbers


@torch.no_grad()
def changed_views(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch with the views, uint8 B x 3 x H x W, of its crops and draws; one without crops as it is."""
    if CROP not in batch:
        return batch
    crops = batch[CROP]
    result = {name: value for name, value in batch.items() if not name.startswith(PARAMETERS)}
    del result[CROP]
    # Grey levels have to be counted exactly, whatever precision the network is trained in.
    with torch.autocast(crops.device.type, enabled=False):
        for name, numbers in batch.items():
            if name.startswith(PARAMETERS):
                parts = zip(crops.split(PICTURES_AT_ONCE), numbers.split(PICTURES_AT_ONCE), strict=True)
                result[name.removeprefix(PARAMETERS)] = torch.cat([changed(*part) for part in parts])
    return result


def changed(crops: Tensor, numbers: Tensor) -> Tensor:
    """Crops uint8 B x 3 x H x W after what ``numbers`` (B x 9) say, uint8."""
    pictures = crops.float()
    amounts = numbers[:, _AMOUNTS]
    for place in range(4):
        pictures = _operation(pictures, numbers[:, place], amounts)
    return blurred(pictures, numbers[:, _SIGMA]).round().clamp(0, 255).to(torch.uint8)


def _operation(pictures: Tensor, operation: Tensor, amounts: Tensor) -> Tensor:
    """One operation per picture, of its own kind (-1: none), on whole grey levels, float32 B x 3 x H x W."""
    kinds, amounts = operation[:, None, None, None], amounts[..., None, None, None]
    red, green, blue = pictures.split(1, dim=1)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue + 0.5).floor()
    mean = (grey.mean((1, 2, 3), keepdim=True) + 0.5).floor()
    blends = (
        (BRIGHTNESS, torch.zeros_like(mean)),
        (CONTRAST, mean),
        (SATURATION, grey),
    )
    result = torch.where(kinds == HUE, turned(pictures, amounts[:, HUE]), pictures)
    for kind, other in blends:
        factor = amounts[:, kind]
        # Rounded down, as Pillow does.
        blend = (other + factor * (pictures - other)).clamp(0, 255).floor()
        result = torch.where(kinds == kind, blend, result)
    return result


def turned(pictures: Tensor, turn: Tensor) -> Tensor:
    """Grey levels, float32 B x 3 x H x W, with their hue turned by ``turn`` (B x 1 x 1 x 1) of the circle.

    By way of hue, saturation and value of 256 steps each, as Pillow has them.
    """
    value, dominant = pictures.max(1, keepdim=True)
    spread = value - pictures.amin(1, keepdim=True)
    # Grey has no hue: the divisor does not matter, for the differences are 0.
    red, green, blue = ((value - pictures) / spread.clamp(min=1)).split(1, dim=1)
    sixths = torch.where(
        dominant == 0, blue - green, torch.where(dominant == 1, 2 + red - blue, 4 + green - red)
    )
    hue = ((sixths / 6 + 1) % 1 * 255).floor()
    saturation = (spread / value.clamp(min=1) * 255).floor() / 255
    hue = (hue + (turn * 255).trunc()) % 256 * (6 / 255)
    # Channel n of red, green, blue falls by the saturation where the hue is far from its own.
    offsets = torch.arange(5, 0, -2, device=pictures.device)[:, None, None]
    distance = (offsets + hue) % 6
    fall = torch.minimum(distance, 4 - distance).clamp(0, 1)
    return (value * (1 - saturation * fall)).round()


def blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Pictures float32 B x 3 x H x W, each by a Gaussian of its own ``sigma`` (B,), cut at 4 sigma.

    Edges are repeated; sigma 0 changes nothing, and none may be above :data:`GAUSSIAN_SIGMA`'s.
    """
    radius = blur_radius(GAUSSIAN_SIGMA[1])
    places = torch.arange(-radius, radius + 1, device=pictures.device)
    reach = (4 * sigma + 0.5).floor()
    kernel = torch.exp(-0.5 * (places / sigma.clamp(min=1e-3)[:, None]) ** 2) * (
        places.abs() <= reach[:, None]
    )
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(pictures.shape[1], 0)[:, None]
    batch, channels, height, width = pictures.shape
    stacked = F.pad(pictures, [radius] * 4, mode="replicate").view(
        1, batch * channels, height + 2 * radius, -1
    )
    rows = F.conv2d(stacked, kernel[:, :, None], groups=batch * channels)
    return F.conv2d(rows, kernel[..., None], groups=batch * channels).view(batch, channels, height, width)
