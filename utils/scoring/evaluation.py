"""Scoring a network on a labelled set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from utils.device import to_device
from utils.precision import autocast
from utils.progress import progress_bar
from utils.scoring.metrics import Measure


def answers(
    predict: Callable[[torch.Tensor], torch.Tensor],
    loader: Iterable[dict[str, Any]],
    device: torch.device,
    amp: str = "off",
    title: str = "",
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each batch of ``loader``, moved to the device, and the logits of ``predict`` for it.

    ``predict`` maps uint8 B x 3 x H x W on the device to logits. They are resized bilinearly, between pixel
    centres, to the labels of a protocol that leaves these larger than the pictures.
    """
    for batch in progress_bar(loader, desc=title, unit="batch", leave=False):
        batch = to_device(batch, device)
        with autocast(amp, device):
            logits = predict(batch["image"])
        if (label := batch.get("label")) is not None and label.shape[-2:] != logits.shape[-2:]:
            size = (label.shape[-2], label.shape[-1])
            logits = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
        yield batch, logits


@torch.inference_mode()
def evaluate(
    predict: Callable[[torch.Tensor], torch.Tensor],
    loader: Iterable[dict[str, Any]],
    measures: Mapping[str, Sequence[Measure]],
    device: torch.device,
    amp: str = "off",
    title: str = "",
) -> None:
    """Count the answers of ``predict`` over ``loader`` in ``measures``, summed over all processes.

    ``predict`` and the arguments after ``measures`` are those of :func:`answers`. ``measures`` holds those of
    each group of pictures; a batch has the pictures of one ``group`` ("" if it does not say). Each process
    passes its own share of the pictures, so each picture counts exactly once. Nothing here waits for the
    device before the end.
    """
    for batch, logits in answers(predict, loader, device, amp, title):
        # argmax is five times slower than max along this axis on a CPU.
        prediction = logits.max(1).indices
        for measure in measures[batch.get("group", [""])[0]]:
            measure.update(prediction, batch["label"], logits)
    for measure in itertools.chain.from_iterable(measures.values()):
        measure.reduce()
