"""The contrastive losses of BlindNet (Ahn et al., CVPR 2024): class-wise (CWCL) and disentangling (SDCL).

Each sampled pixel of the query view is pulled towards the same pixel of the key view, and pushed away from
other sampled pixels.

In the class-wise loss, the published code inverts its masks with ``~`` on 8-bit integers, which masks
nothing. So there all sampled keys are negatives, also those of the pixel's own class and the positive itself,
and the pixels that fill up empty blocks may be sampled twice. ``NEGATIVES`` and ``FILLS`` name first what was
meant, then what was run.

Sampling never waits for the device, and no shape depends on how many pixels a group has. The pixels of a
batch of B maps with N pixels each have batch-wide numbers from 0 to B * N - 1, picture by picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from loss.precision import at_least_float32
from utils.errors import UserError

NEGATIVES = ("other_class", "all")
FILLS = ("unused", "any")
FILL_CLASS = -1
ANCHORS_PER_PICTURE = 1000


class GroupedPixels(NamedTuple):
    """The pixels of every picture, sorted by group and in random order within a group.

    Attributes:
        order: int64 B x N, pixel numbers within the picture (0 .. N - 1).
        starts: int64 B x groups, where each group begins in ``order``.
        counts: int64 B x groups, how many pixels each group has.
    """

    order: Tensor
    starts: Tensor
    counts: Tensor

    def pixels(self, groups: Tensor, places: Tensor) -> Tensor:
        """Batch-wide numbers of the pixels at ``places`` (from 0) in ``groups``; all int64, B x any shape.

        For a place beyond the end of its group the result is some other pixel. The caller has to mask it.
        """
        pictures, pixels = self.order.shape
        flat_groups = groups.reshape(pictures, -1)
        position = self.starts.gather(1, flat_groups) + places.reshape(pictures, -1)
        chosen = self.order.gather(1, position.clamp(max=pixels - 1))
        first = torch.arange(0, pictures * pixels, pixels, device=chosen.device)
        return (chosen + first[:, None]).view_as(groups)


def group_pixels(groups: Tensor, number: int, generator: torch.Generator) -> GroupedPixels:
    """Sort pixels by ``groups``, int64 B x N in [0, ``number``), in random order within a group."""
    (pictures, pixels), device = groups.shape, groups.device
    # To shuffle and then sort stably by group takes less than half the time of one sort by (group, random
    # number), because small whole numbers are sorted by counting them.
    shuffled = torch.randperm(groups.numel(), generator=generator, device=device)
    picture = torch.arange(pictures, device=device)[:, None]
    keys, position = (groups + number * picture).int().flatten()[shuffled].sort(stable=True)
    bounds = torch.searchsorted(keys, torch.arange(pictures * number + 1, dtype=torch.int32, device=device))
    return GroupedPixels(
        order=(shuffled[position] % pixels).view(pictures, pixels),
        starts=bounds[:-1].view(pictures, number) - pixels * picture,
        counts=bounds.diff().view(pictures, number),
    )


def take_pixels(features: Tensor, pixels: Tensor) -> Tensor:
    """Features of ``pixels`` (batch-wide numbers, any shape): B x C x H x W -> (number of pixels) x C."""
    size = features.shape[2] * features.shape[3]
    rows = features.flatten(2).transpose(1, 2)
    flat = pixels.flatten()
    return rows[flat // size, flat % size]


class PixelBlocks(NamedTuple):
    """Sampled pixels of a batch. A block has pixels of one class, or random pixels, of one picture.

    Attributes:
        pixels: int64 B x blocks x pixels per block, batch-wide numbers.
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
    index = classes.clamp(min=0)
    hard, easy = hard.gather(1, index)[:, :, None], easy.gather(1, index)[:, :, None]
    hard_taken = torch.minimum(hard, (per_block - easy).clamp(min=per_block // 2))
    places = torch.arange(per_block, device=label.device).expand(*classes.shape, per_block)
    is_hard = places < hard_taken
    group = 2 * index[:, :, None] + (~is_hard).long()
    chosen = grouped.pixels(group, torch.where(is_hard, places, places - hard_taken))
    is_fill = (classes == FILL_CLASS)[:, :, None].expand_as(chosen)
    filling = random_pixels(label.shape, chosen, is_fill, fill, generator)
    return PixelBlocks(torch.where(is_fill, filling, chosen), classes, (classes != FILL_CLASS).any())


def first_classes(takes_part: Tensor, blocks: int) -> Tensor:
    """The first ``blocks`` classes that take part: bool B x classes -> int64 B x ``blocks``, the rest -1."""
    number = takes_part.shape[1]
    numbers = torch.arange(number, device=takes_part.device)
    ordered = torch.where(takes_part, numbers, number).sort(dim=1).values[:, :blocks]
    ordered = F.pad(ordered, (0, max(0, blocks - number)), value=number)
    return torch.where(ordered < number, ordered, FILL_CLASS)


def random_pixels(
    shape: torch.Size, chosen: Tensor, is_fill: Tensor, fill: str, generator: torch.Generator
) -> Tensor:
    """Random pixels in the shape of ``chosen``. Among the places ``is_fill``, no pixel occurs twice."""
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
            # The value is finite, because a single block has no negatives: -inf would leave it no gradient.
            similarity = similarity.masked_fill(own, torch.finfo(similarity.dtype).min)
        return contrast(positive, similarity).mean() * is_active


def contrast(positive: Tensor, negatives: Tensor) -> Tensor:
    """-log(exp(p) / (exp(p) + sum of exp(n))) for every positive p and its negatives n.

    Both are similarities divided by the temperature; the negatives lie along one more axis, the last.
    """
    return torch.logaddexp(positive, negatives.logsumexp(dim=-1)) - positive


class Confusions(NamedTuple):
    """Pixels that are predicted rightly in the original view but not in the jittered view, with negatives.

    Attributes:
        anchors: int64 A, batch-wide numbers of these pixels.
        negatives: int64 B x classes x patch, batch-wide numbers of pixels that are labelled as each class.
        rows: int64 A, the row of an anchor's negatives in ``negatives.flatten(0, 1)``: that of its picture
            and of the class it is mistaken for.
        is_real: bool A, whether an entry is an anchor. The other entries only fill up, so that A does not
            depend on the pictures.
    """

    anchors: Tensor
    negatives: Tensor
    rows: Tensor
    is_real: Tensor


def sample_confusions(
    label: Tensor,
    prediction: Tensor,
    jittered_prediction: Tensor,
    num_classes: int,
    patch: int,
    generator: torch.Generator,
) -> Confusions:
    """Choose anchors, and negatives for them.

    An anchor is a pixel that is predicted rightly in the original view, and as another class in the jittered
    view. At least ``patch`` pixels of the picture must be labelled as that wrong class. Of these, ``patch``
    random ones are the negatives of all anchors of the picture with the same wrong class. At most 1000 x B
    anchors of the batch are kept, chosen at random.

    Args:
        label: int64 B x H x W, train ids; pixels with any other value are ignored.
        prediction, jittered_prediction: int64 B x H x W, train ids only.
        generator: on the device of the maps.
    """
    label, prediction, jittered = (x.flatten(1) for x in (label, prediction, jittered_prediction))
    pictures, pixels = label.shape
    known = (label >= 0) & (label < num_classes)
    grouped = group_pixels(torch.where(known, label, num_classes), num_classes + 1, generator)
    is_anchor = known & (prediction == label) & (jittered != prediction)
    is_anchor &= grouped.counts.gather(1, jittered) >= patch
    noise = torch.rand(pictures * pixels, generator=generator, device=label.device)
    number = pictures * min(ANCHORS_PER_PICTURE, pixels)
    anchors = torch.where(is_anchor.flatten(), noise, 2.0).topk(number, largest=False, sorted=False).indices
    classes = torch.arange(num_classes, device=label.device)[:, None].expand(pictures, num_classes, patch)
    places = torch.arange(patch, device=label.device).expand_as(classes)
    rows = anchors // pixels * num_classes + jittered.flatten()[anchors]
    return Confusions(anchors, grouped.pixels(classes, places), rows, is_anchor.flatten()[anchors])


def disentanglement(
    query: Tensor, key: Tensor, negatives: Tensor, confusions: Confusions, temperature: float
) -> Tensor:
    """Mean :func:`contrast` of the anchors. If there are none, it is 0 and has zero gradients.

    Args:
        query, key: embeddings of unit length of the anchors, A x D, in the jittered and the original view; no
            gradient flows to ``key``.
        negatives: embeddings of the negatives in the jittered view, (B * classes * patch) x D.
        temperature: similarities are divided by it.
    """
    patch = confusions.negatives.shape[2]
    with torch.autocast(query.device.type, enabled=False):
        query, key, negatives = (at_least_float32(x) for x in (query, key.detach(), negatives))
        positive = (query * key).sum(dim=1) / temperature
        similarity = query @ negatives.T / temperature
        columns = patch * confusions.rows[:, None] + torch.arange(patch, device=query.device)
        losses = contrast(positive, similarity.gather(1, columns))
        real = confusions.is_real.to(losses.dtype)
        return (losses * real).sum() / real.sum().clamp(min=1)
