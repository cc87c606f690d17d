"""Scoring a network on a labelled set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch

from utils.device import moved
from utils.precision import autocast
from utils.progress import progress_bar
from utils.scoring.metrics import ConfusionMatrix


def to_device(
    batch: dict[str, Any], device: torch.device, copies: torch.Stream | None = None
) -> dict[str, Any]:
    """A batch with its tensors on ``device``; other values are unchanged.

    Labels travel as uint8 and become int64 on the device, so that an eighth of the bytes is copied. With
    ``copies``, a stream of the device, the tensors are copied while the device computes.
    """
    with nullcontext() if copies is None else torch.get_device_module(device).stream(copies):
        on_device = {
            name: moved(value, device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }
        if "label" in on_device:
            on_device["label"] = on_device["label"].long()
    if copies is not None:
        current = torch.get_device_module(device).current_stream(device)
        current.wait_stream(copies)
        for value in on_device.values():
            if isinstance(value, torch.Tensor):
                # Its memory must not be given to the next copy before the computation has read it.
                value.record_stream(current)
    return on_device


@torch.inference_mode()
def evaluate(
    predict: Callable[[torch.Tensor], torch.Tensor],
    loader: Iterable[dict[str, Any]],
    num_classes: int,
    device: torch.device,
    amp: str = "off",
    title: str = "",
) -> ConfusionMatrix:
    """Confusion matrix of ``predict`` over ``loader``, summed over all processes.

    ``predict`` maps uint8 B x 3 x H x W on the device to logits. Each process passes its own share of the
    pictures, so each picture counts exactly once. Nothing here waits for the device before the end.
    """
    matrix = ConfusionMatrix(num_classes, device)
    for batch in progress_bar(loader, desc=title, unit="batch", leave=False):
        batch = to_device(batch, device)
        with autocast(amp, device):
            logits = predict(batch["image"])
        # argmax is five times slower than max along this axis on a CPU.
        matrix.update(logits.max(1).indices, batch["label"])
    return matrix.reduce()
