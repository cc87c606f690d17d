"""One picture through a network: at several scales, mirrored, as a whole or by overlapping tiles.

What a tile contributes is interpolated straight to the picture's own size and added to one score volume, so
the memory on the device is that of one batch of tiles plus that volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.errors import UserError

MODES = ("whole", "sliding", "pooling")

Predict = Callable[[Tensor], Tensor]
"""uint8 B x 3 x H x W -> logits B x C x H x W, both on the device."""


@dataclass(frozen=True)
class Windows:
    """What of a picture the network sees, and how its answers are averaged.

    Modes: ``whole`` forwards the whole picture and averages logits over scales and mirroring; ``sliding``
    does so by overlapping tiles (Zhu et al., "Improving Semantic Segmentation via Video Propagation and Label
    Relaxation", CVPR 2019); ``pooling`` forwards the whole picture and averages probabilities.

    Attributes:
        crop_size: side of a tile in pixels; at scales above 1 it grows with the scale.
        overlap: share of a tile's side that the next tile covers again, in [0, 1).
        scales: factors on the picture's size.
        flip: average with the mirrored picture, too.
        tile_batch: tiles of ``crop_size`` squared in one forward; of larger tiles fewer, but at least one.
    """

    mode: str = "whole"
    crop_size: int = 1024
    overlap: float = 1 / 3
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    tile_batch: int = 4

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"--inference_mode {self.mode}: choose one of {', '.join(MODES)}")
        if self.crop_size < 1:
            raise UserError(f"--crop_size {self.crop_size}: must be at least 1")
        if not 0 <= self.overlap < 1:
            raise UserError(f"--sliding_overlap {self.overlap}: must be at least 0 and below 1")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise UserError(f"--scales {' '.join(map(str, self.scales))}: give one or more numbers above 0")
        if self.tile_batch < 1:
            raise UserError(f"--tile_batch {self.tile_batch}: must be at least 1")

    @property
    def words(self) -> str:
        """What is averaged over, for people; empty where nothing is."""
        scales = f"scales {' '.join(f'{scale:g}' for scale in self.scales)}"
        return ", ".join([scales] * (self.scales != (1.0,)) + ["flip"] * self.flip)

    def tile_side(self, scale: float) -> int | None:
        """Side of the tiles at ``scale`` in pixels; ``None``: the whole picture is the only tile."""
        return int(self.crop_size * max(scale, 1)) if self.mode == "sliding" else None


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture.

    ``classes`` uint8 H x W: the number of the chosen one; ``confidence``, if asked for, float32 H x W in
    [0, 1]: its probability.
    """

    classes: np.ndarray
    confidence: np.ndarray | None


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the tiles that cover ``length`` pixels; the last tile is moved back to the border."""
    stride = math.ceil(tile * (1 - overlap))
    count = max(0, math.ceil((length - tile) / stride)) + 1
    return [max(0, min(index * stride, length - tile)) for index in range(count)]


def scaled_pictures(image: Image.Image, windows: Windows) -> list[Tensor]:
    """The RGB picture at every scale, uint8 3 x H x W on the CPU.

    Resized by Pillow, which smooths when it shrinks: bilinear, for ``pooling`` bicubic, as the published
    results were.
    """
    resampling = Image.Resampling.BICUBIC if windows.mode == "pooling" else Image.Resampling.BILINEAR
    pictures = []
    for scale in windows.scales:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        resized = image if size == image.size else image.resize(size, resampling)
        pictures.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous())
    return pictures


@dataclass(frozen=True)
class AxisPart:
    """What one tile contributes along one axis.

    The picture's pixels ``target`` get ``weights[0] * tile[neighbours[0]] + weights[1] *
    tile[neighbours[1]]``. A neighbour outside the tile has weight 0. Over all tiles, the weights of a
    pixel sum to one.
    """

    start: int
    target: slice
    neighbours: tuple[Tensor, Tensor]
    weights: tuple[Tensor, Tensor]
    interpolates: bool

    def apply(self, logits: Tensor, axis: int) -> Tensor:
        """Interpolate ``axis`` (1 or 2) of C x H x W logits to the target's pixels."""
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        result = logits.index_select(axis, self.neighbours[0]).mul_(self.weights[0].view(shape))
        if self.interpolates:
            result.addcmul_(logits.index_select(axis, self.neighbours[1]), self.weights[1].view(shape))
        return result


def axis_parts(
    length: int,
    scaled: int,
    tile: int,
    overlap: float,
    mirrored: bool = False,
    device: torch.device | None = None,
) -> list[AxisPart]:
    """The tiles along one axis of a picture of ``length`` pixels that the network sees at ``scaled`` pixels.

    Averages overlapping tiles, undoes the mirroring, and interpolates bilinearly between pixel centres
    (``align_corners=False``), all in the weights: the three are linear, so their order does not matter.
    """
    tile = min(tile, scaled)
    starts = tile_starts(scaled, tile, overlap)
    position = ((np.arange(length) + 0.5) * (scaled / length) - 0.5).clip(0, scaled - 1)
    lower = position.astype(np.int64)
    upper = np.minimum(lower + 1, scaled - 1)
    share = position - lower
    if mirrored:
        lower, upper = scaled - 1 - lower, scaled - 1 - upper
    covering = np.zeros(scaled)
    for start in starts:
        covering[start : start + tile] += 1

    def part(start: int) -> AxisPart:
        neighbours = [lower - start, upper - start]
        weights = [(1 - share) / covering[lower], share / covering[upper]]
        weights = [w * ((n >= 0) & (n < tile)) for n, w in zip(neighbours, weights, strict=True)]
        touched = np.flatnonzero(weights[0] + weights[1])
        target = slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)
        return AxisPart(
            start,
            target,
            tuple(torch.from_numpy(n[target].clip(0, tile - 1)).to(device) for n in neighbours),
            tuple(torch.from_numpy(w[target].astype(np.float32)).to(device) for w in weights),
            bool(weights[1].any()),
        )

    return [part(start) for start in starts]


