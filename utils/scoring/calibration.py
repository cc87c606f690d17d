"""Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2).

All logits are divided by one number, the temperature, which is fitted to the negative log likelihood of
labelled pixels. The predicted classes stay the same; only confidences change.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.device import float64_device, moved
from utils.distributed import all_reduce_sum
from utils.scoring.evaluation import answers
from utils.scoring.reliability import UNIT, as_logits
from utils.seeding import generator

PIXELS_PER_PICTURE = 4096
COLDEST, HOTTEST = 0.05, 20.0
"""The temperature is sought between these."""
STEPS, PRECISION = 100, 1e-9

Sample = list[tuple[Tensor, Tensor]]
"""Logits of pixels, float32 N x C, and their classes, int64 N, of each batch; a class may be none."""


@dataclass(frozen=True)
class FittedTemperature:
    """A temperature, and the number of pixels, of all processes, that it was fitted to.

    ``loss_before`` and ``loss`` are their mean negative log likelihoods, in nats, without and with it.
    """

    temperature: float
    pixels: int
    loss_before: float
    loss: float

    @property
    def is_at_end(self) -> bool:
        """Whether an even lower or higher temperature might fit better than the ends of the range."""
        return not COLDEST * (1 + 1e-6) < self.temperature < HOTTEST * (1 - 1e-6)


@torch.inference_mode()
def sample_logits(
    predict: Callable[[Tensor], Tensor],
    loader: Iterable[dict[str, Any]],
    device: torch.device,
    amp: str = "off",
    title: str = "",
    probabilities: bool = False,
) -> Sample:
    """Draw ``PIXELS_PER_PICTURE`` pixels of every picture in this process's share, ignored ones with them.

    The arguments are those of ``evaluation.answers``; if its scores are ``probabilities``, their logarithms
    count as logits. Which pixels are drawn depends on the name and the size of the picture alone. Nothing
    here waits for the device.
    """
    sample: Sample = []
    for batch, scores in answers(predict, loader, device, amp, title):
        pixels = batch["label"].shape[-2] * batch["label"].shape[-1]
        places = moved(torch.from_numpy(sampled_places(batch["name"], pixels)), device)
        drawn = scores.flatten(2).gather(2, places.unsqueeze(1).expand(-1, scores.shape[1], -1))
        label = batch["label"].flatten(1).gather(1, places)
        sample.append((as_logits(drawn.transpose(1, 2).flatten(0, 1), probabilities), label.flatten()))
    return sample


def sampled_places(names: Iterable[str], pixels: int) -> np.ndarray:
    """Places in pictures with so many ``pixels``, int64 pictures x ``PIXELS_PER_PICTURE``."""
    generators = (generator(zlib.crc32(name.encode()), pixels) for name in names)
    return np.stack([each.integers(0, pixels, PIXELS_PER_PICTURE) for each in generators])


@torch.inference_mode()
def fit_temperature(sample: Sample, device: torch.device) -> FittedTemperature:
    """The temperature with the least mean negative log likelihood of ``sample``, of all processes together.

    The loss is convex in the inverse temperature, so Newton's steps lead to its least value; a step that
    leaves the interval in which that must lie is replaced by the interval's middle. It is computed in
    float64, and the terms of pixels are rounded to multiples of ``UNIT`` before they are summed. So every
    process finds the same temperature, whatever their number. Without a labelled pixel it is NaN.
    """
    low, high, inverse = 1 / HOTTEST, 1 / COLDEST, 1.0
    pixels, before, _, _ = loss_and_slopes(sample, inverse, device)
    if not pixels:
        return FittedTemperature(math.nan, 0, math.nan, math.nan)
    for _ in range(STEPS):
        _, loss, slope, curvature = loss_and_slopes(sample, inverse, device)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        newton = inverse - slope / max(curvature, UNIT)
        if abs(newton - inverse) <= PRECISION * inverse or high - low <= PRECISION * high:
            break
        inverse = newton if low < newton < high else math.sqrt(low * high)
    return FittedTemperature(1 / inverse, int(pixels), before / pixels, loss / pixels)


def loss_and_slopes(
    sample: Sample, inverse: float, device: torch.device
) -> tuple[float, float, float, float]:
    """Number of labelled pixels, their summed loss at an inverse temperature, and its two derivatives."""
    precise = float64_device(device)
    sums = torch.zeros(4, dtype=torch.int64, device=precise)
    for logits, label in sample:
        logits, label = logits.to(precise).double(), label.to(precise)
        counted = (label >= 0) & (label < logits.shape[1]) & logits.isfinite().all(1)
        own = logits.gather(1, (label * counted).unsqueeze(1)).squeeze(1)
        logs = (logits * inverse).log_softmax(1)
        probabilities = logs.exp()
        mean = (probabilities * logits).sum(1)
        variance = (probabilities * (logits - mean.unsqueeze(1)).square()).sum(1)
        loss = (logits * inverse).logsumexp(1) - own * inverse
        terms = torch.stack([torch.full_like(loss, UNIT), loss, mean - own, variance])
        sums += torch.where(counted, terms / UNIT, 0).round().long().sum(1)
    pixels, *reals = all_reduce_sum(sums).tolist()
    return pixels, *(each * UNIT for each in reals)
