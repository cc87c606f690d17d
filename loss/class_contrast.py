"""The class-wise contrastive loss of BlindNet (CWCL; Ahn et al., CVPR 2024).

Pixels of the query view are pulled to the same pixels of the key view and pushed from other sampled pixels of
the picture. The published code inverts its masks with ``~`` on 8-bit integers, which masks nothing: all
sampled keys are negatives there, the pixel's own class and the positive itself included, and pixels that fill
up may be ones that are sampled already. ``NEGATIVES`` and ``FILLS`` name both, what was meant and what was
run.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from loss.pixel_sampling import group_pixels
from loss.precision import at_least_float32
from utils.errors import UserError

NEGATIVES = ("other_class", "all")
FILLS = ("unused", "any")
FILL_CLASS = -1


class PixelBlocks(NamedTuple):
    """Sampled pixels of a batch.

    Attributes:
        pixels: int64 B x blocks x pixels per block, batch-wide numbers (``loss.pixel_sampling``).
        classes: int64 B x blocks, the class of a block's pixels; -1 where random pixels fill it.
        is_active: bool scalar, whether any picture has a class to sample.
    """

    pixels: Tensor
    classes: Tensor
    is_active: Tensor


def check_grid(size: tuple[int, int], blocks: int, per_block: int) -> None:
    """Raise a UserError if a map of this (height, width) has fewer pixels than are sampled of it."""
    if size[0] * size[1] < blocks * per_block:
        raise UserError(
            f"--contrast_max_classes {blocks} x --contrast_max_views {per_block}: more pixels than a feature "
            f"map of {size[0]} x {size[1]} has; lower them, or raise --crop_size"
        )


def sample_class_pixels(
    label: Tensor,
    prediction: Tensor,
    num_classes: int,
    blocks: int,
    per_block: int,
    generator: torch.Generator,
    fill: str = "unused",
) -> PixelBlocks:
    """Sample ``per_block`` pixels of up to ``blocks`` classes per picture, hard ones and easy ones.

    A class takes part if more than ``per_block`` pixels are labelled as it; of too many the first by number
    do. Half of its pixels are wrongly predicted ones as far as there are, the others rightly predicted ones.
    Blocks that are left over hold random pixels of the picture, ``any`` or ``unused`` so far.

    Args:
        label, prediction: int64 B x H x W, train ids; other labels are ignored.
        generator: on the maps' device.

    Raises:
        UserError: a map too small for so many pixels.
    """
    check_grid((label.shape[1], label.shape[2]), blocks, per_block)
    label, prediction = label.flatten(1), prediction.flatten(1)
    known = (label >= 0) & (label < num_classes)
    groups = torch.where(known, 2 * label + (label == prediction), 2 * num_classes)
    grouped = group_pixels(groups, 2 * num_classes + 1, generator)
    hard, easy = grouped.counts[:, :-1:2], grouped.counts[:, 1::2]
    classes = first_classes(hard + easy > per_block, blocks)
    safe = classes.clamp(min=0)
    hard_taken = hard_share(hard.gather(1, safe), easy.gather(1, safe), per_block)[:, :, None]
    places = torch.arange(per_block, device=label.device).expand(*classes.shape, per_block)
    is_hard = places < hard_taken
    chosen = grouped.pixels(
        2 * safe[:, :, None] + (~is_hard).long(), torch.where(is_hard, places, places - hard_taken)
    )
    is_fill = (classes == FILL_CLASS)[:, :, None].expand_as(chosen)
    filling = random_pixels(label.shape, chosen, is_fill, fill, generator)
    return PixelBlocks(torch.where(is_fill, filling, chosen), classes, (classes != FILL_CLASS).any())


def first_classes(takes_part: Tensor, blocks: int) -> Tensor:
    """The first ``blocks`` classes of each picture that take part (bool B x classes), then -1."""
    pictures, number = takes_part.shape
    numbers = torch.arange(number, device=takes_part.device)
    ordered = torch.where(takes_part, numbers, number).sort(dim=1).values[:, :blocks]
    padding = ordered.new_full((pictures, max(0, blocks - number)), number)
    ordered = torch.cat([ordered, padding], dim=1)
    return torch.where(ordered < number, ordered, FILL_CLASS)


def hard_share(hard: Tensor, easy: Tensor, per_block: int) -> Tensor:
    """How many of ``per_block`` pixels are hard ones, given how many there are of both kinds."""
    enough_hard, enough_easy = 2 * hard >= per_block, 2 * easy >= per_block
    lacking_easy = torch.where(enough_hard, per_block - easy, hard)
    return torch.where(enough_hard & enough_easy, per_block // 2, lacking_easy)


def random_pixels(
    shape: torch.Size, chosen: Tensor, is_fill: Tensor, fill: str, generator: torch.Generator
) -> Tensor:
    """Random pixels like ``chosen`` for the blocks that ``is_fill``, none of them twice in a picture."""
    pictures, pixels = shape
    used = torch.zeros(pictures * pixels, dtype=torch.int64, device=chosen.device)
    if fill == "unused":
        # What the filled blocks were given stands for nothing, so it marks a spare place.
        marked = torch.where(is_fill, pictures * pixels, chosen).flatten()
        used = torch.cat([used, used.new_zeros(1)]).index_fill(0, marked, 1)[:-1]
    grouped = group_pixels(used.view(shape), 2, generator)
    places = is_fill.flatten(1).long().cumsum(1) - 1
    return grouped.pixels(torch.zeros_like(places), places.clamp(min=0)).view_as(chosen)


def class_contrast(
    query: Tensor, key: Tensor, is_active: Tensor, temperature: float, negatives: str = "other_class"
) -> Tensor:
    """-log of the positive's share among the positive and the negatives, mean over all sampled pixels.

    Args:
        query, key: embeddings of unit length, B x blocks x pixels x D, of the same pixels; no gradient flows
            to ``key``.
        is_active: bool scalar; without it the loss is 0, with zero gradients.
        temperature: similarities are divided by it.
        negatives: ``other_class``: keys of the picture's other blocks, of which those that only fill up may
            hold the pixel's own class; ``all``: all keys of the picture.
    """
    blocks, per_block = query.shape[1:3]
    with torch.autocast(query.device.type, enabled=False):
        query, key = (at_least_float32(x).flatten(1, 2) for x in (query, key.detach()))
        similarity = query @ key.transpose(1, 2) / temperature
        positive = similarity.diagonal(dim1=1, dim2=2)
        if negatives == "other_class":
            block = torch.arange(blocks, device=query.device).repeat_interleave(per_block)
            own = block[:, None] == block
            # Finite, so that a single block, without negatives, has a gradient (of zero).
            similarity = similarity.masked_fill(own, torch.finfo(similarity.dtype).min)
        return contrast(positive, similarity) * is_active


def contrast(positive: Tensor, negatives: Tensor) -> Tensor:
    """Mean of -log(exp(p) / (exp(p) + sum exp(n))): positives of any shape, negatives with one more axis."""
    return contrasts(positive, negatives).mean()


def contrasts(positive: Tensor, negatives: Tensor) -> Tensor:
    """-log(exp(p) / (exp(p) + sum exp(n))) of every positive, negatives in the last axis."""
    return torch.logaddexp(positive, negatives.logsumexp(dim=-1)) - positive