def contributions(
    predict: Predict, picture: Tensor, size: tuple[int, int], windows: Windows, scale: float
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows, columns, scores C x rows x columns) of every tile of one scaled picture, at ``size``.

    ``picture`` is uint8 3 x H x W on the device; ``size`` is the original (height, width). The contributions
    to a pixel weigh 1 in all, 2 with mirroring.
    """
    height, width = picture.shape[1:]
    side = windows.tile_side(scale)
    tile_height, tile_width = min(side or height, height), min(side or width, width)
    rows = axis_parts(size[0], height, tile_height, windows.overlap, device=picture.device)
    tiles = [
        (view, row, column)
        for mirrored, view in enumerate([picture, picture.flip(2)] if windows.flip else [picture])
        for row in rows
        for column in axis_parts(size[1], width, tile_width, windows.overlap, bool(mirrored), picture.device)
    ]
    batch_size = max(1, windows.tile_batch * windows.crop_size**2 // (tile_height * tile_width))
    for first in range(0, len(tiles), batch_size):
        batch = tiles[first : first + batch_size]
        crops = [
            view[:, row.start : row.start + tile_height, column.start : column.start + tile_width]
            for view, row, column in batch
        ]
        for (_, row, column), logits in zip(batch, predict(torch.stack(crops)), strict=True):
            scores = column.apply(row.apply(logits.float(), 1), 2)
            yield row.target, column.target, scores.softmax(0) if windows.mode == "pooling" else scores


@torch.inference_mode()
def predict_picture(
    predict: Predict,
    pictures: Sequence[Tensor],
    size: tuple[int, int],
    windows: Windows,
    device: torch.device,
    with_confidence: bool = False,
) -> Prediction:
    """Class of every pixel of a picture of ``size`` (height, width), given its :func:`scaled_pictures`."""
    total = mean_scores(predict, pictures, size, windows, device)
    best, classes = total.max(0)
    if not with_confidence:
        return Prediction(classes.byte().cpu().numpy(), None)
    if windows.mode != "pooling":
        # Softmax of the largest score, in place: a second score volume may not fit on the device.
        best = total.sub_(best).exp_().sum(0).reciprocal_()
    return Prediction(classes.byte().cpu().numpy(), best.cpu().numpy())


def mean_scores(
    predict: Predict,
    pictures: Sequence[Tensor],
    size: tuple[int, int],
    windows: Windows,
    device: torch.device,
) -> Tensor:
    """Scores of every pixel, float32 C x H x W on the device: logits, or probabilities for ``pooling``."""
    total: Tensor | None = None
    for scale, picture in zip(windows.scales, pictures, strict=True):
        on_device = picture.to(device, non_blocking=True)
        for rows, columns, scores in contributions(predict, on_device, size, windows, scale):
            if total is None:
                total = scores.new_zeros(scores.shape[0], *size)
            total[:, rows, columns] += scores
    assert total is not None  # Windows has at least one scale, and every scale at least one tile.
    total /= len(windows.scales) * (2 if windows.flip else 1)
    return total


def averaged(predict: Predict, windows: Windows) -> Predict:
    """``predict`` itself, or a function of the same kind that gives :func:`mean_scores` of ``windows``."""
    if windows.mode != "sliding" and windows.scales == (1.0,) and not windows.flip:
        return predict

    def predict_mean(batch: Tensor) -> Tensor:
        scores = []
        for picture in batch:
            image = Image.fromarray(picture.permute(1, 2, 0).cpu().numpy())
            size = (image.height, image.width)
            scores.append(mean_scores(predict, scaled_pictures(image, windows), size, windows, batch.device))
        return torch.stack(scores)

    return predict_mean
