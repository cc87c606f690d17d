"""Colour jitter and Gaussian blur of whole batches, on the device that trains.

A sample from the loader has the crop once, in the entry ``CROP`` (uint8 3 x H x W), and for each view nine
random numbers in the entry ``PARAMETERS + view`` (float32). :func:`changed_views` makes the views from them.
They equal those of :class:`transforms.photometric.Photometric` for the same numbers, to within one grey
level. Each picture has its own amounts of the changes and its own order. Nothing is copied back to the host.
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
"""Limits the memory: changing a picture of 768 x 768 takes about 60 MiB."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(len(JITTERS))


def encoded(drawn: Mapping[str, tuple[Jitter, float]]) -> dict[str, Tensor]:
    """The entries of a sample for ``drawn``: view -> (jitter, sigma of the blur or 0 for no blur)."""
    return {PARAMETERS + view: _parameters(jitter, sigma) for view, (jitter, sigma) in drawn.items()}


def _parameters(jitter: Jitter, sigma: float) -> Tensor:
    """float32 (9,): the four kinds of change in their order (-1 for none), the amount of each, the sigma."""
    amounts = dict(jitter)
    order = [JITTERS.index(name) for name in amounts]
    order += [-1] * (4 - len(order))
    return torch.tensor([*order, *(amounts.get(name, 0) for name in JITTERS), sigma], dtype=torch.float32)


@torch.no_grad()
def changed_views(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with views (uint8 B x 3 x H x W) instead of crops and numbers; unchanged without crops."""
    if CROP not in batch:
        return batch
    crops = batch[CROP]
    result = {name: value for name, value in batch.items() if not name.startswith(PARAMETERS)}
    del result[CROP]
    # Grey levels must be exact, so autocast for the network must not lower the precision here.
    with torch.autocast(crops.device.type, enabled=False):
        for name, value in batch.items():
            if name.startswith(PARAMETERS):
                parts = zip(crops.split(PICTURES_AT_ONCE), value.split(PICTURES_AT_ONCE), strict=True)
                result[name.removeprefix(PARAMETERS)] = torch.cat([changed_crops(*part) for part in parts])
    return result


def changed_crops(crops: Tensor, parameters: Tensor) -> Tensor:
    """``crops`` (uint8 B x 3 x H x W) after the changes that ``parameters`` (B x 9) describe, uint8."""
    pictures = crops.float()
    order, amounts, sigma = parameters.split((4, 4, 1), dim=1)
    for kinds in order.unbind(1):
        pictures = _jittered(pictures, kinds, amounts)
    return blurred(pictures, sigma[:, 0]).round().clamp(0, 255).to(torch.uint8)


def _jittered(pictures: Tensor, kinds: Tensor, amounts: Tensor) -> Tensor:
    """``pictures`` (float32 B x 3 x H x W, whole grey levels) after one change each, of its kind (B,)."""
    kinds, amounts = kinds[:, None, None, None], amounts[..., None, None, None]
    red, green, blue = pictures.split(1, dim=1)
    grey = (0.299 * red + 0.587 * green + 0.114 * blue + 0.5).floor()
    mean = (grey.mean((1, 2, 3), keepdim=True) + 0.5).floor()
    result = torch.where(kinds == HUE, hue_shifted(pictures, amounts[:, HUE]), pictures)
    for kind, other in ((BRIGHTNESS, torch.zeros_like(mean)), (CONTRAST, mean), (SATURATION, grey)):
        factor = amounts[:, kind]
        # Pillow rounds down.
        blend = (other + factor * (pictures - other)).clamp(0, 255).floor()
        result = torch.where(kinds == kind, blend, result)
    return result


def hue_shifted(pictures: Tensor, turn: Tensor) -> Tensor:
    """``pictures`` (float32 B x 3 x H x W) with their hue shifted by ``turn`` (B x 1 x 1 x 1) of the circle.

    As in Pillow, hue, saturation and value have 256 steps each.
    """
    value, dominant = pictures.max(1, keepdim=True)
    spread = value - pictures.amin(1, keepdim=True)
    # For grey the spread is 0, and so are the differences: the clamp only avoids a division by 0.
    red, green, blue = ((value - pictures) / spread.clamp(min=1)).split(1, dim=1)
    sixths = torch.where(dominant == 1, 2 + red - blue, 4 + green - red)
    sixths = torch.where(dominant == 0, blue - green, sixths)
    hue = ((sixths / 6 + 1) % 1 * 255).floor()
    saturation = (spread / value.clamp(min=1) * 255).floor() / 255
    hue = (hue + (turn * 255).trunc()) % 256 * (6 / 255)
    # The farther the hue is from the channel's own hue, the more the saturation lowers the channel.
    offsets = torch.arange(5, 0, -2, device=pictures.device)[:, None, None]
    distance = (offsets + hue) % 6
    fall = torch.minimum(distance, 4 - distance).clamp(0, 1)
    return (value * (1 - saturation * fall)).round()


def blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """``pictures`` (float32 B x 3 x H x W), each blurred by a Gaussian of its own ``sigma`` (B,).

    The filter ends at 4 sigma, and edges are repeated. A sigma of 0 changes nothing; none may be above the
    greatest of :data:`GAUSSIAN_SIGMA`.
    """
    radius = blur_radius(GAUSSIAN_SIGMA[1])
    places = torch.arange(-radius, radius + 1, device=pictures.device)
    reach = (4 * sigma + 0.5).floor()
    gaussian = torch.exp(-0.5 * (places / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = gaussian * (places.abs() <= reach[:, None])
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(pictures.shape[1], 0)[:, None]
    batch, channels, height, width = pictures.shape
    padded = F.pad(pictures, [radius] * 4, mode="replicate").flatten(0, 1)[None]
    rows = F.conv2d(padded, kernel[:, :, None], groups=batch * channels)
    return F.conv2d(rows, kernel[..., None], groups=batch * channels).view(batch, channels, height, width)
