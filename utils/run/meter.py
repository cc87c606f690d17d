"""The numbers of a training log line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from utils import distributed
from utils.device import NUMBERED


@dataclass
class Meter:
    """Means over the steps since the last log line. Losses stay on the device until :meth:`read`."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    data_seconds: float = 0.0
    start: float = field(default_factory=time.perf_counter)
    # Pairs of a GPU's events, the time between which belongs to data_seconds.
    waits: list[tuple[torch.Event, torch.Event]] = field(default_factory=list)

    def add(self, losses: dict[str, Tensor], share: float = 1.0) -> None:
        """Add the losses of a ``share`` of a step. Losses that are not finite do not count."""
        for name, value in losses.items():
            finite = value.detach().isfinite()
            value = torch.where(finite, value.detach().float() * share, 0.0)
            self.losses[name] = self.losses.get(name, 0) + value
            self.counts[name] = self.counts.get(name, 0) + finite * share

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs. Times and the number of steps are not kept."""
        sums = {"losses": self.losses, "counts": self.counts}
        return {kind: {name: value.cpu() for name, value in values.items()} for kind, values in sums.items()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue the means of another meter, on ``device``."""
        self.losses, self.counts = (
            {name: value.to(device) for name, value in state[kind].items()} for kind in ("losses", "counts")
        )

    def restart_clock(self) -> None:
        """Leave the time until now out, because nothing was trained in it."""
        self.start = time.perf_counter()

    @contextmanager
    def waiting(self, device: torch.device) -> Iterator[None]:
        """Count the time of the block as waiting for the loader.

        The host runs ahead of a GPU. There only the time counts in which the GPU has nothing left to do.
        """
        if device.type not in NUMBERED:
            began = time.perf_counter()
            yield
            self.data_seconds += time.perf_counter() - began
            return
        module = torch.get_device_module(device)
        pair = module.Event(enable_timing=True), module.Event(enable_timing=True)
        pair[0].record()
        yield
        pair[1].record()
        self.waits.append(pair)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out, because nothing is trained in it."""
        began = time.perf_counter()
        yield
        self.start += time.perf_counter() - began

    def read(self, pictures_per_step: int) -> dict[str, float]:
        """Means ``loss/*`` and speed ``images/s`` over all processes; ``data wait`` as a share of time."""
        names = sorted(self.losses)
        columns = [torch.stack([values[name] for name in names]) for values in (self.losses, self.counts)]
        sums, counts = distributed.all_reduce_sum(torch.stack(columns))
        # The mean of a loss that was never finite is NaN.
        means = (sums / counts).tolist()
        # The device has been waited for, so the events are over.
        self.data_seconds += sum(first.elapsed_time(last) for first, last in self.waits) / 1e3
        self.waits.clear()
        seconds = time.perf_counter() - self.start
        return {
            **{f"loss/{name}": mean for name, mean in zip(names, means, strict=True)},
            "images/s": self.steps * pictures_per_step / seconds,
            "data wait": self.data_seconds / seconds,
        }
