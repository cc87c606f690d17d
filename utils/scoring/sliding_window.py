"""Prediction of one picture: at several scales, mirrored, as a whole or in overlapping tiles.

The logits of a tile are interpolated to the picture's own size and added, strip by strip, to one score
volume. The device needs memory for this and a batch of tiles. The host waits only when it reads the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.device import moved
from utils.errors import UserError

MODES = ("whole", "sliding", "pooling")
# Number of scores that are interpolated at a time: they fit a processor's cache, but keep a GPU busy.
STRIP_VALUES = 2**21

Predict = Callable[[Tensor], Tensor]
"""uint8 B x 3 x H x W -> logits B x C x H x W, both on the device."""


@dataclass(frozen=True)
class Inference:
    """Which parts of a picture the network sees, and how its answers are averaged.

    Attributes:
        mode: ``whole`` predicts the whole picture at once and averages logits over scales and mirroring;
            ``sliding`` does so with overlapping tiles (Zhu et al., "Improving Semantic Segmentation via Video
            Propagation and Label Relaxation", CVPR 2019); ``pooling`` is ``whole`` with probabilities.
        crop_size: side of a tile in pixels; at scales above 1 it grows with the scale.
        overlap: share of a tile's side that the next tile covers again, in [0, 1).
        scales: factors on the picture's size.
        flip: whether the mirrored picture is averaged, too.
        tile_batch: how many tiles of ``crop_size`` x ``crop_size`` go through the network together; of larger
            tiles fewer, but at least one.
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
    def description(self) -> str:
        """What is averaged over, in words; empty if nothing is."""
        scales = f"scales {' '.join(f'{scale:g}' for scale in self.scales)}"
        windows = f"windows of {self.crop_size} at every {math.ceil(self.crop_size * (1 - self.overlap))}"
        parts = {windows: self.mode == "sliding", scales: self.scales != (1.0,), "flip": self.flip}
        return ", ".join(words for words, applies in parts.items() if applies)

    @property
    def averages(self) -> bool:
        """Whether a picture's scores are averages of several answers of the network."""
        return self.mode == "sliding" or self.scales != (1.0,) or self.flip

    @property
    def gives_probabilities(self) -> bool:
        """Whether :func:`averaged` gives probabilities; otherwise it gives logits."""
        return self.averages and self.mode == "pooling"

    def tile_side(self, scale: float) -> int | None:
        """Side of the tiles at ``scale`` in pixels; ``None``: the whole picture is the only tile."""
        return int(self.crop_size * max(scale, 1)) if self.mode == "sliding" else None


@dataclass(frozen=True)
class Prediction:
    """The network's answer for one picture: ``classes`` (uint8 H x W), the number of each pixel's class, and
    if asked for its probability, ``confidence`` (float32 H x W in [0, 1]).
    """

    classes: np.ndarray
    confidence: np.ndarray | None


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the tiles that cover ``length`` pixels. The last tile ends at the border."""
    stride = math.ceil(tile * (1 - overlap))
    count = max(0, math.ceil((length - tile) / stride)) + 1
    return [max(0, min(index * stride, length - tile)) for index in range(count)]


def scaled_pictures(image: Image.Image, settings: Inference) -> list[Tensor]:
    """The RGB picture at every scale, uint8 3 x H x W on the CPU.

    Pillow resizes it, as for the published results: with a bilinear filter, or a bicubic one for ``pooling``.
    These filters smooth a picture that shrinks.
    """
    resampling = Image.Resampling.BICUBIC if settings.mode == "pooling" else Image.Resampling.BILINEAR
    pictures = []
    for scale in settings.scales:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        resized = image if size == image.size else image.resize(size, resampling)
        pictures.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous())
    return pictures


@dataclass(frozen=True)
class AxisPart:
    """The contribution of one tile, or of a piece of it, along one axis.

    The picture's pixels ``target`` get ``weights[0] * tile[neighbours[0]] + weights[1] *
    tile[neighbours[1]]``. The tile begins at the scaled picture's pixel ``start``. A neighbour outside the
    tile has weight 0. Over all tiles, the weights of a pixel sum to one.

    ``neighbours`` is int64 2 x pixels on the host, and ``index`` is the same on the device. ``weights`` is
    float32 2 x pixels on the device. ``interpolates`` says whether any ``weights[1]`` is not 0.
    """

    start: int
    target: slice
    neighbours: np.ndarray
    index: Tensor
    weights: Tensor
    interpolates: bool

    def pieces(self, length: int) -> Iterator[AxisPart]:
        """This part, cut into pieces of at most ``length`` pixels of the picture."""
        for first in range(self.target.start, self.target.stop, length):
            target = slice(first, min(first + length, self.target.stop))
            own = slice(target.start - self.target.start, target.stop - self.target.start)
            skipped = int(self.neighbours[:, own].min())
            yield replace(
                self,
                start=self.start + skipped,
                target=target,
                neighbours=self.neighbours[:, own] - skipped,
                index=self.index[:, own] - skipped,
                weights=self.weights[:, own],
            )

    def apply(self, logits: Tensor, axis: int) -> Tensor:
        """Interpolate ``axis`` (1 or 2) of contiguous float C x H x W logits to the target's pixels."""
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)

        def nearest(index: Tensor) -> Tensor:
            if axis == 1:
                return logits.index_select(1, index)
            # Along this axis index_select cannot copy whole rows, and is many times slower than gather.
            return logits.gather(2, index.expand(*logits.shape[:2], -1))

        result = nearest(self.index[0]).mul_(self.weights[0].view(shape))
        if self.interpolates:
            result.addcmul_(nearest(self.index[1]), self.weights[1].view(shape))
        return result


