"""Scoring a network on a labelled set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from utils.device import moved
from utils.progress import progress_bar
from utils.scoring.metrics import ConfusionMatrix

AMP_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(amp: str, device: torch.device) -> AbstractContextManager[Any]:
    """The mixed-precision context that ``--amp {off,bf16,fp16}`` asks for."""
    dtype = AMP_TYPES[amp]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch of a loader with its tensors on ``device``; other values are unchanged.

    Labels travel as uint8 and become int64 on the device, so that an eighth of the bytes is copied.
    """
    placed = {
        name: moved(value, device) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
    return {**placed, "label": placed["label"].long()} if "label" in placed else placed


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
