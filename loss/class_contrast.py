"""The class-wise contrastive loss of BlindNet (CWCL; Ahn et al., CVPR 2024).

Each sampled pixel of the query view is pulled towards the same pixel of the key view, and pushed away from
other sampled pixels of the picture.

The published code inverts its masks with ``~`` on 8-bit integers, which masks nothing. So there all sampled
keys are negatives, also those of the pixel's own class and the positive itself, and the pixels that fill up
empty blocks may be sampled twice. ``NEGATIVES`` and ``FILLS`` name first what was meant, then what was run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.pixel_sampling import group_pixels
from loss.precision import at_least_float32
from utils.errors import UserError

NEGATIVES = ("other_class", "all")
FILLS = ("unused", "any")
FILL_CLASS = -1


class PixelBlocks(NamedTuple):
    """Sampled pixels of a batch. A block has pixels of one class, or random pixels, of one picture.

    Attributes:
        pixels: int64 B x blocks x pixels per block, batch-wide numbers (``loss.pixel_sampling``).
        classes: int64 B x blocks, the class of a block; -1 if the block is filled with random pixels.
        is_active: bool scalar, whether any picture has a class to sample.
    """

    pixels: Tensor
    classes: Tensor
    is_active: Tensor


def sample_class_pixels(
    label: Tensor,
    prediction: Tensor,
    num_classes: int,
    blocks: int,
    per_block: int,
    generator: torch.Generator,
    fill: str = "unused",
) -> PixelBlocks:
    """Sample ``per_block`` pixels of each of up to ``blocks`` classes per picture.

    A class takes part if more than ``per_block`` pixels have its label. If too many classes take part, those
    with the lowest train ids are used. Half of the pixels of a class are hard (wrongly predicted) and half
    are easy (rightly predicted), as far as the class has enough of both. Remaining blocks are filled with
    random pixels of the picture.

    Args:
        label, prediction: int64 B x H x W, train ids; other labels are ignored.
        generator: on the device of the maps.
        fill: what fills the remaining blocks: ``unused`` takes pixels that are not sampled yet, ``any`` takes
            any pixels.

    Raises:
        UserError: the map has fewer pixels than are sampled.
    """
    height, width = label.shape[1:]
    if height * width < blocks * per_block:
        raise UserError(
            f"--contrast_max_classes {blocks} x --contrast_max_views {per_block}: more pixels than a feature "
            f"map of {height} x {width} has; lower them, or raise --crop_size"
        )
    label, prediction = label.flatten(1), prediction.flatten(1)
    known = (label >= 0) & (label < num_classes)
    groups = torch.where(known, 2 * label + (label == prediction), 2 * num_classes)
    grouped = group_pixels(groups, 2 * num_classes + 1, generator)
    hard, easy = grouped.counts[:, :-1:2], grouped.counts[:, 1::2]
    classes = first_classes(hard + easy > per_block, blocks)
    safe = classes.clamp(min=0)
    hard, easy = hard.gather(1, safe)[:, :, None], easy.gather(1, safe)[:, :, None]
    hard_taken = torch.minimum(hard, (per_block - easy).clamp(min=per_block // 2))
    places = torch.arange(per_block, device=label.device).expand(*classes.shape, per_block)
    is_hard = places < hard_taken
    chosen = grouped.pixels(
        2 * safe[:, :, None] + (~is_hard).long(), torch.where(is_hard, places, places - hard_taken)
    )
    is_fill = (classes == FILL_CLASS)[:, :, None].expand_as(chosen)
    filling = random_pixels(label.shape, chosen, is_fill, fill, generator)
    return PixelBlocks(torch.where(is_fill, filling, chosen), classes, (classes != FILL_CLASS).any())


def first_classes(takes_part: Tensor, blocks: int) -> Tensor:
    """The first ``blocks`` classes that take part in each picture: bool B x classes -> int64 B x ``blocks``.

    If fewer take part, the rest is -1.
    """
    number = takes_part.shape[1]
    numbers = torch.arange(number, device=takes_part.device)
    ordered = torch.where(takes_part, numbers, number).sort(dim=1).values[:, :blocks]
    ordered = F.pad(ordered, (0, max(0, blocks - number)), value=number)
    return torch.where(ordered < number, ordered, FILL_CLASS)


def random_pixels(
    shape: torch.Size, chosen: Tensor, is_fill: Tensor, fill: str, generator: torch.Generator
) -> Tensor:
    """Random pixels in the shape of ``chosen``; where ``is_fill``, no pixel of a picture occurs twice."""
    pictures, pixels = shape
    used = torch.zeros(pictures * pixels, dtype=torch.int64, device=chosen.device)
    if fill == "unused":
        # In fill blocks `chosen` is meaningless, so its marks go to one extra entry, which is dropped.
        marked = torch.where(is_fill, pictures * pixels, chosen).flatten()
        used = torch.cat([used, used.new_zeros(1)]).index_fill(0, marked, 1)[:-1]
    grouped = group_pixels(used.view(shape), 2, generator)
    places = is_fill.flatten(1).long().cumsum(1) - 1
    return grouped.pixels(torch.zeros_like(places), places.clamp(min=0)).view_as(chosen)


def class_contrast(
    query: Tensor, key: Tensor, is_active: Tensor, temperature: float, negatives: str = "other_class"
) -> Tensor:
    """Mean :func:`contrast` of all sampled pixels.

    Args:
        query, key: embeddings of unit length, B x blocks x pixels x D, of the same pixels; no gradient flows
            to ``key``.
        is_active: bool scalar; if False, the loss is 0 and has zero gradients.
        temperature: similarities are divided by it.
        negatives: ``other_class`` takes the keys of the picture's other blocks (blocks filled with random
            pixels may contain the pixel's own class); ``all`` takes all keys of the picture.
    """
    blocks, per_block = query.shape[1:3]
    with torch.autocast(query.device.type, enabled=False):
        query, key = (at_least_float32(x).flatten(1, 2) for x in (query, key.detach()))
        similarity = query @ key.transpose(1, 2) / temperature
        positive = similarity.diagonal(dim1=1, dim2=2)
        if negatives == "other_class":
            block = torch.arange(blocks, device=query.device).repeat_interleave(per_block)
            own = block[:, None] == block
            # A finite value: with -inf, a single block, which has no negatives, would have no gradient.
            similarity = similarity.masked_fill(own, torch.finfo(similarity.dtype).min)
        return contrast(positive, similarity).mean() * is_active


def contrast(positive: Tensor, negatives: Tensor) -> Tensor:
    """-log(exp(p) / (exp(p) + sum of exp(n))) for every positive p and its negatives n.

    Args:
        positive: similarities divided by the temperature, any shape.
        negatives: the same with one more axis, the last, along which the negatives lie.
    """
    return torch.logaddexp(positive, negatives.logsumexp(dim=-1)) - positive