def interpolated(logits: Tensor, row: AxisPart, column: AxisPart) -> Iterator[tuple[slice, Tensor]]:
    """Interpolate a tile's logits (C x H x W, any precision and memory layout) to the picture's pixels.

    Yields strips: rows of the picture, and their scores, float32 C x rows x columns.
    """
    width = max(logits.shape[2], column.target.stop - column.target.start)
    for strip in row.pieces(max(1, STRIP_VALUES // (logits.shape[0] * width))):
        first = strip.start - row.start
        # Only what the strip needs is copied: changing the memory layout is fast only inside a cache.
        source = logits[:, first : first + int(strip.neighbours.max()) + 1].float().contiguous()
        yield strip.target, column.apply(strip.apply(source, 1), 2)


@lru_cache(maxsize=64)
def axis_parts(
    length: int,
    scaled: int,
    tile: int,
    overlap: float,
    mirrored: bool = False,
    device: torch.device | None = None,
) -> tuple[AxisPart, ...]:
    """The tiles along one axis of a picture of ``length`` pixels that the network sees at ``scaled`` pixels.

    The weights average overlapping tiles, undo the mirroring, and interpolate bilinearly between pixel
    centres (``align_corners=False``). Results are cached, because many pictures have the same size.
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
        neighbours = np.stack([lower, upper]) - start
        weights = np.stack([(1 - share) / covering[lower], share / covering[upper]])
        weights *= (neighbours >= 0) & (neighbours < tile)
        touched = np.flatnonzero(weights.any(axis=0))
        target = slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)
        neighbours, weights = neighbours[:, target].clip(0, tile - 1), weights[:, target].astype(np.float32)
        return AxisPart(
            start,
            target,
            neighbours,
            moved(torch.from_numpy(neighbours), device),
            moved(torch.from_numpy(weights), device),
            bool(weights[1].any()),
        )

    return tuple(part(start) for start in starts)


def contributions(
    predict: Predict, picture: Tensor, size: tuple[int, int], settings: Inference, scale: float
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows, columns, scores C x rows x columns) for every strip of every tile, at ``size``.

    ``picture`` is one scaled picture, uint8 3 x H x W on the device; ``size`` is the original (height,
    width). The weights of all contributions to a pixel sum to 1, or to 2 with mirroring.
    """
    height, width = picture.shape[1:]
    side = settings.tile_side(scale)
    tile_height, tile_width = min(side or height, height), min(side or width, width)
    rows = axis_parts(size[0], height, tile_height, settings.overlap, device=picture.device)
    tiles = [
        (mirrored, row, column)
        for mirrored in ((False, True) if settings.flip else (False,))
        for row in rows
        for column in axis_parts(size[1], width, tile_width, settings.overlap, mirrored, picture.device)
    ]

    def crop(mirrored: bool, row: AxisPart, column: AxisPart) -> Tensor:
        # A tile of the mirrored picture is a mirrored tile of the picture, so no mirrored picture is needed.
        start = width - column.start - tile_width if mirrored else column.start
        tile = picture[:, row.start : row.start + tile_height, start : start + tile_width]
        return tile.flip(2) if mirrored else tile

    def answers(batch: Sequence[tuple[bool, AxisPart, AxisPart]]) -> Iterator[tuple[slice, slice, Tensor]]:
        # This is a function so that its logits are freed before the next batch is computed.
        crops = torch.stack([crop(*tile) for tile in batch])
        for (_, row, column), logits in zip(batch, predict(crops), strict=True):
            for strip, scores in interpolated(logits, row, column):
                yield strip, column.target, scores.softmax(0) if settings.mode == "pooling" else scores

    batch_size = max(1, settings.tile_batch * settings.crop_size**2 // (tile_height * tile_width))
    for first in range(0, len(tiles), batch_size):
        yield from answers(tiles[first : first + batch_size])


@torch.inference_mode()
def predict_picture(
    predict: Predict,
    pictures: list[Tensor],
    size: tuple[int, int],
    settings: Inference,
    device: torch.device,
    with_confidence: bool = False,
) -> Prediction:
    """Class of every pixel of a picture of ``size`` (height, width), from its :func:`scaled_pictures`."""
    total = mean_scores(predict, pictures, size, settings, device)
    best, classes = total.max(0)  # argmax is five times slower along this axis on a CPU.
    if with_confidence and settings.mode != "pooling":
        # Softmax of the largest score, in place: a second score volume may not fit on the device.
        best = total.sub_(best).exp_().sum(0).reciprocal_()
    return Prediction(classes.byte().cpu().numpy(), best.cpu().numpy() if with_confidence else None)


def mean_scores(
    predict: Predict, pictures: list[Tensor], size: tuple[int, int], settings: Inference, device: torch.device
) -> Tensor:
    """Scores of every pixel, float32 C x H x W on the device: logits, or probabilities for ``pooling``."""
    total: Tensor | None = None
    for scale, picture in zip(settings.scales, pictures, strict=True):
        on_device = moved(picture, device)
        for rows, columns, scores in contributions(predict, on_device, size, settings, scale):
            if total is None:
                total = scores.new_zeros(scores.shape[0], *size)
            total[:, rows, columns] += scores
    assert total is not None  # Inference has at least one scale, and every scale at least one tile.
    total /= len(settings.scales) * (2 if settings.flip else 1)
    return total


def averaged(predict: Predict, settings: Inference) -> Predict:
    """A function that gives the :func:`mean_scores` of a batch; ``predict`` itself if nothing is averaged.

    At several scales it waits for the device, because Pillow resizes on the host.
    """
    if not settings.averages:
        return predict

    def predict_mean(batch: Tensor) -> Tensor:
        size, device = (batch.shape[-2], batch.shape[-1]), batch.device
        scores = [mean_scores(predict, at_scales(picture), size, settings, device) for picture in batch]
        return torch.stack(scores)

    def at_scales(picture: Tensor) -> list[Tensor]:
        if settings.scales == (1.0,):
            return [picture]
        return scaled_pictures(Image.fromarray(picture.permute(1, 2, 0).cpu().numpy()), settings)

    return predict_mean
